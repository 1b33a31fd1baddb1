# SPDX-License-Identifier: MIT
"""tools/overcommit in small."""

import glob
import os
import re
import signal
import subprocess
import xml.etree.ElementTree as ElementTree

from harness import ROOT

TOOL = os.path.join(ROOT, "tools/overcommit")
SMALL = ["--accel", "tcg", "--guests", "2", "--size", "256", "--work", "192", "--idle", "16", "--swaps", "2"]


def overcommit(tmp_path, *options, deadline=60):
    done = subprocess.run([TOOL, *SMALL, "--picture", os.fspath(tmp_path / "picture.svg"), *options], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=deadline, check=False)
    return done.returncode, done.stdout


def test_guests_that_report_free_memory_hand_it_on_within_a_budget(tmp_path):
    status, text = overcommit(tmp_path, "--budget", "440")
    assert status == 0, text
    assert len(re.findall(r"^overcommit: .* has given 192 MiB to guest", text, re.M)) == 2, text
    most = int(re.search(r"^\| resident at the most, measured \| (\d+) \|$", text, re.M).group(1))
    kept = int(re.search(r"^\| if each had kept the most it ever had \| (\d+) \|$", text, re.M).group(1))
    assert 192 < most <= 440 < kept, text
    assert ElementTree.parse(tmp_path / "picture.svg").getroot().tag.endswith("svg")


def test_guests_that_are_led_by_the_budget_tool_do_so_too(tmp_path):
    status, text = overcommit(tmp_path, "--guests", "3", "--budget", "720", "--by", "budget", "--no-cgroup")
    assert status == 0, text
    assert "no cgroup, as asked" in text and "all was right" in text


def test_what_would_have_fit_anyway_is_no_success(tmp_path):
    status, text = overcommit(tmp_path, "--budget", "440", "--swaps", "0")
    assert status == 1, text
    assert "failed: it has shown nothing" in text


def test_guests_that_give_nothing_back_exceed_the_budget_and_that_is_a_failure(tmp_path):
    status, text = overcommit(tmp_path, "--budget", "440", "--by", "none")
    assert status == 1, text
    assert re.search(r"^overcommit: failed: (after .* 440 is the budget|the kernel has killed)", text, re.M), text
    assert (tmp_path / "picture.svg").exists()


def leftovers(pid):
    processes = [path for path in glob.glob("/proc/[0-9]*/environ")
                 if f"OVERCOMMIT_TEST={pid}".encode() in read_or_nothing(path)]
    return processes + glob.glob(f"/sys/fs/cgroup/**/aerostat-overcommit-{pid}", recursive=True)


def read_or_nothing(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def test_ctrl_c_leaves_nothing_behind(tmp_path):
    mark = str(os.getpid())
    environment = {**os.environ, "OVERCOMMIT_TEST": mark, "TMPDIR": os.fspath(tmp_path)}
    tool = subprocess.Popen([TOOL, *SMALL, "--budget", "440", "--swaps", "1000", "--picture", os.fspath(tmp_path / "picture.svg")],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment, process_group=0,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    try:
        text = ""
        while "are busy" not in text:
            line = tool.stdout.readline()
            assert line, text
            text += line
        assert len(leftovers(mark)) >= 3  # itself and two guests
        os.kill(tool.pid, signal.SIGINT)
        text += tool.communicate(timeout=20)[0]
    finally:
        tool.kill()
    assert tool.returncode == 130 and "overcommit: stopped" in text
    assert not leftovers(mark) and not glob.glob(f"/sys/fs/cgroup/**/aerostat-overcommit-{tool.pid}", recursive=True)
    assert not os.listdir(tmp_path)
