# SPDX-License-Identifier: MIT
"""A guest that is stopped, saved, restored or moved to another QEMU notices nothing but the clock's step: its clock never
goes back, its queues work on, every byte is in place."""

import json
import os
import subprocess
import time

import pytest
from harness import MIB, Guest, GuestFailure, sha256_of, sparse_disk

VALUE = 0x9E3779B97F4A7C15
PIECE = 4096


def worker(disk, accel="tcg", machine="q35", **more):
    """A guest whose application writes and verifies as many rounds as are typed."""
    return Guest("selftest", machine=machine, accel=accel, disks=[disk], cmdline=more.pop("words", "") + " -- endure", deadline=90, **more)


def rounds_done(guest):
    return int(guest.wait_for(r"^endured (\d+) rounds", 60).group(1))


def check_disk(path, rounds):
    """Each piece holds what the last round that wrote it has written."""
    pieces = os.path.getsize(path) // PIECE
    with open(path, "rb") as file:
        for piece in range(min(pieces, rounds)):
            last = piece + (rounds - 1 - piece) // pieces * pieces
            wanted = b"".join(((last << 32 ^ i) * VALUE % 2**64).to_bytes(8, "little") for i in range(PIECE // 8))
            assert file.read(PIECE) == wanted, f"piece {piece} of the disk is not what round {last} wrote"


def finish(guest, rounds, path=None):
    guest.type("end")
    guest.wait_for(r"^PASS: flush$", 20)
    assert guest.wait_exit(10) == 0
    assert "FAIL" not in guest.log
    if path:
        check_disk(path, rounds)


def wait_migrated(guest, deadline=40):
    end = time.monotonic() + deadline
    while True:
        told = guest.qmp("query-migrate")
        if told.get("status") in ("completed", "failed"):
            assert told["status"] == "completed", told
            return
        if time.monotonic() > end:
            raise GuestFailure(f"waiting for the migration: {told}")
        time.sleep(0.05)


@pytest.mark.parametrize("words", ["irq=msix", "irq=poll"])
def test_a_stopped_guest_goes_on_where_it_was(words, accel, tmp_path):
    rounds = 400 if accel == "tcg" else 100
    disk = sparse_disk(tmp_path / "disk", MIB // 4)
    with worker(disk, accel, "microvm", words=words) as guest:
        guest.wait_for(r"^ready$", 20)
        guest.type(str(rounds))
        guest.wait_for(r"^round 50$", 40)
        for _ in range(5):
            guest.qmp("stop")
            time.sleep(0.3)
            guest.qmp("cont")
            time.sleep(0.05)
        finish(guest, rounds_done(guest), disk)


def test_time_that_a_paused_guest_did_not_run_is_no_flood_of_timers(tmp_path):
    """Timers that fell due meanwhile come once, and the network answers after it."""
    with Guest("aerostat", net="user", forwards=[80], balloon=True) as guest:
        guest.wait_for(r"^serving on", 20)
        guest.qmp("stop")
        time.sleep(3)
        guest.qmp("cont")
        assert json.loads(guest.get("/status.json"))["memory"]["total_bytes"]
        guest.balloon(48 * MIB)
        assert guest.powerdown() == 0


def test_a_saved_guest_is_restored_to_its_moment(tmp_path):
    disk = os.fspath(tmp_path / "disk.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "256K"], check=True, timeout=30)
    with worker(disk) as guest:
        guest.wait_for(r"^ready$", 20)
        guest.type("2000")
        guest.wait_for(r"^round 50$", 40)
        assert not guest.hmp("savevm moment")
        guest.wait_for(r"^round (1\d\d|[2-9]\d\d)$", 40)
        for _ in range(2):
            assert not guest.hmp("loadvm moment")
            repeated = int(guest.wait_for(r"^round (\d+)$", 40).group(1))
            assert repeated <= 150, "the guest was not set back"
        rounds = rounds_done(guest)
        finish(guest, rounds)
    raw = tmp_path / "raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", disk, raw], check=True, timeout=30)
    check_disk(raw, rounds)


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_a_guest_that_moves_to_another_qemu_loses_nothing(ring, accel, tmp_path):
    rounds = 2500 if accel == "tcg" else 100
    disk, wire = sparse_disk(tmp_path / "disk", MIB // 4), tmp_path / "wire"
    common = dict(accel=accel, machine="q35" if accel == "tcg" else "microvm", words=f"ring={ring}")
    with worker((disk, "packed=on"), qemu_args=["-incoming", f"unix:{wire}"], **common) as there:
        with worker((disk, "packed=on"), **common) as here:
            here.wait_for(r"^ready$", 20)
            here.type(str(rounds))
            here.wait_for(r"^round 50$", 40)
            here.qmp("migrate", uri=f"unix:{wire}")
            wait_migrated(here)
            assert "endured" not in here.log, "the guest was done before it moved"
        assert "FAIL" not in here.log
        finish(there, rounds_done(there), disk)


def test_a_server_that_moves_serves_on(tmp_path):
    """Network, balloon and disk move along: what was asked of them before and after is answered."""
    disk, wire = sparse_disk(tmp_path / "disk", MIB), tmp_path / "wire"
    common = dict(disks=[disk], net="user", forwards=[80], balloon=True)
    with Guest("aerostat", qemu_args=["-incoming", f"unix:{wire}"], **common) as there:
        with Guest("aerostat", **common) as here:
            here.wait_for(r"^serving on", 20)
            before = json.loads(here.get("/status.json"))
            here.balloon(48 * MIB)
            here.qmp("migrate", uri=f"unix:{wire}")
            wait_migrated(here)
        after = json.loads(there.get("/status.json"))
        assert after["clock"]["uptime_ns"] > before["clock"]["uptime_ns"]
        assert there.qmp("query-balloon")["actual"] == 48 * MIB
        there.balloon(64 * MIB)
        there.balloon(40 * MIB)
        assert sha256_of(disk) == sha256_of(sparse_disk(tmp_path / "zero", MIB))
        assert there.powerdown(20) == 0
