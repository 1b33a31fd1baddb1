# SPDX-License-Identifier: MIT
"""What pytest must know for all suites: the last line, which scripts read."""


def pytest_unconfigure(config):
    """The last line, for scripts. An error in a fixture is a failure; with xdist only the controller speaks."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput"):
        return
    count = {name: len(reporter.stats.get(name, [])) for name in ("passed", "failed", "error", "skipped", "xfailed", "xpassed")}
    print(f"{count['passed'] + count['xpassed']} passed, {count['failed'] + count['error']} failed, "
          f"{count['skipped'] + count['xfailed']} skipped", flush=True)
