#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a buffer costs the driver in the guest, in instructions:  tests/bench/ring_guest.py

The image ringtest adds, publishes and gets back 2048 buffers of one element, the device's side being played between the
calls and not counted. QEMU counts (`-icount shift=0`: the time stamp counts instructions), so the same image gives the
same numbers each time: two guests are run, and the bench fails where they differ by a single instruction. The counts
include the call and its arguments. The device asks for no notification, EVENT_IDX is on.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import qemu  # noqa: E402  (found by the line above)

COST = re.compile(r"^cost ring=(\w+) batch=(\d+) buffers=(\d+) add=(\d+) publish=(\d+) get=(\d+)$", re.M)
CELLS = 6  # two formats, three batches
DEADLINE = 60


def count():
    """One guest's counts: {(ring, batch): (buffers, add, publish, get)}."""
    args = qemu.machine_args("q35", 64) + ["-kernel", os.path.join(ROOT, "build/ringtest.elf"), "-append", "log=error -- cost"]
    vm = qemu.Vm(args + ["-icount", "shift=0"])
    vm.start()
    try:
        status = vm.wait(DEADLINE)
    finally:
        vm.kill()
    counts = {(ring, int(batch)): tuple(map(int, numbers)) for ring, batch, *numbers in COST.findall(vm.console_text())}
    if status != 0 or len(counts) != CELLS:
        raise SystemExit(f"ringtest ended with status {status}:\n{vm.console_text()}{vm.error_text()}")
    return counts


def print_table(counts):
    print("| ring | batch | add | publish | get | together |")
    print("|---|---|---|---|---|---|")
    for (ring, batch), (buffers, *parts) in sorted(counts.items(), key=lambda cell: (cell[0][0] != "split", cell[0][1])):
        cells = [f"{part / buffers:.2f}" for part in [*parts, sum(parts)]]
        print(f"| {ring} | {batch} | " + " | ".join(cells) + " |")


def main():
    first, second = count(), count()
    print("Instructions a buffer in the guest (TCG, -icount shift=0, driver's side alone)\n")
    print_table(first)
    if first != second:
        print("\nA second run differs:\n")
        print_table(second)
        return 1
    print("\nA second run gave the same counts to the instruction.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
