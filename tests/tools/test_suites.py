# SPDX-License-Identifier: MIT
"""The runner of suites: it must never call a run good that was not."""

import os
import subprocess

import pytest

import qemu


ROOT = os.path.dirname(os.path.dirname(qemu.__file__))


def run(*arguments):
    """-> (status, last line)"""
    done = subprocess.run([os.path.join(ROOT, "tests", "run-suites"), *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    return done.returncode, done.stdout.splitlines()[-1]


def program(path, body):
    path.write_text("#!/bin/sh\n" + body)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("body, outcome", [
    ("echo 1..2; echo ok 1 - a; echo ok 2 - b", (0, "2 passed, 0 failed, 0 skipped")),
    ("echo 1..2; echo ok 1 - a; echo 'not ok 2 # SKIP b'", (0, "1 passed, 0 failed, 1 skipped")),
    ("echo 1..2; echo ok 1 - a; echo not ok 2 - b; exit 1", (1, "1 passed, 1 failed, 0 skipped")),
    ("echo 1..3; echo ok 1 - a; kill -ABRT $$", (1, "1 passed, 1 failed, 0 skipped")),
    ("echo 1..3; echo ok 1 - a", (1, "1 passed, 1 failed, 0 skipped")),
    ("echo 1..1; echo ok 1 - a; exit 1", (1, "1 passed, 1 failed, 0 skipped")),
    ("echo 1..1; echo 'not ok 1 # SKIP a'", (1, "0 passed, 0 failed, 1 skipped")),
    ("", (1, "0 passed, 1 failed, 0 skipped")),
], ids=["passes", "skips", "fails", "crashes", "stops early", "a leak after the last test", "only skips", "runs nothing"])
def test_a_program_is_judged_by_its_results_and_its_end(tmp_path, body, outcome):
    assert run(program(tmp_path / "suite", body)) == outcome


def test_suites_are_summed(tmp_path):
    good = program(tmp_path / "good", "echo 1..1; echo ok 1 - a")
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip('no b')\n"
                                         "def test_c(): assert False\n@pytest.fixture\ndef d(): assert False\n"
                                         "def test_d(d): pass\n")
    # pytest finds its configuration beside the tests.
    for name in ("conftest.py", "pytest.ini"):
        (tmp_path / name).write_text(open(os.path.join(ROOT, "tests", name), encoding="utf-8").read())
    assert run(good, str(tmp_path / "test_it.py")) == (1, "2 passed, 2 failed, 1 skipped")


def test_a_suite_that_never_ends_is_ended(tmp_path):
    assert run("--limit", "1", program(tmp_path / "slow", "echo ok 1; sleep 60")) == (1, "1 passed, 1 failed, 0 skipped")


def test_a_suite_that_is_not_there_is_a_failure():
    assert run("/nowhere")[0] == 1


def test_no_suite_at_all_is_a_failure():
    assert run() == (1, "0 passed, 0 failed, 0 skipped")
