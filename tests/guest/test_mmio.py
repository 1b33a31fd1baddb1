# SPDX-License-Identifier: MIT
"""Devices on virtio-mmio, of version 2 and of the legacy version 1, found through ACPI and by words of the command line."""

import json

import pytest
from harness import MIB, Guest, random_disk

SERVING = r"^serving on http://10\.0\.2\.15/$"
TRANSPORTS = ["mmio", "mmio-legacy"]


def status(guest):
    return json.loads(guest.get("/status.json", deadline=20))["virtio"]["device"]


def check_hash(transport, tmp_path, size=MIB, words="", **arguments):
    path, digest = random_disk(tmp_path / "disk", size)
    with Guest("selftest", machine="microvm", transport=transport, disks=[path], cmdline=f"{words} -- disk-hash", **arguments) as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {size}$", 30)
        assert guest.wait_exit(10) == 0


def check_appliance(transport, heard, words="", **arguments):
    with Guest("aerostat", machine="microvm", transport=transport, net="user", forwards=[80], balloon=True, cmdline=words,
               **arguments) as guest:
        guest.wait_for(SERVING, 20)
        guest.balloon(40 * MIB)
        devices = status(guest)
        assert {device["driver"] for device in devices} == {"virtio-net", "virtio-balloon"}
        assert [device["interrupts"] for device in devices] == 2 * [heard]
        assert heard == "poll" or {device["line_heard"] for device in devices} == {"yes"}
        guest.qmp("set_link", name="nic0", up=False)
        guest.wait_for(r"^eth0: link down$", 10)
        return guest


@pytest.mark.parametrize("irq, heard", [("msix", "line"), ("poll", "poll")])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_both_versions_serve_disk_network_and_balloon(transport, irq, heard, tmp_path):
    check_hash(transport, tmp_path, words=f"irq={irq}")
    check_appliance(transport, heard, words=f"irq={irq}")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_machine_without_acpi_names_its_devices_behind_everything(transport, tmp_path):
    check_hash(transport, tmp_path, qemu_args=["-machine", "acpi=off"])
    check_appliance(transport, "line", qemu_args=["-machine", "acpi=off"])


def test_packed_rings_work_on_version_2(tmp_path):
    path, digest = random_disk(tmp_path / "disk", MIB)
    with Guest("selftest", machine="microvm", transport="mmio", disks=[(path, "packed=on")], cmdline="ring=packed -- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 30)
        assert guest.wait_exit(10) == 0


@pytest.mark.parametrize("word, said", [
    ("4K@0xd0000000:5", r"^virtio-mmio at 0xd0000000: no virtio device there$"),
    ("512@0x100000:5", r"^virtio-mmio at 0x100000: not an address of devices$"),
    ("512@0xfeb02e01:5", r"^virtio-mmio at 0xfeb02e01: no address for a device$"),
    ("1K@0xfeb02d00:5", r"^virtio-mmio at 0xfeb02d00: another device is there$"),
    ("16@0xd0000000:5", r"^virtio-mmio at 0xd0000000: too small for a device$"),
    ("1@2", r"^command line: virtio_mmio.device=1@2: not SIZE@ADDRESS:IRQ$"),
    ("4K@0xffffffffffffff00:5", r"^virtio-mmio at 0xffffffffffffff00: no address for a device$"),
    ("4K@0x10000000000000000:5", r"^command line: virtio_mmio.device=.*: not SIZE@ADDRESS:IRQ$"),
    ("512@0xfeb00000:5:0", r"^boot: "),  # an empty slot is silent
])
def test_a_wrong_word_is_named_and_the_boot_goes_on(word, said, tmp_path):
    path, digest = random_disk(tmp_path / "disk", MIB)
    with Guest("selftest", machine="microvm", transport="mmio", disks=[path], cmdline=f"virtio_mmio.device={word} -- disk-hash") as guest:
        guest.wait_for(said, 10)
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 30)
        assert guest.wait_exit(10) == 0
        assert ("virtio-mmio at" in guest.log) == ("virtio-mmio at" in said)


def test_version_2_is_heard_under_kvm(kvm, tmp_path):
    path, digest = random_disk(tmp_path / "disk", MIB // 16)
    with Guest("selftest", machine="microvm", transport="mmio", accel=kvm, disks=[path], cmdline="-- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB // 16}$", 30)
        assert guest.wait_exit(10) == 0
