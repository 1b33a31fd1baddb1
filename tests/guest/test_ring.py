# SPDX-License-Identifier: MIT
"""The ring against a device thread that runs beside the CPU: no notification and no interrupt is lost, and where the barrier
is none, one is.

QEMU's emulator emits nothing for a fence as long as there is one CPU, yet its device threads run beside it. So the kernel
takes a stronger barrier where the hypervisor's signature says TCG. Without the signature it takes the fence, as elsewhere:
the control, which shows that the race is really run.
"""

import os
import re
import subprocess
import sys

import pytest
from harness import ROOT, Guest

BUFFERS = 10_000_000
LOST_NOTIFICATION = 3
CONTROLS = 3
NO_SIGNATURE = "max,tcg-cpuid=off"
RACE = re.compile(r"^race ring=(\w+) hypervisor=(\S+) buffers=(\d+) publishes=(\d+) notifications=(\d+) sleeps=(\d+) resets=(\d+)$",
                  re.M)


def race(ring, buffers, words="", cpu=None, smp=1, deadline=400, iothread=True):
    """One guest's race; its exit status and what it counted. The device's thread goes to sleep as soon as it can."""
    device = ["-object", "iothread,id=beside,poll-max-ns=0", "-blockdev", "null-co,node-name=nothing,size=1048576",
              "-device", "virtio-blk-pci,disable-legacy=on,drive=nothing,queue-size=256,packed=on" +
              (",iothread=beside" if iothread else "")]
    with Guest("ringtest", cmdline=f"log=error ring={ring} -- race {buffers} {words}", cpu=cpu, smp=smp, qemu_args=device,
               deadline=deadline) as guest:
        status = guest.wait_exit()
        told = RACE.search(guest.log)
        assert told and told.group(1) == ring, "the guest ends without having told what it counted"
        assert (told.group(2) == "TCG") == (cpu is None)
        names = ("buffers", "publishes", "notifications", "sleeps", "resets")
        return status, dict(zip(names, map(int, told.groups()[2:])))


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_ten_million_buffers_lose_no_notification_and_no_interrupt(ring):
    status, counted = race(ring, BUFFERS, "sleep")
    assert status == 0
    assert counted["buffers"] == BUFFERS
    # The device slept often, so that these notifications had to come, but not always. How often we did is the host's load.
    assert counted["publishes"] / 10 < counted["notifications"] < counted["publishes"]
    assert counted["sleeps"] > 1000


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_without_the_barrier_a_notification_is_lost(ring):
    """By chance, mostly within the first million. A host that lets the two threads run only in turn has no race to lose."""
    for _ in range(CONTROLS):
        status, counted = race(ring, BUFFERS, cpu=NO_SIGNATURE)
        if status == LOST_NOTIFICATION:
            assert counted["buffers"] < BUFFERS
            return
        assert status == 0
    if os.cpu_count() < 2:
        pytest.skip("a second CPU is missing: the device's thread does not run beside the guest's")
    pytest.fail(f"{CONTROLS} times {BUFFERS} buffers came back without the barrier")


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_a_fence_is_enough_where_it_is_emitted(ring):
    """With two CPUs QEMU's emulator runs each in a thread, and its fences are real."""
    status, counted = race(ring, 3 * BUFFERS // 10, "sleep", cpu=NO_SIGNATURE, smp=2)
    assert status == 0
    assert counted["buffers"] == 3 * BUFFERS // 10


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.proves("CORE-VQR-01", "CORE-VQE-01", "PCI-CC-07", "PCI-CC-08")
def test_a_queue_is_reset_again_and_again_under_way(ring):
    """By QEMU's main thread: its iothreads of this version do not take part in a queue's reset."""
    status, counted = race(ring, 300_000, "sleep reset", iothread=False)
    assert status == 0
    assert counted["buffers"] == 300_000
    assert counted["resets"] >= 10


def test_the_bench_of_the_ring_counts_the_same_twice():
    done = subprocess.run([sys.executable, os.path.join(ROOT, "tests/bench/ring_guest.py")], capture_output=True, text=True,
                          timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "same counts to the instruction" in done.stdout
    assert len(re.findall(r"^\| (?:split|packed) \| (?:1|8|32) \|(?: [\d.]+ \|){4}$", done.stdout, re.M)) == 6
