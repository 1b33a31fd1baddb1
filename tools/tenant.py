# SPDX-License-Identifier: MIT
"""A guest with a working set to order about (apps/tenant), and how much of the host's memory it has."""

import os
import re
import socket
import threading
import time

import qemu

MIB = 1 << 20
PORT = "aerostat.orders"
TOLD = re.compile(r"holds (\d+) of (\d+), checked (\d+), lost (\d+)$")
HELD = re.compile(r"^Vm(?:RSS|Swap):\s+(\d+) kB$", re.M)


class TenantFailure(Exception):
    """A guest did not do what was waited for, with all that it said."""


class Tenant:
    """What it last told of itself, in MiB: `holds`, `wanted`, `checked`; in pages: `lost`."""

    def __init__(self, name, image, mib, accel, folder, balloon_options="", qemu_args=(), prefix=()):
        self.name, self.mib = name, mib
        self.orders_path = os.path.join(folder, f"{name}.orders")
        self.qmp_path = os.path.join(folder, f"{name}.qmp")
        args = qemu.machine_args("q35", mib) + ["-kernel", image, "-append", "log=error"] + qemu.balloon_args(balloon_options)
        args += ["-device", "virtio-serial-pci", "-chardev", f"socket,id=orders,path={self.orders_path},server=on,wait=off"]
        args += ["-device", f"virtserialport,chardev=orders,name={PORT}", "-qmp", f"unix:{self.qmp_path},server=on,wait=off"]
        self.vm = qemu.Vm(args + list(qemu_args), accel, prefix=prefix)
        self.holds = self.wanted = self.checked = self.lost = 0
        self.said = []  # what is no "holds": answers
        self._orders = None

    def start(self):
        self.vm.start()
        self._orders = socket.socket(socket.AF_UNIX)
        self._orders.connect(self.orders_path)
        threading.Thread(target=self._read, daemon=True).start()
        self.wait_for("ready", 60)

    def kill(self):
        self.vm.kill()
        if self._orders:
            self._orders.close()

    def _read(self):
        with self._orders.makefile("r", encoding="ascii", errors="replace") as lines:
            try:
                for line in lines:
                    self._hear(line.rstrip("\n"))
            except OSError:
                pass  # the guest's end is seen by its VM

    def _hear(self, line):
        told = TOLD.match(line)
        with self.vm.changed:
            if told:
                self.holds, self.wanted, self.checked, self.lost = map(int, told.groups())
            else:
                self.said.append(line)
            self.vm.changed.notify_all()

    def order(self, line):
        """The answer to it is waited for by wait_for()."""
        with self.vm.changed:
            self.said.clear()
        try:
            self._orders.sendall(line.encode() + b"\n")
        except OSError:
            raise TenantFailure(self.failure(f"to take the order {line!r}", "it has gone")) from None

    def hold(self, mib, rest_ms):
        self.order(f"hold {mib} {rest_ms}")

    def wait_for(self, answer, seconds):
        self.wait_until(lambda: answer in self.said, seconds, f"to answer {answer!r}")

    def wait_until(self, condition, seconds, what):
        if not self.vm.wait_until(condition, seconds):
            raise TenantFailure(self.failure(what, self.vm.reason() or (f"it ended with {self.vm.status()}" if self.vm.ended
                                                                        else f"{seconds:g} s passed")))

    def wait_resident(self, most, seconds):
        """Until no more than that many bytes of the host are its."""
        end = time.monotonic() + seconds
        while (now := self.resident()) > most:
            if self.vm.ended or time.monotonic() > end:
                raise TenantFailure(self.failure(f"to leave the host all but {most // MIB} MiB", f"it has {now // MIB} after {seconds:g} s"))
            time.sleep(0.005)

    def failure(self, what, why):
        return f"{self.name}: waiting for it {what}: {why}; it holds {self.holds} of {self.wanted} MiB\n" \
               f"{self.vm.console_text()}{self.vm.error_text()}"

    def resident(self):
        """Bytes of the host's memory that its QEMU has now, with what was swapped out; 0: it has ended. Some 50 us:
        smaps_rollup walks all page tables."""
        try:
            with open(f"/proc/{self.vm.process.pid}/status", encoding="ascii", errors="replace") as file:
                return 1024 * sum(map(int, HELD.findall(file.read())))
        except OSError:
            return 0
