# SPDX-License-Identifier: MIT
"""The launcher: every way in which a run can end, its exit status, and the line that says so."""

import os
import signal
import socket
import subprocess
import time

import pytest

import qemu

TOOL = os.path.join(os.path.dirname(qemu.__file__), "run")


def start(*options):
    # A shell's background jobs ignore Ctrl-C, and would hand that down.
    return subprocess.Popen([TOOL, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def run(*options):
    """-> (status, standard output, standard error)"""
    # Two tests at a time would want the same port of the host.
    net = [] if {"--port", "--net"} & set(options) else ["--net", "none"]
    process = start("--accel", "tcg", "--deadline", "20", *net, *options)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


@pytest.mark.parametrize("machine", ["q35", "pc", "microvm"])
def test_the_guests_exit_status_is_the_launchers(stub, machine):
    status, output, _ = run("--app", stub, "--machine", machine, "--args", "e")
    assert (status, output.replace("\r", "")) == (7, "stub: e\naerostat: exit 7\n")


def test_a_guest_that_dies_without_a_record_is_a_failure(stub):
    status, _, errors = run("--app", stub, "--net", "none", "--args", "d")
    assert status == 103 and "without its exit record" in errors


def test_a_record_that_is_not_the_last_word_does_not_count(stub):
    assert run("--app", stub, "--net", "none", "--args", "f")[0] == 103


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_a_panic_is_seen_even_without_a_record(stub, machine):
    assert run("--app", stub, "--net", "none", "--machine", machine, "--args", "p")[0] == 101


def test_the_deadline_ends_a_guest_that_hangs(stub):
    status, output, errors = run("--app", stub, "--net", "none", "--args", "h", "--deadline", "1")
    assert status == 124 and "hanging" in output and "deadline" in errors


def test_emulation_that_fails_is_noticed_at_once(stub):
    if qemu.kvm_missing():
        pytest.skip(f"KVM is missing: {qemu.kvm_missing()}")
    begin = time.monotonic()
    status, _, errors = run("--app", stub, "--net", "none", "--accel", "kvm", "--machine", "microvm", "--args", "s")
    if status == 0:
        pytest.skip("this KVM has hardware under it, nothing is emulated")
    assert status == 124 and "emulation failed" in errors
    assert time.monotonic() - begin < 10


def interrupt(stub, words):
    process = start("--app", stub, "--net", "none", "--accel", "tcg", "--machine", "pc", "--args", words)
    for line in process.stdout:
        if "power button" in line or "hanging" in line:
            break
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    return process.returncode, output, errors


def test_ctrl_c_presses_the_power_button(stub):
    status, output, _ = interrupt(stub, "b")
    assert (status, output) == (5, "aerostat: exit 5\n")


def test_ctrl_c_ends_a_guest_that_does_not_answer(stub):
    status, _, errors = interrupt(stub, "h")
    assert status == 130 and "did not power off" in errors


def test_no_qemu_outlives_a_killed_launcher(stub):
    process = start("--app", stub, "--net", "none", "--accel", "tcg", "--args", "h")
    assert any("hanging" in line for line in process.stdout)
    children = [pid for pid in os.listdir("/proc") if pid.isdigit() and state_and_parent(pid)[1] == str(process.pid)]
    assert children
    process.kill()
    process.wait()
    end = time.monotonic() + 5
    while any(state_and_parent(pid)[0] not in "ZX" for pid in children):
        assert time.monotonic() < end
        time.sleep(0.05)


def state_and_parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return ["X", "0"]


def test_a_busy_port_is_named_and_another_taken(stub):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        status, _, errors = run("--app", stub, "--port", str(port), "--args", "e")
    assert status == 7 and f"port {port} is taken" in errors


@pytest.mark.parametrize("options, complaint", [
    (["--app", "/nowhere.elf"], "no image"),
    (["--disk", "/nowhere.img"], "no disk image"),
    (["--qemu-args", "-device nonsense"], "QEMU did not start"),
    (["--cpu", "nonsense"], "QEMU did not start"),
])
def test_what_cannot_start_is_said_in_one_line(stub, options, complaint):
    status, output, errors = run("--app", stub, "--net", "none", *options)
    assert status == 103 and not output
    assert [line for line in errors.splitlines() if complaint in line] and "Traceback" not in errors


def test_a_missing_qemu_names_the_command_that_installs_it(stub, monkeypatch):
    monkeypatch.setenv("QEMU", "qemu-that-is-not-there")
    status, _, errors = run("--app", stub)
    assert status == 103 and "tools/setup run" in errors


def test_values_that_begin_with_a_dash_reach_qemu(stub):
    assert run("--app", stub, "--net", "none", "--qemu-args", "-S", "--deadline", "1")[0] == 124
    assert "stub: -- -x" in run("--app", stub, "--net", "none", "--args", "-- -x")[1]
