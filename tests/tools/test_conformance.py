# SPDX-License-Identifier: MIT
"""The ledger of requirements: it must never call one shown that is not, nor let a contradiction pass."""

import csv
import os
import subprocess

import pytest

import qemu

ROOT = os.path.dirname(os.path.dirname(qemu.__file__))

REQUIREMENTS = """id,section,level,area,requirement,how_to_test
CORE-A-01,1,MUST,core,one,x
CORE-A-02,1,MUST NOT,core,two,x
CORE-A-03,1,MAY,core,three,x
NET-B-01,1,MUST,net,four,x
NET-B-02,1,SHOULD,net,five,x
"""
ALL = "# proves CORE-A-01 CORE-A-02\nok 1 - good\n"


class Ledger:
    """One run of the tool on a log: its status, what it printed, what it wrote."""

    def __init__(self, folder, log, reasons=""):
        files = {"log": "--- build/tests/suite\n" + log, "requirements": REQUIREMENTS,
                 "reasons": "what,kind,shown_by,reason\n" + reasons}
        for name, text in files.items():
            (folder / name).write_text(text)
        words = [word for name in files for word in (f"--{name}", folder / name)]
        done = subprocess.run([os.path.join(ROOT, "tests", "conformance", "ledger"), "--out", folder / "out", *words],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                              check=False)
        self.status, self.lines = done.returncode, done.stdout.splitlines()
        with open(folder / "out", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.state = {row["id"]: row["state"] for row in rows}
        self.shown_by = {row["id"]: row["shown_by"] for row in rows}


def test_what_tests_prove_is_counted_by_area_and_level(tmp_path):
    ledger = Ledger(tmp_path, ALL + "# traces NET-B-01\nok - tests/guest/test_x.py::test_y\n")
    assert ledger.status == 0 and ledger.lines[-1] == "conformance: ok"
    assert "| core | MUST | 1 | 1 |  |  |  |  |" in ledger.lines
    assert "| net | MUST | 1 |  | 1 |  |  |  |" in ledger.lines
    assert "| all |  | 5 | 2 | 1 |  |  | 2 |" in ledger.lines
    assert ledger.shown_by["CORE-A-02"] == "suite: good" and ledger.shown_by["NET-B-01"] == "tests/guest/test_x.py::test_y"


def test_an_open_requirement_of_a_strict_area_fails_and_others_do_not(tmp_path):
    ledger = Ledger(tmp_path, "# proves CORE-A-01\nok 1 - good\n")
    assert ledger.status == 1 and "CORE-A-02 is open" in ledger.lines
    assert ledger.state["NET-B-01"] == ledger.state["CORE-A-03"] == "open"
    assert ledger.lines[-1] == "conformance: 1 problems"


@pytest.mark.parametrize("log", [
    "# proves CORE-A-01 CORE-A-02\nnot ok 1 - bad\n",
    ALL + "# proves CORE-A-01 CORE-A-02\nnot ok 1 - good\n",
], ids=["fails", "fails in one of its runs"])
def test_a_test_that_fails_proves_nothing(tmp_path, log):
    ledger = Ledger(tmp_path, log)
    assert ledger.status == 1 and {"CORE-A-01 is open", "CORE-A-02 is open"} <= set(ledger.lines)


@pytest.mark.parametrize("log", [
    "# proves CORE-A-01 CORE-A-02\nok 1 # SKIP good\n",
    "# proves CORE-A-01 CORE-A-02\nok - tests/guest/test_x.py::test_y # SKIP\n",
    "# proves CORE-A-01 CORE-A-02\n--- build/tests/other\nok 1 - other\n",
], ids=["skipped", "skipped by pytest", "crashed"])
def test_a_test_that_did_not_end_proves_nothing(tmp_path, log):
    assert Ledger(tmp_path, log).state["CORE-A-01"] == "open"


def test_the_same_name_in_another_suite_is_another_test(tmp_path):
    ledger = Ledger(tmp_path, ALL + "--- build/tests/other\nnot ok 1 - good\n")
    assert ledger.status == 1 and ledger.state["CORE-A-01"] == "test"
    assert "other: good failed" in ledger.lines


def test_an_id_that_the_table_does_not_have_is_an_error(tmp_path):
    ledger = Ledger(tmp_path, ALL + "# proves CORE-A-99\nok 2 - typo\n")
    assert ledger.status == 1 and "suite: typo names CORE-A-99, which is no requirement" in ledger.lines


def test_reasons_close_what_is_left(tmp_path):
    ledger = Ledger(tmp_path, "# proves CORE-A-01\nok 1 - good\nok 2 - refuses\n",
                    "CORE-A-02..03,not applicable,suite: refuses,never accepted\nNET-B,not built,,no such device\n")
    assert ledger.status == 0
    assert ledger.state["CORE-A-02"] == ledger.state["CORE-A-03"] == "not applicable"
    assert ledger.state["NET-B-01"] == ledger.state["NET-B-02"] == "not built"
    assert ledger.shown_by["CORE-A-02"] == "never accepted (suite: refuses)"


@pytest.mark.parametrize("reason, problem", [
    ("CORE-A-01,not applicable,suite: good,never accepted", "CORE-A-01 is not applicable, but suite: good proves it"),
    ("CORE-A-03,not applicable,,never accepted", "CORE-A-03: names no test that shows it"),
    ("CORE-A-03,not applicable,suite: gone,never accepted", "CORE-A-03: is shown by suite: gone, which did not pass"),
    ("CORE-A-03,not applicable,suite: good,", "CORE-A-03: gives no reason"),
    ("NET-B-01,not built,,no time", "NET-B-01: only an area or a family can be not built"),
    ("NET-B-01..02,not built,,no time", "NET-B-01..02: only an area or a family can be not built"),
    ("core,not built,,no time", "core: a strict area cannot be not built as a whole"),
    ("NET-C,not built,,no such device", "NET-C: covers no requirement"),
    ("NET-B,too hard,,no such device", "NET-B: 'too hard' is no kind of reason"),
    ("NET-B,not built,,once\nnet,not built,,twice", "NET-B-01 has two reasons"),
])
def test_a_bad_reason_is_an_error(tmp_path, reason, problem):
    ledger = Ledger(tmp_path, ALL, reason + "\n")
    assert ledger.status == 1 and f"reasons.csv: {problem}" in ledger.lines


def test_the_ledger_runs_suites_itself(tmp_path):
    """A hosted one, and of a folder for pytest the marked tests; the ids pass through."""
    (tmp_path / "hosted").write_text("#!/bin/sh\necho 1..1; echo '# proves CORE-A-01'; echo ok 1 - good\n")
    (tmp_path / "hosted").chmod(0o755)
    (tmp_path / "guest").mkdir()
    (tmp_path / "guest" / "test_it.py").write_text(
        "import pytest\n@pytest.mark.proves('CORE-A-02', how='trace')\ndef test_a(): pass\ndef test_b(): assert False\n"
        "@pytest.mark.proves('CORE-A-03')\ndef test_c(): pytest.skip('no c')\n")
    for name in ("conftest.py", "pytest.ini"):
        with open(os.path.join(ROOT, "tests", name), encoding="utf-8") as file:
            (tmp_path / "guest" / name).write_text(file.read())
    (tmp_path / "requirements").write_text(REQUIREMENTS)
    (tmp_path / "reasons").write_text("what,kind,shown_by,reason\n")
    done = subprocess.run([os.path.join(ROOT, "tests", "conformance", "ledger"), "--requirements", tmp_path / "requirements",
                           "--reasons", tmp_path / "reasons", tmp_path / "hosted", tmp_path / "guest"], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert "| core | MUST | 1 | 1 |  |  |  |  |" in done.stdout
    assert "| core | MUST NOT | 1 |" not in done.stdout  # the level stands alone in its area's second line
    assert "|  | MUST NOT | 1 |  | 1 |  |  |  |" in done.stdout
    assert "|  | MAY | 1 |  |  |  |  | 1 |" in done.stdout
