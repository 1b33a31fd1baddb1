# SPDX-License-Identifier: MIT
"""More CPUs than one: they come up, stand by, and stop when one panics."""

import json
import os
import re
import shutil
import struct
import subprocess
import time

import pytest
import qemu
from boots import ROOT, boot_args
from harness import MIB, Guest, sparse_disk

COUNTS = [1, 2, 3, 4, 16, 64, 255]


@pytest.mark.parametrize("cpus", COUNTS)
def test_all_cpus_come_up(cpus):
    with Guest("selftest", smp=cpus, memory=64, cmdline="-- sleep 2000" if cpus > 4 else "-- sleep 500") as guest:
        if cpus > 1:
            guest.wait_for(rf"^cpu: {cpus} of {cpus} up$", 40)
        assert guest.wait_exit(40) == 0
        assert "did not come up" not in guest.log
        assert ("cpu: " in guest.log) == (cpus > 1)


@pytest.mark.parametrize("machine", ["pc", "microvm"])
def test_cpus_come_up_on_other_machines(machine):
    with Guest("selftest", machine=machine, smp=4, cmdline="-- sleep 500") as guest:
        guest.wait_for(r"^cpu: 4 of 4 up$", 20)
        assert guest.wait_exit(20) == 0


@pytest.mark.parametrize("boot", ["multiboot2", "Linux", "UEFI"])
def test_cpus_come_up_however_the_guest_was_booted(boot):
    with Guest(boot=[*qemu.machine_args("q35", 64, 4), *boot_args(boot, "aerostat", "ip=off")], deadline=90) as guest:
        guest.wait_for(rf"started by {boot}$", 60)
        guest.wait_for(r"^cpu: 4 of 4 up$", 20)


def test_cpus_come_up_under_kvm(kvm):
    with Guest("selftest", accel=kvm, machine="microvm", smp=2, cmdline="-- spin") as guest:
        guest.wait_for(r"^cpu: 2 of 2 up$", 30)


def test_cpus_that_may_be_plugged_in_later_are_not_waited_for():
    with Guest("selftest", cmdline="-- sleep 500", qemu_args=["-smp", "2,maxcpus=4"]) as guest:
        guest.wait_for(r"^cpu: 2 of 2 up$", 20)
        assert guest.wait_exit(20) == 0


@pytest.mark.parametrize("cpus", [1, 4])
def test_a_panic_on_all_cpus_at_once_is_reported_by_one(cpus):
    with Guest("selftest", smp=cpus, cmdline="-- spin") as guest:
        for _ in range(2 if cpus > 1 else 1):  # in either order
            guest.wait_for(rf"^(spinning|cpu: {cpus} of {cpus} up)$", 20)
        guest.vm.execute("inject-nmi")
        assert guest.wait_exit(20) == 101
        assert len(re.findall(r"^panic: ", guest.log, re.M)) == 1
        assert re.search(r"^panic: non-maskable interrupt.*\((CPU [1-3], )?thread \w+\)$", guest.log, re.M)
        assert guest.log.endswith("\naerostat: exit 101\n")


def passes(words, cpus, irq="msix", **more):
    with Guest("smptest", smp=cpus, cmdline=f"irq={irq} -- {words}", **more) as guest:
        assert guest.wait_exit(50) == 0
        assert "PASS: " in guest.log
        assert "FAIL: " not in guest.log


@pytest.mark.parametrize("cpus, rounds", [(2, 500000), (4, 200000), (16, 20000), (64, 1000)])
def test_memory_is_taken_and_given_by_all_cpus_at_once(cpus, rounds):
    passes(f"torture {cpus} {rounds}", cpus)


@pytest.mark.parametrize("irq", ["msix", "poll"])
@pytest.mark.parametrize("cpus, rounds", [(2, 50000), (4, 10000), (16, 500)])
def test_no_signal_between_cpus_is_lost_or_comes_twice(cpus, rounds, irq):
    passes(f"events {cpus} {rounds}", cpus, irq)


@pytest.mark.parametrize("cpus, rounds", [(2, 20000), (4, 5000)])
def test_a_signal_that_meets_a_time_out_is_neither_lost_nor_taken_twice(cpus, rounds):
    passes(f"race {cpus} {rounds}", cpus)


@pytest.mark.parametrize("cpus, rounds", [(4, 40), (64, 5)])
def test_threads_sleep_on_each_cpu(cpus, rounds):
    passes(f"sleep {cpus} {rounds}", cpus)


@pytest.mark.parametrize("irq", ["msix", "poll"])
@pytest.mark.parametrize("cpus, rounds", [(2, 20000), (4, 10000), (64, 100)])
def test_one_thread_at_a_time_is_in_the_kernel_and_all_get_their_turn(cpus, rounds, irq):
    passes(f"lock {cpus} {rounds}", cpus, irq)


def test_cpus_work_under_kvm(kvm):
    with Guest("smptest", accel=kvm, machine="microvm", smp=2, cmdline="-- torture 2 200") as guest:
        assert guest.wait_exit(50) == 0
        assert "FAIL: " not in guest.log


@pytest.mark.parametrize("machine, words", [("q35", ""), ("pc", "clock=pm"), ("microvm", "clock=pit"), ("q35", "clock=tsc")])
def test_time_goes_back_on_no_cpu_whatever_another_has_read(machine, words):
    passes_with = f"{words} -- clock 4 20000"
    with Guest("smptest", machine=machine, smp=4, cmdline=passes_with) as guest:
        assert guest.wait_exit(50) == 0
        assert "PASS: time goes on" in guest.log and "FAIL: " not in guest.log


def test_time_goes_back_on_no_cpu_under_kvm(kvm):
    with Guest("smptest", accel=kvm, machine="microvm", smp=2, cmdline="-- clock 2 2000") as guest:
        guest.wait_for(r"^after \d+ us by kvm-clock$", 50)
        assert guest.wait_exit(20) == 0
        assert "FAIL: " not in guest.log


@pytest.mark.parametrize("cpus, rounds", [(2, 200), (4, 100), (16, 16)])
def test_no_cpu_reads_memory_that_was_given_back(cpus, rounds):
    passes(f"unmap {cpus} {rounds}", cpus)


def test_no_cpu_reads_memory_that_was_given_back_under_kvm(kvm):
    with Guest("smptest", accel=kvm, machine="microvm", smp=3, cmdline="-- unmap 3 4") as guest:
        assert guest.wait_exit(50) == 0
        assert "PASS: nobody has read" in guest.log and "FAIL: " not in guest.log


def test_each_cpu_takes_its_own_interrupts_under_kvm(kvm):
    passes("vectors 2", 2, accel=kvm, machine="microvm", qemu_args=["-machine", "rtc=on"])


@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_each_cpu_takes_its_own_interrupts(machine, cpus):
    passes(f"vectors {cpus}", cpus, machine=machine)


# The second socket begins at APIC id 256, which only an x2APIC has, and only KVM gives.
FAR = ["-machine", "kernel-irqchip=split", "-smp", "1,maxcpus=258,sockets=2,cores=129,threads=1",
       "-device", "host-x86_64-cpu,socket-id=1,core-id=0,thread-id=0"]


def test_a_cpu_whose_apic_id_is_above_255_works_as_any_other(kvm):
    with Guest("smptest", accel=kvm, qemu_args=FAR, cmdline="-- vectors 2") as guest:
        assert guest.wait_exit(50) == 0
        assert "PASS: each message names its CPU" in guest.log and "FAIL: " not in guest.log
        assert "no message names" not in guest.log


def test_no_device_is_aimed_at_a_cpu_that_no_message_can_name(kvm):
    with Guest("smptest", accel=kvm, qemu_args=FAR, cmdline="kvm-off=msi-ext-id -- vectors 2") as guest:
        guest.wait_for(r"^no message names CPU 1 of APIC id 256$", 50)
        assert guest.wait_exit(50) == 0
        assert "FAIL: " not in guest.log


def test_the_report_tells_which_cpu_takes_whose_interrupts(tmp_path):
    disk = sparse_disk(tmp_path / "disk", MIB)
    with Guest("aerostat", smp=2, disks=[(disk, "num-queues=2")], net="user", forwards=[80]) as guest:
        guest.wait_for(r"^serving on ", 30)
        vectors = json.loads(guest.get("/status.json", deadline=20))["interrupts"]["vector"]
        assert all(vector["name"].startswith(f"cpu{vector['cpu']}-") for vector in vectors)
        assert {vector["cpu"] for vector in vectors if vector["owner"] == "virtio-blk"} == {0, 1}
        assert sum(vector["count"] for vector in vectors if vector["owner"] == "virtio-net") > 0
        assert guest.powerdown() == 0


def pauses(guest):
    """Stops the VM while all CPUs compare their clocks."""
    guest.wait_for(r"^PASS: each CPU gets a thread$", 50)
    for _ in range(3):
        guest.qmp("stop")
        time.sleep(0.2)
        guest.qmp("cont")
        time.sleep(0.1)
    assert guest.wait_exit(50) == 0
    assert "PASS: time goes on" in guest.log and "FAIL: " not in guest.log


def test_no_cpu_sees_time_go_back_over_pauses():
    with Guest("smptest", smp=4, cmdline="-- clock 4 2000000") as guest:
        pauses(guest)


def test_each_cpu_takes_note_of_a_pause_under_kvm(kvm):
    with Guest("smptest", accel=kvm, machine="microvm", smp=2, cmdline="-- clock 2 6000") as guest:
        pauses(guest)


GRUB = "/usr/lib/grub/i386-pc"
GRUB_CONFIG = """serial --unit=0 --speed=115200
acpi --exclude=APIC (cd)/madt
multiboot2 (cd)/kernel log=info -- hello
boot
"""


def madt(*far):
    """The first CPU, the I/O APIC, and further CPUs by x2APIC entries."""
    entries = struct.pack("<BBBBI", 0, 8, 0, 0, 1) + struct.pack("<BBBBII", 1, 12, 0, 0, 0xfec00000, 0)
    entries += b"".join(struct.pack("<BBHIII", 9, 16, 0, apic_id, 1, 1 + n) for n, apic_id in enumerate(far))
    body = struct.pack("<II", 0xfee00000, 1) + entries
    header = struct.pack("<4sIBB6s8sI4sI", b"APIC", 36 + len(body), 3, 0, b"TEST  ", b"TEST    ", 1, b"TEST", 1)
    return header[:9] + bytes([-sum(header + body) & 0xff]) + header[10:] + body


def test_cpus_of_an_injected_table_that_can_not_come_are_told_and_the_boot_goes_on(tmp_path):
    """GRUB puts its own MADT in the place of the firmware's."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "madt").write_bytes(madt(300, 0x12345678))
    shutil.copyfile(os.path.join(ROOT, "build/hello.elf"), tree / "kernel")
    (tmp_path / "grub.cfg").write_text(GRUB_CONFIG)
    subprocess.run(["grub-mkimage", "-d", GRUB, "-O", "i386-pc-eltorito", "-o", tree / "grub.img", "-p", "/", "-c", tmp_path / "grub.cfg",
                    "biosdisk", "multiboot2", "serial", "acpi", "iso9660"], check=True, timeout=60)
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-R", "-b", "grub.img", "-no-emul-boot", "-boot-load-size", "4",
                    "-boot-info-table", "-o", tmp_path / "iso", tree], check=True, timeout=60, stderr=subprocess.DEVNULL)
    cd = ["-drive", f"if=none,id=cd,media=cdrom,readonly=on,file={tmp_path / 'iso'}", "-device", "ide-cd,drive=cd,bootindex=0"]
    with Guest(boot=[*qemu.machine_args("q35", 64, 1), *cd], deadline=60) as guest:
        guest.wait_for(r"^cpu: the one of APIC id 300 did not come up$", 40)
        guest.wait_for(r"^cpu: the one of APIC id 305419896 did not come up$", 10)
        guest.wait_for(r"^cpu: 1 of 3 up$", 10)
        assert guest.wait_exit(20) == 0


def test_cpus_whose_ids_have_gaps_are_numbered_without():
    passes("vectors 6", 6, qemu_args=["-smp", "6,sockets=2,cores=3"])


@pytest.mark.parametrize("victim", [1, 2, 3])
def test_a_panic_on_another_cpu_is_told_and_stops_all(victim):
    with Guest("smptest", smp=4, cmdline=f"-- panic 4 {victim}") as guest:
        guest.wait_for(rf"^panic: on purpose \(CPU {victim}, thread fall\)$", 20)
        guest.wait_for(r"^  #\d.* fall\+0x")
        assert guest.wait_exit(20) == 101
        assert len(re.findall(r"^panic: ", guest.log, re.M)) == 1


def test_a_fault_on_another_cpu_is_told_with_its_registers():
    with Guest("smptest", smp=4, cmdline="-- fault 4 2") as guest:
        guest.wait_for(r"^panic: page fault.*\(CPU 2, thread fall\)\nwriting a null pointer at 0x8$", 20)
        guest.wait_for(r"^  #0 .* write_there\+0x")
        assert guest.wait_exit(20) == 101


@pytest.mark.parametrize("shown_by", ["line", "screen"])
def test_what_all_cpus_log_is_shown_line_by_line_and_in_order(shown_by, tmp_path):
    path = tmp_path / "screen"
    screen = ["-device", "virtio-serial-pci", "-chardev", f"file,id=screen,path={path}", "-device", "virtconsole,chardev=screen"]
    with Guest("smptest", smp=4, cmdline="-- log 4 150", qemu_args=screen if shown_by == "screen" else []) as guest:
        assert guest.wait_exit(50) == 0
        shown = path.read_text() if shown_by == "screen" else guest.log
    for cpu in range(4):
        said = re.findall(rf"^CPU {cpu} says (\d+) of 150$", shown, re.M)
        assert said == [str(number) for number in range(150)]


def test_the_vm_ends_from_another_cpu():
    with Guest("smptest", smp=4, cmdline="-- exit 4 3") as guest:
        assert guest.wait_exit(20) == 7
        assert guest.lines[-1] == "aerostat: exit 7"


def test_of_cpus_that_end_the_guest_together_one_does():
    for _ in range(8):
        with Guest("smptest", smp=4, cmdline="-- ends 4") as guest:
            assert guest.wait_exit(20) == 7
            assert guest.log.count("aerostat: exit 7") == 1
            assert guest.lines[-1] == "aerostat: exit 7"


@pytest.mark.parametrize("cpus", [2, 4])
def test_kernel_threads_run_where_the_application_computes_without_end(cpus):
    passes(f"preempt {cpus} 20", cpus)


def test_idle_cpus_halt():
    with Guest("selftest", smp=4, cmdline="-- sleep 8000") as guest:
        guest.wait_for(r"^cpu: 4 of 4 up$", 20)
        halted = [0]
        for _ in range(20):  # a timer or the host's load may have one awake for a moment
            time.sleep(0.1)
            halted.append(guest.hmp("info registers -a").count("HLT=1"))
            if halted[-1] == 4:
                break
        assert max(halted) == 4


# --- the application's functions on other CPUs

def lines_of(log, cpu):
    return re.findall(rf"^line (\d+) of CPU {cpu}$", log, re.M)


@pytest.mark.parametrize("irq", ["msix", "poll"])
@pytest.mark.parametrize("cpus, rounds", [(2, 200), (4, 100)])
def test_an_application_uses_the_c_library_on_all_cpus_at_once(cpus, rounds, irq):
    with Guest("cputest", smp=cpus, memory=128, cmdline=f"ip=off irq={irq} -- all {rounds}") as guest:
        assert guest.wait_exit(50) == 0
        assert "FAIL: " not in guest.log
        for cpu in range(cpus):
            assert lines_of(guest.log, cpu) == [str(number) for number in range(rounds)]


def test_64_cpus_run_a_function_each():
    with Guest("cputest", smp=64, memory=256, cmdline="ip=off -- one 1") as guest:
        assert guest.wait_exit(50) == 0
        assert "FAIL: " not in guest.log
        for cpu in range(64):
            assert lines_of(guest.log, cpu) == ["0"]


def test_an_application_runs_functions_on_two_cpus_under_kvm(kvm):
    with Guest("cputest", accel=kvm, machine="microvm", smp=2, memory=128, cmdline="ip=off -- one 3") as guest:
        assert guest.wait_exit(55) == 0
        assert "FAIL: " not in guest.log
        assert lines_of(guest.log, 1) == ["0", "1", "2"]


@pytest.mark.parametrize("irq", ["msix", "poll"])
def test_all_cpus_read_the_disk_at_once(irq, tmp_path):
    path = tmp_path / "numbers"
    path.write_bytes(b"".join(number.to_bytes(4, "little") * 128 for number in range(4096)))
    with Guest("cputest", smp=4, memory=128, disks=[(path, "")], cmdline=f"ip=off irq={irq} -- disk 300") as guest:
        guest.wait_for(r"^PASS: each reads what the disk has$", 50)
        assert guest.wait_exit(10) == 0


@pytest.mark.parametrize("irq", ["msix", "poll"])
def test_all_cpus_use_sockets_at_once(irq):
    with Guest("cputest", smp=4, memory=128, cmdline=f"ip=off irq={irq} -- net 100") as guest:
        guest.wait_for(r"^PASS: each has its datagrams$", 50)
        guest.wait_for(r"^PASS: each has its stream$", 50)
        assert guest.wait_exit(10) == 0


def test_what_cannot_run_on_a_cpu_is_refused():
    with Guest("cputest", smp=2, memory=128, cmdline="ip=off -- refusals") as guest:
        assert guest.wait_exit(30) == 0
        assert guest.log.count("PASS: ") == 13
        assert "FAIL: " not in guest.log


def test_functions_that_ended_leave_no_memory_behind():
    with Guest("cputest", smp=4, memory=128, cmdline="ip=off -- again 200") as guest:
        guest.wait_for(r"^PASS: and leave nothing behind$", 50)
        assert guest.wait_exit(10) == 0


def test_exit_on_another_cpu_ends_the_vm_in_order():
    with Guest("cputest", smp=4, memory=128, cmdline="ip=off -- exit") as guest:
        assert guest.wait_exit(20) == 7
        assert [line for line in guest.lines if not line.startswith("audit:")][-2:] == ["left in the buffer", "aerostat: exit 7"]


def test_exit_does_not_wait_for_a_stream_that_another_cpu_reads():
    with Guest("cputest", smp=2, memory=128, cmdline="ip=off -- exit-while-main-reads") as guest:
        assert guest.wait_exit(20) == 7
        assert "left in the buffer" in guest.log
        assert guest.lines[-1] == "aerostat: exit 7"


def test_a_function_that_falls_on_cpu_3_panics_with_its_name_and_stops_all():
    with Guest("cputest", smp=4, memory=128, cmdline="ip=off -- fault") as guest:
        guest.wait_for(r"^panic: page fault.*\(CPU 3, thread function\)\nwriting a null pointer at 0x8$", 20)
        guest.wait_for(r"^  #0 .* fall\+0x")
        assert guest.wait_exit(20) == 101
        assert len(re.findall(r"^panic: ", guest.log, re.M)) == 1


def test_a_function_that_overflows_its_stack_on_another_cpu_is_told_so():
    with Guest("cputest", smp=2, memory=128, cmdline="ip=off -- overflow") as guest:
        guest.wait_for(r"^panic: page fault.*\(CPU 1, thread function\)\nwriting beyond the stack \(overflow\)", 20)
        assert guest.wait_exit(20) == 101
