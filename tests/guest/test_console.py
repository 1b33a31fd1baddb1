# SPDX-License-Identifier: MIT
"""The virtio console: the kernel's console moves to it, and ports carry bytes both ways without losing one."""

import hashlib
import os
import random
import re
import socket
import threading
import time

import pytest
from harness import MIB, Guest

SERIAL = ["-device", "virtio-serial-pci,disable-legacy=on"]
MACHINES = ["q35", "microvm"]


class Host:
    """The host's side of some ports: one Unix socket each, in a folder."""

    def __init__(self, folder):
        self.folder, self.names = folder, []

    def path(self, name):
        return os.path.join(self.folder, name)

    def device(self, kind, name, options=""):
        """The QEMU arguments of a port on a socket."""
        self.names.append(name)
        return ["-chardev", f"socket,id=char-{name},path={self.path(name)},server=on,wait=off", "-device",
                f"{kind},chardev=char-{name},name={name},id=port-{name}" + options]

    def connect(self, name, deadline=10):
        end = time.monotonic() + deadline
        while True:
            line = socket.socket(socket.AF_UNIX)
            try:
                line.connect(self.path(name))
                line.settimeout(30)
                return line
            except OSError:
                line.close()
                assert time.monotonic() < end, f"nobody listens at {name}"
                time.sleep(0.02)


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def on(machine):
    """The arguments that give a machine PCI."""
    return ["-machine", "pcie=on"] if machine == "microvm" else []


def screen(path, options=""):
    """A console that writes into a file."""
    return SERIAL + ["-chardev", f"file,id=screen,path={path}", "-device", "virtconsole,chardev=screen" + options]


def shown(path):
    with open(path, "rb") as file:
        return file.read().decode(errors="replace").replace("\r\n", "\n")


def read_exactly(line, n):
    taken = bytearray()
    while len(taken) < n:
        piece = line.recv(min(65536, n - len(taken)))
        assert piece, f"the guest's side ended after {len(taken)} of {n} bytes"
        taken += piece
    return bytes(taken)


# --- the kernel's console

@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("options", ["", ",packed=on"])
def test_the_console_moves_with_all_that_was_before(tmp_path, machine, options):
    path = tmp_path / "screen"
    args = screen(path)
    args[1] += options
    with Guest("selftest", machine=machine, cmdline="-- chatter 100", qemu_args=on(machine) + args) as guest:
        assert guest.wait_exit() == 0
    text = shown(path)
    assert text.startswith("aerostat ")
    assert re.search(r"^boot: main\(\)", text, re.M)
    assert [int(n) for n in re.findall(r"^chatter (\d+) a", text, re.M)] == list(range(100))
    assert text.endswith("aerostat: exit 0\n")
    assert "bytes are missing" not in text
    # The serial line shows where it went, and the end; the host may open its side late.
    assert "chatter" not in re.split(r"^console: goes on at virtio\d, port 0$", guest.log, flags=re.M)[1]
    assert guest.lines[-1] == "aerostat: exit 0"


def test_a_machine_without_a_serial_line_speaks_there_alone(tmp_path):
    path = tmp_path / "screen"
    args = screen(path) + ["-machine", "isa-serial=off,pcie=on"]
    with Guest("selftest", machine="microvm", cmdline="-- exit 3", qemu_args=args) as guest:
        guest.wait_exit()
    text = shown(path)
    assert text.startswith("aerostat ") and text.endswith("aerostat: exit 3\n")


def test_megabytes_of_output_arrive_in_order(tmp_path):
    path = tmp_path / "screen"
    with Guest("selftest", cmdline="-- chatter 50000", qemu_args=screen(path)) as guest:
        assert guest.wait_exit() == 0
    numbers = [int(n) for n in re.findall(r"^chatter (\d+) abcdefghijklmnopqrstuvwxyz$", shown(path), re.M)]
    assert numbers == list(range(50000))


@pytest.mark.parametrize("offered", ["on", "off"])
def test_a_panic_is_told_on_both(tmp_path, offered):
    path = tmp_path / "screen"
    args = screen(path)
    args[1] += f",emergency-write={offered}"
    with Guest("selftest", cmdline="-- fault null typed", qemu_args=args) as guest:
        guest.wait_for(r"^console: goes on", 20)
        guest.type("go")
        assert guest.wait_exit() == 101
    for text in (guest.log, shown(path)):
        assert re.search(r"^panic: page fault", text, re.M)
        assert re.search(r"^backtrace:\n  #0  0x[0-9a-f]{16} touch_null", text, re.M)
        assert text.rstrip().endswith("aerostat: exit 101")


def test_the_power_button_ends_it_with_the_record_on_both(tmp_path):
    path = tmp_path / "screen"
    with Guest("selftest", cmdline="-- spin", qemu_args=screen(path)) as guest:
        assert guest.vm.wait_until(lambda: "spinning\n" in shown(path), 20)
        assert guest.powerdown() == 0
    assert re.search(r"power button: shutting down\n(audit: .*\n)?aerostat: exit 0\n$", shown(path))


@pytest.mark.parametrize("where", ["screen", "serial"])
def test_what_is_typed_reaches_stdin(host, where):
    with Guest("selftest", cmdline="-- echo", qemu_args=SERIAL + host.device("virtconsole", "screen")) as guest:
        line = host.connect("screen")
        guest.wait_for(r"^console: goes on", 20)
        if where == "screen":
            line.sendall(b"first\rsecond\rend\r")
        else:
            for word in ("first", "second", "end"):
                guest.type(word)
        assert guest.wait_exit(20) == 0
        text = b""
        while piece := line.recv(65536):
            text += piece
        assert b"echo: first\n" in text and b"echo: second\n" in text


def test_a_console_that_the_host_takes_away_goes_back_to_the_serial_line(tmp_path):
    path = tmp_path / "screen"
    with Guest("selftest", cmdline="-- random 20", qemu_args=screen(path, ",id=console0")) as guest:
        assert guest.vm.wait_until(lambda: "number" in shown(path), 20)
        guest.qmp("device_del", id="console0")
        guest.wait_for(r"^console: back from virtio\d, port 0$", 20)
        guest.wait_for(r"^number", 10)
    told = re.findall(r"^number ([0-9a-f]{16})$", shown(path), re.M), re.findall(r"^number ([0-9a-f]{16})$", guest.log, re.M)
    assert told[0] and told[1]


def test_a_program_that_reads_late_is_waited_for(host):
    """The socket fills, QEMU holds back, the port's slots fill, and write() waits."""
    with Guest("selftest", cmdline=f"-- port-source late {4 * MIB}", qemu_args=SERIAL + host.device("virtserialport", "late")) as guest:
        line = host.connect("late")
        time.sleep(1.5)
        digest = hashlib.sha256(read_exactly(line, 4 * MIB)).hexdigest()
        assert guest.wait_exit(30) == 0
        assert f"sha256 {digest}" in guest.log


# --- ports

def test_ports_are_told_with_their_names(host):
    args = SERIAL + host.device("virtconsole", "screen") + host.device("virtserialport", "org.example.one") + \
        host.device("virtserialport", "two", ",nr=5")
    with Guest("selftest", cmdline="-- port-list", qemu_args=args) as guest:
        line = host.connect("screen")
        assert guest.wait_exit() == 0
        text = b""
        while piece := line.recv(65536):
            text += piece
        text = text.decode()
    assert re.search(r"^port vport0p0 name 'screen' console 1 connected 1 open 1", text, re.M)
    assert re.search(r"^port vport0p1 name 'org.example.one' console 0 connected 0 open 0", text, re.M)
    assert re.search(r"^port vport0p5 name 'two' console 0", text, re.M)
    assert "3 ports" in text and "FAIL" not in text


def echo(line, size, seed):
    """Sends random bytes and takes what comes back, at the same time; True if it is the same."""
    sent = random.Random(seed).randbytes(size)
    sender = threading.Thread(target=line.sendall, args=(sent,), daemon=True)
    sender.start()
    same = hashlib.sha256(read_exactly(line, size)).digest() == hashlib.sha256(sent).digest()
    sender.join(10)
    return same


@pytest.mark.proves("CON-LEGCFG-01", "CON-LEGOP-01")
@pytest.mark.parametrize("machine, transport, ring, irq, device", [
    ("q35", "pci", "split", "msix", "virtio-serial-pci,disable-legacy=on,packed=on"),
    ("q35", "pci", "packed", "msix", "virtio-serial-pci,disable-legacy=on,packed=on"),
    ("q35", "pci", "split", "poll", "virtio-serial-pci,disable-legacy=on"),
    ("microvm", "pci", "split", "msix", "virtio-serial-pci,disable-legacy=on"),
    ("q35", "pci", "split", "msix", "virtio-serial-pci,disable-modern=on,any_layout=off"),
    ("pc", "pci", "split", "intx", "virtio-serial-pci,disable-modern=on"),
    ("microvm", "mmio", "packed", "intx", "virtio-serial-device,packed=on"),
    ("microvm", "mmio-legacy", "split", "intx", "virtio-serial-device")])
def test_megabytes_go_both_ways_through_several_ports_at_once(host, machine, transport, ring, irq, device):
    names = ["a", "b", "c"]
    args = ["-device", device + ",max_ports=16"]
    for name in names:
        args += host.device("virtserialport", name)
    with Guest("selftest", machine=machine, transport=transport, cmdline=f"ring={ring} irq={irq} -- port-echo a b c", qemu_args=args,
               deadline=90) as guest:
        guest.wait_for(r"^echoing$", 20)
        lines = [host.connect(name) for name in names]
        results = [None] * 3

        def run(index):
            results[index] = echo(lines[index], (2 + index) * MIB, index)
        threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert results == [True] * 3
        for line in lines:
            line.close()
        assert guest.wait_exit(20) == 0
        for index, name in enumerate(names):
            assert f"{name}: {(2 + index) * MIB} bytes" in guest.log


def test_a_flood_that_nobody_reads_waits_and_loses_nothing(host):
    sent = random.Random(7).randbytes(1 * MIB)
    with Guest("selftest", cmdline="-- port-late flood 1500", qemu_args=SERIAL + host.device("virtserialport", "flood")) as guest:
        line = host.connect("flood")
        sender = threading.Thread(target=lambda: (line.sendall(sent), line.shutdown(socket.SHUT_WR)), daemon=True)
        guest.wait_for(r"^waiting$", 20)
        sender.start()
        assert guest.wait_exit(40) == 0
        assert f"{len(sent)} bytes, sha256 {hashlib.sha256(sent).hexdigest()}, then the end" in guest.log


def test_a_port_that_is_taken_away_ends_its_reader_and_comes_back(host):
    args = SERIAL + host.device("virtserialport", "gone")
    with Guest("selftest", cmdline="-- port-late gone 1", qemu_args=args) as guest:
        line = host.connect("gone")
        guest.wait_for(r"^waiting$", 20)
        line.sendall(b"some")
        time.sleep(0.5)
        guest.qmp("device_del", id="port-gone")
        guest.wait_for(r"^4 bytes, sha256 \w+, then No such device$", 10)
        assert guest.wait_exit(10) == 0


def test_ports_that_come_while_it_runs_are_found(host):
    args = list(SERIAL)
    args += ["-chardev", f"socket,id=later,path={host.path('later')},server=on,wait=off"]
    with Guest("selftest", cmdline="-- port-source later 100000", qemu_args=args) as guest:
        guest.wait_for(r"^boot: main", 20)
        guest.qmp("device_add", driver="virtserialport", chardev="later", name="later", id="later0")
        line = host.connect("later")
        digest = hashlib.sha256(read_exactly(line, 100000)).hexdigest()
        assert guest.wait_exit(20) == 0
        assert f"sha256 {digest}" in guest.log


def test_more_ports_than_are_driven_are_refused_and_the_others_work(host):
    args = list(SERIAL)
    for index in range(1, 31):
        args += host.device("virtserialport", f"p{index}")
    with Guest("selftest", cmdline="-- port-echo p1 p7", qemu_args=args) as guest:
        guest.wait_for(r"^echoing$", 20)
        lines = [host.connect("p1"), host.connect("p7")]
        assert all(echo(line, 100000, 1) for line in lines)
        for line in lines:
            line.close()
        assert guest.wait_exit(20) == 0
        assert "a message for a port beyond those that are driven" in guest.log


@pytest.mark.parametrize("length", [1, 127, 128, 255, 900])
def test_a_name_of_any_length_does_no_harm(host, length):
    name = "n" * length
    args = SERIAL + ["-chardev", "null,id=nobody", "-device", f"virtserialport,chardev=nobody,name={name}"] + \
        host.device("virtserialport", "good")
    with Guest("selftest", cmdline="-- port-list", qemu_args=args) as guest:
        assert guest.wait_exit() == 0
        assert f"name '{name[:127]}'" in guest.log and "name 'good'" in guest.log
        assert ("is too long, cut" in guest.log) == (length > 127)


def test_a_console_under_kvm(kvm, tmp_path):
    path = tmp_path / "screen"
    with Guest("selftest", machine="microvm", accel=kvm, cmdline="-- chatter 20", qemu_args=on("microvm") + screen(path)) as guest:
        assert guest.wait_exit(60) == 0
    assert len(re.findall(r"^chatter", shown(path), re.M)) == 20
