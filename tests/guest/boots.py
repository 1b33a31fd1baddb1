# SPDX-License-Identifier: MIT
"""The ways to boot: how QEMU comes to an image, and the image to its words.

PVH          -kernel, the ELF file
Linux        -kernel, the file with a Linux setup header
multiboot2   GRUB on a CD, started by a BIOS
UEFI         the same CD, started by UEFI firmware
"""

import functools
import os
import re
import subprocess
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import qemu  # noqa: E402  (found by the line above)

BOOTS = ["PVH", "multiboot2", "Linux", "UEFI"]
FIRMWARE = "/usr/share/ovmf/OVMF.fd"

lock = threading.Lock()


def boot_args(boot, app, words):
    """QEMU's arguments for one of BOOTS; app is an application's name."""
    if boot in ("PVH", "Linux"):
        path = os.path.join(ROOT, "build", app + {"PVH": ".elf", "Linux": ".bzimage"}[boot])
        if not os.path.isfile(path):
            raise qemu.QemuError(f"no image {path}: make builds it")
        return ["-kernel", path, "-append", words]
    with lock:
        iso = made_iso(app, words)
    firmware = ["-bios", FIRMWARE] if boot == "UEFI" else []
    return [*firmware, "-drive", f"if=none,id=cd,media=cdrom,readonly=on,file={iso}", "-device", "ide-cd,drive=cd,bootindex=0"]


@functools.lru_cache
def made_iso(app, words):
    """A CD with these words, from the same tool as `make images`."""
    path = os.path.join(ROOT, "build/matrix", re.sub(r"\W+", "_", f"{app} {words}") + ".iso")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    done = subprocess.run([os.path.join(ROOT, "tools/mkimages"), "--app", app, "--args", words, "--iso", path], check=False,
                          timeout=120, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise qemu.QemuError(f"tools/mkimages failed: {done.stdout}")
    return path
