# SPDX-License-Identifier: MIT
"""Threads, preemption and memory, as only a guest can show them."""

import re
import time

import pytest
from harness import MIB, Guest


@pytest.mark.parametrize("irq", ["msix", "poll"])
def test_kernel_threads_preempt_an_application_and_leave_its_registers_alone(irq):
    with Guest("selftest", cmdline=f"irq={irq} -- registers 4000", balloon=True, memory=128) as guest:
        guest.wait_for(r"^spinning$")
        for target in [64, 128] * 4:  # each answer is a kernel thread's, while the application spins
            guest.balloon(target * MIB)
        assert guest.wait_exit() == 0
        guest.wait_for(r"^PASS: registers kept in [1-9]\d* rounds$")


def test_the_kernel_may_be_entered_at_any_depth_of_the_stack():
    """Once a fresh stack page amid the page allocator made it give out a page twice, or panic."""
    with Guest("selftest", cmdline="-- stack", memory=128) as guest:
        assert guest.wait_exit() == 0
        assert "FAIL" not in guest.log


def test_kernel_threads_wake_in_order_and_give_their_memory_back():
    with Guest("selftest", cmdline="-- threads", memory=16) as guest:
        assert guest.wait_exit() == 0
        assert "FAIL" not in guest.log


def test_a_kernel_thread_that_overflows_its_stack_is_caught():
    with Guest("selftest", cmdline="-- thread-overflow") as guest:
        guest.wait_for(r"^panic: page fault.*\(thread deep\)\n.*beyond the stack \(overflow\)")
        guest.wait_for(r"^  #\d.* overflow_kernel_stack\+0x")
        assert guest.wait_exit() == 101


def test_an_application_may_use_nine_tenths_of_memory():
    with Guest("selftest", cmdline="-- memory 231 2", memory=256) as guest:
        assert guest.wait_exit(40) == 0
        assert "FAIL" not in guest.log


def test_memory_that_is_not_there_is_refused_and_nothing_breaks():
    with Guest("selftest", cmdline="-- memory 300", memory=256) as guest:
        guest.wait_for(r"^FAIL: malloc of 300 MiB$")
        assert guest.wait_exit() == 1


@pytest.mark.parametrize("case", ["spin", "echo"])
def test_an_nmi_ends_in_a_report_whatever_the_guest_does(case):
    with Guest("selftest", cmdline=f"-- {case}") as guest:
        guest.wait_for(r"^boot: main")
        time.sleep(0.2)
        guest.qmp("inject-nmi")
        guest.wait_for(r"^panic: non-maskable interrupt")
        assert guest.wait_exit() == 101


def mappings(guest):
    """What the page tables say: virtual, physical, writable, executable of each page."""
    lines = re.findall(r"^([0-9a-f]{16}): ([0-9a-f]{16}) (\S+)\r?$", guest.hmp("info tlb"), re.M)
    return [(int(virtual, 16), int(physical, 16), "W" in flags, "X" not in flags) for virtual, physical, flags in lines]


@pytest.mark.parametrize("machine", ["q35", "microvm"])
def test_no_page_is_writable_and_executable_not_even_by_another_address(machine):
    with Guest("selftest", machine=machine, cmdline="-- echo", memory=3072, balloon=machine == "q35") as guest:
        guest.wait_for(r"^boot: main")
        time.sleep(0.2)
        pages = mappings(guest)
        text = {physical for _, physical, _, executable in pages if executable}
        assert text and 0x100000 in text
        assert not [hex(virtual) for virtual, physical, writable, _ in pages if writable and physical in text]
        assert 0 not in [virtual for virtual, *_ in pages]
        assert all(virtual == physical for virtual, physical, *_ in pages if virtual < 1 << 46)
