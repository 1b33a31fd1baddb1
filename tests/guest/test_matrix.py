# SPDX-License-Identifier: MIT
"""Every machine, interrupt mode and ring format with each other: disk, network, balloon and power button in one guest."""

import json

import pytest
from harness import MIB, Guest, random_disk

MACHINES, IRQS, RINGS = ["q35", "pc", "microvm"], ["poll", "msix", "intx"], ["split", "packed"]
MEMORY_MIB = 64


def check_hash(machine, irq, ring, accel, tmp_path, size):
    path, digest = random_disk(tmp_path / "disk", size)
    with Guest("selftest", machine=machine, accel=accel, disks=[(path, "packed=on")],
               cmdline=f"irq={irq} ring={ring} -- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {size}$", 30)
        assert guest.wait_exit(10) == 0


def check_appliance(machine, irq, ring, accel, tmp_path):
    path, _ = random_disk(tmp_path / "second", MIB, 2)
    with Guest("aerostat", machine=machine, accel=accel, memory=MEMORY_MIB, disks=[(path, "packed=on")], net="user", forwards=[80],
               net_options="packed=on", balloon=True, balloon_options="packed=on", cmdline=f"irq={irq} ring={ring}") as guest:
        guest.wait_for(r"^serving on http://10\.0\.2\.15/$", 30)
        devices = json.loads(guest.get("/status.json", deadline=20))["virtio"]["device"]
        assert [device["driver"] for device in devices] == ["virtio-blk", "virtio-net", "virtio-balloon"]
        assert {device["ring"] for device in devices} == {ring}
        assert [device["interrupts"] for device in devices[:2]] == 2 * ["line" if irq == "intx" else irq]
        guest.balloon((MEMORY_MIB - 24) * MIB)
        guest.balloon((MEMORY_MIB - 8) * MIB)
        facts = json.loads(guest.get("/status.json", deadline=20))
        assert facts["memory"]["total_bytes"] < (MEMORY_MIB - 8) * MIB
        # QEMU's balloon has no MSI-X.
        assert facts["virtio"]["device"][2]["interrupts"] == ("poll" if irq == "poll" else "line")
        assert guest.powerdown(20) == 0
        assert "power button" in guest.log


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("irq", IRQS)
@pytest.mark.parametrize("machine", MACHINES)
def test_each_machine_serves_disk_network_and_balloon(machine, irq, ring, tmp_path):
    check_hash(machine, irq, ring, "tcg", tmp_path, MIB)
    check_appliance(machine, irq, ring, "tcg", tmp_path)


@pytest.mark.parametrize("machine, ring", [("microvm", "split"), ("q35", "packed")])
def test_interrupts_by_message_serve_all_under_kvm(kvm, machine, ring, tmp_path):
    """The disk is small, for an interpreted KVM counts every instruction."""
    check_hash(machine, "msix", ring, kvm, tmp_path, MIB // 16)
    check_appliance(machine, "msix", ring, kvm, tmp_path)
