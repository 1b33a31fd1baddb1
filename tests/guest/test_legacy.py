# SPDX-License-Identifier: MIT
"""Devices of the old kind: registers in ports only, and transitional ones, which are driven as modern."""

import json
import re

import pytest
from harness import MIB, Guest, random_disk, sha256_of, sparse_disk
from test_balloon import balloon_stats
from test_disk import pattern_digest

OLD = "disable-legacy=off,disable-modern=on"
BOTH = "disable-legacy=off"  # transitional
MEMORY_MIB = 64
SERVING = r"^serving on http://10\.0\.2\.15/$"


def hash_disk(path, digest, size, options=OLD, cmdline="", **guest_args):
    with Guest("selftest", disks=[(path, options)], cmdline=f"{cmdline} -- disk-hash", **guest_args) as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {size}$", 30)
        assert guest.wait_exit(10) == 0
        return guest.log


def appliance(tmp_path, options=OLD, net_options="", cmdline="", **guest_args):
    path, _ = random_disk(tmp_path / "second", MIB, 2)
    return Guest("aerostat", memory=MEMORY_MIB, disks=[(path, options)], net="user", forwards=[80], net_options=options + net_options,
                 balloon=True, balloon_options=options, cmdline=cmdline, **guest_args)


def status(guest):
    return json.loads(guest.get("/status.json", deadline=20))


def check_appliance(guest, transport):
    guest.wait_for(SERVING, 30)
    devices = status(guest)["virtio"]["device"]
    assert [device["driver"] for device in devices] == ["virtio-blk", "virtio-net", "virtio-balloon"]
    assert {device["transport"] for device in devices} == {transport}
    assert {device["recoveries"] for device in devices} == {0}
    for device in devices:
        assert ("VERSION_1" in device["accepted"]) == (transport == "pci")
        # QEMU's old disks do not offer it, for their SCSI requests' sake.
        assert ("ANY_LAYOUT" in device["accepted"]) == ("ANY_LAYOUT" in device["offered"] and transport == "pci-legacy")
    guest.balloon((MEMORY_MIB - 24) * MIB)
    guest.balloon((MEMORY_MIB - 8) * MIB)
    assert status(guest)["memory"]["total_bytes"] < (MEMORY_MIB - 8) * MIB
    return devices


def has_trap(features):
    """Bit 30, which QEMU shows to catch drivers that repeat what they read; for most devices it has another name for it."""
    return bool(features.get("unknown-dev-features", 0) >> 30 & 1) or "VHOST_USER_F_PROTOCOL_FEATURES" in json.dumps(features)


# --- the old kind only

@pytest.mark.proves("CORE-LEG-02", "PCI-LEG-01", "PCI-LEG-03", "PCI-LEGDET-02", "SPLIT-LEG-01", "SPLIT-LEG-03")
@pytest.mark.parametrize("irq", ["msix", "poll"])
@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_disk_network_and_balloon_work_by_ports(machine, irq, tmp_path):
    path, digest = random_disk(tmp_path / "disk", 2 * MIB)
    log = hash_disk(path, digest, 2 * MIB, machine=machine, cmdline=f"irq={irq}")
    assert "no usable" not in log
    with appliance(tmp_path, machine=machine, cmdline=f"irq={irq}") as guest:
        devices = check_appliance(guest, "pci-legacy")
        assert [device["interrupts"] for device in devices[:2]] == [irq, irq]
        assert guest.powerdown(20) == 0


@pytest.mark.proves("CORE-LEGRSV-01", "CORE-LEGRSV-02", "CORE-LEGINIT-01")
def test_the_host_sees_neither_features_ok_nor_the_trap(tmp_path):
    with appliance(tmp_path) as guest:
        guest.wait_for(SERVING, 30)
        for device in ("blk0", "nic0", "balloon0"):
            seen = guest.qmp("x-query-virtio-status", path=f"/machine/peripheral/{device}/virtio-backend")
            offered, taken = (json.dumps(seen[side]) for side in ("host-features", "guest-features"))
            assert has_trap(seen["host-features"]) and not has_trap(seen["guest-features"])
            assert ("ANY_LAYOUT" in taken) == ("ANY_LAYOUT" in offered) == (device != "blk0")
            assert "VERSION_1" not in taken and "unknown" not in taken
            words = json.dumps(seen["status"])
            assert "DRIVER_OK" in words and "FEATURES_OK" not in words


@pytest.mark.parametrize("options", ["queue-size=1024,seg-max-adjust=off", "any_layout=off", "any_layout=off,indirect_desc=off",
                                     "event_idx=off", "vectors=0", "vectors=1", "queue-size=4"])
def test_old_disks_of_all_kinds_are_read_and_written(options, tmp_path):
    size = 2 * MIB
    path = sparse_disk(tmp_path / "disk", size)
    with Guest("selftest", disks=[(path, f"{OLD},{options}")], cmdline="-- disk-pattern 0 5") as guest:
        guest.wait_for(r"^PASS: flush$", 40)
        assert sha256_of(path) == pattern_digest(size, 5)
        guest.wait_for(r"^PASS: the pattern is read back$", 40)
        assert guest.wait_exit(10) == 0
        assert not re.search(r"reset|error", guest.log), guest.log


@pytest.mark.parametrize("options", ["mrg_rxbuf=off", "any_layout=off", "any_layout=off,mrg_rxbuf=off", "rx_queue_size=1024",
                                     "any_layout=off,event_idx=off,csum=off", "vectors=0", "vectors=1"])
def test_old_networks_of_all_kinds_serve_pages(options, tmp_path):
    with appliance(tmp_path, net_options=f",{options}") as guest:
        guest.wait_for(SERVING, 30)
        pages = {guest.get("/") for _ in range(20)}
        assert len(pages) == 1
        network = status(guest)["virtio"]["device"][1]
        assert network["recoveries"] == 0
        for option, word in (("any_layout=off", "ANY_LAYOUT"), ("mrg_rxbuf=off", "MRG_RXBUF")):
            assert (word in network["accepted"]) != (option in options.split(","))
        assert guest.powerdown(20) == 0


def test_an_old_card_on_a_wire_carries_frames_of_every_length(network):
    """Bare pings: what is answered was received and sent whole, and the host compares it byte by byte."""
    nic = network.nic(options=f"{OLD},any_layout=off,mrg_rxbuf=off")
    with Guest("aerostat", net=nic, netns=network.name, cmdline="ip=192.168.77.2/24,192.168.77.1") as guest:
        guest.wait_for(r"^serving on http://", 20)
        for size in (0, 1, 17, 18, 19, 1000, 1471, 1472, 4000):
            said = network.run("ping", "-c", "2", "-i", "0.1", "-W", "10", "-s", str(size), "192.168.77.2")
            assert " 0% packet loss" in said and "wrong data" not in said, said


def test_an_old_balloon_tells_statistics():
    with Guest("selftest", memory=256, balloon=True, balloon_options=OLD, cmdline="-- spin") as guest:
        guest.wait_for(r"^spinning")
        assert 240 * MIB < balloon_stats(guest)["stat-total-memory"] <= 256 * MIB
        guest.balloon(128 * MIB)
        guest.balloon(256 * MIB)
        assert guest.powerdown() == 0


def test_a_disk_that_grows_is_noticed(tmp_path):
    """Where the old kind has no generation, and polling only its ISR."""
    for irq in ("msix", "poll"):
        path = sparse_disk(tmp_path / f"disk-{irq}", MIB)
        with Guest("aerostat", disks=[(path, OLD)], net="user", forwards=[80], cmdline=f"irq={irq}") as guest:
            guest.wait_for(SERVING, 30)
            guest.qmp("block_resize", device="disk0", size=2 * MIB)
            guest.vm.wait_until(lambda g=guest: status(g)["disks"]["vda"]["bytes"] == 2 * MIB, 5)
            assert status(guest)["disks"]["vda"]["bytes"] == 2 * MIB


def test_interrupts_by_message_serve_old_devices_under_kvm(kvm, tmp_path):
    """The disk is small, for an interpreted KVM counts every instruction."""
    path, digest = random_disk(tmp_path / "disk", MIB // 16)
    hash_disk(path, digest, MIB // 16, accel=kvm)
    with appliance(tmp_path, accel=kvm) as guest:
        check_appliance(guest, "pci-legacy")
        assert guest.powerdown(20) == 0


# --- both kinds

@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_transitional_devices_are_driven_as_modern(machine, tmp_path):
    with appliance(tmp_path, BOTH, machine=machine) as guest:
        check_appliance(guest, "pci")
        assert guest.powerdown(20) == 0


# --- where the old kind cannot work, and where it is far

@pytest.mark.proves("PCI-LEGDET-04")
def test_an_old_device_whose_ports_nobody_placed_is_reported_and_the_others_work(tmp_path):
    """microvm has no firmware and its PCI no ports."""
    path, digest = random_disk(tmp_path / "good", MIB)
    disks = [path, (sparse_disk(tmp_path / "bad", MIB), OLD)]
    with Guest("selftest", machine="microvm", disks=disks, cmdline="-- disk-hash") as guest:
        guest.wait_for(r"^pci 0000:00:\w\w\.0: no usable virtio registers, modern or legacy$")
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 20)
        assert guest.wait_exit(10) == 0


def test_an_old_disk_behind_bridges_is_read_whole(tmp_path):
    path, digest = random_disk(tmp_path / "disk", MIB)
    bridges = ["-device", "pcie-root-port,id=port1,chassis=1,slot=1", "-device", "pcie-pci-bridge,id=conventional,bus=port1"]
    far = ["-drive", f"if=none,id=far,format=raw,file={path}",
           "-device", f"virtio-blk-pci,{OLD},drive=far,bus=conventional,addr=3"]
    with Guest("selftest", cmdline="-- disk-hash", qemu_args=bridges + far) as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 20)
        assert guest.wait_exit(10) == 0
