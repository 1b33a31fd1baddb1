# SPDX-License-Identifier: MIT
"""A QEMU process as the launcher and the guest tests see it: what to start, its console, its QMP, and what became of it.

The console and QMP are socket pairs handed to QEMU, so there is no path to clash with, nothing to clean up and no race
at the start. Threads do nothing but read them; everything that is read is guarded by one condition, `Vm.changed`.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

PANICKED = 101
QEMU_FAILED = 103
DEADLINE_PASSED = 124

EXIT_RECORD = re.compile(r"aerostat: exit (\d+)$")

# QEMU 7.2's "host" offers MSR 0x10a, which some KVMs refuse; the others are for hosts where the first does not start.
KVM_CPUS = ["host,-arch-capabilities", "host", "kvm64"]


class QemuError(Exception):
    """QEMU cannot be started or does not answer; the text is one line for the user."""


def kvm_missing():
    """Why KVM cannot be used here, or None."""
    try:
        fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"/dev/kvm does not open: {error.strerror}"
    try:
        if fcntl.ioctl(fd, 0xAE00) != 12:  # KVM_GET_API_VERSION
            return "/dev/kvm speaks another API version"
    except OSError as error:
        return f"/dev/kvm does not answer: {error.strerror}"
    finally:
        os.close(fd)
    return None


def choose_accel(wanted):
    """-> ("kvm" or "tcg", why). auto takes KVM only where hardware stands behind it: interpreted KVM is slower than TCG."""
    missing = kvm_missing()
    if wanted == "kvm":
        if missing:
            raise QemuError(f"ACCEL=kvm is impossible: {missing}")
        return "kvm", "as asked"
    if wanted == "tcg":
        return "tcg", "as asked"
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        hardware = re.search(r"^flags\s*:.*\b(vmx|svm)\b", file.read(), re.M)
    if not hardware:
        return "tcg", "this CPU shows neither vmx nor svm"
    if missing:
        return "tcg", missing
    return "kvm", f"{hardware.group(1)} in /proc/cpuinfo and /dev/kvm opens"


def qemu_binary():
    binary = os.environ.get("QEMU", "qemu-system-x86_64")
    path = shutil.which(binary)
    if not path:
        raise QemuError(f"{binary} is not installed: run  tools/setup run")
    return path


def machine_args(machine, memory, smp=1, transport="pci"):
    """The machine itself. Only what is named is there: no default devices, and no restart after a reset. The transport of
    virtio devices: "pci", or for microvm "mmio" (version 2) and "mmio-legacy" (version 1), without any PCI."""
    kinds = {
        "q35": "q35",
        "pc": "pc",
        "microvm": "microvm,acpi=on,pcie=" + ("on" if transport == "pci" else "off"),
    }
    if transport != "pci" and machine != "microvm":
        raise QemuError(f"no virtio-mmio on machine '{machine}': microvm")
    if machine not in kinds:
        raise QemuError(f"no machine '{machine}': q35, pc or microvm")
    args = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", kinds[machine]]
    args += ["-m", str(memory), "-smp", str(smp)]
    if machine == "microvm":
        args += ["-global", f"virtio-mmio.force-legacy={'true' if transport == 'mmio-legacy' else 'false'}"]
    else:
        args += ["-device", "pvpanic"]
    return args


def disk_format(path):
    with open(path, "rb") as file:
        return "qcow2" if file.read(4) == b"QFI\xfb" else "raw"


def virtio_device(kind, transport="pci"):
    """The name of a virtio device, with what it needs on that transport."""
    return f"virtio-{kind}-pci,disable-legacy=on" if transport == "pci" else f"virtio-{kind}-device"


def disk_args(path, index, read_only=False, options="", transport="pci"):
    """One virtio block device on a raw or qcow2 file; ids are disk0, disk1, ..."""
    if not os.path.exists(path):
        raise QemuError(f"no disk image {path}")
    drive = f"if=none,id=disk{index},format={disk_format(path)},discard=unmap,file={path.replace(',', ',,')}"
    if read_only:
        drive += ",read-only=on"
    device = f"{virtio_device('blk', transport)},drive=disk{index},id=blk{index}"
    return ["-drive", drive, "-device", device + (options and "," + options)]


def user_net_args(forwards=(), index=0, options="", netdev_options="", transport="pci"):
    """One virtio network device on QEMU's user network; forwards are (host port, guest port) on loopback, TCP."""
    netdev = f"user,id=net{index}"
    for host, guest in forwards:
        netdev += f",hostfwd=tcp:127.0.0.1:{host}-:{guest}"
    # No option ROM: nothing here boots from the network, and firmware takes long to run it.
    rom = ",romfile=" if transport == "pci" else ""
    device = f"{virtio_device('net', transport)}{rom},netdev=net{index},id=nic{index}"
    return ["-netdev", netdev + (netdev_options and "," + netdev_options), "-device", device + (options and "," + options)]


def balloon_args(options="", transport="pci"):
    return ["-device", virtio_device("balloon", transport) + ",id=balloon0" + (options and "," + options)]


def free_port(first=None):
    """A TCP port on loopback that nobody holds: `first` if it is free, else any."""
    for port in [first, 0] if first else [0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise QemuError("no free TCP port on 127.0.0.1")


class Vm:
    """One QEMU process. start(), then wait(); status() says with what the guest ended."""

    def __init__(self, args, accel="tcg", cpu=None, on_console=None, prefix=()):
        self.args = list(args)
        self.accel = accel
        self.cpus = [cpu] if cpu else KVM_CPUS if accel == "kvm" else ["max"]
        self.prefix = list(prefix)  # what QEMU is started through, e.g. ip netns exec NAME
        self.on_console = on_console
        self.console_room = None  # what may wait for the console's reader; None: as much as the system likes
        self.console_piece = 65536  # the most that is read at once
        self.changed = threading.Condition()
        self.console = bytearray()
        self.errors = bytearray()
        self.events = []
        self.command = []
        self.process = None
        self.ended = False
        self.failure = None  # (status, reason): why the run counts as failed whatever the guest printed
        self._answers = {}
        self._greeted = False
        self._look_at_status = False
        # Started by us once QMP listens; a guest that is to arrive from elsewhere starts when it is here.
        self._is_held = not {"-S", "-incoming"} & set(self.args)
        self._next_id = 0
        self._sockets = []
        self._threads = []

    # --- start and end

    def start(self):
        for cpu in self.cpus:
            self._spawn(cpu)
            if self._started(60):
                return self
            self.kill()
        text = self.error_text().strip().splitlines()
        raise QemuError("QEMU did not start: " + (text[-1] if text else f"exit status {self.process.returncode}"))

    def _started(self, deadline):
        """The greeting comes before the devices are made; an answer comes only after. The guest waits for it: QEMU tells
        no event before qmp_capabilities, so that of a guest that panics at once would be lost."""
        with self.changed:
            self.changed.wait_for(lambda: self._greeted or self.ended, deadline)
            if not self._greeted:
                return False
        try:
            self.execute("qmp_capabilities", deadline=deadline)
            if self._is_held:
                self.execute("cont", deadline=deadline)
        except QemuError:
            with self.changed:  # the socket may be closed before the end is known
                self.changed.wait_for(lambda: self.ended, 10)
            return self.ended and self.process.returncode == 0  # a guest so short that it has ended already
        return True

    def _spawn(self, cpu):
        console, console_far = socket.socketpair()
        qmp, qmp_far = socket.socketpair()
        if self.console_room is not None:
            console_far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.console_room)
        self._sockets = [console, qmp]
        self._console, self._qmp = console, qmp
        self._greeted = self.ended = False
        self.errors.clear()
        self.command = [qemu_binary(), "-accel", self.accel, "-cpu", cpu, *self.args]
        if self._is_held:
            self.command.append("-S")
        self.command += ["-chardev", f"socket,id=console,fd={console_far.fileno()}", "-serial", "chardev:console"]
        self.command += ["-chardev", f"socket,id=qmp,fd={qmp_far.fileno()}", "-mon", "chardev=qmp,mode=control"]
        command = self.prefix + self.command
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "KILL", *command]  # no orphan, even when we are killed
        try:
            # A process group of its own: Ctrl-C on the terminal is ours to handle.
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, process_group=0,
                                            pass_fds=[console_far.fileno(), qmp_far.fileno()])
        except OSError as error:
            raise QemuError(f"cannot start {command[0]}: {error.strerror}") from None
        finally:
            console_far.close()
            qmp_far.close()
        readers = [(self._read_console,), (self._read_errors, self.process.stdout), (self._read_qmp, qmp.makefile("rb"))]
        self._threads = [threading.Thread(target=target, args=args, daemon=True) for target, *args in readers]
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._reap, args=(self.process, self._threads), daemon=True).start()

    def _reap(self, process, readers):
        process.wait()
        for thread in readers:
            thread.join(5)  # what QEMU wrote last still counts
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def quit(self, grace=3):
        """Ends QEMU without asking the guest."""
        if not self.ended:
            try:
                self.execute("quit", deadline=grace)
            except QemuError:
                pass
        with self.changed:
            self.changed.wait_for(lambda: self.ended, grace)
        self.kill()

    def kill(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()
        with self.changed:
            self.changed.wait_for(lambda: self.ended, 10)
        for end in self._sockets:
            end.close()

    # --- readers, one thread each

    def _read_console(self):
        while True:
            try:
                piece = self._console.recv(self.console_piece)
            except OSError:
                piece = b""
            if not piece:
                return
            with self.changed:
                self.console += piece
                self.changed.notify_all()
            if self.on_console:
                self.on_console(piece)
            time.sleep(0.001)  # QEMU sends byte by byte; waking up for each would cost more than the guest

    def _read_errors(self, stream):
        for line in stream:
            with self.changed:
                self.errors += line
                self.changed.notify_all()

    def _read_qmp(self, stream):
        try:
            for line in stream:
                message = json.loads(line)
                with self.changed:
                    if "QMP" in message:
                        self._greeted = True
                    elif "event" in message:
                        self.events.append(message)
                        self._look_at_status |= message["event"] == "STOP"
                    else:
                        self._answers[message.get("id")] = message
                    self.changed.notify_all()
        except (OSError, ValueError):
            return

    # --- QMP

    def send(self, text):
        """Sends QMP commands whose answers nobody waits for."""
        self._qmp.sendall(text)

    def execute(self, command, arguments=None, deadline=10):
        """Runs one QMP command and returns its result."""
        with self.changed:
            self._next_id += 1
            ident = self._next_id
        request = {"execute": command, "id": ident}
        if arguments:
            request["arguments"] = arguments
        try:
            self._qmp.sendall(json.dumps(request).encode() + b"\n")
        except OSError:
            raise QemuError(f"QMP {command}: QEMU has ended") from None
        with self.changed:
            self.changed.wait_for(lambda: ident in self._answers or self.ended, deadline)
            answer = self._answers.pop(ident, None)
        if answer is None:
            raise QemuError(f"QMP {command}: " + ("QEMU has ended" if self.ended else f"no answer in {deadline} s"))
        if "error" in answer:
            raise QemuError(f"QMP {command}: {answer['error'].get('desc', answer['error'])}")
        return answer["return"]

    # --- what became of the guest

    def wait_until(self, condition, deadline):
        """Waits for condition() (called with `changed` held), the guest's end, its failure, or the deadline in seconds.
        Returns the condition's value."""
        end = None if deadline is None else time.monotonic() + deadline
        while True:
            with self.changed:
                def ready():
                    return condition() or self.ended or self.failure or self._look_at_status
                left = None if end is None else max(0, end - time.monotonic())
                # Bounded, so that signals are handled even while nothing arrives.
                self.changed.wait_for(ready, 0.5 if left is None else min(left, 0.5))
                look, self._look_at_status = self._look_at_status, False
                value = condition()
                if value or self.ended or self.failure:
                    return value
            if look:
                self._check_status()
            elif end is not None and time.monotonic() >= end:
                return value

    def _check_status(self):
        """A stopped guest may be one that nobody will ever start again."""
        try:
            status = self.execute("query-status", deadline=5)["status"]
        except QemuError:
            return
        reasons = {
            "internal-error": (DEADLINE_PASSED, f"emulation failed ({self.accel}: internal error, see QEMU's report)"),
            "io-error": (QEMU_FAILED, "the host could not serve a disk request (I/O error)"),
            "guest-panicked": (PANICKED, "the guest panicked"),
        }
        self.failure = self.failure or reasons.get(status)

    def wait(self, deadline=None):
        """Waits for the guest's end. After the deadline the run has failed and QEMU is ended."""
        self.wait_until(lambda: False, deadline)
        if not self.ended:
            if not self.failure:
                self.failure = (DEADLINE_PASSED, f"the deadline of {deadline:g} s passed")
            self.quit()
        return self.status()

    def status(self):
        """The exit status of a guest that has ended: its own last record, or what speaks against it."""
        if self.failure:
            return self.failure[0]
        # A record that was cut by QEMU's end may have lost digits: only a whole line counts.
        text = self.console_text()
        lines = text.rstrip().splitlines()
        record = lines and text.endswith("\n") and EXIT_RECORD.search(lines[-1])
        if record:
            return min(int(record.group(1)), 255)
        if any(event["event"] == "GUEST_PANICKED" for event in self.events):
            return PANICKED
        return QEMU_FAILED

    def reason(self):
        """One line about a run that did not end by the guest's own record, else None."""
        if self.failure:
            return self.failure[1]
        if self.status() == QEMU_FAILED and self.ended:
            code = self.process.returncode
            if code < 0:
                return f"QEMU was ended by {signal.Signals(-code).name}"
            if code > 0:
                return f"QEMU failed with status {code}"
            return "the guest ended without its exit record"
        return None

    def type(self, text):
        """Types on the serial console."""
        try:
            self._console.sendall(text.encode())
        except OSError:
            raise QemuError("typing on the console: QEMU has ended") from None

    def console_text(self):
        with self.changed:
            return self.console.decode("utf-8", "replace").replace("\r", "")

    def error_text(self):
        with self.changed:
            return self.errors.decode("utf-8", "replace")


def say(text):
    """A line of the launcher's own, apart from the guest's console."""
    print(text, file=sys.stderr, flush=True)
