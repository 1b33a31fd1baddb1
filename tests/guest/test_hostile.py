# SPDX-License-Identifier: MIT
"""Devices that go wrong under a running guest: the host writes over the rings, in memory that it shares with the guest.

Either the guest's driver sees what no honest device would write. Or the device does, between the guest's last store and
its doorbell, where QEMU's debugger stops the guest: QEMU then calls the device broken and asks for a reset
(DEVICE_NEEDS_RESET). The driver resets the device, does again what was under way, and tells about it."""

import json
import mmap
import os
import re
import socket
import struct
import subprocess
import threading
import time

import pytest
from harness import MIB, Guest, GuestFailure, image, random_disk, sha256_of, sparse_disk
from test_disk import hash_line, pattern_digest, slow_drive

MEMORY = 64 * MIB
FAR = 0x4000  # entries: more than any ring has
AVAIL, USED = 1 << 7, 1 << 15  # flags of a packed descriptor


class Debugger:
    """QEMU's debugger stub, as far as a breakpoint needs it (GDB's remote protocol)."""

    def __init__(self, path):
        self.path = os.fspath(path)
        self.received = b""

    def connect(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(self.path)

    def send(self, text):
        self.socket.sendall(b"$%s#%02x" % (text.encode(), sum(text.encode()) & 0xff))

    def reply(self):
        while not (found := re.search(rb"\$([^#]*)#..", self.received)):
            more = self.socket.recv(4096)
            if not more:
                raise GuestFailure("the debugger's connection ended")
            self.received += more
        self.received = self.received[found.end():]
        self.socket.sendall(b"+")
        return found.group(1).decode()

    def ask(self, text):
        self.send(text)
        return self.reply()

    def first_arguments(self, address, provoke):
        """Stops the guest each time it calls the function there, and yields the first argument; provoke() brings that about."""
        self.connect()
        assert self.reply().startswith("T02")  # who connects stops the guest
        assert self.ask(f"Z0,{address:x},1") == "OK"
        self.send("c")
        provoke()
        while True:
            stopped = self.reply()
            if stopped.startswith("W"):
                raise ConnectionError("the guest ended before it was stopped there")
            assert stopped.startswith("T05")
            yield struct.unpack_from("<Q", bytes.fromhex(self.ask("g")), 5 * 8)[0]
            assert self.ask(f"z0,{address:x},1") == "OK"
            self.ask("s")
            assert self.ask(f"Z0,{address:x},1") == "OK"
            self.send("c")

    def let_go(self):
        assert self.ask("D") == "OK"
        self.socket.close()


class Rings:
    """A guest whose memory is a file, and the rings in it."""

    def __init__(self, folder, app, *, qemu_args=(), **named):
        path = folder / "memory"
        sparse_disk(path, MEMORY)
        self.memory_path = path
        shared = ["-object", f"memory-backend-file,id=shared,size={MEMORY},mem-path={path},share=on",
                  "-machine", "memory-backend=shared", "-gdb", f"unix:{folder}/gdb,server=on,wait=off"]
        self.debugger = Debugger(folder / "gdb")
        self.app = app
        self.guest = Guest(app, qemu_args=[*qemu_args, *shared], **named)

    def __enter__(self):
        self.guest.start()
        with open(self.memory_path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), MEMORY)
        return self

    def __exit__(self, *_):
        self.guest.kill()
        self.memory.close()

    def queue(self, name, number=0):
        """What QEMU knows of a queue of the first device of that name."""
        path = next(device["path"] for device in self.guest.qmp("x-query-virtio") if device["name"] == name)
        return self.guest.qmp("x-query-virtio-queue-status", path=path, queue=number)

    def until(self, what, condition, seconds=10):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise GuestFailure(f"waiting {seconds} s for {what}")
            time.sleep(0.02)

    def symbol(self, name):
        symbols = subprocess.run(["nm", image(self.app)], check=True, capture_output=True, text=True, timeout=20).stdout
        return int(re.search(rf"^([0-9a-f]+) T {name}$", symbols, re.M).group(1), 16)

    # --- lies to the guest

    def jump_used(self, name, number=0):
        """The used index of a split ring runs ahead of what was lent."""
        index = self.queue(name, number)["vring-used"] + 2
        now = struct.unpack_from("<H", self.memory, index)[0]
        struct.pack_into("<H", self.memory, index, now + FAR & 0xffff)

    def use_what_was_not_lent(self, name, number=0):
        """Each descriptor of a packed ring that waits for the device is used, by the number of a buffer that there is none of."""
        queue = self.queue(name, number)
        for at in range(queue["vring-desc"], queue["vring-desc"] + 16 * queue["vring-num"], 16):
            flags = struct.unpack_from("<H", self.memory, at + 14)[0]
            if bool(flags & AVAIL) != bool(flags & USED):
                struct.pack_into("<IHH", self.memory, at + 8, 0, 0xffff, AVAIL | USED if flags & AVAIL else 0)

    # --- lies to QEMU

    def break_available(self, name, number=0):
        """All that is available becomes nonsense; QEMU looks when it wants a buffer."""
        queue = self.queue(name, number)
        for at in range(queue["vring-num"]):
            self.write_available(queue, at)

    def write_available(self, queue, at):
        struct.pack_into("<H", self.memory, queue["vring-avail"] + 4 + 2 * (at % queue["vring-num"]), 0xffff)

    def break_at_the_doorbell(self, name, number=0, provoke=lambda: None):
        """What the guest has just made available becomes nonsense, when it is about to ring. The first word of its struct
        virtq says which ring it is. provoke() brings that about, and may wait for the guest."""
        provoker = threading.Thread(target=provoke)
        for virtq in self.debugger.first_arguments(self.symbol("virtq_notify"), provoker.start):
            queue = self.queue(name, number)
            end = struct.unpack_from("<H", self.memory, queue["vring-avail"] + 2)[0]
            unseen = end - queue["last-avail-idx"] & 0xffff  # by QEMU, which may look before it is rung for
            if unseen and struct.unpack_from("<Q", self.memory, virtq)[0] == queue["vring-desc"]:
                break
        for at in range(unseen):
            self.write_available(queue, end - 1 - at)
        self.debugger.let_go()
        provoker.join(20)


def busy_disk(rings):
    """Waits until the slow drive has something under way."""
    rings.guest.wait_for(r"^boot: main")
    rings.until("requests in flight", lambda: rings.queue("virtio-blk")["inuse"] > 4)


def facts_of(guest, driver):
    return next(device for device in json.loads(guest.get("/status.json"))["virtio"]["device"] if device["driver"] == driver)


# --- disks

def test_a_disk_that_qemu_calls_broken_is_reset_and_read_whole(tmp_path):
    path, digest = random_disk(tmp_path / "disk", 2 * MIB)
    with Rings(tmp_path, "selftest", cmdline="-- disk-hash", qemu_args=slow_drive(path, 20)) as rings:
        busy_disk(rings)
        rings.break_at_the_doorbell("virtio-blk")
        rings.guest.wait_for(r"^virtio0 at .*: the device asks for a reset$", 20)
        rings.guest.wait_for(r"^vda: reset and started again$")
        rings.guest.wait_for(hash_line(digest, 2 * MIB), 30)
        assert rings.guest.wait_exit(10) == 0
        assert "65535 is available" in rings.guest.vm.error_text()


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_a_disk_that_lies_is_reset_and_read_whole(ring, tmp_path):
    path, digest = random_disk(tmp_path / "disk", 2 * MIB)
    drive = slow_drive(path, 20)
    drive[-1] += ",packed=on"
    with Rings(tmp_path, "selftest", cmdline=f"irq=poll ring={ring} -- disk-hash", qemu_args=drive) as rings:
        busy_disk(rings)
        if ring == "split":
            rings.jump_used("virtio-blk")
        else:
            rings.use_what_was_not_lent("virtio-blk")
        rings.guest.wait_for(r"^virtio0 at .*: the device('s used index ran ahead| used an id beyond the ring| used a descriptor with a wrong wrap counter)$", 20)
        rings.guest.wait_for(r"^vda: reset and started again$")
        rings.guest.wait_for(hash_line(digest, 2 * MIB), 30)
        assert rings.guest.wait_exit(10) == 0


def test_writes_cut_off_by_a_reset_reach_the_disk_and_a_flush_tells_of_the_others(tmp_path):
    path, size = tmp_path / "disk", 4 * MIB
    sparse_disk(path, size)
    with Rings(tmp_path, "selftest", cmdline="-- disk-pattern 0 5", qemu_args=slow_drive(path, 30)) as rings:
        busy_disk(rings)
        rings.until("some writes to be done", lambda: sum(1 for at in range(0, size, 65536) if rings_wrote(path, at)) > 4)
        rings.break_at_the_doorbell("virtio-blk")
        rings.guest.wait_for(r"^vda: writes that were not flushed may be lost$", 20)
        rings.guest.wait_for(r"^PASS: the pattern is written$", 30)
        rings.guest.wait_for(r"^FAIL: flush$")
        rings.guest.wait_for(r"^PASS: the pattern is read back$", 30)
        rings.guest.wait_exit(10)
        assert sha256_of(path) == pattern_digest(size, 5)


def rings_wrote(path, at):
    with open(path, "rb") as file:
        file.seek(at)
        return any(file.read(64))


class TooLate(Exception):
    """QEMU looked at each buffer before it was rung for, so that none could be broken."""


def break_what_is_repeated(folder, path):
    with Rings(folder, "selftest", cmdline="-- disk-hash", qemu_args=slow_drive(path, 5)) as rings:
        busy_disk(rings)
        for _ in range(3):  # the second one or the third is the repeated one's
            try:
                rings.break_at_the_doorbell("virtio-blk")
            except OSError:
                if rings.guest.wait_exit(10) == 0:
                    raise TooLate from None
                break  # the second one was the repeated one's
            rings.guest.wait_for(r"^vda: reset and started again$", 20)
        assert rings.guest.wait_exit(20) == 1
        assert re.search(r"^FAIL: sector \d+: error 5$", rings.guest.log, re.M)  # it may come before the last reset
        assert "panic" not in rings.guest.log


def test_a_disk_that_breaks_on_what_is_repeated_fails_that_and_no_more(tmp_path):
    path, _ = random_disk(tmp_path / "disk", 2 * MIB)
    for attempt in range(10):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        try:
            break_what_is_repeated(folder, path)
            return
        except TooLate:
            pass
    pytest.fail("QEMU was faster than the debugger, ten times")


# --- networks and balloons

def is_up(guest):
    try:
        return guest.get("/status.json", deadline=2)
    except OSError:
        return None


@pytest.mark.parametrize("queue", [0, 1])
def test_a_network_card_that_qemu_calls_broken_works_again_and_tells(queue, tmp_path):
    with Rings(tmp_path, "aerostat", net="user", forwards=[80]) as rings:
        rings.guest.wait_for(r"^serving on")
        assert facts_of(rings.guest, "virtio-net")["recoveries"] == 0
        if queue == 0:
            rings.break_available("virtio-net", queue)
        else:
            rings.break_at_the_doorbell("virtio-net", queue, lambda: is_up(rings.guest))
        rings.until("the reset", lambda: is_up(rings.guest) and "asks for a reset" in rings.guest.log, 20)
        rings.guest.wait_for(r"^eth0: reset and started again$")
        facts = facts_of(rings.guest, "virtio-net")
        assert facts["recoveries"] == 1 and facts["last_trouble"] == "the device asks for a reset"
        assert "failure" not in facts
        assert b'aerostat_virtio_device_recoveries{device="virtio0"} 1' in rings.guest.get("/metrics")


@pytest.mark.parametrize("queue", [0, 1])
def test_a_network_card_that_lies_works_again_and_tells(queue, tmp_path):
    with Rings(tmp_path, "aerostat", cmdline="irq=poll", net="user", forwards=[80]) as rings:
        rings.guest.wait_for(r"^serving on")
        rings.jump_used("virtio-net", queue)
        rings.guest.wait_for(r"^virtio0 at .*: the device's used index ran ahead$", 20)  # which QEMU's next entry would hide
        rings.guest.wait_for(r"^eth0: reset and started again$")
        facts = facts_of(rings.guest, "virtio-net")
        assert facts["recoveries"] == 1 and facts["last_trouble"] == "the device's used index ran ahead"


@pytest.mark.parametrize("queue, first, then", [(0, 64, 32), (1, 32, 64)])
def test_a_balloon_that_qemu_calls_broken_goes_on(queue, first, then, tmp_path):
    with Rings(tmp_path, "aerostat", net="user", forwards=[80], balloon=True) as rings:
        rings.guest.wait_for(r"^serving on")
        rings.guest.balloon(first * MIB)
        rings.break_at_the_doorbell("virtio-balloon", queue, lambda: rings.guest.qmp("balloon", value=then * MIB))
        rings.guest.balloon(then * MIB)
        assert "balloon: reset and started again" in rings.guest.log
        facts = facts_of(rings.guest, "virtio-balloon")
        assert facts["recoveries"] == 1 and facts["last_trouble"] == "the device asks for a reset"
        rings.guest.balloon(48 * MIB)
