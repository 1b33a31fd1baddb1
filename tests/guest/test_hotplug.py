# SPDX-License-Identifier: MIT
"""Devices that come and go while the guest runs, by the slots of PCI Express ports."""

import urllib.request

import pytest
import qemu
from harness import MIB, Guest, random_disk, sparse_disk

# QEMU's q35 hot-plugs by ACPI otherwise, and its ports then show no slot.
NATIVE = ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"]
PORT = ["-device", "pcie-root-port,id=slot0,chassis=1,slot=1"]


def guest_with_slot(cmdline, port=(), **arguments):
    return Guest("selftest", cmdline=cmdline, qemu_args=NATIVE + list(port or PORT), **arguments)


def plug_disk(guest, path, read_only=True):
    guest.qmp("blockdev-add", node_name="disk", driver="raw", read_only=read_only,
              file={"driver": "file", "filename": str(path)})
    guest.qmp("device_add", driver="virtio-blk-pci", id="plugged", bus="slot0", drive="disk")


def unplug_disk(guest):
    """Presses the attention button; the guest has five seconds to change its mind, and then the slot goes off."""
    guest.qmp("device_del", id="plugged")
    guest.wait_event("DEVICE_DELETED", 20, device="plugged")
    guest.qmp("blockdev-del", node_name="disk")


def come_and_go(tmp_path, times, cmdline="", **arguments):
    path, digest = random_disk(tmp_path / "disk", MIB)
    with guest_with_slot(f"{cmdline} -- disk-come {times + 1}", deadline=60 + 12 * times, **arguments) as guest:
        for number in range(times):
            guest.wait_for(rf"^waiting for disk {number}$", 20)
            plug_disk(guest, path)
            guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 20)
            unplug_disk(guest)
            guest.wait_for(rf"^PASS: disk {number} has gone$", 5)
        guest.wait_for(rf"^waiting for disk {times}$", 5)
        assert "FAIL" not in guest.log


@pytest.mark.parametrize("irq", ["msix", "poll"])
def test_a_disk_comes_is_read_and_goes_again_and_again(irq, tmp_path):
    come_and_go(tmp_path, 2, f"irq={irq}")


def test_ten_disks_come_and_go_side_by_side_twenty_times_in_all(tmp_path):
    """Each slot has its five seconds at the same time as the others; nothing is left of a disk that has gone."""
    crowd, rounds = 10, 2
    args = [word for i in range(crowd) for word in ("-device", f"pcie-root-port,id=slot{i},chassis={i + 1},slot={i + 1}")]
    disks = [random_disk(tmp_path / f"disk{i}", MIB // 4, i) for i in range(crowd)]
    with guest_with_slot(f"-- disk-crowd {rounds + 1} {crowd}", args, deadline=90) as guest:
        for number in range(rounds):
            guest.wait_for(rf"^waiting for disks from {number * crowd}$", 20)
            for i, (path, _) in enumerate(disks):
                guest.qmp("blockdev-add", node_name=f"disk{i}", driver="raw", read_only=True,
                          file={"driver": "file", "filename": str(path)})
                guest.qmp("device_add", driver="virtio-blk-pci", id=f"plugged{i}", bus=f"slot{i}", drive=f"disk{i}")
            guest.wait_for(rf"^{crowd} disks are here$", 20)
            for i in range(crowd):
                guest.qmp("device_del", id=f"plugged{i}")
            for i in range(crowd):
                guest.wait_event("DEVICE_DELETED", 20, device=f"plugged{i}")
                guest.qmp("blockdev-del", node_name=f"disk{i}")
        guest.wait_for(rf"^waiting for disks from {rounds * crowd}$", 5)
        assert "FAIL" not in guest.log
        assert guest.log.count("a card has come") == guest.log.count("the card goes") == rounds * crowd
        for _, digest in disks:
            assert guest.log.count(f"sha256 {digest} ") == rounds


def test_another_kind_of_port_does_as_well(tmp_path):
    come_and_go(tmp_path, 1, port=["-device", "ioh3420,id=slot0,chassis=1,slot=1"])


def test_a_disk_that_goes_in_the_middle_of_a_write_fails_what_it_had(tmp_path):
    path = tmp_path / "disk"
    sparse_disk(path, 4 * MIB)
    disk = ["-blockdev", f"raw,node-name=disk,file.driver=file,file.filename={path}",
            "-device", "virtio-blk-pci,id=plugged,bus=slot0,drive=disk"]
    with guest_with_slot("-- disk-leave", PORT + disk) as guest:
        guest.wait_for(r"^writing$", 20)
        guest.qmp("device_del", id="plugged")
        guest.wait_for(r"^PASS: what was in flight comes back", 15)
        assert guest.wait_exit(10) == 0


def fetch(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status.txt", timeout=10) as answer:
        return answer.read().decode()


def test_a_network_card_comes_serves_and_goes_again_and_again():
    port = qemu.free_port()
    with Guest("aerostat", qemu_args=NATIVE + PORT, deadline=120) as guest:
        guest.wait_for(r"^no network$", 30)
        for number in range(3):
            guest.hmp(f"netdev_add user,id=net,hostfwd=tcp:127.0.0.1:{port}-:80")
            guest.qmp("device_add", driver="virtio-net-pci", id="plugged", bus="slot0", netdev="net")
            guest.wait_for(rf"^eth{number}: address 10.0.2.15/24", 20)
            assert f"eth{number}" in fetch(port)
            guest.qmp("device_del", id="plugged")
            guest.wait_event("DEVICE_DELETED", 20, device="plugged")
            guest.wait_for(rf"^eth{number}: gone$", 5)
            guest.hmp("netdev_del net")
        assert guest.powerdown() == 0
