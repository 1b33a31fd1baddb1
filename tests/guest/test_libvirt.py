# SPDX-License-Identifier: MIT
"""The guest as a libvirt domain: defined from what tools/domain writes, and managed by virsh as any other guest."""

import os
import re
import subprocess

import pytest
from harness import AUDIT_PASSED, MIB, ROOT, GuestFailure, image, sparse_disk
from libvirtd import Libvirt, libvirt_missing

NAME = "aerostat-test"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """One for all tests, for it asks QEMU a lot when it starts."""
    if libvirt_missing():
        pytest.skip(f"libvirt is missing: {libvirt_missing()}")
    with Libvirt(tmp_path_factory.mktemp("libvirt")) as started:
        yield started


@pytest.fixture
def libvirt(daemon):
    yield daemon
    daemon.virsh("destroy", NAME, check=False)
    daemon.virsh("undefine", NAME, check=False)


class Domain:
    """A domain with its console in a file."""

    def __init__(self, libvirt, folder, *options):
        self.libvirt, self.console, path = libvirt, folder / "console", folder / "domain.xml"
        written = subprocess.run([os.path.join(ROOT, "tools/domain"), "--name", NAME, "--console", self.console, *options],
                                 stdout=subprocess.PIPE, text=True, check=True, timeout=30)
        path.write_text(written.stdout)
        libvirt.virsh("define", "--validate", os.fspath(path))
        libvirt.virsh("start", NAME)

    def log(self):
        return self.console.read_text(errors="replace").replace("\r", "") if self.console.exists() else ""

    def wait_console(self, pattern, deadline=30):
        try:
            return self.libvirt.wait_for(lambda: re.search(pattern, self.log(), re.M), deadline, f"guest to show {pattern!r}")
        except GuestFailure as error:
            raise GuestFailure(f"{error}\nconsole:\n{self.log()}") from None

    def memory_stats(self):
        return {name: int(value) for name, value in re.findall(r"^(\S+) (\d+)$", self.libvirt.virsh("dommemstat", NAME), re.M)}

    def wait_stats(self, condition, deadline=30):
        try:
            return self.libvirt.wait_for(lambda: condition(self.memory_stats()), deadline, "memory statistics")
        except GuestFailure as error:
            raise GuestFailure(f"{error}\nthey are {self.memory_stats()}\nconsole:\n{self.log()}") from None


def test_a_domain_starts_is_resized_tells_its_memory_and_is_shut_down(libvirt, tmp_path):
    disk = sparse_disk(tmp_path / "disk", MIB)
    domain = Domain(libvirt, tmp_path, "--accel", "tcg", "--app", image("aerostat"), "--memory", "128", "--current-memory", "96", "--disk", disk)
    domain.wait_console(r"^serving on http://10\.0\.2\.15/$")
    # currentMemory below memory: the balloon takes the difference from the start.
    domain.wait_stats(lambda stats: stats["actual"] == 96 * 1024)
    for mib in (64, 128, 80):
        libvirt.virsh("setmem", NAME, f"{mib}M", "--live")
        domain.wait_stats(lambda stats, mib=mib: stats["actual"] == mib * 1024)
    # A size of not whole pages leaves the guest one page more; one above the maximum libvirt refuses for every guest.
    libvirt.virsh("setmem", NAME, "100001K", "--live")
    domain.wait_stats(lambda stats: stats["actual"] == 100004)
    libvirt.virsh("setmem", NAME, "80M", "--live")
    assert "higher than max memory" in libvirt.virsh("setmem", NAME, "129M", "--live", check=False)
    domain.wait_stats(lambda stats: stats["actual"] == 80 * 1024)
    # The guest's own statistics follow, asked for every second.
    domain.wait_stats(lambda stats: 0 < stats["unused"] < stats["available"] <= 80 * 1024)
    libvirt.virsh("shutdown", NAME, "--mode", "acpi")
    libvirt.wait_state(NAME, "shut off (shutdown)")
    assert domain.log().endswith("aerostat: exit 0\n")
    assert AUDIT_PASSED.search(domain.log())


def test_a_domain_is_destroyed_and_starts_again(libvirt, tmp_path):
    domain = Domain(libvirt, tmp_path, "--accel", "tcg", "--machine", "pc")
    domain.wait_console(r"^serving on")
    libvirt.virsh("destroy", NAME)
    libvirt.wait_state(NAME, "shut off (destroyed)")
    domain.console.unlink()
    libvirt.virsh("start", NAME)
    domain.wait_console(r"^serving on")


def test_a_panic_is_a_crash_that_libvirt_sees(libvirt, tmp_path):
    domain = Domain(libvirt, tmp_path, "--accel", "tcg", "--app", image("selftest"), "--args=-- fault wild")
    domain.wait_console(r"^panic")
    libvirt.wait_state(NAME, "crashed (panicked)")


def test_virt_install_imports_the_image(libvirt, tmp_path):
    """The image that `make images` makes, as a disk of a guest like any other: firmware and boot loader start it."""
    image_path, console = tmp_path / "aerostat.qcow2", tmp_path / "console"
    subprocess.run([os.path.join(ROOT, "tools/mkimages"), "--qcow2", image_path], check=True, timeout=120)
    libvirt.run("/usr/bin/python3", "/usr/bin/virt-install", "--connect", "qemu:///system", "--import", "--name", NAME, "--memory", "128",
                "--virt-type", "qemu", "--osinfo", "detect=off,require=off", "--disk", f"path={image_path},bus=virtio", "--network", "user,model=virtio",
                "--graphics", "none", "--serial", f"file,path={console}", "--noautoconsole", deadline=60)

    def log():
        return console.read_text(errors="replace") if console.exists() else ""
    try:
        libvirt.wait_for(lambda: "serving on http://10.0.2.15/" in log(), 40, "guest to serve")
    except GuestFailure as error:
        raise GuestFailure(f"{error}\nconsole:\n{log()}") from None
    assert "started by multiboot2" in log()
    libvirt.virsh("shutdown", NAME, "--mode", "acpi")
    libvirt.wait_state(NAME, "shut off (shutdown)")


def test_a_domain_runs_under_kvm(libvirt, kvm, tmp_path):
    domain = Domain(libvirt, tmp_path, "--accel", kvm, "--app", image("hello"))
    domain.wait_console(r"^aerostat: exit \d+$", 120)
    libvirt.wait_state(NAME, "shut off")
