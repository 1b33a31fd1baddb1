# SPDX-License-Identifier: MIT
"""Randomness from the host: the entropy device, and the VM generation id when a saved VM goes on."""

import json
import os
import re
import uuid

import pytest
from harness import Guest

RNG = ["-device", "virtio-rng-pci,disable-legacy=on,rng=rng0"]
SOURCES = {"file": ["-object", "rng-random,id=rng0,filename=/dev/urandom"], "builtin": ["-object", "rng-builtin,id=rng0"]}


def facts_of(guest):
    guest.wait_for(r"^serving on", 20)
    guest.get("/status.json")  # whatever was asked for at the start has been answered by now
    return json.loads(guest.get("/status.json"))


def ask_until_it_counts(guest):
    """The answer is looked for when numbers are given out, which a new connection's sequence number is."""
    for _ in range(20):
        facts = json.loads(guest.get("/status.json"))
        if "virtio-rng" in facts["random"]["sources"]:
            return facts
    return facts


@pytest.mark.parametrize("machine, ring", [("q35", "split"), ("q35", "packed"), ("microvm", "split")])
@pytest.mark.parametrize("source", SOURCES)
def test_the_entropy_device_is_a_source(source, machine, ring):
    args = SOURCES[source] + [RNG[0], RNG[1] + ",packed=on"]
    more = ["-machine", "pcie=on"] if machine == "microvm" else []
    with Guest("aerostat", machine=machine, net="user", forwards=[80], cmdline=f"ring={ring}", qemu_args=args + more) as guest:
        facts_of(guest)
        facts = ask_until_it_counts(guest)
        assert "virtio-rng" in facts["random"]["sources"]
        assert facts["random"]["state"] == "seeded"
        assert guest.powerdown() == 0


def test_without_a_cpu_that_has_random_numbers_the_device_seeds():
    with Guest("aerostat", net="user", forwards=[80], cpu="qemu64,-rdrand,-rdseed", qemu_args=SOURCES["builtin"] + RNG) as guest:
        facts_of(guest)
        facts = ask_until_it_counts(guest)
        assert sorted(facts["random"]["sources"]) == ["jitter", "virtio-rng"] and facts["random"]["state"] == "seeded"


def test_a_source_that_never_answers_delays_nothing(tmp_path):
    fifo = os.path.join(tmp_path, "nothing")
    os.mkfifo(fifo)
    hold = os.open(fifo, os.O_RDWR)  # so that it opens, and never has a byte
    try:
        args = ["-object", f"rng-random,id=rng0,filename={fifo}"] + RNG
        with Guest("aerostat", net="user", forwards=[80], qemu_args=args) as guest:
            facts = facts_of(guest)
            assert "virtio-rng" not in facts["random"]["sources"] and facts["random"]["state"] == "seeded"
            assert guest.powerdown() == 0
    finally:
        os.close(hold)


# --- the VM generation

def generation(guid):
    return ["-device", f"vmgenid,guid={guid},id=generation"]


def numbers_told(guest):
    return re.findall(r"^number ([0-9a-f]+)$", guest.log, re.M)


def go_on_from(state, guid):
    return Guest("selftest", cmdline="-- random 200", qemu_args=generation(guid) + ["-incoming", f"exec:cat {state}"])


def test_two_vms_from_one_saved_state_draw_other_numbers(tmp_path):
    state = os.path.join(tmp_path, "state")
    with Guest("selftest", cmdline="-- random 200", qemu_args=generation(uuid.uuid4())) as guest:
        guest.wait_for(r"^number", 20)
        assert "the VM generation has changed" not in guest.log
        guest.qmp("stop")
        guest.qmp("migrate", uri=f"exec:cat > {state}")
        assert guest.vm.wait_until(lambda: guest.qmp("query-migrate").get("status") == "completed", 30)
    heard = []
    for _ in range(2):
        with go_on_from(state, uuid.uuid4()) as guest:
            guest.vm.wait_until(lambda: guest.qmp("query-status")["status"] == "paused", 20)
            guest.qmp("cont")
            guest.wait_for(r"^random: the VM generation has changed, new key$", 30)
            guest.wait_for(r"^number", 20)
            guest.wait_for(r"^number", 20)
            heard.append(numbers_told(guest))
            assert guest.log.count("generation has changed") == 1
    # The first number may have been drawn before the state was saved.
    assert not set(heard[0][1:]) & set(heard[1][1:])


def test_the_same_generation_goes_on_with_its_key(tmp_path):
    state, guid = os.path.join(tmp_path, "state"), uuid.uuid4()
    with Guest("selftest", cmdline="-- random 200", qemu_args=generation(guid)) as guest:
        guest.wait_for(r"^number", 20)
        guest.qmp("stop")
        guest.qmp("migrate", uri=f"exec:cat > {state}")
        assert guest.vm.wait_until(lambda: guest.qmp("query-migrate").get("status") == "completed", 30)
    with go_on_from(state, guid) as guest:
        guest.vm.wait_until(lambda: guest.qmp("query-status")["status"] == "paused", 20)
        guest.qmp("cont")
        guest.wait_for(r"^number", 20)
        guest.wait_for(r"^number", 20)
        assert "generation" not in guest.log
