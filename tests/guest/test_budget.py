# SPDX-License-Identifier: MIT
"""tools/budget keeps real guests within a budget, and gives what one no longer needs to the others."""

import os
import subprocess
import time
from contextlib import ExitStack

from harness import MIB, ROOT, Guest

TOOL = os.path.join(ROOT, "tools/budget")


def actual(guest):
    return guest.qmp("query-balloon")["actual"]


def wait_until(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not after {seconds} s"
        time.sleep(0.2)


def test_three_guests_stay_within_what_one_and_a_half_would_have(tmp_path):
    with ExitStack() as stack:
        sockets = [os.fspath(tmp_path / f"qmp{number}") for number in range(3)]
        guests = [stack.enter_context(Guest("selftest", memory=256, balloon=True, cmdline="-- spin",
                                            qemu_args=["-qmp", f"unix:{path},server=on,wait=off"])) for path in sockets]
        for guest in guests:
            guest.wait_for(r"^spinning", 20)
        log = open(tmp_path / "log", "w+", encoding="utf-8")
        tool = stack.enter_context(subprocess.Popen([TOOL, "--budget", "384", "--interval", "0.5", *sockets], stdout=log, stderr=log))
        stack.callback(tool.kill)
        wait_until("the budget is kept", lambda: sum(map(actual, guests)) <= 384 * MIB)
        wait_until("it is used", lambda: sum(map(actual, guests)) >= 370 * MIB)
        assert min(map(actual, guests)) >= 64 * MIB
        guests[0].vm.quit()
        wait_until("the others get its part", lambda: sum(map(actual, guests[1:])) >= 370 * MIB)
        assert sum(map(actual, guests[1:])) <= 384 * MIB
        assert tool.poll() is None
        tool.terminate()  # first: QEMU 7.2 may hang when it is asked something while it ends
        tool.wait(20)
        for guest in guests[1:]:
            assert guest.powerdown() == 0
        log.seek(0)
        assert "of 384 MiB" in log.read()
