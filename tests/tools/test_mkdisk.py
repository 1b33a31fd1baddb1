# SPDX-License-Identifier: MIT
"""Disk images, judged by other people's tools."""

import os
import subprocess

import pytest

import qemu

TOOL = os.path.join(os.path.dirname(qemu.__file__), "mkdisk")


def mkdisk(path, *options):
    subprocess.run([TOOL, *options, path], check=True, timeout=60)
    return path


def say(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    return done.stdout


def test_the_demonstration_disk_is_the_same_bytes_twice(tmp_path):
    assert mkdisk(tmp_path / "one").read_bytes() == mkdisk(tmp_path / "two").read_bytes()


@pytest.mark.parametrize("size", ["100K", "1M", "32M", "8T"])
def test_sgdisk_finds_no_problem_in_a_gpt(tmp_path, size):
    disk = mkdisk(tmp_path / "disk", "--size", size, "--no-files")
    assert "No problems found" in say("/sbin/sgdisk", "-v", disk)
    assert disk.stat().st_blocks < 1000


def test_mtools_reads_the_files(tmp_path):
    disk = mkdisk(tmp_path / "disk")
    assert "Hello from the first partition." in say("mtype", "-i", f"{disk}@@1M", "::HELLO.TXT")
    assert "100 10000" in say("mtype", "-i", f"{disk}@@1M", "::DOCS/NUMBERS.TXT")


def test_fdisk_reads_the_mbr(tmp_path):
    listing = say("/sbin/fdisk", "-l", mkdisk(tmp_path / "disk", "--table", "mbr", "--no-files"))
    assert "Disklabel type: dos" in listing and "32768 63487" in listing


@pytest.mark.parametrize("damage, complaint", [("header-crc", "invalid main GPT header"), ("entries-crc", "CRC"),
                                               ("entry-beyond", "differ")])
def test_sgdisk_complains_of_each_broken_gpt(tmp_path, damage, complaint):
    assert complaint in say("/sbin/sgdisk", "-v", mkdisk(tmp_path / "disk", "--no-files", "--break", damage))


def test_a_disk_may_be_one_empty_sector(tmp_path):
    assert mkdisk(tmp_path / "disk", "--table", "none", "--size", "512").read_bytes() == bytes(512)


def test_a_disk_too_small_for_a_table_is_refused_and_not_left_behind(tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        mkdisk(tmp_path / "disk", "--size", "1024")
    assert not os.listdir(tmp_path)
