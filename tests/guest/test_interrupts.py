# SPDX-License-Identifier: MIT
"""How devices are heard: by lines, their own and shared ones, and by fewer vectors than they have queues."""

import json

import pytest
from harness import MIB, Guest, random_disk, sparse_disk

SERVING = r"^serving on http://10\.0\.2\.15/$"


def heard_by(guest):
    """How each device is heard, in their order. A line must have been heard where the driver had to sleep: a disk may answer
    before anybody asks it to interrupt."""
    devices = json.loads(guest.get("/status.json", deadline=20))["virtio"]["device"]
    for device in devices:
        if device["interrupts"] == "line" and device["driver"] != "virtio-blk":
            assert device["line_heard"] == "yes"
    return [device["interrupts"] for device in devices]


@pytest.mark.parametrize("machine", ["q35", "pc", "microvm"])
def test_lines_serve_disk_network_and_balloon(machine, tmp_path):
    """Whether a line is heard is told apart from what a timer finds."""
    path, digest = random_disk(tmp_path / "disk", MIB)
    with Guest("selftest", machine=machine, disks=[path], cmdline="irq=intx -- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 30)
        assert guest.wait_exit(10) == 0
    with Guest("aerostat", machine=machine, disks=[path], net="user", forwards=[80], balloon=True, cmdline="irq=intx") as guest:
        guest.wait_for(SERVING, 20)
        guest.balloon(40 * MIB)
        assert heard_by(guest) == ["line", "line", "line"]
        assert guest.powerdown() == 0


@pytest.mark.parametrize("vectors, heard", [(0, "line"), (1, "msix"), (2, "msix")])
def test_fewer_vectors_than_queues_serve_all(vectors, heard, tmp_path):
    path, digest = random_disk(tmp_path / "disk", MIB)
    with Guest("selftest", disks=[(path, f"vectors={vectors}")], cmdline="-- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 30)
        assert guest.wait_exit(10) == 0
    with Guest("aerostat", disks=[(path, f"vectors={vectors}")], net="user", net_options=f"vectors={vectors}", forwards=[80]) as guest:
        guest.wait_for(SERVING, 20)
        assert heard_by(guest) == [heard, heard]
        guest.qmp("set_link", name="nic0", up=False)
        guest.wait_for(r"^eth0: link down$", 10)
        guest.qmp("set_link", name="nic0", up=True)
        guest.wait_for(r"^eth0: link up$", 10)
        assert guest.powerdown() == 0


@pytest.mark.parametrize("machine", ["q35", "pc", "microvm"])
def test_many_devices_share_four_lines(machine, tmp_path):
    disks = [sparse_disk(tmp_path / f"disk{n}", MIB) for n in range(12)]
    with Guest("aerostat", machine=machine, disks=disks, net="user", forwards=[80], balloon=True, cmdline="irq=intx") as guest:
        guest.wait_for(SERVING, 30)
        guest.balloon(40 * MIB)
        assert heard_by(guest) == 14 * ["line"]
        assert "switched off" not in guest.log
        assert guest.powerdown() == 0


@pytest.mark.parametrize("machine, bridge", [
    ("q35", "pcie-root-port,id=bridge,chassis=1,addr=5"),
    ("pc", "pci-bridge,id=bridge,chassis_nr=1,addr=5"),
])
def test_lines_behind_bridges_are_found(machine, bridge, tmp_path):
    """The disk's pin is turned by its own number and by the bridge's."""
    path, _ = random_disk(tmp_path / "disk", MIB)
    slot = 3 if machine == "pc" else 0
    args = ["-device", bridge, "-drive", f"if=none,id=d,format=raw,file={path}",
            "-device", f"virtio-blk-pci,disable-legacy=on,drive=d,bus=bridge,addr={slot}"]
    with Guest("aerostat", machine=machine, net="user", forwards=[80], qemu_args=args, cmdline="irq=intx") as guest:
        guest.wait_for(SERVING, 20)
        assert heard_by(guest) == ["line", "line"]
        assert f"0000:01:0{slot}.0" in guest.log
        assert guest.powerdown() == 0


def test_lines_are_heard_under_kvm(kvm, tmp_path):
    """A level that is still up at the end of an interrupt comes again, which KVM has to be told by the I/O APIC."""
    path, digest = random_disk(tmp_path / "disk", MIB // 16)
    with Guest("selftest", machine="microvm", accel=kvm, disks=[path], cmdline="irq=intx -- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB // 16}$", 30)
        assert guest.wait_exit(10) == 0
    with Guest("aerostat", machine="q35", accel=kvm, disks=[path], net="user", forwards=[80], balloon=True,
               cmdline="irq=intx") as guest:
        guest.wait_for(SERVING, 30)
        guest.balloon(40 * MIB)
        assert heard_by(guest) == ["line", "line", "line"]
        assert guest.powerdown(20) == 0
