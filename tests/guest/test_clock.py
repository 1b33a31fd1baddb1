# SPDX-License-Identifier: MIT
"""Guest time against the host's: nothing here asserts how fast something is, only what the clocks say."""

import os
import re
import signal
import time

import pytest
from harness import Guest

MS, SECOND = 10**6, 10**9
PIT_WRAP = 65536 * SECOND // 1193182
MACHINES = ["q35", "pc", "microvm"]
SOURCES = {"tsc": "tsc", "pm": "acpi_pm", "pit": "pit", "hpet": "hpet", "kvm": "kvm-clock"}
PRESENT = {"q35": {"tsc", "pm", "pit", "hpet"}, "pc": {"tsc", "pm", "pit", "hpet"}, "microvm": {"tsc", "pit"}}


class Answer:
    """One question about the time, in ns: the host's clocks before and after it, and the guest's between."""

    def __init__(self, guest):
        before = time.time_ns(), time.monotonic_ns()
        guest.type("?")
        found = guest.wait_for(r"^clock realtime (\d+) monotonic (\d+)$")
        after = time.time_ns(), time.monotonic_ns()
        self.before, self.after = before[0], after[0]
        self.realtime, self.monotonic = int(found.group(1)), int(found.group(2))
        self.at = (before[1] + after[1]) // 2
        self.doubt = (after[1] - before[1]) // 2
        self.offset = self.monotonic - self.at  # of the monotonic clocks, wrong by doubt at most

    def is_within(self, tolerance):
        return self.before - tolerance <= self.realtime <= self.after + tolerance

    def __str__(self):
        return f"guest {self.realtime}, host {self.before} to {self.after}"


def best_answer(guest, tries=60):
    """The answer that came back fastest tells the offset best."""
    return min((Answer(guest) for _ in range(tries)), key=lambda answer: answer.doubt)


def clock_guest(machine="q35", **guest_args):
    return Guest("selftest", machine=machine, cmdline=guest_args.pop("words", "") + " -- clock", **guest_args)


def named_in(guest):
    """The first clock source that the boot names."""
    return guest.wait_for(r"^clocksource: (\S+), \d+ Hz$", 20).group(1)


# --- the time of day

@pytest.mark.parametrize("machine", MACHINES)
def test_guest_time_at_the_start_is_within_a_second_of_the_hosts(machine):
    with clock_guest(machine) as guest:
        guest.wait_for(r"^ready$")
        answer = Answer(guest)
        assert answer.is_within(SECOND), str(answer)


def test_guest_time_is_within_a_millisecond_of_the_hosts_under_kvm(kvm):
    with clock_guest("microvm", accel=kvm) as guest:
        guest.wait_for(r"^ready$")
        for _ in range(20):
            answer = Answer(guest)
            assert answer.is_within(MS), str(answer)
        assert answer.doubt < SECOND


def test_a_host_date_far_from_now_is_taken_over():
    with clock_guest(qemu_args=["-rtc", "base=2038-01-20T00:00:00"]) as guest:
        guest.wait_for(r"^ready$")
        assert abs(Answer(guest).realtime - 2147558400 * SECOND) < 60 * SECOND


# --- rates

def drift_ppm(guest, seconds):
    """How much faster the guest's clock runs: its least and its most, for a round trip leaves a doubt."""
    first = best_answer(guest)
    while time.monotonic_ns() - first.at < seconds * SECOND:
        time.sleep(1)
    last = best_answer(guest)
    moved, doubt, passed = last.offset - first.offset, first.doubt + last.doubt, last.at - first.at
    return (moved - doubt) * 1e6 / passed, (moved + doubt) * 1e6 / passed


def test_the_clock_drifts_less_than_100_ppm_in_a_minute():
    with clock_guest(deadline=120) as guest:
        guest.wait_for(r"^ready$")
        least, most = drift_ppm(guest, 60)
        assert most - least < 100, "the host is too busy to tell"
        assert -100 < least and most < 100, f"{least:.1f} to {most:.1f} ppm"
        assert "switched to tsc" in guest.log


@pytest.mark.parametrize("word, machine", [("hpet", "q35"), ("pm", "pc"), ("pit", "microvm"), ("tsc", "microvm")])
def test_every_source_keeps_the_hosts_pace(word, machine):
    """Long enough for a counter of 16 bits to wrap a hundred times, and one of 24 bits once."""
    with clock_guest(machine, words=f"clock={word}") as guest:
        guest.wait_for(r"^ready$")
        first = best_answer(guest)
        time.sleep(6)
        last = best_answer(guest)
        moved = last.offset - first.offset
        if word == "pit":  # on a busy host whole wraps may go by unseen, but only now and then
            wraps = max(0, round(-moved / PIT_WRAP))
            assert wraps < 30
            moved += wraps * PIT_WRAP
        assert abs(moved) < first.doubt + last.doubt + 6 * MS, f"{moved / MS:.3f} ms in 6 s"


def test_a_host_that_stands_still_costs_the_wraps_it_hid_and_no_more():
    """The guest's counters go on while it cannot look. What it then learns of its timer's rate must not make it late for ever."""
    with clock_guest("microvm", words="clock=pit") as guest:
        guest.wait_for(r"^ready$")
        first = best_answer(guest)
        for stand_ms in range(40, 64, 2):  # about a wrap of the PIT
            os.kill(guest.pid, signal.SIGSTOP)
            time.sleep(stand_ms / 1000)
            os.kill(guest.pid, signal.SIGCONT)
            time.sleep(0.02)
        time.sleep(4)  # in silence: whatever else interrupts the guest helps it out
        last = best_answer(guest)
        assert first.offset - last.offset < 1.5 * SECOND, f"{(first.offset - last.offset) / MS:.0f} ms were lost"


# --- sources

@pytest.mark.parametrize("word", ["auto", "tsc", "pm", "pit", "hpet"])
@pytest.mark.parametrize("machine", MACHINES)
def test_the_monotonic_clock_never_goes_backwards(machine, word):
    with Guest("selftest", machine=machine, cmdline=f"clock={word} -- monotonic 700") as guest:
        first = named_in(guest)
        guest.wait_for(r"^PASS: CLOCK_MONOTONIC never went backwards in \d+ readings$", 50)
        assert guest.wait_exit(10) == 0
        if word in PRESENT[machine] - {"tsc"}:
            assert first == SOURCES[word] and "switched" not in guest.log
        assert ("no such clock here" in guest.log) == (word != "auto" and word not in PRESENT[machine])


@pytest.mark.parametrize("word", ["auto", "tsc"])
@pytest.mark.parametrize("machine", MACHINES)
def test_the_tsc_takes_over_once_its_rate_is_known_and_no_step_is_seen(machine, word):
    with clock_guest(machine, words=f"clock={word}") as guest:
        guest.wait_for(r"^ready$")
        last, asked_at = Answer(guest), time.monotonic()
        while "clocksource: switched to tsc" not in guest.log:
            assert time.monotonic() < asked_at + 30, "the TSC's rate never became known"
            answer = Answer(guest)
            assert answer.monotonic > last.monotonic
            assert abs(answer.offset - last.offset) < last.doubt + answer.doubt + MS
            last = answer
        assert re.search(r"^tsc: \d+\.\d{3} MHz measured over \d+ ms$", guest.log, re.M)
        answer = Answer(guest)
        assert abs(answer.offset - last.offset) < last.doubt + answer.doubt + MS


@pytest.mark.parametrize("machine, word", [("microvm", "pm"), ("microvm", "hpet"), ("q35", "kvm"), ("pc", "kvm"),
                                           ("q35", "sundial")])
def test_a_clock_that_is_not_there_is_named_and_the_boot_goes_on(machine, word):
    with clock_guest(machine, words=f"clock={word}") as guest:
        guest.wait_for(rf"^clock={word}: no such clock here$")
        assert named_in(guest) not in (word, SOURCES.get(word))
        guest.wait_for(r"^ready$")
        assert Answer(guest).is_within(SECOND)


def test_a_hpet_that_is_switched_off_is_missed_by_name_only():
    with clock_guest(words="clock=hpet", qemu_args=["-machine", "hpet=off"]) as guest:
        guest.wait_for(r"^clock=hpet: no such clock here$")
        assert named_in(guest) == "acpi_pm"
        guest.wait_for(r"^ready$")


@pytest.mark.parametrize("machine, word", [("q35", "auto"), ("q35", "pm"), ("microvm", "pit")])
def test_sleep_lasts_as_long_as_it_was_asked_to(machine, word):
    with Guest("selftest", machine=machine, cmdline=f"clock={word} -- sleep 300") as guest:
        guest.wait_for(r"^PASS: slept")
        assert guest.wait_exit() == 0


def assert_time_goes_on_after_a_pause(guest):
    """The machine stands still for a while, and its counters with it: time may not go back, nor run ahead of the host's."""
    guest.wait_for(r"^ready$", 20)
    before = Answer(guest)
    guest.qmp("stop")
    time.sleep(0.5)
    guest.qmp("cont")
    after = [Answer(guest) for _ in range(20)]
    assert all(late.monotonic > early.monotonic for early, late in zip([before, *after], after))
    assert after[-1].offset < before.offset + before.doubt + after[-1].doubt + MS


@pytest.mark.parametrize("machine, word", [("q35", "auto"), ("q35", "hpet"), ("pc", "pm"), ("microvm", "pit"), ("microvm", "tsc")])
def test_time_goes_on_after_the_machine_was_stopped_and_continued(machine, word):
    with clock_guest(machine, words=f"clock={word}") as guest:
        assert_time_goes_on_after_a_pause(guest)


# --- under KVM

def test_time_goes_on_after_a_pause_under_kvm(kvm):
    with clock_guest("microvm", accel=kvm) as guest:
        assert_time_goes_on_after_a_pause(guest)


def test_kvm_clock_tells_both_times_and_the_kvm_timers_are_used(kvm):
    with Guest("aerostat", machine="microvm", accel=kvm) as guest:
        guest.wait_for(r"^kvm-clock: Using msrs 4b564d01 and 4b564d00$", 20)
        assert named_in(guest) == "kvm-clock"
        for line in [r"hypervisor +KVM", r"local_apic +x2APIC", r"timer +TSC deadline", r"source +kvm-clock",
                     r"wall_clock +kvm-clock", r"tsc_hz +[1-9]\d{8,}"]:
            guest.wait_for(rf"^  {line}$", 20)


@pytest.mark.parametrize("features, local_apic, timer", [
    ("x2apic=off", "xAPIC", "TSC deadline"),
    ("tsc-deadline=off", "x2APIC", "local APIC one-shot"),
])
def test_a_cpu_without_them_gets_the_older_apic_and_timer_under_kvm(kvm, features, local_apic, timer):
    with Guest("aerostat", machine="microvm", accel=kvm, cpu="host,-arch-capabilities," + features) as guest:
        guest.wait_for(rf"^  local_apic +{local_apic}$", 20)
        guest.wait_for(rf"^  timer +{timer}$", 20)
        guest.wait_for(r"^no network$", 20)
        assert guest.powerdown() == 0


def test_kvm_clock_never_goes_backwards(kvm):
    with Guest("selftest", machine="microvm", accel=kvm, cmdline="-- monotonic 500") as guest:
        guest.wait_for(r"^PASS: CLOCK_MONOTONIC never", 50)
        assert guest.wait_exit(10) == 0


def test_sleep_wakes_up_under_kvm(kvm):
    with Guest("selftest", machine="microvm", accel=kvm, cmdline="-- sleep 300") as guest:
        guest.wait_for(r"^PASS: slept", 20)
        assert guest.wait_exit(10) == 0


def test_without_kvm_clock_another_source_keeps_the_time_under_kvm(kvm):
    with clock_guest("microvm", accel=kvm, cpu="host,-arch-capabilities,kvmclock=off", qemu_args=["-machine", "rtc=on"]) as guest:
        assert named_in(guest) != "kvm-clock"
        guest.wait_for(r"^ready$", 20)
        first = Answer(guest)
        assert first.is_within(SECOND), str(first)
        # Where a busy host lets whole wraps of a PIT go by unseen, it stands until it has caught up.
        assert any(Answer(guest).monotonic > first.monotonic for _ in range(100)), str(first)
