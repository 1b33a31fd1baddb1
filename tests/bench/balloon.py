#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How fast memory moves, beside a Linux guest on the same QEMU:  tests/bench/balloon.py [--sizes MiB...] [--repeat N]

For guests of each size a part of the memory is taken by the balloon and given back, before anything was written to it and
after nearly all of it was. The guests take turns. Times are wall time of this machine from QMP's `balloon` until QEMU says
that the balloon has the size; notifications are counted by QEMU's trace. The host's own cost of dropping as much memory is
measured beside it, as the limit.
"""
import argparse
import ctypes
import mmap
import os
import re
import statistics
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tests/guest")]
import qemu  # noqa: E402  (found by the line above)
from linux_guest import initramfs, linux_args, linux_missing  # noqa: E402  (as above)

MIB = 1 << 20
GIB = 1 << 30
PARTS = [25, 50, 90]
MODULES = ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_balloon"]
LINUX_INIT = """
for module in %s; do insmod /modules/$module.ko; done
echo bench: up
mkdir /scratch
mount -t tmpfs -o size=95%% none /scratch
while read mib; do
    dd if=/dev/zero of=/scratch/file bs=1M count=$mib 2>/dev/null
    rm /scratch/file
    echo bench: touched
done
""" % " ".join(MODULES)


class Bench:
    """A guest that can write to nearly all of its memory and free it again."""

    def __init__(self, mib, accel, folder, options=""):
        self.mib = mib
        self.trace = os.path.join(folder, "trace")
        args = qemu.machine_args("q35", mib) + qemu.balloon_args(options) + self.guest_args(folder)
        args += ["-D", self.trace, "-trace", "virtio_queue_notify"]
        self.vm = qemu.Vm(args, accel)

    def __enter__(self):
        self.vm.start()
        self.wait(self.UP, 120)
        return self

    def __exit__(self, *_):
        self.vm.kill()

    def wait(self, pattern, seconds):
        if not self.vm.wait_until(lambda: re.search(pattern, self.vm.console_text(), re.M), seconds):
            raise SystemExit(f"{self.NAME} of {self.mib} MiB does not say {pattern} in {seconds} s:\n{self.vm.console_text()}{self.vm.error_text()}")

    def follow(self, left_bytes, seconds=300):
        """Seconds until only so much is left to the guest."""
        started = time.monotonic()
        self.vm.execute("balloon", {"value": left_bytes})
        while self.vm.execute("query-balloon")["actual"] != left_bytes:
            if time.monotonic() - started > seconds:
                raise SystemExit(f"{self.NAME} of {self.mib} MiB does not follow the balloon in {seconds} s")
            time.sleep(0.001)
        return time.monotonic() - started

    def notifications(self):
        with open(self.trace, encoding="ascii", errors="replace") as file:
            return sum(line.startswith("virtio_queue_notify ") for line in file)

    def rss(self):
        with open(f"/proc/{self.vm.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE


class Ours(Bench):
    NAME, UP = "Aerostat", r"^(spinning|round 1: freed)"

    def __init__(self, *args, touched=False, **named):
        self.touched = touched
        super().__init__(*args, **named)

    def guest_args(self, folder):
        words = f"memory {touched_mib(self.mib)} 2 100000000" if self.touched else "sleep 100000000"
        return ["-kernel", os.path.join(ROOT, "build/selftest.elf"), "-append", f"-- {words}"]

    def __enter__(self):
        self.UP = r"^round 1: freed" if self.touched else r"^boot: main"
        return super().__enter__()


class Linux(Bench):
    NAME, UP = "Linux 6.1", r"^bench: up"

    def __init__(self, *args, touched=False, **named):
        self.touched = touched
        super().__init__(*args, **named)

    def guest_args(self, folder):
        where = os.path.join(ROOT, "build/linux/modules/kernel/drivers/virtio")
        files = {f"/modules/{module}.ko": os.path.join(where, f"{module}.ko") for module in MODULES}
        return linux_args(initramfs(os.path.join(folder, "initramfs"), LINUX_INIT, files))

    def __enter__(self):
        super().__enter__()
        if self.touched:
            self.vm.type(f"{touched_mib(self.mib)}\n")
            self.wait(r"^bench: touched", 300)
        return self


def touched_mib(mib):
    return mib * 85 // 100


def rates(kind, mib, part, touched, accel):
    """One inflation and deflation: GiB a second of each, and notifications a GiB."""
    taken = mib * part // 100 * MIB
    with tempfile.TemporaryDirectory() as folder, kind(mib, accel, folder, touched=touched) as guest:
        before = guest.notifications()
        inflate = guest.follow(mib * MIB - taken)
        between = guest.notifications()
        deflate = guest.follow(mib * MIB)
        after = guest.notifications()
    per_gib = taken / GIB
    return per_gib / inflate, per_gib / deflate, (between - before) / per_gib, (after - between) / per_gib


def host_limit(bytes_, in_whole):
    """GiB a second at which the host itself drops written memory: whole, or page by page as a balloon's device does."""
    memory = mmap.mmap(-1, bytes_, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, bytes_, mmap.PAGESIZE):
        memory[at] = 1
    libc = ctypes.CDLL(None, use_errno=True)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    step = bytes_ if in_whole else mmap.PAGESIZE
    drop = libc.madvise
    drop.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    began = time.monotonic()
    for at in range(0, bytes_, step):
        drop(start + at, step, mmap.MADV_DONTNEED)
    return bytes_ / GIB / (time.monotonic() - began)


def spread(values, digits=2):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def print_table(title, heads, rows):
    print(f"\n{title}\n\n| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(str(field) for field in row) + " |", flush=True)


def tell_rates(sizes, parts, accel, repeat):
    for mib in sizes:
        rows = []
        for touched in [False, True]:
            for part in parts:
                results = {kind: [] for kind in [Ours, Linux]}
                for _ in range(repeat):
                    for kind, told in results.items():
                        told.append(rates(kind, mib, part, touched, accel))
                for kind, told in results.items():
                    inflate, deflate, in_kicks, out_kicks = zip(*told)
                    rows.append([f"{part} %", "yes" if touched else "no", kind.NAME, spread(inflate), spread(deflate),
                                 round(statistics.median(in_kicks)), round(statistics.median(out_kicks))])
        print_table(f"A guest of {mib} MiB ({accel.upper()}, {repeat} runs each, taking turns): GiB/s, median and range",
                    ["part", "written before", "guest", "inflate", "deflate", "notifications a GiB, inflating", "deflating"], rows)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--accel", default="tcg", choices=["tcg", "kvm"])
    options.add_argument("--sizes", metavar="MiB", type=int, nargs="+", default=[1024, 4096])
    options.add_argument("--parts", metavar="PERCENT", type=int, nargs="+", default=PARTS)
    options.add_argument("--repeat", type=int, default=3)
    options = options.parse_args()
    if linux_missing():
        raise SystemExit(f"bench-balloon: {linux_missing()}: make build/linux/vmlinuz")
    tell_rates(options.sizes, options.parts, options.accel, options.repeat)
    limits = {whole: [host_limit(GIB, whole) for _ in range(options.repeat)] for whole in [True, False]}
    print_table("The host alone: dropping 1 GiB that was written, GiB/s", ["how", "rate"],
                [["in one piece", spread(limits[True])], ["page by page (as seen from Python)", spread(limits[False])]])


if __name__ == "__main__":
    main()
