# SPDX-License-Identifier: MIT
"""What hangs on the bus: nothing, two of each, thirty, some behind bridges, some that nobody drives or that fail."""

import json
import re

import pytest
from harness import MIB, Guest, random_disk, sparse_disk

MACHINES = ["q35", "pc", "microvm"]
SERVING = r"^serving on http://10\.0\.2\.15/$"


def functions_told(guest):
    """The functions in the boot report: {address: (class, id, driver)}."""
    report = re.sub(r"^\S.*\n", "", guest.log, flags=re.M)  # log lines may come between
    found = re.findall(r"^    (\w{4}:\w\w:\w\w\.\w)\n      class +(?:\S.*)\n      class_id +(\w{6})\n      id +(\w{4}:\w{4})\n"
                       r"      revision +\w\w\n      driver +(\S+)$", report, re.M)
    return {address: (class_id[:4], ids, driver) for address, class_id, ids, driver in found}


def functions_there(guest):
    """The functions that QEMU has: {address: (class, id)}, with those behind bridges."""
    there = {}

    def walk(devices):
        for device in devices:
            address = f"0000:{device['bus']:02x}:{device['slot']:02x}.{device['function']:x}"
            ids = f"{device['id']['vendor']:04x}:{device['id']['device']:04x}"
            there[address] = (f"{device['class_info']['class']:04x}", ids)
            walk(device.get("pci_bridge", {}).get("devices", []))
    for bus in guest.qmp("query-pci"):
        walk(bus["devices"])
    return there


def assert_all_are_told(guest):
    there = functions_there(guest)
    assert {address: told[:2] for address, told in functions_told(guest).items()} == there
    return there


def bars_there(guest):
    """Where QEMU has mapped the BARs: {(class, BAR): (address, size)} of the functions on the root bus."""
    bars = {}
    for device in guest.qmp("query-pci")[0]["devices"]:
        address = f"0000:{device['bus']:02x}:{device['slot']:02x}.{device['function']:x}"
        for region in device["regions"]:
            if region["address"] >= 0:
                bars[address, region["bar"]] = (region["address"], region["size"])
    return bars


def status(guest):
    return json.loads(guest.get("/status.json", deadline=20))


def by_driver(facts):
    """How many virtio devices each driver has."""
    drivers = [device["driver"] for device in facts["virtio"]["device"]]
    return {driver: drivers.count(driver) for driver in set(drivers)}


def blk(path, index, where=""):
    return ["-drive", f"if=none,id=d{index},format=raw,file={path}",
            "-device", f"virtio-blk-pci,disable-legacy=on,drive=d{index},serial=disk-{index}{where}"]


def nic(index, where=""):
    return ["-netdev", f"user,id=n{index},net=10.0.{10 + index}.0/24",
            "-device", f"virtio-net-pci,disable-legacy=on,romfile=,netdev=n{index}{where}"]


# --- none, one of each, two of each

@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_without_devices_starts_and_stops(machine):
    with Guest("aerostat", machine=machine) as guest:
        guest.wait_for(r"^no network$", 20)
        there = assert_all_are_told(guest)
        assert "0000:00:00.0" in there and not any(ids.startswith("1af4:") for _, ids in there.values())
        assert guest.powerdown() == 0


def test_a_machine_without_pci_starts_and_stops():
    with Guest("aerostat", machine="microvm", qemu_args=["-machine", "pcie=off"]) as guest:
        guest.wait_for(r"^no network$", 20)
        assert not functions_told(guest)
        assert guest.powerdown() == 0


@pytest.mark.parametrize("irq", ["msix", "poll"])
@pytest.mark.parametrize("machine", MACHINES)
def test_two_of_each_work_beside_each_other(machine, irq, tmp_path):
    disks = [sparse_disk(tmp_path / f"disk{size}", size * MIB) for size in (1, 2)]
    args = nic(1) + 2 * ["-device", "virtio-rng-pci,disable-legacy=on", "-device", "virtio-serial-pci,disable-legacy=on"]
    with Guest("aerostat", machine=machine, disks=disks, net="user", forwards=[80], balloon=True, qemu_args=args,
               cmdline=f"irq={irq}") as guest:
        guest.wait_for(SERVING, 20)
        facts = status(guest)
        drivers = by_driver(facts)
        assert (drivers["virtio-blk"], drivers["virtio-net"], drivers["virtio-balloon"]) == (2, 2, 1)
        assert (drivers["virtio-rng"], drivers["virtio-console"]) == (2, 2)
        assert len(facts["virtio"]["device"]) == 9
        assert [facts["disks"][name]["bytes"] for name in ("vda", "vdb")] == [MIB, 2 * MIB]
        assert [interface["name"] for interface in facts["network"]["interface"]] == ["eth0", "eth1"]
        guest.vm.wait_until(lambda: "eth1: address 10.0.11.15/24" in guest.vm.console.decode(), 10)
        assert "eth1: address 10.0.11.15/24" in guest.log
        assert_all_are_told(guest)
        assert guest.powerdown() == 0


@pytest.mark.parametrize("machine", MACHINES)
def test_bars_are_told_where_the_machine_has_them(machine, tmp_path):
    disk = sparse_disk(tmp_path / "disk", MIB)
    with Guest("aerostat", machine=machine, disks=[disk], net="user", forwards=[80], balloon=True) as guest:
        guest.wait_for(SERVING, 20)
        told = {(function["name"], int(bar["name"])): (int(bar["address"], 16), bar["size_bytes"])
                for function in status(guest)["pci"]["function"] for bar in function["bar"] if bar["address"] != "unassigned"}
        there = bars_there(guest)
        assert told == there and len(there) >= 5


# --- thirty, and behind bridges

BRIDGES = ["-device", "pcie-root-port,id=port1,chassis=1,slot=1", "-device", "pcie-root-port,id=port2,chassis=2,slot=2",
           "-device", "pcie-root-port,id=port3,chassis=3,slot=3", "-device", "pcie-pci-bridge,id=conventional,bus=port3",
           "-device", "pci-bridge,id=deep,bus=conventional,chassis_nr=4"]


def thirty(folder):
    """Ten disks, three more networks and sixteen sources of entropy, spread over all buses; with the balloon that is 30."""
    places = ["", "", ",bus=port1", ",bus=conventional", ",bus=deep"]
    args, paths = list(BRIDGES), []
    for index in range(10):
        path, digest = random_disk(folder / f"disk{index}", 65536 + 512 * index, index)
        paths.append((path, digest))
        args += blk(path, index, places[index % 5] if index != 7 else ",bus=port2")
    for index, where in enumerate(["", ",bus=conventional", ",bus=deep"]):
        args += nic(index + 1, where)
    for index in range(15):
        args += ["-device", "virtio-rng-pci,disable-legacy=on" + ["", ",bus=deep", ",bus=conventional"][index % 3]]
    return args, paths


def test_thirty_devices_are_all_found_and_driven(tmp_path):
    args, _ = thirty(tmp_path)
    with Guest("aerostat", net="user", forwards=[80], balloon=True, qemu_args=args, memory=128) as guest:
        guest.wait_for(SERVING, 30)
        facts = status(guest)
        drivers = by_driver(facts)
        assert len(facts["virtio"]["device"]) == 30
        assert (drivers["virtio-blk"], drivers["virtio-net"], drivers["virtio-balloon"]) == (10, 4, 1)
        there = assert_all_are_told(guest)
        assert len({address[5:7] for address in there}) == 6  # buses
        sizes = {disk["identity"]: disk["bytes"] for disk in facts["disks"].values()}
        assert sizes == {f"disk-{index}": 65536 + 512 * index for index in range(10)}
        assert guest.powerdown() == 0


@pytest.mark.parametrize("irq", ["msix", "poll"])
def test_a_disk_behind_three_bridges_is_read_whole(irq, tmp_path):
    args, paths = thirty(tmp_path)
    with Guest("selftest", cmdline=f"irq={irq} -- disk-list", qemu_args=args) as guest:
        guest.wait_for(r"^disks: 10$", 20)
        deepest = re.search(r'^disk (\d): \S+ identity "disk-9"', guest.log, re.M).group(1)
        assert guest.wait_exit() == 0
    with Guest("selftest", cmdline=f"irq={irq} -- disk-hash {deepest}", qemu_args=args) as guest:
        guest.wait_for(rf"^sha256 {paths[9][1]} bytes {65536 + 512 * 9}$", 20)
        assert guest.wait_exit() == 0


# --- nobody's devices

def test_devices_without_a_driver_are_listed_as_such(tmp_path):
    others = {"e1000,romfile=": "0200", "nvme,serial=1": "0108", "qemu-xhci": "0c03", "virtio-scsi-pci,disable-legacy=on": "0100",
              "virtio-keyboard-pci": "0980", "pci-testdev": "00ff"}
    args = [word for device in others for word in ("-device", device)]
    with Guest("aerostat", net="user", forwards=[80], qemu_args=args) as guest:
        guest.wait_for(SERVING, 20)
        assert_all_are_told(guest)
        undriven = [told[0] for told in functions_told(guest).values() if told[2] == "none"]
        assert {"0200", "0108", "0c03", "00ff"} <= set(undriven)
        for device in status(guest)["virtio"]["device"]:
            assert (device["driver"] == "none") == (device["type"] != "network card")
            assert device["driver"] != "none" or not device["accepted"]


# --- devices that fail

def assert_the_others_work(guest, digest):
    guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 20)
    assert guest.wait_exit() == 0


def test_a_disk_whose_block_size_is_nonsense_is_reported_and_the_others_work(tmp_path):
    bad = sparse_disk(tmp_path / "bad", MIB)
    good, digest = random_disk(tmp_path / "good", MIB)
    args = blk(bad, 0, ",logical_block_size=131072,physical_block_size=131072") + blk(good, 1)
    with Guest("selftest", cmdline="-- disk-hash", qemu_args=args) as guest:
        guest.wait_for(r"^virtio-blk: a block of 131072 bytes is nonsense$")
        guest.wait_for(r"^virtio0 at 0000:00:01\.0: .*(failed|not started|could not|error)")
        assert_the_others_work(guest, digest)


@pytest.mark.proves("PCI-MSIX-01")
@pytest.mark.parametrize("options", ["vectors=0", "vectors=1", "vectors=2", "vectors=2048"])
def test_a_device_with_any_number_of_vectors_works(options, tmp_path):
    good, digest = random_disk(tmp_path / "good", MIB)
    with Guest("selftest", cmdline="-- disk-hash", qemu_args=blk(good, 0, "," + options)) as guest:
        assert_the_others_work(guest, digest)


def test_a_device_that_wants_the_platforms_addresses_works(tmp_path):
    good, digest = random_disk(tmp_path / "good", MIB)
    with Guest("selftest", cmdline="-- disk-hash", qemu_args=blk(good, 0, ",iommu_platform=on")) as guest:
        assert_the_others_work(guest, digest)


def test_a_network_card_with_a_nonsense_address_is_reported_and_the_others_work(tmp_path):
    args = blk(sparse_disk(tmp_path / "good", MIB), 0) + ["-netdev", "user,id=bad,net=10.0.11.0/24",
                         "-device", "virtio-net-pci,disable-legacy=on,romfile=,netdev=bad,mac=01:00:5e:00:00:01"]
    with Guest("aerostat", net="user", forwards=[80], qemu_args=args) as guest:
        guest.wait_for(r"01:00:5e:00:00:01 is no address of a station$", 20)
        guest.wait_for(SERVING, 20)
        assert status(guest)["disks"]["vda"]["bytes"] == MIB
