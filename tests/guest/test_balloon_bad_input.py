# SPDX-License-Identifier: MIT
"""A host that changes its mind all the time, wishes what cannot be, or starts over in the middle. Each guest looks at the end
whether every page is in one place; the harness fails the test otherwise."""

import random
import re
import time

from harness import AUDIT_PASSED, MIB, Guest, GuestFailure

SEED = random.randrange(1 << 30)


def settle(guest, mib, deadline=20):
    """Waits until the balloon has left the guest so much."""
    end = time.monotonic() + deadline
    while (actual := guest.qmp("query-balloon")["actual"]) != mib * MIB:
        if time.monotonic() > end:
            raise GuestFailure(f"{actual / MIB} MiB are left to the guest, {mib} were asked")
        time.sleep(0.002)


def largest_block(free, top):
    """The largest block, a power of two at a multiple of itself, that so many bytes below the top can hold."""
    size = 1 << top.bit_length()
    while top // size * size - size < top - free:
        size //= 2
    return size


def test_a_thousand_cycles_beside_an_application_leave_large_blocks():
    memory, held, cycles = 128, 16, 1000
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    with Guest("selftest", memory=memory, balloon=True, cmdline=f"-- churn {SEED} {held}", deadline=90) as guest:
        guest.wait_for(r"^waiting for the host", 20)
        started = time.monotonic()
        for _ in range(cycles):
            target = chance.randrange(48, memory)
            guest.qmp("balloon", value=target * MIB)
            settle(guest, target)
        print(f"{cycles} cycles in {time.monotonic() - started:.1f} s")
        guest.qmp("balloon", value=memory * MIB)
        guest.wait_for(r"^PASS: what was held was had and kept", 20)
        told = guest.wait_for(r"^(\d+) calls, (\d+) KiB held, (\d+) KiB free, the largest block (\d+) KiB", 5)
        calls, kept, free, largest = (int(number) for number in told.groups())
        assert guest.wait_exit() == 0
        print(told.group(0))
        audit = AUDIT_PASSED.search(guest.log).group(0)
        print(audit)
        assert calls > 1000 and kept > 0
        # The firmware's tables lie on top.
        assert largest * 1024 >= 0.9 * largest_block(free * 1024, memory * MIB - MIB)
        pages, together = re.search(r"(\d+) free, at most (\d+) of them together", audit).groups()
        assert int(together) >= 0.9 * int(pages)
