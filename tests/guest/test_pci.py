# SPDX-License-Identifier: MIT
"""PCI as large machines have it: many devices behind many bridges."""

import os
import re
import struct
import subprocess

import pytest
from harness import MIB, ROOT, Guest, qemu, random_disk, sparse_disk

BRIDGES, EACH = 8, 8


def bridged_disks(machine, path):
    """64 disks: on pc eight places of a conventional bridge, on q35 eight functions behind a root port."""
    args = []
    for b in range(BRIDGES):
        kind = "pci-bridge,chassis_nr" if machine == "pc" else "pcie-root-port,chassis"
        args += ["-device", f"{kind}={b + 1},id=bridge{b},addr={8 + b}"]
        for d in range(EACH):
            number = b * EACH + d
            place = f"addr={1 + d}" if machine == "pc" else f"multifunction=on,addr=0.{d}"
            args += qemu.disk_args(path, number, True, f"bus=bridge{b},{place},serial=disk{number}")
    return args


@pytest.mark.parametrize("machine, irq", [("pc", "msix"), ("q35", "msix"), ("pc", "intx")])
def test_64_disks_behind_8_bridges_are_all_found_and_read(machine, irq, tmp_path):
    disk = sparse_disk(tmp_path / "disk", MIB)
    with Guest("selftest", machine=machine, memory=256, qemu_args=bridged_disks(machine, disk), cmdline=f"irq={irq} -- disk-list",
               deadline=90) as guest:
        guest.wait_for(r"^disks: 64$", 60)
        assert guest.wait_exit(20) == 0
        assert sorted(map(int, re.findall(r'identity "disk(\d+)"', guest.log))) == list(range(BRIDGES * EACH))
        assert "functions are used" not in guest.log


# --- bridges that no firmware has seen: microvm has none

def ports(n):
    return [word for i in range(n) for word in ("-device", f"pcie-root-port,id=port{i},chassis={i},slot={i}")]


SWITCH = ["-device", "x3130-upstream,id=up,bus=port0"] + [
    word for i in range(2) for word in ("-device", f"xio3130-downstream,id=down{i},bus=up,chassis={10 + i},slot={10 + i}")]
CONVENTIONAL = ["-device", "pcie-pci-bridge,id=conventional,bus=port1", "-device", "pci-bridge,id=deep,bus=conventional,chassis_nr=30,addr=2"]


@pytest.mark.parametrize("irq", ["msix", "poll"])
def test_what_lies_behind_bridges_without_firmware_is_found_and_read(irq, tmp_path):
    args = ports(3) + SWITCH + CONVENTIONAL
    places = ["down0", "down1", "deep", "conventional", "port2"]
    digests = {}
    for number, bus in enumerate(places):
        path, digest = random_disk(tmp_path / f"disk{number}", MIB + 512 * number, number)
        digests[number] = digest
        args += qemu.disk_args(path, number, True, f"bus={bus},serial=disk{number}" + (",addr=3" if bus in ("deep", "conventional") else ""))
    with Guest("selftest", machine="microvm", qemu_args=args, cmdline=f"irq={irq} -- disk-list") as guest:
        guest.wait_for(r"^disks: 5$", 20)
        order = [int(d) for d in re.findall(r'identity "disk(\d)"', guest.log)]
        assert guest.wait_exit(20) == 0
        assert sorted(order) == list(range(5)) and "no bus number" not in guest.log
    with Guest("selftest", machine="microvm", qemu_args=args, cmdline=f"irq={irq} -- disk-hash {order.index(2)}") as guest:
        guest.wait_for(rf"^sha256 {digests[2]} bytes {MIB + 1024}$", 20)
        assert guest.wait_exit(20) == 0


def windows(guest):
    """(first, last) of the windows that bridges on the root bus have for what may be prefetched."""
    bridges = [device["pci_bridge"]["bus"] for device in guest.qmp("query-pci")[0]["devices"] if "pci_bridge" in device]
    return [(bus["prefetchable_range"]["base"], bus["prefetchable_range"]["limit"]) for bus in bridges]


def test_a_large_bar_behind_a_bridge_without_firmware_goes_above_4_gib(tmp_path):
    """Eight GiB of shared memory on a machine that has 512 MiB for devices below 4 GiB."""
    disk, digest = random_disk(tmp_path / "disk", MIB)
    args = ports(2) + ["-object", "memory-backend-ram,id=shared,size=8G,reserve=off,share=on",
                       "-device", "ivshmem-plain,memdev=shared,bus=port0"] + qemu.disk_args(disk, 0, True, "bus=port1")
    with Guest("selftest", machine="microvm", qemu_args=args, cmdline="-- spin") as guest:
        guest.wait_for(r"^boot: main\(\)", 20)
        (first, last), _ = windows(guest)
        assert first >= 4 << 30 and last - first + 1 == 8 << 30
    with Guest("selftest", machine="microvm", qemu_args=args, cmdline="-- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 20)
        assert guest.wait_exit(20) == 0


@pytest.mark.parametrize("bus", ["port3", "pcie.0"])
def test_a_disk_with_no_room_below_4_gib_is_driven_above_it(bus, tmp_path):
    """Screens fill the window below; of the disk only the interrupts' registers cannot go up."""
    disk, digest = random_disk(tmp_path / "disk", MIB)
    args = ports(4)
    for port, mib in enumerate((128, 128, 64)):
        args += ["-device", f"secondary-vga,vgamem_mb={mib},bus=port{port},romfile="]
    args += qemu.disk_args(disk, 0, True, f"bus={bus}")
    with Guest("selftest", machine="microvm", qemu_args=args, cmdline="-- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 20)
        assert guest.wait_exit(20) == 0
        assert "BAR 1 has no address" in guest.log and "BAR 4 has no address" not in guest.log


# --- a PC whose firmware places nothing: qboot numbers bridges, and leaves the rest as it is

LEGACY = "disable-modern=on,disable-legacy=off"
BARE = ["-bios", "qboot.rom"]
ROUTES = {"root": [], "port": ["-device", "pcie-root-port,id=p0,chassis=1"], "bridge": ["-device", "pci-bridge,id=bridge,chassis_nr=1"],
          "deep": ["-device", "pci-bridge,id=outer,chassis_nr=1", "-device", "pci-bridge,id=deep,bus=outer,chassis_nr=2,addr=4"]}


@pytest.mark.parametrize("machine, route, kind", [
    ("q35", "root", ""), ("pc", "root", LEGACY), ("q35", "port", LEGACY), ("q35", "deep", LEGACY), ("pc", "bridge", "disable-legacy=on")])
def test_a_disk_that_no_firmware_placed_is_driven_by_memory_and_by_ports(machine, route, kind, tmp_path):
    disk, digest = random_disk(tmp_path / "disk", MIB)
    place = {"root": "", "port": "bus=p0,", "bridge": "bus=bridge,addr=3,", "deep": "bus=deep,addr=3,"}[route]
    args = BARE + ROUTES[route] + qemu.disk_args(disk, 0, True, place + kind)
    with Guest("selftest", machine=machine, qemu_args=args, cmdline="-- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 20)
        assert guest.wait_exit(20) == 0
        assert "BAR" not in guest.log


# --- BARs that have no address: what the device's own window in configuration space is for

WINDOW_USED = "BAR 4 is used through configuration space"


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_a_disk_without_an_address_is_driven_through_configuration_space(machine, tmp_path):
    """Neither firmware nor tables: nobody knows where BARs may be."""
    disk, digest = random_disk(tmp_path / "disk", MIB)
    args = BARE + ["-machine", "acpi=off"] + qemu.disk_args(disk, 0, True)
    with Guest("selftest", machine=machine, qemu_args=args, cmdline="-- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 30)
        assert guest.wait_exit(20) == 0
        assert WINDOW_USED in guest.log


def test_a_disk_without_an_address_interrupts_by_its_line(tmp_path):
    """Screens fill the window below 4 GiB, shared memory the one above; why the line is raised is read by the window."""
    disk, digest = random_disk(tmp_path / "disk", MIB)
    args = ports(5)
    for port, mib in enumerate((128, 128, 64)):
        args += ["-device", f"secondary-vga,vgamem_mb={mib},bus=port{port},romfile="]
    for port in (3, 4):
        args += ["-object", f"memory-backend-ram,id=shared{port},size=128G,reserve=off,share=on",
                 "-device", f"ivshmem-plain,memdev=shared{port},bus=port{port}"]
    args += qemu.disk_args(disk, 0, True)
    with Guest("selftest", machine="microvm", qemu_args=args, cmdline="irq=intx -- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 20)
        assert guest.wait_exit(20) == 0
        assert WINDOW_USED in guest.log and "irq" not in guest.log


# --- root buses beside the first: QEMU's expander bridges

EXPRESS = ["-device", "pxb-pcie,id=x,bus_nr=0x40,bus=pcie.0", "-device", "pcie-root-port,id=xport,bus=x,chassis=1,slot=1,addr=3",
           "-device", "pxb-pcie,id=y,bus_nr=0x80,bus=pcie.0"]
PLAIN = ["-device", "pxb,id=x,bus_nr=0x40", "-device", "pxb,id=y,bus_nr=0x80,bus=pci.0"]


@pytest.mark.parametrize("machine, firmware, irq", [("q35", [], "msix"), ("q35", [], "intx"), ("q35", BARE, "msix"), ("pc", [], "intx")])
def test_a_disk_behind_another_root_bus_is_found_and_read(machine, firmware, irq, tmp_path):
    disk, digest = random_disk(tmp_path / "disk", MIB)
    buses, place = (EXPRESS, "bus=xport") if machine == "q35" else (PLAIN, "bus=x,addr=2")
    args = firmware + buses + qemu.disk_args(disk, 0, True, place)
    with Guest("selftest", machine=machine, qemu_args=args, cmdline=f"irq={irq} -- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 20)
        assert guest.wait_exit(20) == 0


# --- segments, and tables that lie

def mcfg(*regions):
    """What follows the header: (base, segment, first bus, last bus) each."""
    return bytes(8) + b"".join(struct.pack("<QHBBI", *region, 0) for region in regions)


def whole_table(signature, body):
    table = bytearray(struct.pack("<4sIBB6s8sI4sI", signature, 36 + len(body), 1, 0, b"TESTER", b"TESTONLY", 1, b"TEST", 1) + body)
    table[9] = -sum(table) & 0xff
    return bytes(table)


def grub_cd(folder, image, tables, words):
    """A CD whose GRUB gives the image other tables than the firmware's: {signature: table}."""
    grub = folder / "cd/boot/grub"
    grub.mkdir(parents=True)
    subprocess.run(["objcopy", "--strip-all", os.path.join(ROOT, "build", image + ".elf"), grub.parent / "kernel"], check=True, timeout=30)
    script = "set timeout=0\n"
    for signature, table in tables.items():
        (grub.parent / signature).write_bytes(table)
        script += f"acpi --exclude={signature} /boot/{signature}\n"
    (grub / "grub.cfg").write_text(script + f"multiboot2 /boot/kernel {words}\nboot\n")
    subprocess.run(["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", folder / "cd.iso", folder / "cd"], check=True, timeout=60,
                   capture_output=True)
    return ["-drive", f"if=none,id=cd,media=cdrom,readonly=on,file={folder / 'cd.iso'}", "-device", "ide-cd,drive=cd,bootindex=0"]


def test_a_disk_in_another_segment_is_found_and_read(tmp_path):
    """The root bus of an expander, given out as a segment of its own: both have a part of QEMU's configuration space."""
    table = whole_table(b"MCFG", mcfg((0xb0000000, 0, 0, 0x3f), (0xb0000000, 1, 0x40, 0xff)))
    cd = grub_cd(tmp_path, "aerostat", {"MCFG": table}, "ip=off")
    disk = sparse_disk(tmp_path / "disk", 3 * MIB)
    args = [*qemu.machine_args("q35", 64), *cd, *EXPRESS, *qemu.disk_args(disk, 0, True, "bus=xport")]
    with Guest(boot=args) as guest:
        guest.wait_for(r"^ +0001:40:03\.0$", 30)
        guest.wait_for(r"^ +0001:41:00\.0$", 5)
        guest.wait_for(r"^Disk /dev/vda: 3 MiB", 10)
        assert "0000:40" not in guest.log
        assert guest.powerdown() == 0


def test_a_table_that_has_configuration_space_where_there_is_none_is_not_believed(tmp_path):
    disk, digest = random_disk(tmp_path / "disk", MIB)
    (tmp_path / "mcfg").write_bytes(mcfg((0xb0000000, 0, 0, 0xff), (0x4000000000, 1, 0, 0xff)))
    args = ["-acpitable", f"sig=MCFG,data={tmp_path / 'mcfg'}"] + qemu.disk_args(disk, 0, True)
    with Guest("selftest", machine="pc", qemu_args=args, cmdline="-- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {MIB}$", 20)
        assert guest.wait_exit(20) == 0
        assert "nobody answers where ACPI has configuration space" in guest.log


# --- BARs in each other's way: written by QEMU's monitor before the guest starts, under a firmware that leaves them so

def write_config(guest, slot, offset, value):
    guest.hmp(f"o/w 0xcf8 {0x80000000 | slot << 11 | offset:#x}")
    guest.hmp(f"o/w 0xcfc {value:#x}")


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_disks_whose_bars_overlap_each_other_and_the_platform_are_all_read(machine, tmp_path):
    cases = [(0xc0004000, None), (0xc0004000, r"BAR 4 of 0000:00:08\.0"), (0x1000000, "RAM"), (0xfee00000, "the chip set's registers"),
             (0xfff00000, "the chip set's registers"), (0xb0100000, "configuration space" if machine == "q35" else None)]
    args, digests = BARE + ["-S"], []
    for i in range(len(cases)):
        path, digest = random_disk(tmp_path / f"disk{i}", 4096 * (i + 1), i)
        digests.append((digest, 4096 * (i + 1)))
        args += qemu.disk_args(path, i, True, f"addr={8 + i:#x}")
    with Guest("selftest", machine=machine, qemu_args=args, cmdline="-- disk-hash " + " ".join(map(str, range(len(cases))))) as guest:
        for i, (address, _) in enumerate(cases):
            write_config(guest, 8 + i, 0x20, address)
            write_config(guest, 8 + i, 0x04, 6)  # decodes memory, and may write it
        guest.qmp("cont")
        for digest, length in digests:
            guest.wait_for(rf"^sha256 {digest} bytes {length}$", 20)
        assert guest.wait_exit(20) == 0
        for i, (address, why) in enumerate(cases):
            line = rf"^pci 0000:00:{8 + i:02x}\.0: BAR 4 at {address:#x} overlaps {why}, moved to 0x"
            assert bool(re.search(line, guest.log, re.M)) == (why is not None)
        assert guest.log.count("overlaps") == sum(why is not None for _, why in cases)


def test_a_disk_whose_bar_has_no_other_place_leaves_it_to_the_first_and_is_read_too(tmp_path):
    """Without tables nobody knows of other places: the second is driven through configuration space."""
    (first, good), (second, other) = (random_disk(tmp_path / f"disk{i}", 4096 * (i + 1), i) for i in range(2))
    args = BARE + ["-S", "-machine", "acpi=off"] + qemu.disk_args(first, 0, True, "addr=0x8") + qemu.disk_args(second, 1, True, "addr=0x9")
    with Guest("selftest", machine="q35", qemu_args=args, cmdline="-- disk-hash 0 1") as guest:
        for slot in (8, 9):
            write_config(guest, slot, 0x20, 0xc0004000)
            write_config(guest, slot, 0x04, 6)
        guest.qmp("cont")
        guest.wait_for(rf"^sha256 {good} bytes 4096$", 20)
        guest.wait_for(rf"^sha256 {other} bytes 8192$", 20)
        assert guest.wait_exit(20) == 0
        assert "0000:00:09.0: BAR 4 at 0xc0004000 overlaps BAR 4 of 0000:00:08.0, and there is no other place for it" in guest.log
        assert "0000:00:09.0: " + WINDOW_USED in guest.log and "0000:00:08.0: " + WINDOW_USED not in guest.log
