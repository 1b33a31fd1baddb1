# SPDX-License-Identifier: MIT
"""Devices that go through an IOMMU: the kernel turns it off, whoever has turned it on, or does not drive them."""

import json
import socket
import struct

import pytest
from harness import MIB, Guest, qemu, random_disk

BEHIND = "iommu_platform=on,ats=on"
UNITS = [("q35", "intremap=off"), ("q35,kernel-irqchip=split", "intremap=on")]

# The unit's registers (VT-d specification, §11.4), as QEMU places them, and a root table in memory nobody has written.
REGISTERS = 0xFED90000
GCMD, GSTS, RTADDR = REGISTERS + 0x18, REGISTERS + 0x1C, REGISTERS + 0x20
SET_ROOT, TRANSLATE = 1 << 30, 1 << 31
ROOT_TABLE = 0x3000000


def behind_an_iommu(machine, options, disk, port=None):
    """QEMU arguments. The unit comes first: a device that is made before it does not go through it."""
    args = ["-machine", machine, "-device", f"intel-iommu,{options}"] + qemu.disk_args(disk, 0, options=BEHIND)
    return args + (qemu.user_net_args([(port, 80)], options=BEHIND) if port else [])


class Wires:
    """Memory of a stopped guest by QEMU's test protocol: what ran before our kernel is played by it."""

    def __init__(self, path):
        self.path = path

    def args(self):
        return ["-S", "-qtest", f"unix:{self.path},server=on,wait=off", "-qtest-log", "none"]

    def __enter__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(self.path))
        self.answers = self.socket.makefile("r")
        return self

    def __exit__(self, *_):
        self.answers.close()
        self.socket.close()

    def ask(self, *words):
        self.socket.sendall((" ".join(map(str, words)) + "\n").encode())
        answer = self.answers.readline().split()
        assert answer and answer[0] == "OK", f"{words}: {answer}"
        return answer[1:]

    def translate(self):
        """Turns translation on with an empty root table: no device reaches memory any more."""
        self.ask("writeq", RTADDR, ROOT_TABLE)
        self.ask("writel", GCMD, SET_ROOT)
        self.ask("writel", GCMD, TRANSLATE)
        assert self.status() & TRANSLATE

    def status(self):
        return int(self.ask("readl", GSTS)[0], 16)


def accepted_by_qemu(guest):
    """{device: whether QEMU has seen ACCESS_PLATFORM accepted}"""
    accepted = {}
    for device in guest.qmp("x-query-virtio"):
        features = guest.qmp("x-query-virtio-status", path=device["path"])["guest-features"]
        accepted[device["name"]] = any(name.startswith("VIRTIO_F_IOMMU_PLATFORM:") for name in features["transports"])
    return accepted


@pytest.mark.proves("CORE-RSV-03", "CORE-RSV-04")
@pytest.mark.parametrize("machine, options", UNITS)
def test_disk_and_network_work_behind_an_iommu(machine, options, tmp_path):
    path, _ = random_disk(tmp_path / "disk", MIB)
    port = qemu.free_port()
    with Guest("aerostat", qemu_args=behind_an_iommu(machine, options, path, port)) as guest:
        guest.ports = {80: port}
        guest.wait_for(r"^serving on ", 20)
        assert b"<html" in guest.get("/").lower()
        facts = json.loads(guest.get("/status.json"))
        assert facts["iommu"] == {"unit": [{"name": f"{REGISTERS:#x}", "state": "off"}]}
        told = {device["driver"]: device["accepted"] for device in facts["virtio"]["device"]}
        assert "ACCESS_PLATFORM" in told["virtio-blk"] and "ACCESS_PLATFORM" in told["virtio-net"]
        assert accepted_by_qemu(guest) == {"virtio-blk": True, "virtio-net": True}
        assert guest.powerdown() == 0


@pytest.mark.proves("CORE-RSV-04")
@pytest.mark.parametrize("irq", ["msix", "poll"])
@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("machine, options", UNITS)
def test_every_byte_comes_through_an_iommu(machine, options, ring, irq, tmp_path):
    path, digest = random_disk(tmp_path / "disk", 2 * MIB)
    args = behind_an_iommu(machine, options, path) + ["-global", "virtio-blk-pci.packed=on"]
    with Guest("selftest", qemu_args=args, cmdline=f"ring={ring} irq={irq} -- disk-hash 0") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {2 * MIB}$", 30)
        assert guest.wait_exit(10) == 0


@pytest.mark.proves("CORE-RSV-04")
@pytest.mark.parametrize("machine, options", UNITS)
def test_an_iommu_that_was_left_on_is_turned_off(machine, options, tmp_path):
    path, digest = random_disk(tmp_path / "disk", MIB)
    wires = Wires(tmp_path / "wires")
    args = behind_an_iommu(machine, options, path) + wires.args()
    with Guest("selftest", qemu_args=args, cmdline="-- disk-hash 0") as guest, wires:
        wires.translate()
        guest.qmp("cont")
        guest.wait_for(rf"^iommu at {REGISTERS:#x}: turned off$", 20)
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 30)
        assert guest.wait_exit(10) == 0


@pytest.mark.proves("CORE-RSV-04")
def test_every_byte_comes_through_a_virtio_iommu_that_nobody_drives(tmp_path):
    """Until a driver says otherwise it lets addresses pass as they are."""
    path, digest = random_disk(tmp_path / "disk", MIB)
    args = ["-device", "virtio-iommu-pci,disable-legacy=on"] + qemu.disk_args(path, 0, options=BEHIND)
    with Guest("selftest", qemu_args=args, cmdline="-- disk-hash 0") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 30)
        assert guest.wait_exit(10) == 0


NOWHERE = struct.pack("<HHBBHQ", 0, 16, 1, 0, 0, 0xDEAD0000)
ENDLESS = struct.pack("<HH", 0, 0)


@pytest.mark.parametrize("structures, told", [(NOWHERE, r"iommu at 0xdead0000: out of reach"),
                                              (ENDLESS, r"dmar: not started \(error 22\)")])
def test_a_table_that_lies_is_named_and_other_devices_work(structures, told, tmp_path):
    path, digest = random_disk(tmp_path / "disk", MIB)
    (tmp_path / "table").write_bytes(bytes(12) + structures)
    table = ["-acpitable", f"sig=DMAR,rev=1,data={tmp_path / 'table'}"]
    with Guest("selftest", disks=[path], qemu_args=table, cmdline="-- disk-hash 0") as guest:
        guest.wait_for(rf"^{told}$", 20)
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 30)
        assert guest.wait_exit(10) == 0


def test_a_disk_behind_an_iommu_out_of_reach_is_not_driven(tmp_path):
    path, _ = random_disk(tmp_path / "disk", MIB)
    (tmp_path / "table").write_bytes(bytes(12) + NOWHERE)
    table = ["-acpitable", f"sig=DMAR,rev=1,data={tmp_path / 'table'}"]
    with Guest("selftest", disks=[(path, BEHIND)], qemu_args=table, cmdline="-- disk-list") as guest:
        guest.wait_for(r"^virtio0 at \S+: an IOMMU that cannot be turned off is in its way", 20)
        guest.wait_exit(10)
