#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every way to boot and to be driven, in combination:  tests/guest/matrix.py [--accel tcg|kvm] [--only WORD...] [--jobs N]

A cell is a machine, a boot path, a transport, a ring format, an interrupt mode, a kind of doorbell and a number of CPUs.
Every legal cell boots, reads its disk with all CPUs and checks it, answers ping, follows one change of the balloon and powers
off; and it must say of itself that it is what the cell asks for. Cells run side by side; the table goes to standard output,
the log of a cell that failed to build/matrix/.
"""

import argparse
import concurrent.futures
import dataclasses
import functools
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from boots import BOOTS, boot_args  # noqa: E402  (found by the line above)
from harness import MIB, ROOT, Guest, GuestFailure, Network, qemu  # noqa: E402  (as above)

MACHINES = ["pc", "q35", "microvm"]
TRANSPORTS = ["legacy", "transitional", "modern", "mmio-legacy", "mmio"]
RINGS = ["split", "packed"]
INTERRUPTS = ["intx", "msix", "msix1", "poll"]
DOORBELLS = ["mmio", "port"]
CPUS = [1, 4]

MEMORY_MIB, BALLOON_MIB = 64, 44
DISK_BYTES = MIB // 4
ADDRESS = "192.168.77.2"


@dataclasses.dataclass(frozen=True)
class Cell:
    machine: str
    boot: str
    transport: str
    ring: str
    interrupts: str
    doorbell: str
    cpus: int

    def __str__(self):
        return "-".join(str(value) for value in dataclasses.astuple(self))

    @property
    def on_mmio(self):
        return self.transport.startswith("mmio")

    @property
    def is_legacy(self):
        return self.transport.endswith("legacy")

    def is_legal(self):
        """Whether such a machine can be had. The first reason that holds is why not."""
        return not any([
            self.on_mmio and self.machine != "microvm",              # the only one with such slots
            self.machine == "microvm" and self.boot == "multiboot2",  # its firmware knows no disk to start a loader from
            self.machine == "microvm" and self.boot == "UEFI",        # no such firmware is packaged
            self.machine == "microvm" and self.doorbell == "port",   # nor do ports lead to its PCI devices
            self.is_legacy and self.ring == "packed",                # came with version 1
            self.on_mmio and self.interrupts.startswith("msix"),     # a line is all it has
            self.on_mmio and self.doorbell == "port",
            self.transport == "legacy" and self.doorbell == "mmio",  # its registers are ports, the doorbell among them
        ])

    # --- what QEMU is told

    def machine_args(self):
        return qemu.machine_args(self.machine, MEMORY_MIB, self.cpus, self.transport if self.on_mmio else "pci")

    def device(self, kind, ident, *options):
        words = [f"virtio-{kind}-{'device' if self.on_mmio else 'pci'}", f"id={ident}", *options]
        if self.ring == "packed":
            words.append("packed=on")
        if not self.on_mmio:
            words += {"legacy": ["disable-modern=on", "disable-legacy=off"], "transitional": ["disable-legacy=off"],
                      "modern": ["disable-legacy=on"]}[self.transport]
            if self.doorbell == "port" and self.transport != "legacy":
                words.append("modern-pio-notify=on")
            if self.interrupts == "msix1" and kind != "balloon":  # that one has no vectors at all
                words.append("vectors=1")
        return ["-device", ",".join(words)]

    def devices(self, disk, tap):
        rom = [] if self.on_mmio else ["romfile="]
        return ["-drive", f"if=none,id=disk0,format=raw,file={disk}", *self.device("blk", "blk0", "drive=disk0"),
                "-netdev", f"tap,id=net0,ifname={tap},script=no,downscript=no", *self.device("net", "nic0", "netdev=net0", *rom),
                *self.device("balloon", "balloon0")]

    @property
    def words(self):
        return f"log=error irq={self.interrupts.rstrip('1')} ip={ADDRESS}/24"

    # --- what the guest must say of itself

    def check_report(self, report):
        told = {device["driver"]: device for device in report["virtio"]["device"]}
        assert set(told) == {"virtio-blk", "virtio-net", "virtio-balloon"}
        transport = {"legacy": "pci-legacy", "mmio": "mmio", "mmio-legacy": "mmio"}.get(self.transport, "pci")
        assert {device["transport"] for device in told.values()} == {transport}
        assert {"VERSION_1" in device["accepted"] for device in told.values()} == {not self.is_legacy}
        assert {device["ring"] for device in told.values()} == {self.ring}
        assert {device["doorbell"] for device in told.values()} == {self.doorbell}
        for name, device in told.items():
            wanted = {"intx": "line", "msix1": "msix"}.get(self.interrupts, self.interrupts)
            if name == "virtio-balloon" and wanted == "msix":
                wanted = "line"
            assert device["interrupts"] == wanted, name
            if self.interrupts == "msix1" and name != "virtio-balloon":
                assert device["vectors"] == 1, name
        assert report["system"]["started_by"] == self.boot
        assert report["system"]["cpus"] == self.cpus


def legal_cells():
    return [cell for cell in (Cell(*values) for values in
                              itertools.product(MACHINES, BOOTS, TRANSPORTS, RINGS, INTERRUPTS, DOORBELLS, CPUS)) if cell.is_legal()]


def pairs_of(cell):
    return set(itertools.combinations(enumerate(dataclasses.astuple(cell)), 2))


def diagonal():
    """Few cells in which every two values that go together do so at least once. The same ones each time."""
    cells = legal_cells()
    missing = set().union(*map(pairs_of, cells))
    chosen = []
    while missing:
        best = max(cells, key=lambda cell: len(pairs_of(cell) & missing))
        chosen.append(best)
        missing -= pairs_of(best)
    return chosen


@functools.lru_cache
def disk_bytes():
    return random.Random(1).randbytes(DISK_BYTES)


def run_cell(cell, accel, folder):
    """Raises where the cell does not do what it must; returns the guest."""
    disk = os.path.join(folder, f"{cell}.img")
    with open(disk, "wb") as file:
        file.write(disk_bytes())
    try:
        with Network() as net, Guest(boot=[*cell.machine_args(), *boot_args(cell.boot, "cell", cell.words), *cell.devices(disk, net.tap)], accel=accel,
                                     netns=net.name, deadline=180) as guest:
            try:
                check_guest(cell, guest, net)
            except Exception as error:
                raise GuestFailure(f"{cell}: {type(error).__name__}: {error}\n{guest.report()}") from error
    finally:
        os.unlink(disk)


def check_guest(cell, guest, net):
    guest.wait_for(rf"^cpus {cell.cpus}$", 90)
    told = guest.wait_for(r"^crc32 ([0-9a-f]{8}) bytes (\d+)$", 90)
    assert told.groups() == (f"{zlib.crc32(disk_bytes()):08x}", str(DISK_BYTES))
    guest.wait_for(r"^ready$", 20)
    net.run("ping", "-c", "2", "-i", "0.2", "-W", "10", ADDRESS)
    guest.balloon(BALLOON_MIB * MIB)
    guest.type("report")
    cell.check_report(json.loads(guest.wait_for(r"^report (\{.*\})$", 20).group(1)))
    assert guest.powerdown(20) == 0


# --- the whole of it, for `make test-matrix`

def rows_and_columns(cells):
    rows = sorted({(cell.machine, cell.boot, cell.transport) for cell in cells},
                  key=lambda row: (MACHINES.index(row[0]), BOOTS.index(row[1]), TRANSPORTS.index(row[2])))
    columns = list(itertools.product(RINGS, INTERRUPTS))
    return rows, columns


def table(results):
    """Rows are how it boots and is reached, columns how it is driven; a field counts doorbells and numbers of CPUs."""
    rows, columns = rows_and_columns(results)
    lines = ["| machine | boot | transport | " + " | ".join(" ".join(column) for column in columns) + " |",
             "|" + "---|" * (3 + len(columns))]
    for row in rows:
        fields = []
        for column in columns:
            here = [failure for cell, failure in results.items()
                    if (cell.machine, cell.boot, cell.transport) == row and (cell.ring, cell.interrupts) == column]
            good = sum(failure is None for failure in here)
            fields.append("" if not here else f"{good}" if good == len(here) else f"**{good} of {len(here)}**")
        lines.append("| " + " | ".join([*row, *fields]) + " |")
    return "\n".join(lines)


def keep_log(cell, failure):
    path = os.path.join(ROOT, "build/matrix", f"{cell}.log")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(str(failure) + "\n")
    return os.path.relpath(path, ROOT)


def run_all(cells, accel, jobs):
    results = {}

    def run(cell):
        try:
            return cell, run_cell(cell, accel, folder)
        except (GuestFailure, qemu.QemuError, OSError, subprocess.SubprocessError) as error:
            return cell, error

    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for cell, failure in pool.map(run, cells):
            results[cell] = failure
            if failure is not None:
                reason = re.sub(r"\s+", " ", str(failure).splitlines()[0])
                print(f"FAIL {reason} (log: {keep_log(cell, failure)})", flush=True)
    return results


def main():
    parser = argparse.ArgumentParser(prog="tests/guest/matrix.py", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--accel", choices=["tcg", "kvm"], default="tcg")
    parser.add_argument("--only", metavar="WORD", nargs="*", default=[], help="cells whose names have all these words")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--list", action="store_true", help="say what would run")
    options = parser.parse_args()
    cells = [cell for cell in legal_cells() if set(options.only) <= set(str(cell).split("-"))]
    if options.list:
        print(*cells, sep="\n")
        return 0
    start = time.monotonic()
    results = run_all(cells, options.accel, options.jobs)
    failed = sum(failure is not None for failure in results.values())
    print(table(results))
    print(f"\n{len(results)} cells under {options.accel.upper()} in {time.monotonic() - start:.0f} s")
    print(f"{len(results) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
