# SPDX-License-Identifier: MIT
"""PCI as large machines have it: many devices behind many bridges."""

import re

import pytest
from harness import MIB, Guest, qemu, sparse_disk

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
