# SPDX-License-Identifier: MIT
"""Loaders besides QEMU's own: GRUB, UEFI firmware, kexec, from the media that `make images` makes; and images that are
damaged, or put where they cannot run. What firmware and machine do with each other is the matrix's business."""

import os
import shutil
import subprocess

import pytest
from boots import FIRMWARE
from harness import ROOT, Guest, qemu
from linux_guest import initramfs, libraries, linux_args, linux_missing

KERNEL_WORDS = "log=debug -- first second"


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    paths = {form: os.fspath(folder / f"hello.{form}") for form in ("iso", "raw", "qcow2")}
    subprocess.run([os.path.join(ROOT, "tools/mkimages"), "--app", "hello", "--args", KERNEL_WORDS,
                    *[word for form, path in paths.items() for word in ("--" + form, path)]], check=True, timeout=120)
    return paths


def drive(path, device, form="raw", media="disk"):
    return ["-drive", f"if=none,id=boot,media={media},snapshot=on,format={form},file={path}", "-device", f"{device},drive=boot,bootindex=0"]


def boots_by(machine, firmware, args, **more):
    bios = ["-bios", FIRMWARE] if firmware == "UEFI" else []
    return Guest(boot=[*qemu.machine_args(machine, 64), *bios, *args], deadline=60, **more)


@pytest.mark.parametrize("machine, firmware, form, device", [
    ("q35", "BIOS", "iso", "ide-cd"), ("pc", "UEFI", "iso", "ide-cd"), ("pc", "BIOS", "iso", "ide-hd"), ("q35", "UEFI", "iso", "ide-hd"),
    ("q35", "BIOS", "raw", "virtio-blk-pci"), ("q35", "UEFI", "raw", "ide-hd"), ("pc", "BIOS", "qcow2", "ide-hd"),
    ("pc", "UEFI", "qcow2", "virtio-blk-pci")])
def test_each_medium_boots_by_bios_and_by_uefi(machine, firmware, form, device, media):
    args = drive(media[form], device, "qcow2" if form == "qcow2" else "raw", "cdrom" if device == "ide-cd" else "disk")
    with boots_by(machine, firmware, args) as guest:
        guest.wait_for(rf"started by {'UEFI' if firmware == 'UEFI' else 'multiboot2'}$", 40)
        guest.wait_for(r"^argument 1: first\nargument 2: second$", 10)
        assert guest.wait_exit(10) == 0


@pytest.mark.skipif(not shutil.which("mcopy"), reason="no mtools")
def test_without_words_on_the_medium_uefi_starts_with_none(tmp_path, media):
    path = shutil.copy(media["raw"], tmp_path / "raw")
    subprocess.run(["mdel", "-i", f"{path}@@1M", "::aerostat/cmdline"], check=True, timeout=30)
    with boots_by("q35", "UEFI", drive(path, "ide-hd")) as guest:
        guest.wait_for(r"started by UEFI$", 40)
        assert guest.wait_exit(10) == 0
        assert "argument" not in guest.log


MODULE = bytes(range(7, 250)) * 51  # neither page nor power of two


def assert_module_is_kept(guest):
    """The boot report says where it is; there QEMU finds its bytes."""
    told = guest.wait_for(r"^  module\n    0\n      start +(\d+)\n      bytes +(\d+)$", 60)
    assert int(told.group(2)) == len(MODULE)
    for at in (0, len(MODULE) - 8):
        shown = guest.hmp(f"xp /8xb {int(told.group(1)) + at:#x}").split(":")[1]
        assert bytes(int(byte, 16) for byte in shown.split()) == MODULE[at:at + 8]


@pytest.mark.parametrize("image", ["aerostat.elf", "aerostat.bzimage"])
def test_an_initrd_becomes_a_module(image, tmp_path):
    (tmp_path / "initrd").write_bytes(MODULE)
    args = ["-kernel", os.path.join(ROOT, "build", image), "-append", "ip=off", "-initrd", os.fspath(tmp_path / "initrd")]
    with boots_by("q35", "BIOS", args) as guest:
        assert_module_is_kept(guest)


@pytest.mark.skipif(not shutil.which("mcopy"), reason="no mtools")
def test_a_file_beside_the_uefi_program_becomes_a_module(tmp_path):
    path = os.fspath(tmp_path / "raw")
    subprocess.run([os.path.join(ROOT, "tools/mkimages"), "--app", "aerostat", "--args", "ip=off", "--raw", path], check=True, timeout=120)
    (tmp_path / "initrd").write_bytes(MODULE)
    subprocess.run(["mcopy", "-i", f"{path}@@1M", tmp_path / "initrd", "::aerostat/initrd"], check=True, timeout=30)
    with boots_by("q35", "UEFI", drive(path, "ide-hd")) as guest:
        assert_module_is_kept(guest)


def test_a_truncated_kernel_on_a_medium_is_a_clear_error(tmp_path, media):
    with open(media["iso"], "rb") as file:
        content = file.read()
    kernel = content.rindex(b"\x7fELF\x02\x01\x01")
    cut = tmp_path / "cut.iso"
    cut.write_bytes(content[:(kernel + 65536) // 2048 * 2048])
    with boots_by("q35", "BIOS", drive(cut, "ide-cd", media="cdrom")) as guest:
        # GRUB sees it, or a BIOS that reads zeros beyond the end leaves it to us.
        guest.wait_for(r"aerostat: the (kernel on this medium cannot be started|image was not loaded to its end)", 30)
        assert "started by" not in guest.log


def test_a_truncated_uefi_program_is_refused_by_the_firmware_or_by_itself(tmp_path, media):
    path = shutil.copy(media["raw"], tmp_path / "raw")
    program = tmp_path / "program"
    subprocess.run(["mcopy", "-i", f"{path}@@1M", "::EFI/BOOT/BOOTX64.EFI", program], check=True, timeout=30)
    program.write_bytes(program.read_bytes()[:100000])
    subprocess.run(["mcopy", "-o", "-i", f"{path}@@1M", program, "::EFI/BOOT/BOOTX64.EFI"], check=True, timeout=30)
    with boots_by("q35", "UEFI", drive(path, "ide-hd")) as guest:
        guest.wait_for(r"BdsDxe: failed to (load|start)|aerostat: the kernel in this file is damaged", 40)
        assert "started by" not in guest.log


def test_a_loader_that_puts_the_image_elsewhere_is_told(tmp_path):
    """QEMU keeps what the header says of the address, and loads at 1 MiB all the same: what comes first must see it."""
    with open(os.path.join(ROOT, "build/hello.bzimage"), "rb") as file:
        content = bytearray(file.read())
    content[0x214:0x218] = (0x200000).to_bytes(4, "little")
    elsewhere = tmp_path / "elsewhere.bzimage"
    elsewhere.write_bytes(content)
    with Guest(boot=[*qemu.machine_args("q35", 64), "-kernel", os.fspath(elsewhere)], deadline=30) as guest:
        guest.wait_for(r"aerostat: the image must lie at 1 MiB, its loader put it elsewhere", 20)
        guest.wait_for(r"^aerostat: exit 102$", 5)


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_the_bzimage_boots_by_kernel(machine):
    path = os.path.join(ROOT, "build/hello.bzimage")
    with Guest(boot=[*qemu.machine_args(machine, 64), "-kernel", path, "-append", KERNEL_WORDS], deadline=30) as guest:
        guest.wait_for(r"started by Linux$", 20)
        guest.wait_for(r"^argument 2: second$", 10)
        assert guest.wait_exit(10) == 0


@pytest.mark.parametrize("left", [["PENDING=0xec"], ["IN_SERVICE=0xf0"], ["IN_SERVICE=0xf0", "PENDING=0xec"]])
def test_interrupts_that_the_loader_left_in_the_apic_do_no_harm(left, tmp_path):
    """It died of Linux's timer, one time in some that Linux started it."""
    with open(os.path.join(ROOT, "build/selftest.bzimage"), "rb") as file:
        content = bytearray(file.read())
    image = (content[0x1f1] + 1) * 512
    assert content[image] == 0xe9  # a jump to the 32-bit entry
    entry = 0x100005 + int.from_bytes(content[image + 1:image + 5], "little", signed=True)
    at = 0x100000 + len(content) - image
    loader = tmp_path / "loader"
    subprocess.run(["nasm", "-f", "bin", f"-DAT={at}", f"-DENTRY={entry}", *[f"-D{what}" for what in left], "-o", loader,
                    os.path.join(ROOT, "tests/guest/leftovers.asm")], check=True, timeout=30)
    content[image + 1:image + 5] = (at - 0x100005).to_bytes(4, "little")
    path = tmp_path / "image"
    path.write_bytes(content + loader.read_bytes())
    with Guest(boot=[*qemu.machine_args("q35", 64), "-kernel", os.fspath(path), "-append", "-- sleep 20"], deadline=30) as guest:
        guest.wait_for(r"slept \d+ us of 20 ms$", 20)
        assert guest.wait_exit(10) == 0


@pytest.mark.parametrize("form", ["elf", "bzimage"])
def test_linux_starts_it_by_kexec(form, tmp_path):
    """The ELF file by the 64-bit entry, the other by the 32-bit one."""
    if linux_missing():
        pytest.skip(f"Linux is missing: {linux_missing()}")
    kexec, image = "/usr/sbin/kexec", shutil.copy(os.path.join(ROOT, "build/hello." + form), tmp_path / "image")
    if form == "elf":
        subprocess.run([os.path.join(ROOT, "tools/align-segments"), image], check=True, timeout=30)
    kind = {"elf": "--type=elf-x86_64 --args-linux", "bzimage": "--type=bzImage"}[form]
    archive = initramfs(tmp_path / "initramfs", f"kexec -l /image {kind} --command-line='{KERNEL_WORDS}'\necho entering\nkexec -e\n"
                        "poweroff -f\n", {"sbin/kexec": kexec, "image": image, **{path: path for path in libraries(kexec)}})
    with Guest(boot=[*qemu.machine_args("q35", 512), *linux_args(archive)], deadline=120) as guest:
        guest.wait_for(r"^entering", 90)
        guest.wait_for(r"^aerostat \S+, started by Linux$", 30)
        guest.wait_for(r"^argument 2: second$", 10)
        assert guest.wait_exit(10) == 0
