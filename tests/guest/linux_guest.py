# SPDX-License-Identifier: MIT
"""Linux as a guest: Debian's kernel for clouds, busybox, and what a test adds, in an initramfs made here."""

import gzip
import os
import re
import subprocess

from harness import ROOT, GuestFailure

KERNEL = os.path.join(ROOT, "build/linux/vmlinuz")
BUSYBOX = "/bin/busybox"


def linux_missing():
    """Why there can be no such guest here, or None."""
    for path in [KERNEL, BUSYBOX]:
        if not os.path.exists(path):
            return f"no {path}"
    return None


def libraries(program):
    """The shared libraries that a program loads."""
    listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True, timeout=30).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def _entry(name, mode, content=b"", number=[0]):
    """One file in the "newc" form of cpio."""
    number[0] += 1
    fields = [number[0], mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    head += bytes(-len(head) % 4)
    return head + content + bytes(-len(content) % 4)


def initramfs(path, init, files):
    """init: a script for busybox's shell. files: names in the guest and where they are on the host."""
    content = {"init": None, "bin/busybox": BUSYBOX, **{name.lstrip("/"): source for name, source in files.items()}}
    folders = sorted({"/".join(name.split("/")[:n]) for name in [*content, "proc/x", "sys/x", "dev/x"]
                      for n in range(1, name.count("/") + 1)} | {"proc", "sys", "dev"})
    archive = b"".join(_entry(folder, 0o040755) for folder in folders)
    for name, source in content.items():
        if source is None:
            data = ("#!/bin/busybox sh\n/bin/busybox --install -s /bin\nexport PATH=/bin:/sbin\n"
                    "mount -t proc proc /proc\nmount -t sysfs sys /sys\nmount -t devtmpfs dev /dev\n" + init).encode()
        else:
            with open(source, "rb") as file:
                data = file.read()
        archive += _entry(name, 0o100755, data)
    archive += _entry("TRAILER!!!", 0)
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(archive)
    return os.fspath(path)


def linux_args(archive, words=""):
    """QEMU's arguments for it."""
    if linux_missing():
        raise GuestFailure(f"Linux is missing: {linux_missing()}")
    return ["-kernel", KERNEL, "-initrd", archive, "-append", f"console=ttyS0 quiet panic=-1 {words}"]
