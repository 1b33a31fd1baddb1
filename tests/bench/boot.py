#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a boot costs:  tests/bench/boot.py [--accel tcg|kvm] [--repeat N]

Instructions are counted by QEMU (`-icount shift=0`: the time stamp counts instructions). The same image gives the same
number nearly always; now and then a boot counts far more. Times are wall time of this machine, the images taking turns.
Of both: medians and spread of several runs.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import qemu  # noqa: E402  (found by the line above)

INSTRUCTION_RUNS = 5
COST = re.compile(r"^boot: main\(\) after (\d+) TSC cycles", re.M)
ACCESSES = re.compile(r"config_accesses\s+(\d+)\n")  # in the boot report, which hello does not print


def image(name):
    return os.path.join(ROOT, "build", name + ".elf")


def devices(words, disk):
    """QEMU arguments for words such as "nic", "disk", "balloon"."""
    args, disks, nics = [], 0, 0
    for word in words:
        if word == "disk":
            args += qemu.disk_args(disk, disks, True)
            disks += 1
        elif word == "nic":
            args += qemu.user_net_args([], nics)
            nics += 1
        elif word == "balloon":
            args += qemu.balloon_args()
    return args


def boot(app, machine, memory, words, accel, disk, extra=(), until=COST):
    """One boot until the console says `until`: the console, and the seconds to the first output."""
    args = qemu.machine_args(machine, memory, 1) + ["-kernel", image(app), "-append", "ip=off"] + devices(words, disk)
    vm = qemu.Vm(args + list(extra), accel)
    started = time.monotonic()
    vm.start()
    try:
        if not vm.wait_until(vm.console_text, 20):
            raise SystemExit(f"{app} on {machine} says nothing")
        first_output = time.monotonic() - started
        if not vm.wait_until(lambda: until.search(vm.console_text()), 20):
            return None, first_output
        return vm.console_text(), first_output
    finally:
        vm.kill()


def instructions(app, machine, words, disk, memory=64, extra=()):
    """The counts of several boots, and the PCI configuration accesses of the last one."""
    until = ACCESSES if app == "aerostat" else COST
    counts = []
    for _ in range(INSTRUCTION_RUNS):
        log, _ = boot(app, machine, memory, words, "tcg", disk, ["-icount", "shift=0", *extra], until)
        counts.append(int(COST.search(log).group(1)))
    accesses = ACCESSES.search(log)
    return counts, accesses.group(1) if accesses else "not told"


def three(numbers):
    """Median, least and most, as a table shows them."""
    return [f"{number:,.0f}" for number in (statistics.median(numbers), min(numbers), max(numbers))]


def stripped_bytes(name):
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(["objcopy", "--strip-all", image(name), file.name], check=True)
        return os.path.getsize(file.name)


def smallest_memory(app, machine, disk):
    """The least -m in KiB that reaches main(), to 128 KiB."""
    low, high = 512, 16384
    while high - low > 128:
        middle = (low + high) // 2
        try:
            log, _ = boot(app, machine, f"{middle}K", [], "tcg", disk)
        except SystemExit:
            log = None
        low, high = (low, middle) if log else (middle, high)
    return high


def print_table(title, header, rows):
    table = [header] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    print(f"\n{title}\n")
    for number, row in enumerate(table):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--accel", default="tcg", choices=["tcg", "kvm"], help="for the times; instructions are TCG's")
    options.add_argument("--repeat", type=int, default=7)
    options = options.parse_args()

    with tempfile.NamedTemporaryFile() as disk:
        disk.truncate(1 << 20)
        rows = []
        for app, machine, words in [
                ("hello", "q35", []), ("hello", "pc", []), ("hello", "microvm", []), ("hello", "q35", ["disk"]),
                ("hello", "q35", ["balloon"]), ("aerostat", "q35", []), ("aerostat", "q35", ["nic"]),
                ("aerostat", "q35", ["nic", "disk"]), ("aerostat", "q35", ["nic", "disk", "balloon"]),
                ("aerostat", "q35", ["nic", "disk", "balloon", "disk"]), ("aerostat", "q35", ["nic"] + ["disk"] * 8)]:
            counts, accesses = instructions(app, machine, words, disk.name)
            rows.append([app, machine, " + ".join(words) or "none", *three(counts), accesses])
        print_table(f"Instructions from the first guest instruction to main() (TCG, -icount shift=0, {INSTRUCTION_RUNS} runs each)",
                    ["image", "machine", "devices", "median", "least", "most", "PCI configuration accesses"], rows)

        big = ["-object", "memory-backend-ram,id=ram,size=64G,reserve=off", "-machine", "memory-backend=ram"]
        print_table("The same beside RAM (hello, q35, no device)", ["-m", "median", "least", "most"],
                    [["64 MiB", *three(instructions("hello", "q35", [], disk.name)[0])],
                     ["64 GiB", *three(instructions("hello", "q35", [], disk.name, "64G", big)[0])]])

        print_table("Size", ["image", "stripped bytes", "least -m, q35", "least -m, microvm"],
                    [[app, f"{stripped_bytes(app):,}", f"{smallest_memory(app, 'q35', disk.name)} KiB",
                      f"{smallest_memory(app, 'microvm', disk.name)} KiB"] for app in ["hello", "aerostat"]])

        cells = [("hello", "microvm"), ("hello", "q35"), ("aerostat", "microvm"), ("aerostat", "q35")]
        times = {cell: [] for cell in cells}
        for _ in range(options.repeat):
            for app, machine in cells:
                times[app, machine].append(boot(app, machine, 64, [], options.accel, disk.name)[1] * 1000)
        print_table(f"QEMU's start to the first output, ms ({options.accel.upper()}, {options.repeat} runs each)",
                    ["image", "machine", "median", "least", "most"],
                    [[app, machine, *three(times[app, machine])] for app, machine in cells])


if __name__ == "__main__":
    main()
