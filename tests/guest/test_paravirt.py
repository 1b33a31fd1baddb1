# SPDX-License-Identifier: MIT
"""What KVM offers besides its clock: taken where it is offered, left alone where it is not or where the user says so."""

import json

import pytest
from harness import Guest

ALL = {"eoi", "steal-time", "ipi", "poll-control", "msi-ext-id"}  # the last: microvm has a split interrupt controller
CPU = "host,-arch-capabilities"


@pytest.mark.parametrize("cpu, words, missing", [
    (CPU, "", set()),
    (CPU, "kvm-off=eoi,ipi", {"eoi", "ipi"}),
    (CPU, "kvm-off=steal-time,poll-control irq=poll", {"steal-time", "poll-control"}),
    (CPU + ",-kvm-pv-eoi,-kvm-poll-control", "irq=poll", {"eoi", "poll-control"}),
    (CPU + ",-kvm-steal-time", "kvm-off=msi-ext-id", {"steal-time", "msi-ext-id"}),
])
def test_each_interface_is_used_where_it_is_offered_and_wanted(cpu, words, missing, kvm):
    with Guest("aerostat", machine="microvm", accel=kvm, cpu=cpu, cmdline=words) as guest:
        told = guest.wait_for(r"^ +paravirtual +(.*)$", 40).group(1)
        stolen = int(guest.wait_for(r"^ +stolen_ns +(\d+)$", 10).group(1))
        assert set(told.split()) == ALL - missing
        assert (stolen > 0) == ("steal-time" not in missing)
        assert guest.powerdown(20) == 0


def test_the_time_that_was_stolen_is_told_of_each_cpu(kvm):
    with Guest("aerostat", machine="microvm", accel=kvm, cpu=CPU, smp=2) as guest:
        guest.wait_for(r"^cpu: 2 of 2 up$", 40)
        stolen = int(guest.wait_for(r"^ +stolen_ns +(\d+)\n +cpu$", 40).group(1))
        each = [int(guest.wait_for(rf"^ +{cpu}\n +stolen_ns +(\d+)$", 10).group(1)) for cpu in range(2)]
        assert each[0] > 0 and sum(each) >= stolen
        assert guest.powerdown(20) == 0


def test_without_kvm_there_is_nothing_to_use():
    with Guest("aerostat", net="user", forwards=[80]) as guest:
        guest.wait_for(r"^serving", 20)
        system = json.loads(guest.get("/status.json"))["system"]
        assert system["paravirtual"] == [] and system["stolen_ns"] == 0
