# SPDX-License-Identifier: MIT
"""The guest on devices that QEMU only hands through: its disk is qemu-storage-daemon's, its network DPDK's, by vhost-user."""

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import time

import pytest
from harness import MIB, Guest, Network, network_missing, random_disk, sha256_of, sparse_disk
from test_disk import hash_line, pattern_digest

MEMORY = 64  # MiB, all of it shared with the device's program
ADDRESS, HOST = "192.168.77.2", "192.168.77.1"
STATIC = f"ip={ADDRESS}/24,{HOST}"
TAP = "dtap0"
STARTING = 20  # seconds that a program may take on a busy machine


def shared_memory():
    return ["-object", f"memory-backend-memfd,id=shared,share=on,size={MEMORY}M", "-machine", "memory-backend=shared"]


class Program:
    """A program beside the guest, with its log; killed at the end of the block."""

    def __init__(self, log, *command):
        self.log = os.fspath(log)
        with open(self.log, "wb") as output:
            # Line by line, for what it says is waited for.
            self.process = subprocess.Popen(["stdbuf", "-oL", *command], stdin=subprocess.PIPE, stdout=output,
                                            stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for(self, condition, what, deadline=STARTING):
        end = time.monotonic() + deadline
        while not condition():
            assert self.process.poll() is None, f"it ended before {what}:\n{self.text()}"
            assert time.monotonic() < end, f"{what} did not come within {deadline} s:\n{self.text()}"
            time.sleep(0.02)

    def hear(self, pattern, deadline=STARTING):
        self.wait_for(lambda: re.search(pattern, self.text(), re.M), f"{pattern!r} in its log", deadline)

    def tell(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()


def need(name, package):
    if not shutil.which(name):
        pytest.skip(f"{name} is missing: apt-get install {package}")


# --- disks

class Export(Program):
    """qemu-storage-daemon with one file; slow: requests a second."""

    def __init__(self, folder, disk, writable=False, slow=0):
        need("qemu-storage-daemon", "qemu-system-common")
        self.socket = os.path.join(folder, "disk.socket")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        blocks = ["--blockdev", f"driver=file,node-name=file,filename={disk}"]
        node = "file"
        if slow:
            blocks = ["--object", f"throttle-group,id=slow,limits.iops-total={slow}", *blocks,
                      "--blockdev", "driver=throttle,node-name=throttle,throttle-group=slow,file=file"]
            node = "throttle"
        super().__init__(os.path.join(folder, "qemu-storage-daemon.log"), "qemu-storage-daemon", *blocks, "--export",
                         f"type=vhost-user-blk,id=export,node-name={node},addr.type=unix,addr.path={self.socket},"
                         f"writable={'on' if writable else 'off'}")
        self.wait_for(lambda: os.path.exists(self.socket), "its socket")

    def disk(self, options="", chardev=""):
        """The QEMU arguments of the disk."""
        device = "vhost-user-blk-pci,disable-legacy=on,chardev=disk,id=blk,num-queues=1"
        return shared_memory() + ["-chardev", f"socket,id=disk,path={self.socket}{chardev and ',' + chardev}",
                                  "-device", device + (options and "," + options)]


@pytest.mark.parametrize("options", ["", "event_idx=off", "indirect_desc=off", "event_idx=off,indirect_desc=off", "queue-size=8"])
def test_the_guest_reads_what_the_daemon_exports(options, tmp_path):
    path, digest = random_disk(tmp_path / "disk", 8 * MIB + 512)
    with Export(tmp_path, path) as export, \
            Guest("selftest", memory=MEMORY, cmdline="-- disk-hash", qemu_args=export.disk(options)) as guest:
        guest.wait_for(hash_line(digest, 8 * MIB + 512), 30)
        assert guest.wait_exit(10) == 0


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_a_daemon_without_packed_rings_is_read_by_split_ones(ring, tmp_path):
    """The device decides: this daemon offers no packed ring, and QEMU then does not either."""
    path, digest = random_disk(tmp_path / "disk", 2 * MIB)
    with Export(tmp_path, path) as export, \
            Guest("selftest", memory=MEMORY, cmdline=f"ring={ring} -- disk-hash", qemu_args=export.disk("packed=on")) as guest:
        guest.wait_for(hash_line(digest, 2 * MIB), 30)
        assert ("no packed ring is offered" in guest.log) == (ring == "packed")
        assert guest.wait_exit(10) == 0


def test_a_guest_that_polls_asks_the_daemon_for_no_interrupt(tmp_path):
    """QEMU would pass on to the daemon an interrupt to nowhere, of which it dies. Without EVENT_IDX, for with it the daemon's
    first interrupt comes unasked."""
    path, digest = random_disk(tmp_path / "disk", 2 * MIB)
    with Export(tmp_path, path) as export, \
            Guest("selftest", memory=MEMORY, cmdline="irq=poll -- disk-hash", qemu_args=export.disk("event_idx=off")) as guest:
        guest.wait_for(hash_line(digest, 2 * MIB), 30)
        assert guest.wait_exit(10) == 0


def test_what_the_guest_writes_and_flushes_is_in_the_file(tmp_path):
    path = sparse_disk(tmp_path / "disk", 4 * MIB)
    with Export(tmp_path, path, writable=True) as export, \
            Guest("selftest", memory=MEMORY, cmdline="-- disk-pattern 0 5", qemu_args=export.disk()) as guest:
        guest.wait_for(r"^PASS: flush$", 40)
        assert sha256_of(path) == pattern_digest(4 * MIB, 5)
        guest.wait_for(r"^PASS: the pattern is read back$", 40)
        assert guest.wait_exit(10) == 0


def test_a_read_only_export_stays_as_it_was(tmp_path):
    path, digest = random_disk(tmp_path / "disk", MIB)
    with Export(tmp_path, path) as export, \
            Guest("selftest", memory=MEMORY, cmdline="-- disk-pattern 0 5", qemu_args=export.disk()) as guest:
        assert guest.wait_exit(30) == 1
    assert sha256_of(path) == digest


def test_a_guest_whose_daemon_died_runs_on_and_reads_on_from_its_successor(tmp_path):
    path, digest = random_disk(tmp_path / "disk", 2 * MIB)
    with Export(tmp_path, path, slow=10) as dying, \
            Guest("selftest", memory=MEMORY, cmdline="-- disk-hash", qemu_args=dying.disk(chardev="reconnect=1")) as guest:
        guest.wait_for(r"^boot: main", 20)
        time.sleep(0.5)
        dying.kill()
        guest.expect_silence(r"^sha256|panic", 1)
        assert guest.qmp("query-status")["status"] == "running"
        with Export(tmp_path, path):
            guest.wait_for(hash_line(digest, 2 * MIB), 30)
            assert guest.wait_exit(10) == 0


# --- networks
#
# QEMU 7.2 without KVM follows a null pointer when a guest uses MSI-X with vhost-user networks: there the guest polls, or
# has no MSI-X and is woken by a timer. Interrupts by message are tested under KVM.

POLLED, TIMED = "irq=poll", "vectors=0"


class Forwarder(Program):
    """dpdk-testpmd with a vhost-user port, alone or wired to a tap in a network namespace."""

    def __init__(self, folder, mode, namespace=None):
        need("dpdk-testpmd", "dpdk-dev librte-net-vhost23 librte-net-tap23")
        self.socket = os.path.join(folder, "net.socket")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        inside = ["ip", "netns", "exec", namespace] if namespace else []
        ports = ["--vdev", f"net_vhost0,iface={self.socket},queues=1"]
        if namespace:
            ports += ["--vdev", f"net_tap0,iface={TAP}"]
        # Two threads, one listens, one forwards, on whatever CPUs there are. What DPDK leaves in a folder is in the test's.
        cpus = ",".join(map(str, os.sched_getaffinity(0)))
        super().__init__(os.path.join(folder, "dpdk-testpmd.log"), "env", f"RUNTIME_DIRECTORY={folder}", *inside,
                         "dpdk-testpmd", "--lcores", f"0@({cpus}),1@({cpus})", "--no-huge", "-m", "128", "--no-pci",
                         "--no-telemetry", "--no-shconf", "--log-level=lib.vhost.config:warning", *ports, "--",
                         "--interactive", "--disable-link-check", "--no-lsc-interrupt", "--total-num-mbufs=2048")
        self.hear(r"^testpmd> ")
        self.tell(f"set fwd {mode}")
        self.tell("start")
        self.hear(rf"^{mode} packet forwarding")

    def nic(self, options="", chardev=""):
        """The QEMU arguments of the network device."""
        device = "virtio-net-pci,disable-legacy=on,romfile=,netdev=foreign,id=nic,mac=52:54:00:77:00:02"
        return shared_memory() + ["-chardev", f"socket,id=net,path={self.socket}{chardev and ',' + chardev}",
                                  "-netdev", "vhost-user,id=foreign,chardev=net", "-device", device + (options and "," + options)]


@contextlib.contextmanager
def wired(folder):
    """A namespace whose only way to the guest leads through DPDK: kernel, tap, testpmd, vhost-user, guest."""
    if network_missing():
        pytest.skip(f"a network is missing: {network_missing()}")
    with Network(address="192.168.99.1/24") as network, Forwarder(folder, "io", network.name) as testpmd:
        network.run("ip", "addr", "add", f"{HOST}/24", "dev", TAP)
        network.run("ip", "link", "set", TAP, "up")
        yield network, testpmd


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("size", [56, 1400])
def test_dpdk_answers_the_guests_ping(ring, size, tmp_path):
    """testpmd answers ARP and ICMP by itself: no kernel takes part."""
    with Forwarder(tmp_path, "icmpecho") as testpmd, \
            Guest("netprobe", memory=MEMORY, net=testpmd.nic(f"packed=on,{TIMED}"),
                  cmdline=f"{STATIC} ring={ring} -- ping {HOST} {size}") as guest:
        guest.wait_for(rf"^{size} bytes from {re.escape(HOST)}$", 20)
        assert guest.wait_exit() == 0


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_dpdk_interrupts_the_guest_by_message(ring, kvm, tmp_path):
    with Forwarder(tmp_path, "icmpecho") as testpmd, \
            Guest("netprobe", machine="microvm", accel=kvm, memory=MEMORY, net=testpmd.nic("packed=on"),
                  cmdline=f"{STATIC} ring={ring} irq=msix -- ping {HOST} 56") as guest:
        guest.wait_for(rf"^56 bytes from {re.escape(HOST)}$", 40)
        assert "looked after by a timer" not in guest.log
        assert guest.wait_exit() == 0


def device_report(network):
    """What the guest says of its network device."""
    facts = json.loads(network.run("curl", "-sS", "-m", "10", f"http://{ADDRESS}/status.json"))
    return next(device for device in facts["virtio"]["device"] if device["type"] == "network card")


def assert_pings(network, *options):
    """Nearly all come back: of testpmd nobody has asked to lose none. That each is whole is ping's to look at."""
    said = network.run("ping", "-c", "10", "-i", "0.1", "-W", "10", *options, ADDRESS, check=False)
    received = re.search(r"(\d+) received", said)
    assert received and int(received.group(1)) >= 9 and "wrong data" not in said, said


@pytest.mark.parametrize("options, ring, words", [
    (f"{TIMED},packed=on", "packed", ""),
    (f"{TIMED},packed=on", "split", ""),
    (f"{TIMED},packed=on,event_idx=off", "packed", ""),
    (f"{TIMED},event_idx=off", "split", ""),
    (f"{TIMED},packed=on,mrg_rxbuf=off", "packed", ""),
    ("packed=on", "packed", POLLED),
    ("packed=on", "split", POLLED),
])
def test_a_page_and_pings_come_through_dpdk(options, ring, words, tmp_path):
    with wired(tmp_path) as (network, testpmd), \
            Guest("aerostat", memory=MEMORY, net=testpmd.nic(options), cmdline=f"{STATIC} ring={ring} {words}") as guest:
        guest.wait_for(r"^serving on http://", 20)
        assert_pings(network)
        assert_pings(network, "-s", "4000")
        page = network.run("curl", "-sS", "-m", "10", f"http://{ADDRESS}/")
        assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
        assert device_report(network)["ring"] == ring


ECHO = """
import socket, sys, threading
s = socket.create_connection((sys.argv[1], 7), 10)
sent = sys.stdin.buffer.read()
threading.Thread(target=lambda: (s.sendall(sent), s.shutdown(1))).start()
got = b""
while piece := s.recv(65536):
    got += piece
print(got == sent, len(got))
"""


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_every_byte_of_a_stream_comes_back_through_dpdk(ring, tmp_path):
    sent = random.Random(7).randbytes(2 * MIB)
    with wired(tmp_path) as (network, testpmd), \
            Guest("aerostat", memory=MEMORY, net=testpmd.nic(f"packed=on,{TIMED}"),
                  cmdline=f"{STATIC} ring={ring} -- echo=7") as guest:
        guest.wait_for(r"^echo on port 7$", 20)
        done = subprocess.run(["ip", "netns", "exec", network.name, "/usr/bin/python3", "-c", ECHO, ADDRESS], input=sent,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
        assert done.stdout.decode().strip() == f"True {len(sent)}"


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_a_guest_whose_testpmd_died_tells_so_and_talks_to_its_successor(ring, tmp_path):
    with Forwarder(tmp_path, "icmpecho") as testpmd, \
            Guest("aerostat", memory=MEMORY, net=testpmd.nic(f"packed=on,{TIMED}", "reconnect=1"),
                  cmdline=f"{STATIC} ring={ring}") as guest:
        guest.wait_for(r"^serving on http://", 20)
        testpmd.kill()
        guest.wait_for(r"^eth0: link down", 20)
        assert guest.qmp("query-status")["status"] == "running"
        with Forwarder(tmp_path, "icmpecho"):
            guest.wait_for(r"^eth0: link up", 30)
            assert guest.powerdown() == 0
