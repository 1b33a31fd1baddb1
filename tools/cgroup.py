# SPDX-License-Identifier: MIT
"""A memory cgroup for some processes, without swap: more than its limit they cannot have, the kernel kills one before."""

import os
import re
import time

V1_MEMORY = re.compile(r"^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$", re.M)


class CgroupMissing(Exception):
    """Why none can be made here, in one line."""


def find_v1(proc):
    """Where this process is in version 1's hierarchy of memory, as a folder; None: there is no such hierarchy."""
    with open(os.path.join(proc, "self/cgroup"), encoding="utf-8") as file:
        own = V1_MEMORY.search(file.read())
    with open(os.path.join(proc, "self/mountinfo"), encoding="utf-8") as file:
        mounts = [line.split() for line in file]
    for fields in mounts:
        kind, options = fields[fields.index("-") + 1], fields[-1].split(",")
        if own and kind == "cgroup" and "memory" in options:
            # A container may see a part of the hierarchy only: field 3 says which.
            inner = os.path.relpath(own.group(1), fields[3])
            return os.path.normpath(os.path.join(fields[4], "" if inner.startswith("..") else inner))
    return None


def find_v2(proc):
    """The root of version 2's hierarchy; None: there is none, or it does not pass memory on. Elsewhere a cgroup with processes
    of its own cannot have one with memory inside, and ours has this one."""
    with open(os.path.join(proc, "self/mountinfo"), encoding="utf-8") as file:
        roots = [fields[4] for fields in map(str.split, file) if fields[fields.index("-") + 1] == "cgroup2"]
    for root in roots:
        with open(os.path.join(root, "cgroup.subtree_control"), encoding="ascii") as file:
            if "memory" in file.read().split():
                return root
    return None


def room(proc="/proc"):
    """Bytes that this process and its children may still have: what the host has available, or less by the cgroups it is in."""
    with open(os.path.join(proc, "meminfo"), encoding="ascii") as file:
        free = int(re.search(r"^MemAvailable:\s+(\d+) kB$", file.read(), re.M).group(1)) * 1024
    own = find_v1(proc)
    if own:
        with open(os.path.join(own, "memory.stat"), encoding="ascii") as file:
            limit = re.search(r"^hierarchical_memory_limit (\d+)$", file.read(), re.M)
        with open(os.path.join(own, "memory.usage_in_bytes"), encoding="ascii") as file:
            return min(free, int(limit.group(1)) - int(file.read())) if limit else free
    return min([free, *limits_v2(proc)])


def limits_v2(proc):
    """What each cgroup of version 2 that this process is in still allows."""
    with open(os.path.join(proc, "self/cgroup"), encoding="utf-8") as file:
        own = re.search(r"^0::/(.*)$", file.read(), re.M)
    root = find_v2(proc)
    path = own.group(1) if own and root else ""
    while path:
        try:
            with open(os.path.join(root, path, "memory.max"), encoding="ascii") as limit, \
                    open(os.path.join(root, path, "memory.current"), encoding="ascii") as used:
                word = limit.read().strip()
                if word != "max":
                    yield int(word) - int(used.read())
        except FileNotFoundError:
            pass  # this one does not count memory
        path = os.path.dirname(path)


class Cgroup:
    """Made at once, with all of `limit` bytes in force; remove() it when its processes have gone."""

    def __init__(self, name, limit, proc="/proc"):
        above = find_v1(proc)
        self.version = 1 if above else 2
        above = above or find_v2(proc)
        if not above:
            raise CgroupMissing("no hierarchy passes memory on")
        self.path = os.path.join(above, name)
        try:
            os.mkdir(self.path)
        except OSError as error:
            raise CgroupMissing(f"{self.path}: {error.strerror}") from None
        try:
            self._set(limit)
        except OSError as error:
            self.remove()
            raise CgroupMissing(f"{self.path}: {error.strerror}") from None

    def _set(self, limit):
        if self.version == 2:
            self._write("memory.swap.max", 0, must=False)  # not there without swap in the kernel
            self._write("memory.max", limit)
        else:
            self._write("memory.swappiness", 0)
            self._write("memory.limit_in_bytes", limit)
            self._write("memory.memsw.limit_in_bytes", limit, must=False)

    def _write(self, name, value, must=True):
        path = os.path.join(self.path, name)
        if must or os.path.exists(path):
            with open(path, "w", encoding="ascii") as file:
                file.write(str(value))

    def _read(self, name):
        with open(os.path.join(self.path, name), encoding="ascii") as file:
            return file.read()

    def prefix(self):
        """What a command is started through, so that all of its memory counts from the start."""
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', os.path.join(self.path, "cgroup.procs")]

    def peak(self):
        """The most bytes that there were; None: this kernel does not tell."""
        name = "memory.peak" if self.version == 2 else "memory.max_usage_in_bytes"
        return int(self._read(name)) if os.path.exists(os.path.join(self.path, name)) else None

    def kills(self):
        """How many processes the kernel has killed because the limit was reached."""
        text = self._read("memory.events" if self.version == 2 else "memory.oom_control")
        return int(re.search(r"^oom_kill (\d+)$", text, re.M).group(1))

    def remove(self, seconds=5):
        """The last process may still be on its way out."""
        end = time.monotonic() + seconds
        while True:
            try:
                os.rmdir(self.path)
                return
            except FileNotFoundError:
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
