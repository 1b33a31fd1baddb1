# SPDX-License-Identifier: MIT
"""What pytest must know for all suites: what the tests prove, and the last line; scripts read both."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """The ids go with the reports: with xdist, only these come from where the tests run."""
    for mark in item.iter_markers("proves"):
        item.user_properties.append(("traces" if mark.kwargs.get("how") == "trace" else "proves", " ".join(mark.args)))


def print_what_was_proven(reporter):
    """As a hosted test prints it: the ids in a comment before the test's result."""
    results = {"passed": "ok - {}", "failed": "not ok - {}", "error": "not ok - {}", "skipped": "ok - {} # SKIP"}
    for outcome, line in results.items():
        for report in reporter.stats.get(outcome, []):
            ids = getattr(report, "user_properties", ())
            for how, names in ids:
                print(f"# {how} {names}")
            if ids:
                print(line.format(report.nodeid))


def pytest_unconfigure(config):
    """The last line, for scripts. An error in a fixture is a failure; with xdist only the controller speaks."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput"):
        return
    print_what_was_proven(reporter)
    count = {name: len(reporter.stats.get(name, [])) for name in ("passed", "failed", "error", "skipped", "xfailed", "xpassed")}
    print(f"{count['passed'] + count['xpassed']} passed, {count['failed'] + count['error']} failed, "
          f"{count['skipped'] + count['xfailed']} skipped", flush=True)
