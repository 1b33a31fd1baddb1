# SPDX-License-Identifier: MIT
"""libvirt for tests: a daemon of their own, which sees folders of theirs where it looks for its configuration and state, so
that nothing of it meets another libvirt of the host or stays behind."""

import os
import shlex
import subprocess
import time

from harness import GuestFailure

FOLDERS = {"etc": "/etc/libvirt", "run": "/run/libvirt", "lib": "/var/lib/libvirt", "log": "/var/log/libvirt", "cache": "/var/cache/libvirt"}

DEFAULT_USER = "libvirt-qemu"

# As root without a security driver: what a test may read, so may its guests.
QEMU_CONF = '''
stdio_handler = "file"
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
namespaces = []
'''

DAEMON_CONF = '''
auth_unix_rw = "none"
unix_sock_group = "root"
log_filters = "3:*"
'''


def libvirt_missing():
    """Why libvirt cannot be used here, or None."""
    if os.geteuid() != 0:
        return "libvirt's system daemon needs root"
    for program in ["/usr/sbin/libvirtd", "/usr/bin/virsh", "/usr/bin/virt-install"]:
        if not os.path.exists(program):
            return f"no {program}"
    return None


class Libvirt:
    """
        with Libvirt(tmp_path / "libvirt") as libvirt:
            libvirt.virsh("define", xml)
    """

    def __init__(self, folder):
        self.folder = os.fspath(folder)
        self.daemon = None

    def _path(self, *parts):
        return os.path.join(self.folder, *parts)

    def __enter__(self):
        for name in FOLDERS:
            os.makedirs(self._path(name, "qemu"))
        with open(self._path("etc", "qemu.conf"), "w", encoding="ascii") as file:
            file.write(QEMU_CONF)
        with open(self._path("etc", "libvirtd.conf"), "w", encoding="ascii") as file:
            file.write(DAEMON_CONF)
        mounts = "".join(f"mkdir -p {there} && mount --bind {shlex.quote(self._path(name))} {there} && "
                         for name, there in FOLDERS.items())
        mounts += self._know_default_user()
        with open(self._path("daemon.log"), "wb") as log:
            self.daemon = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "sh", "-c",
                 mounts + f"exec libvirtd --pid-file {shlex.quote(self._path('pid'))}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, process_group=0)
        try:
            self.wait_for(lambda: "libvirt" in self.virsh("version", check=False).lower() and os.path.exists(self._path("pid")),
                          30, "daemon")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _know_default_user(self):
        """The driver wants to know the user that it was built with, whom another package makes, even where it is not used."""
        mounts = ""
        for name, line in {"passwd": f"{DEFAULT_USER}:x:64055:64055::/:/usr/sbin/nologin\n", "group": f"{DEFAULT_USER}:x:64055:\n"}.items():
            with open(f"/etc/{name}", encoding="utf-8") as file:
                known = file.read()
            if f"{DEFAULT_USER}:" in known:
                continue
            with open(self._path(name), "w", encoding="utf-8") as file:
                file.write(known + line)
            mounts += f"mount --bind {shlex.quote(self._path(name))} /etc/{name} && "
        return mounts

    def __exit__(self, *_):
        for name in self.virsh("list", "--name", check=False).split():
            self.virsh("destroy", name, check=False)
        self.daemon.terminate()
        try:
            self.daemon.wait(10)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()

    def log(self):
        with open(self._path("daemon.log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def run(self, *command, deadline=30, check=True):
        """A command that sees what the daemon sees; what it printed."""
        try:
            done = subprocess.run(["nsenter", f"--mount=/proc/{self.daemon.pid}/ns/mnt", *command], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=deadline, check=False)
        except subprocess.TimeoutExpired as error:
            raise GuestFailure(f"{shlex.join(command)}: no end after {deadline} s\n{self.log()}") from error
        if check and done.returncode:
            raise GuestFailure(f"{shlex.join(command)}: status {done.returncode}\n{done.stdout}\n{self.log()}")
        return done.stdout

    def virsh(self, *arguments, deadline=30, check=True):
        return self.run("virsh", "-q", "-c", "qemu:///system", *arguments, deadline=deadline, check=check)

    def wait_for(self, condition, deadline, what):
        end = time.monotonic() + deadline
        while True:
            value = condition()
            if value:
                return value
            if self.daemon.poll() is not None:
                raise GuestFailure(f"waiting for libvirt's {what}: the daemon ended\n{self.log()}")
            if time.monotonic() > end:
                raise GuestFailure(f"waiting for libvirt's {what}: {deadline} s passed\n{self.log()}")
            time.sleep(0.1)

    def wait_state(self, name, wanted, deadline=20):
        """Waits until `virsh domstate --reason` begins with that text."""
        return self.wait_for(lambda: self.virsh("domstate", "--reason", name).strip().startswith(wanted), deadline, f"state {wanted}")
