# SPDX-License-Identifier: MIT
"""The guests of the balloon's bench: the same program (tests/bench/balloonload) in Aerostat and in Linux, under QEMU."""
import mmap
import os
import re
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tests/guest")]
import qemu  # noqa: E402  (found by the line above)
from linux_guest import initramfs, linux_args  # noqa: E402  (as above)

MIB = 1 << 20
GIB = 1 << 30
MODULES = ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_balloon"]
LINUX_INIT = "for module in %s; do insmod /modules/$module.ko; done\nexec /load\n" % " ".join(MODULES)
LOAD = os.path.join(ROOT, "build/bench/balloonload")


class Late(Exception):
    """A step has not come to its end by its deadline, or the guest says that it failed."""


class Guest:
    """One guest that does what is typed; see balloonload/main.c. Every step has a deadline."""

    def __init__(self, mib, accel, folder, options="", args=(), count=False):
        self.mib = mib
        self.trace = os.path.join(folder, "trace")
        all_args = qemu.machine_args("q35", mib) + qemu.balloon_args(options) + self.guest_args(folder) + list(args)
        all_args += ["-D", self.trace, "-trace", "virtio_queue_notify", "-msg", "timestamp=on"]
        if count:
            all_args += ["-icount", "shift=0"]
        self.vm = qemu.Vm(all_args, accel)
        self.is_expected = "-incoming" in all_args  # it is up elsewhere
        self.heard = 0

    def __enter__(self):
        self.vm.start()
        try:
            if not self.is_expected:
                self.wait(r"^bench: up", 180)
        except Late:
            self.vm.kill()
            raise
        return self

    def __exit__(self, *_):
        self.vm.kill()

    def late(self, what, seconds):
        tail = self.vm.console_text()[-1000:]
        how = "QEMU has ended" if self.vm.ended else f"not there after {seconds} s"
        return Late(f"{self.NAME} of {self.mib} MiB: {what}: {how}:\n{tail}\n{self.vm.error_text()}")

    def wait(self, pattern, seconds):
        """The next line that matches."""
        def find():
            return re.compile(pattern + r".*\n", re.M).search(self.vm.console_text(), self.heard)
        if not self.vm.wait_until(find, seconds):
            raise self.late(pattern, seconds)
        found = find()
        self.heard = found.end()
        return found.group(0)

    def do(self, command, answer, seconds):
        self.vm.type(command + "\n")
        return self.wait(answer, seconds)

    def touch_and_free(self, mib):
        self.do(f"touch {mib}", r"^bench: touched", 240)
        self.do("free", r"^bench: freed", 60)

    def move(self, left_bytes, seconds=240):
        """Leaves the guest so much: in how many seconds QEMU saw its last step, and what is left to it then."""
        started, actual, moved = time.monotonic(), None, 0
        self.vm.execute("balloon", {"value": left_bytes})
        while actual != left_bytes:
            last, actual = actual, self.vm.execute("query-balloon", deadline=60)["actual"]
            if actual != last:
                moved = time.monotonic()
            elif time.monotonic() - moved > 10 or moved - started > seconds:
                break
            time.sleep(0.001)
        return moved - started, actual

    def follow(self, left_bytes, seconds=240):
        """Seconds until only so much is left to the guest."""
        taken, actual = self.move(left_bytes, seconds)
        if actual != left_bytes:
            raise self.late(f"a balloon that leaves {left_bytes // MIB} MiB; {actual // MIB} are left", seconds)
        return taken

    def notified(self):
        """When, by time.time(), each notification came."""
        with open(self.trace, encoding="ascii", errors="replace") as file:
            return [float(at) for at in re.findall(r"^\d+@(\d+\.\d+):virtio_queue_notify ", file.read(), re.M)]

    def notifications(self):
        return len(self.notified())

    def instructions(self):
        """Executed so far, of a guest that counts."""
        return self.vm.execute("query-replay")["icount"]

    def rss(self):
        with open(f"/proc/{self.vm.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE

    def begin_work(self, mib, ms):
        self.do(f"work {mib} {ms}", r"^bench: works", 60)

    def end_work(self, seconds):
        """Steps a second of the guest's time."""
        line = self.wait(r"^bench: worked", seconds)
        blocks, nanoseconds = re.search(r"worked (\d+) in (\d+) ns", line).groups()
        if not line.endswith("the sum is right\n"):
            raise Late(f"{self.NAME}: A PAGE WAS LOST: {line}")
        return int(blocks) * 1e9 / int(nanoseconds)

    def work(self, mib, ms):
        self.begin_work(mib, ms)
        return self.end_work(ms / 1000 + 120)


class Ours(Guest):
    NAME = "Aerostat"

    def guest_args(self, _):
        return ["-kernel", os.path.join(ROOT, "build/balloonload.elf")]


class Linux(Guest):
    NAME, WORDS = "Linux 6.1", ""

    def guest_args(self, folder):
        where = os.path.join(ROOT, "build/linux/modules/kernel/drivers/virtio")
        files = {f"/modules/{module}.ko": os.path.join(where, f"{module}.ko") for module in MODULES}
        return linux_args(initramfs(os.path.join(folder, "initramfs"), LINUX_INIT, {**files, "/load": LOAD}), self.WORDS)


class LinuxUncleared(Linux):
    """As one that does not fill what it allocates: Debian's kernel does, also what goes into the balloon."""
    NAME, WORDS = "Linux 6.1, init_on_alloc=0", "init_on_alloc=0"
