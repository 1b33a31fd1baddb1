# SPDX-License-Identifier: MIT
"""Memory that goes to the host and comes back, as the host measures it."""

import json
import subprocess
import time

import pytest
from harness import MIB, Guest

GUEST_MIB = 512
WORK_MIB = 498  # nearly all: what was never written is not the hosts to lose
TAKE_MIB = 416


def balloon_stats(guest, deadline=10):
    guest.qmp("qom-set", path="/machine/peripheral/balloon0", property="guest-stats-polling-interval", value=1)
    end = time.monotonic() + deadline
    while True:
        stats = guest.qmp("qom-get", path="/machine/peripheral/balloon0", property="guest-stats")
        if stats["last-update"]:
            return stats["stats"]
        assert time.monotonic() < end, "no statistics came"
        time.sleep(0.2)


def work_and_pause(accel="tcg", ring="auto", irq="msix", machine="q35"):
    """A guest that has written and freed WORK_MIB, and will write them again after a line on its console."""
    return Guest("selftest", machine=machine, accel=accel, memory=GUEST_MIB, balloon=True, balloon_options="packed=on",
                 cmdline=f"ring={ring} irq={irq} -- memory {WORK_MIB} 2 typed", deadline=120)


@pytest.mark.parametrize("ring, irq", [("split", "msix"), ("packed", "msix"), ("split", "poll")])
def test_what_the_balloon_takes_leaves_the_hosts_memory_and_comes_back(ring, irq):
    with work_and_pause(ring=ring, irq=irq) as guest:
        guest.wait_for(r"^round 1: freed", 60)
        before = guest.rss_bytes()
        assert before > WORK_MIB * MIB
        guest.balloon((GUEST_MIB - TAKE_MIB) * MIB)
        after = guest.wait_rss(lambda size: before - size >= 0.95 * TAKE_MIB * MIB)
        assert before - after <= 1.05 * TAKE_MIB * MIB
        guest.balloon(GUEST_MIB * MIB)
        guest.type("go on")
        guest.wait_for(rf"^PASS: {WORK_MIB} MiB kept their pattern", 60)
        assert guest.wait_exit(60) == 0
        assert "FAIL" not in guest.log


def test_the_balloon_takes_untouched_memory_too():
    with Guest("selftest", memory=2048, balloon=True, cmdline="-- spin") as guest:
        guest.wait_for(r"^spinning")
        guest.balloon(512 * MIB)
        guest.balloon(2048 * MIB)
        assert guest.powerdown() == 0


def test_a_target_beyond_what_can_be_given_is_followed_as_far_as_it_goes():
    with Guest("selftest", memory=128, balloon=True, cmdline="-- spin") as guest:
        guest.wait_for(r"^spinning")
        guest.qmp("balloon", value=1 * MIB)
        guest.wait_balloon(lambda left: left < 64 * MIB)
        time.sleep(1)  # as far as it goes
        assert guest.qmp("query-balloon")["actual"] > 1 * MIB
        guest.balloon(128 * MIB)
        guest.qmp("balloon", value=4096 * MIB)  # more than there is: all of it
        time.sleep(0.5)
        assert guest.qmp("query-balloon")["actual"] == 128 * MIB
        assert guest.powerdown() == 0


def test_an_application_goes_on_beside_a_full_balloon():
    with Guest("aerostat", memory=128, balloon=True, net="user", forwards=[80]) as guest:
        guest.wait_for(r"^serving on", 20)
        guest.qmp("balloon", value=1 * MIB)
        guest.wait_balloon(lambda left: left < 64 * MIB)
        memory = json.loads(guest.get("/status.json"))["memory"]
        assert memory["total_bytes"] < 64 * MIB
        assert memory["ballooned_bytes"] + memory["total_bytes"] > 120 * MIB
        assert memory["used_bytes"] + memory["free_bytes"] == memory["total_bytes"]
        assert b"aerostat_memory_reported_bytes " in guest.get("/metrics")
        guest.balloon(128 * MIB)
        assert json.loads(guest.get("/status.json"))["memory"]["total_bytes"] > 100 * MIB


def fetch_pages(guest, until):
    """Requests, one after the other, until the clock shows so much; how many were answered."""
    n = 0
    while time.monotonic() < until:
        for path in ("/", "/status.json", "/metrics", "/status.txt"):
            assert len(guest.get(path)) > 500
            n += 1
    return n


@pytest.mark.parametrize("options", ["deflate-on-oom=on", "deflate-on-oom=off"])
def test_an_appliance_serves_every_request_while_the_host_takes_all_that_it_gives(options):
    with Guest("aerostat", memory=64, balloon=True, balloon_options=options, net="user", forwards=[80]) as guest:
        guest.wait_for(r"^serving on", 20)
        guest.qmp("balloon", value=1 * MIB)
        assert fetch_pages(guest, time.monotonic() + 4) >= 32
        time.sleep(1)
        memory = json.loads(guest.get("/status.json"))["memory"]
        actual = guest.qmp("query-balloon")["actual"]
        assert actual < 16 * MIB
        assert memory["ballooned_bytes"] == 64 * MIB - actual  # what it says that it gave is what it gave
        guest.balloon(64 * MIB)
        fetch_pages(guest, time.monotonic() + 1)
        assert guest.powerdown() == 0
        assert "panic" not in guest.log


def test_the_memorys_past_is_served_to_who_comes_late():
    with Guest("aerostat", memory=128, balloon=True, net="user", forwards=[80]) as guest:
        guest.wait_for(r"^serving on", 20)
        guest.balloon(64 * MIB)
        end = time.monotonic() + 30
        while True:
            done = subprocess.run(["curl", "-sS", "--fail", "-m", "10", guest.url("/history.json")], capture_output=True, text=True,
                                  timeout=30, check=True)
            past = json.loads(done.stdout)
            if past["ballooned_bytes"][-1] == 64 * MIB:
                break
            assert time.monotonic() < end, past
            time.sleep(0.5)
        assert past["ballooned_bytes"][0] == 0  # of before the page was asked for
        at = past["uptime_ns"]
        assert len(at) > 1 and all(early < late for early, late in zip(at, at[1:])), at
        assert all(len(past[fact]) == len(at) for fact in ("total_bytes", "used_bytes", "reported_bytes"))
        assert len(set(map(sum, zip(past["total_bytes"], past["ballooned_bytes"])))) == 1, past
        assert b"/history.json" in guest.get("/")


def test_targets_as_fast_as_qmp_goes_lose_no_page():
    with work_and_pause() as guest:
        guest.wait_for(r"^round 1: freed", 60)
        for i in range(300):
            guest.qmp("balloon", value=(GUEST_MIB - (i * 37) % TAKE_MIB) * MIB)
        guest.balloon(GUEST_MIB * MIB)
        guest.type("go on")
        guest.wait_for(rf"^PASS: {WORK_MIB} MiB kept their pattern", 60)
        assert guest.wait_exit(60) == 0


def test_the_host_reads_true_statistics():
    with Guest("selftest", memory=256, balloon=True, cmdline="-- spin") as guest:
        guest.wait_for(r"^spinning")
        stats = balloon_stats(guest)
        assert 240 * MIB < stats["stat-total-memory"] <= 256 * MIB
        assert 0 < stats["stat-free-memory"] < stats["stat-total-memory"]
        assert stats["stat-available-memory"] <= stats["stat-total-memory"]
        guest.balloon(128 * MIB)
        end = time.monotonic() + 10
        while balloon_stats(guest)["stat-total-memory"] > 128 * MIB:
            assert time.monotonic() < end, balloon_stats(guest)
            time.sleep(0.3)


def test_balloon_off_leaves_the_hosts_wish_alone():
    with Guest("selftest", memory=128, balloon=True, cmdline="balloon=off -- spin") as guest:
        guest.wait_for(r"^spinning")
        guest.qmp("balloon", value=64 * MIB)
        time.sleep(1)
        assert guest.qmp("query-balloon")["actual"] == 128 * MIB


def test_a_balloon_under_kvm(kvm):
    with Guest("selftest", machine="q35", accel=kvm, memory=64, balloon=True, cmdline="-- spin", deadline=90) as guest:
        guest.wait_for(r"^spinning", 30)
        guest.balloon(48 * MIB)
        guest.balloon(64 * MIB)


def migrated(tmp_path, options):
    """Moves a guest that has freed TAKE_MIB; the MiB that were sent. What it writes afterwards must keep."""
    wire = tmp_path / "wire"
    common = dict(memory=GUEST_MIB, balloon=True, balloon_options=options, cmdline=f"-- memory {TAKE_MIB} 2 typed", deadline=120)
    iothread = ["-object", "iothread,id=hints"]
    with Guest("selftest", qemu_args=[*iothread, "-incoming", f"unix:{wire}"], **common) as there:
        with Guest("selftest", qemu_args=iothread, **common) as here:
            here.wait_for(r"^round 1: freed", 60)
            here.qmp("migrate", uri=f"unix:{wire}")
            end = time.monotonic() + 40
            while (told := here.qmp("query-migrate"))["status"] not in ("completed", "failed"):
                assert time.monotonic() < end, told
                time.sleep(0.05)
            assert told["status"] == "completed", told
        there.type("go on")
        there.wait_for(rf"^PASS: {TAKE_MIB} MiB kept their pattern", 60)
        assert there.wait_exit(60) == 0
        assert "FAIL" not in there.log
    return told["ram"]["transferred"] // MIB


def test_a_guest_that_hints_its_free_memory_moves_without_it(tmp_path):
    assert migrated(tmp_path, "free-page-hint=on,iothread=hints") < TAKE_MIB * 3 // 4


def held_back(guest):
    """What the balloon has left the guest, in MiB."""
    return guest.qmp("query-balloon")["actual"] // MIB


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_what_an_application_frees_is_reported_and_leaves_the_hosts_memory(ring):
    with Guest("selftest", memory=GUEST_MIB, balloon=True, balloon_options="packed=on,free-page-reporting=on,page-poison=off",
               cmdline=f"ring={ring} -- memory {TAKE_MIB} 2 typed", deadline=120) as guest:
        guest.wait_for(r"^round 1: freed", 60)
        before = guest.rss_bytes()
        assert before > TAKE_MIB * MIB
        guest.wait_rss(lambda size: before - size >= 0.95 * TAKE_MIB * MIB)
        assert held_back(guest) == GUEST_MIB  # it is the guest's all the same
        guest.type("go on")
        guest.wait_for(rf"^PASS: {TAKE_MIB} MiB kept their pattern", 60)
        assert guest.wait_exit(60) == 0
        assert "FAIL" not in guest.log


def full_of_holes(word, smp=1):
    """A guest that has left 30 of 384 MiB in use, all over memory, and will use as many again."""
    return Guest("selftest", memory=GUEST_MIB, smp=smp, balloon=True, balloon_options="free-page-reporting=on",
                 cmdline=f"balloon={word} -- holes 384 2 typed", deadline=120)


@pytest.mark.parametrize("smp", [1, 2])
def test_memory_full_of_holes_falls_back_to_the_working_set_by_itself(smp):
    with full_of_holes("auto", smp) as guest:
        guest.wait_for(r"^round 1: 30 MiB stay", 60)
        guest.wait_rss(lambda size: size < 128 * MIB, 40)  # with what QEMU itself holds
        assert held_back(guest) == GUEST_MIB
        guest.type("go on")
        guest.wait_for(r"^round 2:", 60)
        assert guest.wait_exit(60) == 0
        assert "FAIL" not in guest.log


def test_memory_full_of_holes_stays_so_where_the_guest_is_only_to_follow():
    with full_of_holes("follow") as guest:
        guest.wait_for(r"^round 1: 30 MiB stay", 60)
        time.sleep(4)
        assert guest.rss_bytes() > 384 * MIB


def test_poison_of_zeros_goes_with_reporting():
    with Guest("selftest", memory=GUEST_MIB, balloon=True, balloon_options="free-page-reporting=on,page-poison=on",
               cmdline=f"poison=zero -- memory {TAKE_MIB} 2 typed", deadline=120) as guest:
        guest.wait_for(r"^round 1: freed", 60)
        before = guest.rss_bytes()
        guest.wait_rss(lambda size: before - size >= 0.95 * TAKE_MIB * MIB)
        guest.type("go on")
        assert guest.wait_exit(60) == 0
        assert "FAIL" not in guest.log


def pressed(options, wanted_mib):
    return Guest("selftest", memory=256, balloon=True, balloon_options=options, cmdline=f"-- pressure 32 {wanted_mib}", deadline=90)


def test_memory_that_is_needed_comes_out_of_the_balloon_and_goes_back():
    with pressed("deflate-on-oom=on", 120) as guest:
        guest.wait_for(r"^cached 32 MiB", 30)
        guest.balloon(96 * MIB)
        guest.wait_for(r"^the host wishes 9[0-6] MiB", 10)
        guest.type("now want")
        guest.wait_for(r"^had 120 MiB, cached 32 MiB, shrinker asked 0 times", 40)
        assert 120 + 32 <= held_back(guest) < 200
        end = time.monotonic() + 10
        while held_back(guest) != 96:  # what it was lent again, once it is free
            assert time.monotonic() < end, held_back(guest)
            time.sleep(0.1)
        guest.type("end")
        assert guest.wait_exit(30) == 0
        assert "FAIL" not in guest.log


def test_caches_are_dropped_before_malloc_fails():
    with pressed("deflate-on-oom=off", 0) as guest:
        guest.wait_for(r"^cached 32 MiB", 30)
        guest.balloon(96 * MIB)
        guest.wait_for(r"^the host wishes 9[0-6] MiB", 10)
        guest.type("now want")
        guest.wait_for(r"^PASS: malloc fails with ENOMEM", 40)
        guest.wait_for(r"^PASS: the cache went first", 5)
        assert held_back(guest) == 96  # the host keeps what it wants
        guest.type("end")
        assert guest.wait_exit(30) == 0
        assert "FAIL" not in guest.log
