# SPDX-License-Identifier: MIT
"""What pytest must know for guest tests: fixtures that skip loudly, reports that show the guest."""

import functools
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402  (found by the line above)

kvm_missing = functools.lru_cache(harness.qemu.kvm_missing)
network_missing = functools.lru_cache(harness.network_missing)


@pytest.fixture
def kvm():
    """For a test that runs under KVM."""
    if kvm_missing():
        pytest.skip(f"KVM is missing: {kvm_missing()}")
    return "kvm"


@pytest.fixture(params=["tcg", "kvm"])
def accel(request):
    """Runs a test under each accelerator. For the lean KVM set only: an interpreted KVM is slow."""
    return request.getfixturevalue("kvm") if request.param == "kvm" else "tcg"


@pytest.fixture
def network():
    """A network namespace with a tap device, for this test alone."""
    if network_missing():
        pytest.skip(f"a network is missing: {network_missing()}")
    with harness.Network() as made:
        yield made


@pytest.fixture(autouse=True)
def no_guest_is_left():
    """Guests of other tests do not belong in this test's report, and none outlives its test."""
    harness.Guest.running.clear()
    yield
    for guest in harness.Guest.running:
        guest.kill()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for number, guest in enumerate(harness.Guest.running, 1):
            report.sections.append((f"guest {number} of {item.name}", guest.report()))
