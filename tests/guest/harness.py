# SPDX-License-Identifier: MIT
"""A guest under test.

    def test_it(accel):
        with Guest("hello", accel=accel, cmdline="irq=msix") as guest:
            guest.wait_for(r"reached main", 5)
            assert guest.wait_exit() == 0

Every wait has a deadline, and the whole guest has one: nothing here hangs. Emulation that fails, and a guest that ends
too early, fail the wait at once, with the reason. When a test fails, the report shows the whole console, what QEMU said
and the command line.

When a guest ends it audits its memory (kernel/page_audit.h): each page is in one place, or the test fails, whatever it was
about. A guest that still runs when its test is over is ended by its power button for that.
"""

import contextlib
import hashlib
import os
import random
import re
import shlex
import subprocess
import sys
import threading
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import qemu  # noqa: E402  (found by the line above)

MIB = 1 << 20

# A host that does other work too may stop a guest for seconds: nothing that must come is waited for any shorter.
SHORTEST_PATIENCE = 20

# A KVM without hardware under it runs a million instructions a second when the host has nothing else to do.
INTERPRETED_KVM_PATIENCE = 4


class GuestFailure(AssertionError):
    """The guest did not do what the test waits for; the text says why."""


# Applications that come with the audit only for tests (tests/guest/images.mk); images of tests alone always have it.
AUDITED = {"hello", "selftest", "aerostat", "netprobe"}

AUDIT_PASSED = re.compile(r"^audit: each page is in one place: .*$", re.M)
AUDIT_FAILED = re.compile(r"^audit: (?!each page is in one place).*$", re.M)


def image(app):
    """The ELF file of an application: a path, or the name of one that make has built."""
    path = app if os.sep in app else os.path.join(ROOT, "build", "audited" if app in AUDITED else "", app + ".elf")
    if not os.path.isfile(path):
        raise GuestFailure(f"no image {path}: make builds it")
    return path


class Guest:
    """One guest, from QEMU's start to its end. All arguments but the application are by name.

    app        name of an application (build/NAME.elf) or a path
    machine    "q35", "pc" or "microvm"
    transport  of virtio devices: "pci", or on microvm "mmio" or "mmio-legacy"
    accel      "tcg" or "kvm"
    memory     MiB, or text with a unit ("4M", "64G")
    cmdline    kernel words -- application arguments
    disks      paths, or (path, options of the device) pairs; "read_only" among the options, split by commas, is the drive's
    net        None; "user" for QEMU's user network; or a list of QEMU arguments that make up other networks
    net_options, netdev_options, balloon_options   more options of these devices
    forwards   ports of the guest that the user network leads to; self.ports[guest port] is the host's
    balloon    True for a balloon device
    qemu_args  anything further
    netns      name of the network namespace that QEMU is to run in
    boot       the whole command line but for console, QMP and qemu_args: all arguments above but accel and cpu do not count
    audit      False for a guest that cannot end in good order, so that nothing can be known of its pages
    deadline   seconds for the whole guest, then QEMU is killed and the test fails
    """

    running = []  # those of the current test, for the report

    def __init__(self, app="hello", *, machine="q35", transport="pci", accel="tcg", cpu=None, smp=1, memory=64, cmdline="", disks=(), net=None,
                 forwards=(), net_options="", netdev_options="", balloon=False, balloon_options="", qemu_args=(), netns=None,
                 boot=None, audit=True, deadline=60):
        self.ports = {}
        self.audited = audit and not boot and os.sep not in app
        self.has_power_button = not any("acpi=off" in word for word in qemu_args)
        args = list(boot) if boot else self._arguments(app, machine, transport, memory, smp, cmdline, disks, net, forwards, net_options,
                                                       netdev_options, balloon, balloon_options)
        prefix = ["ip", "netns", "exec", netns] if netns else []
        self.vm = qemu.Vm(args + list(qemu_args), accel, cpu, prefix=prefix)
        interpreted = accel == "kvm" and qemu.choose_accel("auto")[0] != "kvm"
        self.patience = INTERPRETED_KVM_PATIENCE if interpreted else 1
        self.deadline = deadline = deadline * self.patience
        self._overdue = threading.Timer(deadline, self._run_out)
        self._overdue.daemon = True
        self._seen = 0
        self._events_seen = 0
        Guest.running.append(self)

    def _arguments(self, app, machine, transport, memory, smp, cmdline, disks, net, forwards, net_options, netdev_options, balloon,
                   balloon_options):
        args = qemu.machine_args(machine, memory, smp, transport) + ["-kernel", image(app)]
        if cmdline:
            args += ["-append", cmdline]
        for index, disk in enumerate(disks):
            path, options = (disk, "") if isinstance(disk, (str, os.PathLike)) else disk
            words = [word for word in options.split(",") if word]
            read_only = "read_only" in words
            args += qemu.disk_args(os.fspath(path), index, read_only, ",".join(word for word in words if word != "read_only"),
                                   transport)
        if net == "user":
            self.ports = {port: qemu.free_port() for port in forwards}
            args += qemu.user_net_args([(host, port) for port, host in self.ports.items()], 0, net_options, netdev_options,
                                       transport)
        elif net:
            args += list(net)
        if balloon:
            args += qemu.balloon_args(balloon_options, transport)
        return args

    def __enter__(self):
        return self.start()

    def __exit__(self, failure, *_):
        try:
            if not failure and self.audited:
                self._end_in_good_order()
                self.check_audit()
        finally:
            self.kill()

    def start(self):
        self.started = time.monotonic()
        self._overdue.start()
        self.vm.start()
        return self

    def kill(self):
        self._overdue.cancel()
        self.vm.kill()

    def _run_out(self):
        self.vm.failure = self.vm.failure or (qemu.DEADLINE_PASSED, f"the guest's deadline of {self.deadline} s passed")
        if self.vm.process and self.vm.process.poll() is None:
            self.vm.process.kill()

    # --- the console

    @property
    def log(self):
        """All of the console so far."""
        return self.vm.console_text()

    @property
    def lines(self):
        return self.log.splitlines()

    def wait_for(self, pattern, deadline=10):
        """Waits for a match on the console after the previous wait's match; returns it. Patterns see lines (re.M), and
        only whole ones, so that a number is never seen half printed."""
        expression = re.compile(pattern, re.M)

        def match():
            text = self.vm.console_text()
            whole = len(text) if self.vm.ended else text.rfind("\n") + 1
            return expression.search(text[:whole], self._seen)
        found = self._wait(match, deadline, f"console to show {pattern!r}")
        self._seen = found.end()
        return found

    def _wait(self, condition, deadline, what):
        deadline = max(deadline, SHORTEST_PATIENCE) * self.patience
        value = self.vm.wait_until(condition, deadline)
        if value:
            return value
        if self.vm.failure:
            why = self.vm.failure[1]
        elif self.vm.ended:
            why = f"the guest ended (status {self.vm.status()})"
        else:
            why = f"{deadline} s passed"
        raise GuestFailure(f"waiting for the {what}: {why}")

    def expect_silence(self, pattern, seconds):
        """Fails if the pattern appears within that time."""
        expression = re.compile(pattern, re.M)
        found = self.vm.wait_until(lambda: expression.search(self.vm.console_text(), self._seen), seconds)
        if found:
            raise GuestFailure(f"the console shows {found.group(0)!r}")

    def type(self, line):
        """Types a line on the console, with the Return key."""
        self.vm.type(line + "\r")

    # --- QMP

    def qmp(self, command, deadline=10, **arguments):
        """One QMP command; underscores in names of arguments become dashes."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        return self.vm.execute(command, named, deadline)

    def hmp(self, line):
        """One line of the human monitor, for what QMP does not offer."""
        return self.qmp("human-monitor-command", command_line=line)

    def wait_event(self, name, deadline=10, **wanted):
        """Waits for a QMP event after the previous wait's, with these data; returns its data."""
        def match():
            for index in range(self._events_seen, len(self.vm.events)):
                event = self.vm.events[index]
                data = event.get("data", {})
                if event["event"] == name and all(data.get(key) == value for key, value in wanted.items()):
                    return index + 1
            return 0
        self._events_seen = self._wait(match, deadline, f"QMP event {name}")
        return self.vm.events[self._events_seen - 1].get("data", {})

    # --- the end

    def wait_exit(self, deadline=None):
        """Waits for the guest's end; its exit status as the launcher would give it. A missed deadline fails the test;
        so does emulation that failed."""
        left = self.deadline - (time.monotonic() - self.started) + 5
        self.vm.wait(left if deadline is None else max(deadline, SHORTEST_PATIENCE) * self.patience)
        if self.vm.failure and self.vm.failure[0] == qemu.DEADLINE_PASSED:
            raise GuestFailure(f"waiting for the guest's end: {self.vm.failure[1]}")
        return self.vm.status()

    def _end_in_good_order(self):
        """Nothing to do where it has ended, or where it stands still: paused, moved to another host, failed."""
        try:
            if self.vm.ended or not self.has_power_button or self.qmp("query-status")["status"] != "running":
                return
            self.qmp("system_powerdown")
        except qemu.QemuError:  # it ends just now
            pass
        self._wait(lambda: self.vm.ended, 10, "guest's end by its power button, for the audit")

    def check_audit(self):
        """Fails if a guest that has ended by itself did not find each of its pages in one place."""
        wrong = AUDIT_FAILED.findall(self.log)
        if wrong:
            raise GuestFailure("the guest's pages are not where they should be:\n" + "\n".join(wrong))
        record = re.search(r"^aerostat: exit (\d+)$", self.log, re.M)
        if record and int(record.group(1)) != qemu.PANICKED and not AUDIT_PASSED.search(self.log):
            raise GuestFailure("the guest ended without an audit of its memory")

    def powerdown(self, deadline=10):
        """Presses the power button; the exit status."""
        self.qmp("system_powerdown")
        return self.wait_exit(deadline)

    # --- what the host sees

    @property
    def pid(self):
        return self.vm.process.pid

    def rss_bytes(self):
        """Memory that the QEMU process holds now."""
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as file:
            return int(re.search(r"^Rss:\s+(\d+) kB", file.read(), re.M).group(1)) * 1024

    def wait_rss(self, condition, deadline=20):
        """Waits until condition(rss in bytes) holds; returns that size."""
        end = time.monotonic() + deadline
        while True:
            size = self.rss_bytes()
            if condition(size):
                return size
            if time.monotonic() > end:
                raise GuestFailure(f"waiting for memory of the QEMU process: {size / MIB:.1f} MiB after {deadline} s")
            self.vm.wait_until(lambda: False, 0.1)
            if self.vm.ended:
                raise GuestFailure("waiting for memory of the QEMU process: the guest ended")

    def balloon(self, target_bytes, deadline=20):
        """Asks for that much memory to be left to the guest and waits until it is so; the size reached."""
        self.qmp("balloon", value=target_bytes)
        return self.wait_balloon(lambda size: size == target_bytes, deadline)

    def wait_balloon(self, condition, deadline=20):
        """Waits until condition(bytes left to the guest) holds; returns that size."""
        end = time.monotonic() + deadline * self.patience
        while not condition(actual := self.qmp("query-balloon")["actual"]):
            if time.monotonic() > end:
                raise GuestFailure(f"waiting for the balloon: {actual} bytes are left to the guest")
            time.sleep(0.05)
        return actual

    def url(self, path="/", port=80):
        return f"http://127.0.0.1:{self.ports[port]}{path}"

    def get(self, path="/", port=80, deadline=10):
        """The body of an HTTP reply, as bytes."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url(path, port), timeout=deadline) as reply:
            return reply.read()

    def report(self):
        """All that is known of this guest, for a reader who was not there."""
        parts = ["$ " + shlex.join(self.vm.prefix + self.vm.command), self.log]
        if self.vm.error_text():
            parts.append("QEMU said:\n" + self.vm.error_text())
        if self.vm.events:
            parts.append("QMP events: " + ", ".join(event["event"] for event in self.vm.events))
        if self.vm.ended:
            parts.append(f"ended with status {self.vm.status()}" + (f": {self.vm.reason()}" if self.vm.reason() else ""))
        return "\n".join(parts)


# --- disks on the host

def sparse_disk(path, size):
    """A disk of that many bytes, all zero, without blocks behind it."""
    with open(path, "wb") as file:
        file.truncate(size)
    return os.fspath(path)


def random_disk(path, size, seed=1):
    """A disk of random bytes (the same for the same seed); its path and SHA-256."""
    source, digest = random.Random(seed), hashlib.sha256()
    with open(path, "wb") as file:
        while size:
            piece = source.randbytes(min(size, MIB))
            digest.update(piece)
            file.write(piece)
            size -= len(piece)
    return os.fspath(path), digest.hexdigest()


def mkdisk(path, *options):
    """A disk made by tools/mkdisk; its path."""
    subprocess.run([os.path.join(ROOT, "tools/mkdisk"), *options, os.fspath(path)], check=True, timeout=60)
    return os.fspath(path)


def sha256_of(path, offset=0, length=None):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(offset)
        while piece := file.read(MIB if length is None else min(length, MIB)):
            digest.update(piece)
            if length is not None:
                length -= len(piece)
    return digest.hexdigest()


# --- networks on the host

class Network:
    """A network namespace with one tap device in it: the guest's wire to nowhere but this test. Needs root.

        with Network() as net, Guest("appliance", net=net.nic(), netns=net.name) as guest:
            net.run("ping", "-c", "1", "192.168.77.2")
    """

    counter = 0

    def __init__(self, address="192.168.77.1/24", tap="tap0", multi_queue=False):
        Network.counter += 1
        self.name = f"aerostat-{os.getpid()}-{Network.counter}"
        self.address, self.tap, self.multi_queue = address, tap, multi_queue
        self._children = []

    def __enter__(self):
        _ip("netns", "add", self.name)
        try:
            queues = ["multi_queue"] if self.multi_queue else []
            self.run("ip", "link", "set", "lo", "up")
            self.run("ip", "tuntap", "add", self.tap, "mode", "tap", "vnet_hdr", *queues)
            self.run("ip", "addr", "add", self.address, "dev", self.tap)
            self.run("ip", "link", "set", self.tap, "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for child in self._children:
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        _ip("netns", "del", self.name)

    def nic(self, index=0, options="", netdev_options=""):
        """The QEMU arguments of a device on this wire, for Guest(net=...)."""
        extra = netdev_options and "," + netdev_options
        device = f"virtio-net-pci,disable-legacy=on,romfile=,netdev=net{index},id=nic{index}"
        return ["-netdev", f"tap,id=net{index},ifname={self.tap},script=no,downscript=no" + extra,
                "-device", device + (options and "," + options)]

    def run(self, *command, deadline=30, check=True):
        """Runs a command inside the namespace; what it printed."""
        done = subprocess.run(["ip", "netns", "exec", self.name, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=deadline, check=False)
        if check and done.returncode:
            raise GuestFailure(f"{shlex.join(command)}: status {done.returncode}\n{done.stdout}")
        return done.stdout

    def spawn(self, *command, log=None):
        """Starts a command inside the namespace until the end of the test; its output goes to the file log."""
        with open(log, "wb") if log else contextlib.nullcontext(subprocess.DEVNULL) as output:
            child = subprocess.Popen(["ip", "netns", "exec", self.name, *command], stdin=subprocess.DEVNULL, stdout=output,
                                     stderr=subprocess.STDOUT)
        self._children.append(child)
        return child

    def serve_dhcp(self, folder, first="192.168.77.50", last="192.168.77.99", *options):
        """A DHCP server, and a DNS server that knows what the options tell it; its log is dnsmasq.log in the folder."""
        log = os.path.join(folder, "dnsmasq.log")
        # On a path dnsmasq must be able to write as root, for it drops no rights here.
        return self.spawn("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
                          "--group=root", f"--interface={self.tap}", "--bind-interfaces", "--log-dhcp", "--pid-file=",
                          f"--dhcp-leasefile={os.path.join(folder, 'leases')}", f"--dhcp-range={first},{last},1h",
                          *options, log=log)


def _ip(*arguments):
    done = subprocess.run(["ip", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
    if done.returncode:
        raise GuestFailure(f"ip {shlex.join(arguments)}: {done.stdout.strip()}")


def network_missing():
    """Why a test cannot have a network of its own here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun"
    try:
        with Network():
            return None
    except (GuestFailure, OSError) as error:
        return f"network namespaces or tap devices do not work here: {error}"
