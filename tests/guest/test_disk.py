# SPDX-License-Identifier: MIT
"""Disks end to end: what the guest reads is what the host has, what it writes is what the host finds, and bad disks do no harm."""

import hashlib
import json
import os
import re
import subprocess
import time
import zlib

import pytest
from harness import MIB, Guest, mkdisk, random_disk, sha256_of, sparse_disk

TIB = 1 << 40
BLOCKS_OF_4096 = "logical_block_size=4096,physical_block_size=4096"


def hash_line(digest, size):
    return rf"^sha256 {digest} bytes {size}$"


def read_whole(disks, wanted, cmdline="", disk=0, **guest_args):
    """Lets the guest hash a disk; wanted is what the host knows of it: digest and bytes."""
    with Guest("selftest", disks=disks, cmdline=f"{cmdline} -- disk-hash {disk}", **guest_args) as guest:
        guest.wait_for(hash_line(*wanted), 30)
        assert guest.wait_exit(10) == 0


def pattern_digest(size, seed):
    """The pattern of apps/selftest/disk.c: the 64-bit word number i is (i + seed) * 0x9e3779b97f4a7c15, little-endian."""
    digest, golden, word = hashlib.sha256(), 0x9E3779B97F4A7C15, seed * 0x9E3779B97F4A7C15
    for first in range(0, size // 8, 8192):
        words = []
        for _ in range(min(8192, size // 8 - first)):
            words.append((word & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little"))
            word += golden
        digest.update(b"".join(words))
    return digest.hexdigest()


def write_pattern(path, size, options="", seed=5, cmdline="", **guest_args):
    """Lets the guest fill the disk; the host compares every byte while QEMU still runs, for a flush has promised that."""
    sparse_disk(path, size)
    with Guest("selftest", disks=[(path, options)], cmdline=f"{cmdline} -- disk-pattern 0 {seed}", **guest_args) as guest:
        guest.wait_for(r"^PASS: flush$", 40)
        assert sha256_of(path) == pattern_digest(size, seed)
        guest.wait_for(r"^PASS: the pattern is read back$", 40)
        assert guest.wait_exit(10) == 0


# --- reading

@pytest.mark.parametrize("size", [512, 4096, 65536 - 512, 65536 + 512, 3 * MIB + 7 * 512, 24 * MIB])
def test_the_guest_reads_what_the_host_has(size, tmp_path):
    path, digest = random_disk(tmp_path / "disk", size)
    read_whole([path], (digest, size))


@pytest.mark.parametrize("options", ["logical_block_size=512", "logical_block_size=512,physical_block_size=4096", BLOCKS_OF_4096])
@pytest.mark.parametrize("irq", ["msix", "poll"])
def test_every_block_size_is_read_whole(options, irq, tmp_path):
    path, digest = random_disk(tmp_path / "disk", 2 * MIB)
    read_whole([(path, options)], (digest, 2 * MIB), f"irq={irq}")


@pytest.mark.parametrize("options", ["queue-size=4", "queue-size=4,indirect_desc=off", "indirect_desc=off", "event_idx=off",
                                     "indirect_desc=off,event_idx=off", "seg-max-adjust=off,queue-size=8"])
@pytest.mark.parametrize("ring", ["split", "packed"])
def test_rings_small_and_plain_carry_every_byte(options, ring, tmp_path):
    path, digest = random_disk(tmp_path / "disk", 2 * MIB)
    read_whole([(path, options + ",packed=on")], (digest, 2 * MIB), f"ring={ring}")


@pytest.mark.parametrize("disk", [0, 1])
def test_two_disks_are_kept_apart(disk, tmp_path):
    disks = [random_disk(tmp_path / "first", MIB, 1), random_disk(tmp_path / "second", 2 * MIB, 2)]
    wanted = (disks[disk][1], (1 + disk) * MIB)
    read_whole([disks[0][0], (disks[1][0], BLOCKS_OF_4096)], wanted, disk=disk)


def test_a_qcow2_disk_is_read_whole(tmp_path):
    raw, digest = random_disk(tmp_path / "raw", 2 * MIB)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, tmp_path / "disk"], check=True, timeout=30)
    read_whole([tmp_path / "disk"], (digest, 2 * MIB))


def slow_drive(path, requests_a_second):
    drive = f"if=none,id=slow,format=raw,file={path},throttling.iops-total={requests_a_second}"
    return ["-drive", drive, "-device", "virtio-blk-pci,disable-legacy=on,drive=slow,id=blk,request-merging=off"]


def test_a_slow_drive_keeps_requests_in_flight_and_loses_none(tmp_path):
    """Sixteen requests at once on a drive that takes its time: they come back late, and all of them."""
    path, digest = random_disk(tmp_path / "disk", 2 * MIB)
    with Guest("selftest", cmdline="-- disk-hash", qemu_args=slow_drive(path, 20)) as guest:
        guest.wait_for(r"^boot: main")
        end = time.monotonic() + 5
        while in_flight(guest) < 16:
            assert time.monotonic() < end, "never 16 requests in flight"
        guest.wait_for(hash_line(digest, 2 * MIB), 30)
        assert guest.wait_exit(10) == 0


def in_flight(guest):
    """Requests that the device holds now, as QEMU counts them."""
    return guest.qmp("x-query-virtio-queue-status", path="/machine/peripheral/blk/virtio-backend", queue=0)["inuse"]


def test_the_power_button_ends_a_guest_whose_requests_are_still_under_way(tmp_path):
    path, _ = random_disk(tmp_path / "disk", 2 * MIB)
    with Guest("selftest", cmdline="-- disk-hash", qemu_args=slow_drive(path, 2)) as guest:
        guest.wait_for(r"^boot: main")
        assert guest.powerdown() == 0
        assert "power button" in guest.log and "sha256" not in guest.log


# --- writing

@pytest.mark.parametrize("size, options, cmdline", [
    (8 * MIB, "", ""),
    (8 * MIB, "packed=on", "ring=packed"),
    (2 * MIB, "", "irq=poll"),
    (512, "", ""),
    (65536 * 3 + 512 * 5, "queue-size=4", ""),
    (4 * MIB, BLOCKS_OF_4096, ""),
    (2 * MIB, "indirect_desc=off,event_idx=off", ""),
    (2 * MIB, "write-cache=off", ""),
])
def test_what_the_guest_writes_and_flushes_is_on_the_host(size, options, cmdline, tmp_path):
    write_pattern(tmp_path / "disk", size, options, cmdline=cmdline)


def test_a_write_touches_no_other_disk(tmp_path):
    other, digest = random_disk(tmp_path / "other", MIB)
    path = sparse_disk(tmp_path / "disk", MIB)
    with Guest("selftest", disks=[other, path], cmdline="-- disk-pattern 1 9") as guest:
        assert guest.wait_exit() == 0
    assert (sha256_of(other), sha256_of(path)) == (digest, pattern_digest(MIB, 9))


def test_a_read_only_disk_is_read_and_refuses_writes(tmp_path):
    path, digest = random_disk(tmp_path / "disk", MIB)
    read_whole([(path, "read_only")], (digest, MIB))
    with Guest("selftest", disks=[(path, "read_only")], cmdline="-- disk-errors") as guest:
        guest.wait_for(r"^PASS: a write to a read-only disk$")
        assert guest.wait_exit() == 0
    with Guest("selftest", disks=[(path, "read_only")], cmdline="-- disk-pattern") as guest:
        guest.wait_for(r"^FAIL: the pattern is written$")
        assert guest.wait_exit() == 1
    assert sha256_of(path) == digest


@pytest.mark.parametrize("options", ["", BLOCKS_OF_4096])
def test_requests_that_cannot_be_end_in_an_error(options, tmp_path):
    path = sparse_disk(tmp_path / "disk", MIB)
    with Guest("selftest", disks=[(path, options)], cmdline="-- disk-errors") as guest:
        assert guest.wait_exit() == 0
        assert guest.log.count("PASS: ") == 7 and "FAIL" not in guest.log


# --- what a disk says of itself

def describe(disks, **guest_args):
    """What the guest prints about its disks, by name: the lines from "disk N: NAME" on."""
    with Guest("selftest", disks=disks, cmdline="-- disk-list", **guest_args) as guest:
        guest.wait_for(rf"^disks: {len(disks)}$", 20)
        assert guest.wait_exit(10) == 0
        log = guest.log
    parts = re.split(r"^disk \d+: ", log, flags=re.M)[1:]
    parts[-1] = parts[-1].partition("disks: ")[0]
    return {part.split()[0]: part for part in parts}


def test_capacity_identity_block_size_and_rights_are_told(tmp_path):
    first, second = sparse_disk(tmp_path / "first", 5 * 512), sparse_disk(tmp_path / "second", 8 * MIB)
    disks = describe([(first, "serial=twenty-letters-of-it"),
                      (second, "read_only," + BLOCKS_OF_4096)])
    assert disks["vda"].startswith('vda identity "twenty-letters-of-it" sectors 5 block 512 write-back\n')
    assert disks["vdb"].startswith('vdb identity "" sectors 16384 block 4096 read-only')
    assert re.search(r"^Disk serial: twenty-letters-of-it$", disks["vda"], re.M)


@pytest.mark.proves("BLK-OP-01")
@pytest.mark.parametrize("irq", ["msix", "poll"])
def test_a_disk_that_grows_and_shrinks_is_told_as_it_is_now(irq, tmp_path):
    path = sparse_disk(tmp_path / "disk", 4 * MIB)
    with Guest("aerostat", disks=[path], net="user", forwards=[80], cmdline=f"irq={irq}") as guest:
        guest.wait_for(r"^serving on")
        for mebibytes in (8, 1):
            guest.qmp("block_resize", device="disk0", size=mebibytes * MIB)
            end = time.monotonic() + 20  # a polled device is looked at now and then
            while json.loads(guest.get("/status.json"))["disks"]["vda"]["bytes"] != mebibytes * MIB:
                assert time.monotonic() < end, "the old size is still told"
            guest.wait_for(rf"^vda: now {mebibytes * 2048} sectors$")


TABLES = {
    "gpt": "label: gpt\n2048,4M,U\n,1M,L,*\n,2M,S\n,,L\n",
    "gpt-of-one": "label: gpt\n2048,,L\n",
    "gpt-many": "label: gpt\n" + "".join(f"start={2048 + 64 * i},size=64,type=L\n" for i in range(60)),
    "gpt-gaps": "label: gpt\n5:start=4096,size=2048,type=L\n2:start=8192,size=2048,type=L\n",
    "mbr": "label: dos\n2048,4M,c,*\n,1M,82\n,,L\n",
    "mbr-logical": "label: dos\n2048,4M,L\n,12M,Ex\n,,L\n,1M,L\n,2M,7\n,,82\n",
    "mbr-empty": "label: dos\n",
    "gpt-empty": "label: gpt\n",
}


def rows(text, device):
    """The rows of fdisk's table below its heading, without the device's name."""
    found = re.findall(rf"^{re.escape(device)}(\d+ .*)$", text, re.M)
    return [" ".join(row.split()) for row in found]


def fdisk_list(path, *options):
    return subprocess.run(["/sbin/fdisk", "-l", *options, path], stdout=subprocess.PIPE, text=True, check=True, timeout=30,
                          env=dict(os.environ, LC_ALL="C")).stdout


@pytest.mark.parametrize("table", TABLES)
def test_partitions_are_listed_as_fdisk_lists_them(table, tmp_path):
    path = sparse_disk(tmp_path / "disk", 32 * MIB)
    subprocess.run(["/sbin/sfdisk", "-q", path], input=TABLES[table], text=True, check=True, timeout=30)
    fdisk = fdisk_list(path)
    sfdisk = json.loads(subprocess.run(["/sbin/sfdisk", "--json", path], stdout=subprocess.PIPE, text=True, check=True,
                                       timeout=30).stdout)["partitiontable"]
    guest = describe([path])["vda"]
    assert rows(guest, "/dev/vda") == rows(fdisk, path)
    assert len(rows(guest, "/dev/vda")) == len(sfdisk.get("partitions", []))
    assert f"Disklabel type: {sfdisk['label']}\nDisk identifier: {sfdisk['id']}\n" in guest
    assert f"Disk /dev/vda: 32 MiB, {32 * MIB} bytes, {32 * MIB // 512} sectors" in guest and "Problem" not in guest


@pytest.mark.parametrize("commands", ["g n 1 256 +4M n 2 - +8M n 3 - - w", "o n p 1 256 +4M n e 2 - - n - +1M n - +2M w"])
def test_partitions_on_blocks_of_4096_bytes_are_listed_as_fdisk_lists_them(commands, tmp_path):
    path = sparse_disk(tmp_path / "disk", 64 * MIB)
    typed = "".join(word.strip("-") + "\n" for word in commands.split())
    subprocess.run(["/sbin/fdisk", "-b", "4096", path], input=typed, text=True, check=True, timeout=30, stdout=subprocess.DEVNULL)
    fdisk = fdisk_list(path, "-b", "4096")
    guest = describe([(path, BLOCKS_OF_4096)])["vda"]
    assert rows(guest, "/dev/vda") == rows(fdisk, path) and len(rows(guest, "/dev/vda")) == commands.count("n ")
    assert "Problem" not in guest


# --- bad disks

BACKUP = "the backup is used"


@pytest.mark.parametrize("damage, problem", [
    ("header-crc", "the GPT header's checksum is wrong"),
    ("entries-crc", "the checksum of the GPT's entries is wrong"),
])
def test_a_broken_partition_table_is_named_and_its_backup_used(damage, problem, tmp_path):
    disk = describe([mkdisk(tmp_path / "disk", "--no-files", "--break", damage)])["vda"]
    assert f"Problem: {problem}; {BACKUP}" in disk
    assert len(rows(disk, "/dev/vda")) == 2


@pytest.mark.parametrize("damage, problem", [
    ("header-crc", "the GPT header's checksum is wrong"),
    ("entries-crc", "the checksum of the GPT's entries is wrong"),
])
def test_a_table_broken_twice_lists_nothing(damage, problem, tmp_path):
    disk = describe([mkdisk(tmp_path / "disk", "--no-files", "--break", damage, "--break-backup")])["vda"]
    assert f"Problem: {problem}\n" in disk and BACKUP not in disk
    assert not rows(disk, "/dev/vda")


def test_an_entry_beyond_the_disk_is_named_and_left_out(tmp_path):
    disk = describe([mkdisk(tmp_path / "disk", "--no-files", "--break", "entry-beyond")])["vda"]
    assert "Problem: a partition " in disk
    assert [row.split()[0] for row in rows(disk, "/dev/vda")] == ["1"]


def test_a_chain_of_logical_partitions_that_loops_ends(tmp_path):
    path = sparse_disk(tmp_path / "disk", 32 * MIB)
    subprocess.run(["/sbin/sfdisk", "-q", path], input="label: dos\n2048,,Ex\n,1M,L\n,1M,L\n", text=True, check=True, timeout=30)
    with open(path, "r+b") as file:
        file.seek(2048 * 512 + 446 + 16 + 8)
        file.write((0).to_bytes(4, "little"))  # the next record is the first one
    disk = describe([path])["vda"]
    assert "Problem: the chain of logical partitions has no end" in disk
    assert "/dev/vda5" in disk and "/dev/vda6" not in disk


@pytest.mark.parametrize("size", [0, 512, 1024, 8 * TIB])
def test_disks_of_every_size_are_told_as_they_are(size, tmp_path):
    path = sparse_disk(tmp_path / "disk", size)
    good = mkdisk(tmp_path / "good", "--no-files")
    disks = describe([path, good])
    assert disks["vda"].startswith(f'vda identity "" sectors {size // 512} block 512')
    assert re.search(rf"^Disk /dev/vda: .*, {size} bytes, {size // 512} sectors$", disks["vda"], re.M)
    assert not rows(disks["vda"], "/dev/vda") and "Problem" not in disks["vda"]
    assert len(rows(disks["vdb"], "/dev/vdb")) == 2


def test_the_last_block_of_eight_tebibytes_is_read(tmp_path):
    path = sparse_disk(tmp_path / "disk", 8 * TIB)
    with Guest("selftest", disks=[path], cmdline="-- disk-errors") as guest:
        guest.wait_for(r"^PASS: the last block$")
        assert guest.wait_exit() == 0


def test_a_table_on_eight_tebibytes_is_listed_as_fdisk_lists_it(tmp_path):
    path = mkdisk(tmp_path / "disk", "--size", "8T", "--no-files")
    fdisk = fdisk_list(path)
    disk = describe([path])["vda"]
    assert rows(disk, "/dev/vda") == rows(fdisk, path) and len(rows(disk, "/dev/vda")) == 2
    assert "Disk /dev/vda: 8 TiB, " in disk


def test_garbage_in_place_of_a_table_does_no_harm(tmp_path):
    paths = []
    for seed, repair in enumerate([(), (510,), (510, 450), (510, 512)]):
        path, _ = random_disk(tmp_path / f"disk{seed}", MIB, seed)
        with open(path, "r+b") as file:
            for offset, right in [(510, b"\x55\xaa"), (450, b"\xee"), (512, b"EFI PART")]:
                if offset in repair:
                    file.seek(offset)
                    file.write(right)
            for entry in range(4) if repair else ():
                file.seek(446 + 16 * entry)
                file.write(b"\0")
        paths.append(path)
    disks = describe(paths)
    assert list(disks) == ["vda", "vdb", "vdc", "vdd"]
    assert "Disklabel" not in disks["vda"] and "Problem: " in disks["vdb"]


# --- a drive with faults

def faulty_drive(folder, path, event="read_aio", errno=5, sector=None, once=False):
    """A drive that QEMU's blkdebug makes fail."""
    rules = os.path.join(folder, "rules")
    with open(rules, "w", encoding="ascii") as file:
        file.write(f'[inject-error]\nevent = "{event}"\nerrno = "{errno}"\n' + ('once = "on"\n' if once else "")
                   + (f'sector = "{sector}"\n' if sector is not None else ""))
    drive = f"if=none,id=faulty,format=raw,rerror=report,werror=report,file=blkdebug:{rules}:{path}"
    # QEMU would else merge requests, and one error would fail its neighbours.
    return ["-drive", drive, "-device", "virtio-blk-pci,disable-legacy=on,drive=faulty,request-merging=off"]


@pytest.mark.parametrize("irq", ["msix", "poll"])
def test_a_read_error_becomes_eio_and_no_hang(irq, tmp_path):
    path, _ = random_disk(tmp_path / "disk", 2 * MIB)
    with Guest("selftest", cmdline=f"irq={irq} -- disk-hash", qemu_args=faulty_drive(tmp_path, path, sector=2048)) as guest:
        guest.wait_for(r"^FAIL: sector 2048: error 5$")
        assert guest.wait_exit() == 1
    assert "reset" not in guest.log


def test_a_disk_whose_every_read_fails_is_reported_and_the_next_one_works(tmp_path):
    path, good = sparse_disk(tmp_path / "disk", MIB), mkdisk(tmp_path / "good", "--no-files")
    args = faulty_drive(tmp_path, path)
    with Guest("selftest", disks=[good], cmdline="-- disk-list", qemu_args=args) as guest:
        guest.wait_for(r"^Problem: the first block cannot be read$")
        guest.wait_for(r"^disks: 2$")
        assert guest.wait_exit() == 0
        assert len(rows(guest.log, "/dev/vda")) == 2


def test_write_and_flush_errors_are_told_to_the_application(tmp_path):
    path = sparse_disk(tmp_path / "disk", MIB)
    for event, failure in [("write_aio", "the pattern is written"), ("flush_to_disk", "flush")]:
        with Guest("selftest", cmdline="-- disk-pattern", qemu_args=faulty_drive(tmp_path, path, event)) as guest:
            guest.wait_for(rf"^FAIL: {failure}$")
            assert guest.wait_exit() == 1


# --- under KVM

def test_a_disk_is_read_and_written_under_kvm(kvm, tmp_path):
    """Small, for an interpreted KVM counts every instruction."""
    path, digest = random_disk(tmp_path / "disk", MIB // 8)
    read_whole([path], (digest, MIB // 8), machine="microvm", accel=kvm)
    write_pattern(tmp_path / "written", MIB // 8, machine="microvm", accel=kvm)


# --- a queue for each CPU

@pytest.mark.parametrize("queues, ring, irq", [(4, "split", "msix"), (4, "packed", "poll"), (2, "packed", "msix"), (4, "split", "intx")])
def test_each_cpu_reads_by_a_queue_of_its_own(queues, ring, irq, tmp_path):
    path, _ = random_disk(tmp_path / "disk", MIB)
    disk = [(path, f"num-queues={queues},packed={'on' if ring == 'packed' else 'off'}")]
    with Guest("cell", smp=4, disks=disk, cmdline=f"ring={ring} irq={irq} ip=10.0.0.1/24", net="user") as guest:
        guest.wait_for(r"^cpus 4$", 20)
        with open(path, "rb") as file:
            guest.wait_for(rf"^crc32 {zlib.crc32(file.read()):08x} bytes {MIB}$", 20)
        used = [guest.qmp("x-query-virtio-queue-status", path="/machine/peripheral/blk0/virtio-backend", queue=queue)["last-avail-idx"]
                for queue in range(queues)]
        assert 0 not in used
        assert guest.powerdown() == 0
