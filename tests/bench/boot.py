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
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tests/guest")]
import qemu  # noqa: E402  (found by the line above)
from boots import BOOTS, boot_args  # noqa: E402  (as above)

INSTRUCTION_RUNS = 5
COST = re.compile(r"^boot: main\(\) after (\d+) TSC cycles, the first of ours was at (\d+)$", re.M)
TSC_RATE = re.compile(r"^tsc: (\d+)\.(\d{3}) MHz", re.M)
ACCESSES = re.compile(r"config_accesses\s+(\d+)\n")  # in the boot report, which hello does not print


def image(name):
    return os.path.join(ROOT, "build", name + ".elf")


def devices(words, disk):
    """QEMU arguments for words such as "nic", "disk", "balloon". Many disks share bridges, as a root bus has 31 places."""
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


def many_disks(n, disk):
    """n disks, eight on one place of the root bus."""
    args = []
    for i in range(n):
        function = f"multifunction=on,addr={4 + i // 8:#x}.{i % 8}"
        args += qemu.disk_args(disk, i, True, function)
    return args


def boot(app, machine, memory, more, accel, path="PVH", cpus=1, until=COST):
    """One boot until the console says `until`: the console (None: it never did), the seconds to the first output and to that."""
    args = qemu.machine_args(machine, memory, cpus) + boot_args(path, app, "ip=off") + list(more)
    vm = qemu.Vm(args, accel)
    started = time.monotonic()
    vm.start()
    try:
        if not vm.wait_until(vm.console_text, 60):
            raise SystemExit(f"{app} on {machine} by {path} says nothing")
        first_output = time.monotonic() - started
        found = vm.wait_until(lambda: until.search(vm.console_text()), 60)
        return vm.console_text() if found else None, first_output, time.monotonic() - started
    finally:
        vm.kill()


def instructions(app, machine, more, path="PVH", cpus=1, memory=64):
    """The counts of several boots, and the PCI configuration accesses of the last one."""
    until = ACCESSES if app == "aerostat" else COST
    counts = []
    for _ in range(INSTRUCTION_RUNS):
        log, *_ = boot(app, machine, memory, ["-icount", "shift=0", *more], "tcg", path, cpus, until)
        if not log:
            raise SystemExit(f"{app} on {machine} by {path} does not reach main()")
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


def smallest_memory(app, machine):
    """The least -m in KiB that reaches main(), to 128 KiB."""
    low, high = 512, 16384
    while high - low > 128:
        middle = (low + high) // 2
        try:
            log, *_ = boot(app, machine, f"{middle}K", [], "tcg")
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


COUNTED = f"(TCG, -icount shift=0, {INSTRUCTION_RUNS} runs each)"


def tell_devices(disk):
    rows = []
    for app, machine, words in [
            ("hello", "q35", []), ("hello", "pc", []), ("hello", "microvm", []), ("hello", "q35", ["disk"]),
            ("hello", "q35", ["balloon"]), ("aerostat", "q35", []), ("aerostat", "q35", ["nic"]),
            ("aerostat", "q35", ["nic", "disk"]), ("aerostat", "q35", ["nic", "disk", "balloon"]),
            ("aerostat", "q35", ["nic", "disk", "balloon", "disk"]), ("aerostat", "q35", ["nic"] + ["disk"] * 8)]:
        counts, accesses = instructions(app, machine, devices(words, disk))
        rows.append([app, machine, " + ".join(words) or "none", *three(counts), accesses])
    print_table(f"Instructions from the first guest instruction to main() {COUNTED}",
                ["image", "machine", "devices", "median", "least", "most", "PCI configuration accesses"], rows)


def tell_paths(disk):
    rows = []
    for machine, path in [("q35", path) for path in BOOTS] + [("pc", "multiboot2"), ("microvm", "PVH"), ("microvm", "Linux")]:
        bare = instructions("hello", machine, [], path)[0]
        full = instructions("aerostat", machine, devices(["nic", "disk"], disk), path)[0]
        rows.append([machine, path, *three(bare), *three(full)])
    print_table(f"The same by boot path {COUNTED}: hello without devices, the appliance with one NIC and one disk",
                ["machine", "boot path", "hello", "least", "most", "appliance", "least", "most"], rows)


def tell_growth(disk):
    rows = []
    for n in [0, 1, 8, 32]:
        counts, accesses = instructions("aerostat", "q35", many_disks(n, disk))
        rows.append([f"{n} disks", *three(counts), accesses])
    print_table(f"Growth with devices (appliance, q35) {COUNTED}",
                ["devices", "median", "least", "most", "PCI configuration accesses"], rows)
    big = ["-object", "memory-backend-ram,id=ram,size=64G,reserve=off", "-machine", "memory-backend=ram"]
    print_table("Growth with RAM (hello, q35, no device)", ["-m", "median", "least", "most"],
                [["64 MiB", *three(instructions("hello", "q35", [])[0])],
                 ["64 GiB", *three(instructions("hello", "q35", big, memory="64G")[0])]])


def firmware_ms(log, rate_hz):
    return int(COST.search(log).group(2)) * 1000 / rate_hz


def tsc_rate(accel):
    """As a guest measures it that has the time to."""
    log, *_ = boot("aerostat", "q35", 64, [], accel, until=TSC_RATE)
    found = TSC_RATE.search(log or "")
    if not found:
        raise SystemExit("the guest does not tell the rate of its time stamps")
    return (int(found.group(1)) * 1000 + int(found.group(2))) * 1000


def tell_times(accel, repeat):
    rate_hz = tsc_rate(accel)
    cells = [("hello", "microvm", "PVH"), ("aerostat", "microvm", "PVH"), ("hello", "q35", "PVH"), ("aerostat", "q35", "PVH"),
             ("aerostat", "q35", "Linux"), ("aerostat", "q35", "multiboot2")]
    if accel == "tcg":  # UEFI firmware does not start under a KVM that is interpreted
        cells.append(("aerostat", "q35", "UEFI"))
    first, whole, own = ({cell: [] for cell in cells} for _ in range(3))
    for _ in range(repeat):
        for cell in cells:
            app, machine, path = cell
            log, first_output, reached = boot(app, machine, 64, [], accel, path)
            if not log:
                raise SystemExit(f"{cell} does not reach main()")
            first[cell].append(first_output * 1000)
            whole[cell].append(reached * 1000)
            own[cell].append(reached * 1000 - firmware_ms(log, rate_hz))
    print_table(f"QEMU's start to the first output and to main(), and that without what ran before our first instruction; ms "
                f"({accel.upper()}, {repeat} runs each, taking turns)",
                ["image", "machine", "boot path", "first output", "least", "most", "main()", "least", "most",
                 "without firmware", "least", "most"],
                [[*cell, *three(first[cell]), *three(whole[cell]), *three(own[cell])] for cell in cells])


def tell_cpus(accel, repeat):
    """By time: counted instructions are of all CPUs, those that stand by among them."""
    rate_hz = tsc_rate(accel)
    times = {cpus: [] for cpus in [1, 4, 16]}
    for _ in range(repeat):
        for cpus, row in times.items():
            log, *_ = boot("hello", "q35", 64, [], accel, cpus=cpus)
            if not log:
                raise SystemExit(f"hello on q35 with {cpus} CPUs does not reach main()")
            row.append(int(COST.search(log).group(1)) * 1000000 / rate_hz)
    print_table(f"Growth with CPUs (hello, q35), from our first instruction to main(), microseconds ({accel.upper()}, {repeat} runs each, "
                "taking turns)", ["CPUs", "median", "least", "most"], [[cpus, *three(row)] for cpus, row in times.items()])


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--accel", default="tcg", choices=["tcg", "kvm"], help="for the times; instructions are TCG's")
    options.add_argument("--repeat", type=int, default=7)
    options = options.parse_args()

    with tempfile.NamedTemporaryFile() as disk:
        disk.truncate(1 << 20)
        tell_devices(disk.name)
        tell_paths(disk.name)
        tell_growth(disk.name)
        print_table("Size", ["image", "stripped bytes", "least -m, q35", "least -m, microvm"],
                    [[app, f"{stripped_bytes(app):,}", f"{smallest_memory(app, 'q35')} KiB",
                      f"{smallest_memory(app, 'microvm')} KiB"] for app in ["hello", "aerostat"]])
        tell_cpus(options.accel, options.repeat)
        tell_times(options.accel, options.repeat)


if __name__ == "__main__":
    main()
