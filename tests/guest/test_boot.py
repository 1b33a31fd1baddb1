# SPDX-License-Identifier: MIT
"""From the first instruction to the last record: machines, command line, faults, exit statuses."""

import contextlib
import os
import re
import subprocess
import sys
import time

import pytest
from harness import Guest, sparse_disk

MACHINES = ["q35", "pc", "microvm"]


@pytest.mark.parametrize("machine", MACHINES)
def test_hello_runs_on_every_machine(machine, accel):
    with Guest("hello", machine=machine, accel=accel) as guest:
        guest.wait_for(r"^aerostat \d+\.\d+\.\d+, started by PVH", 20)
        guest.wait_for(r"^Hello", 20)
        assert guest.wait_exit(20) == 0
        assert guest.lines[-1] == "aerostat: exit 0"


@pytest.mark.parametrize("machine", MACHINES)
def test_hello_runs_in_two_megabytes(machine):
    with Guest("hello", machine=machine, memory="2M") as guest:
        guest.wait_for(r"^Hello", 20)
        assert guest.wait_exit() == 0


@pytest.mark.parametrize("given, status", [(0, 0), (7, 7), (99, 99), (100, 99), (255, 99), (-1, 99)])
def test_the_exit_status_is_what_main_returned_up_to_99(given, status):
    with Guest("selftest", cmdline=f"-- exit {given}") as guest:
        assert guest.wait_exit() == status


def test_arguments_reach_main_behind_the_double_dash():
    with Guest("selftest", cmdline="log=error quiet -- args one 'two three' log=debug --") as guest:
        for argument in ["args", "one", "two three", "log=debug", "--"]:
            guest.wait_for(rf"^argv\[\d\]={argument}$")
        assert guest.wait_exit() == 0


@pytest.mark.parametrize("machine", MACHINES)
def test_a_command_line_of_4_kib_is_taken_whole(machine):
    words = "log=error -- args " + "x" * 4000  # no record of the kernel's amid the argument: the clock's comes when it likes
    with Guest("selftest", machine=machine, cmdline=words) as guest:
        guest.wait_for(r"^argv\[1\]=x{4000}$")
        assert guest.wait_exit() == 0


def test_a_longer_command_line_does_no_harm():
    with Guest("selftest", cmdline="-- exit 3 " + "x" * 4090) as guest:
        assert guest.wait_exit() in (3, 102)


@pytest.mark.parametrize("word", ["balloon=perhaps", "ring=round", "log=loud", "frobnicate=1", "clock=sundial", "=", "irq"])
def test_a_malformed_word_is_named_and_the_boot_goes_on(word, tmp_path):
    disk = sparse_disk(tmp_path / "disk", 1 << 20)
    with Guest("hello", cmdline=word, disks=[disk], balloon=True) as guest:
        guest.wait_for(word.split("=")[0] or "=")
        guest.wait_for(r"^Hello")
        assert guest.wait_exit() == 0


def test_an_impossible_interrupt_mode_ends_the_start_with_status_102():
    with Guest("hello", cmdline="irq=carrier-pigeon") as guest:
        guest.wait_for(r"^start failed: .*interrupt")
        assert guest.wait_exit() == 102


@pytest.mark.parametrize("fault, reason, culprit", [
    ("null", r"page fault.*\n.*writing a null pointer at 0x8", "touch_null"),
    ("wild", r"general protection", "touch_wild"),
    ("write-text", r"page fault.*\n.*writing protected memory", "write_text"),
    ("run-data", r"page fault.*\n.*executing protected memory", "run_(data|fault)"),
    ("stack", r"page fault.*\n.*stack", "overflow_stack"),
    ("divide", r"divide error", "divide"),
    ("opcode", r"invalid opcode", "bad_opcode"),
])
def test_a_fault_ends_in_a_report_with_a_symbolised_backtrace(fault, reason, culprit):
    with Guest("selftest", cmdline=f"-- fault {fault}") as guest:
        guest.wait_for(r"^panic: " + reason)
        guest.wait_for(r"^rip [0-9a-f]{16}  rsp [0-9a-f]{16}")
        guest.wait_for(r"^backtrace:$")
        guest.wait_for(rf"^  #\d.* {culprit}\+0x")
        assert guest.wait_exit() == 101
        assert guest.lines[-1] == "aerostat: exit 101"


def test_a_panic_reports_under_kvm_too(kvm):
    with Guest("selftest", accel=kvm, machine="microvm", cmdline="-- fault null") as guest:
        guest.wait_for(r"^panic: page fault.*\n.*writing a null pointer", 20)
        assert guest.wait_exit(20) == 101


@pytest.mark.parametrize("fault", ["assert", "abort", "signal"])
def test_an_application_that_gives_up_ends_with_a_status_that_is_not_success(fault):
    with Guest("selftest", cmdline=f"-- fault {fault}") as guest:
        assert 0 < guest.wait_exit() <= 101


def test_a_panic_tells_pvpanic():
    with Guest("selftest", cmdline="-- fault null") as guest:
        guest.wait_event("GUEST_PANICKED")
        assert guest.wait_exit() == 101


SPIN = """
import os, sys, time
os.sched_setaffinity(0, [int(sys.argv[1])])
end = time.monotonic() + 60  # whatever becomes of us
while time.monotonic() < end:
    pass
"""


@contextlib.contextmanager
def busy_cores():
    """A process on each core that never waits."""
    busy = []
    try:
        for core in os.sched_getaffinity(0):
            busy.append(subprocess.Popen([sys.executable, "-c", SPIN, str(core)]))
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def make_console_slow(guest):
    """Little can wait outside the UART, and when the last record has begun it is read byte by byte: when the guest has
    written its end, that is still in the UART."""
    def doze(_):
        if re.search(r"\na[^\n]*\Z", guest.log):
            guest.vm.console_piece = 1
            time.sleep(0.05)
    guest.vm.console_room = 1  # the system gives its least: some six bytes of QEMU's, which sends them one by one
    guest.vm.on_console = doze


@pytest.mark.parametrize("machine, case, status, pvpanic", [
    *[("q35", "fault null", 101, True)] * 3,
    ("microvm", "fault null", 101, False),
    ("q35", "exit 7", 7, False),
], ids=["pvpanic", "pvpanic again", "pvpanic once more", "power-off after a panic", "power-off"])
def test_the_last_record_leaves_a_busy_host_before_pvpanic_or_power_off_ends_the_machine(machine, case, status, pvpanic):
    guest = Guest("selftest", machine=machine, cmdline=f"log=error -- {case}")
    make_console_slow(guest)
    with busy_cores(), guest:
        guest.wait_exit()
    assert guest.log.endswith(f"\naerostat: exit {status}\n")
    assert pvpanic == any(event["event"] == "GUEST_PANICKED" for event in guest.vm.events)


def test_a_reader_of_the_console_who_is_away_for_two_seconds_misses_nothing():
    away = []

    def go_away(_):
        if not away and "\npanic:" in guest.log:
            away.append(True)
            time.sleep(2)
    guest = Guest("selftest", cmdline="log=error -- fault null")
    guest.vm.console_room = 1
    guest.vm.on_console = go_away
    with guest:
        assert guest.wait_exit() == 101
    assert away
    assert re.search(r"^panic: .*\nwriting .*\nrip (.*\n){5}backtrace:\n(  #.*\n)+aerostat: exit 101\n\Z", guest.log, re.M)


@pytest.mark.parametrize("irq", ["msix", "poll"])
def test_a_spinning_application_does_not_stop_the_power_button(irq):
    with Guest("selftest", cmdline=f"irq={irq} -- spin") as guest:
        guest.wait_for(r"^spinning$")
        assert guest.powerdown() == 0
        assert "power button" in guest.log


def test_the_power_button_ends_a_guest_that_sleeps():
    with Guest("selftest", cmdline="-- echo") as guest:
        guest.wait_for(r"^boot: main")
        assert guest.powerdown() == 0


def test_the_c_library_works():
    with Guest("selftest", cmdline="-- libc") as guest:
        assert guest.wait_exit() == 0
        assert "FAIL" not in guest.log


def test_floating_point_works_in_applications():
    with Guest("selftest", cmdline="-- float") as guest:
        assert guest.wait_exit() == 0
        assert "FAIL" not in guest.log


@pytest.mark.parametrize("memory, mebibytes", [(16, 8), (64, 48), (512, 400)])
def test_memory_is_filled_verified_and_given_back(memory, mebibytes):
    with Guest("selftest", memory=memory, cmdline=f"-- memory {mebibytes} 2") as guest:
        assert guest.wait_exit(40) == 0
        assert "FAIL" not in guest.log


def test_a_guest_of_64_gib_boots_like_a_small_one():
    with Guest("hello", memory="64G", qemu_args=["-object", "memory-backend-ram,id=ram,size=64G,reserve=off",
                                                 "-machine", "memory-backend=ram"]) as guest:
        guest.wait_for(r"^Hello")
        assert guest.wait_exit() == 0
        assert guest.lines[-1] == "aerostat: exit 0"
