# SPDX-License-Identifier: MIT
"""A host that changes its mind all the time, wishes what cannot be, or starts over in the middle. Each guest looks at the end
whether every page is in one place; the harness fails the test otherwise."""

import json
import random
import re
import time

import pytest
from harness import AUDIT_PASSED, MIB, Guest, GuestFailure
from qemu import QemuError

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


def flood(guest, targets):
    """Asks for all these sizes without waiting for an answer in between; then for the answers."""
    lines = b"".join(json.dumps({"execute": "balloon", "arguments": {"value": target}, "id": f"flood{number}"}).encode() + b"\n"
                     for number, target in enumerate(targets))
    guest.vm.send(lines)
    guest.qmp("query-balloon", 20)


def test_targets_of_every_kind_a_thousand_times_a_second_stop_nothing():
    """With a statistics request open all the while, and HTTP requests answered."""
    memory, seconds = 128, 3
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    kinds = [lambda: chance.randrange(1, memory * MIB),  # hardly ever whole pages
             lambda: chance.randrange(1, memory) * MIB,
             lambda: 1,
             lambda: memory * MIB + chance.randrange(1 << 40),
             lambda: (1 << 63) - 1]
    with Guest("aerostat", memory=memory, balloon=True, net="user", forwards=[80]) as guest:
        guest.wait_for(r"^serving on", 20)
        polled = "guest-stats-polling-interval"
        guest.qmp("qom-set", path="/machine/peripheral/balloon0", property=polled, value=1)
        started, asked = time.monotonic(), 0
        while time.monotonic() < started + seconds:
            flood(guest, [chance.choice(kinds)() for _ in range(1000)])
            asked += 1000
            json.loads(guest.get("/status.json"))
        print(f"{asked / (time.monotonic() - started):.0f} targets a second")
        now = int(time.time())
        guest.balloon(96 * MIB)
        assert json.loads(guest.get("/status.json"))["memory"]["ballooned_bytes"] == 32 * MIB
        end = time.monotonic() + 10
        while guest.qmp("qom-get", path="/machine/peripheral/balloon0", property="guest-stats")["last-update"] <= now:
            assert time.monotonic() < end, "no statistics came after the storm"
            time.sleep(0.1)


# Where a Linux 6.1 guest of 256 MiB ended, asked for the same by the same QEMU: what is not whole pages is left to the guest
# as one page more, what is above the maximum is all, and no event tells of that where it was all before.
AS_ON_LINUX = [
    (128 * MIB, 128 * MIB, True),
    (192 * MIB, 192 * MIB, True),
    (100 * MIB + 12345, 100 * MIB + 4 * 4096, True),
    (150 * MIB + 1, 150 * MIB + 4096, True),
    (256 * MIB, 256 * MIB, True),
    (1024 * MIB, 256 * MIB, False),
    (1 << 62, 256 * MIB, False),
    (128 * MIB, 128 * MIB, True),
    (1024 * MIB, 256 * MIB, True),
]


def changes_told(guest):
    return [event["data"]["actual"] for event in guest.vm.events if event["event"] == "BALLOON_CHANGE"]


def test_each_target_ends_where_it_does_on_linux():
    with Guest("selftest", memory=256, balloon=True, cmdline="-- spin") as guest:
        guest.wait_for(r"^spinning")
        for target, actual, told in AS_ON_LINUX:
            before = len(changes_told(guest))
            guest.qmp("balloon", value=target)
            if told:
                guest.wait_event("BALLOON_CHANGE", 20, actual=actual)
            else:
                time.sleep(0.3)
                assert len(changes_told(guest)) == before
            settle(guest, actual / MIB)
        for refused in (0, -1):
            with pytest.raises(QemuError, match="expects a size"):
                guest.qmp("balloon", value=refused)
        settle(guest, 256)


def move_away_from(guest, before, wanted):
    """Asks for so many MiB and returns while the balloon is on its way."""
    guest.qmp("balloon", value=wanted * MIB)
    end = time.monotonic() + 20
    while guest.qmp("query-balloon")["actual"] == before * MIB:
        assert time.monotonic() < end, "the balloon does not move"


def test_a_reset_of_the_machine_while_the_balloon_moves_begins_anew():
    """The host's wish outlives it, and the guest knows nothing of before."""
    memory = 1024
    with Guest("selftest", memory=memory, balloon=True, cmdline="-- spin", qemu_args=["-action", "reboot=reset"]) as guest:
        guest.wait_for(r"^spinning")
        for before, wanted in [(memory, 128), (128, memory), (memory, 160)]:
            move_away_from(guest, before, wanted)
            guest.qmp("system_reset")
            guest.wait_for(r"^spinning", 20)
            settle(guest, wanted)
        assert guest.powerdown() == 0
        pages = re.search(r"(\d+) in the balloon", AUDIT_PASSED.search(guest.log).group(0)).group(1)
        assert int(pages) == (memory - 160) * 256


def test_a_balloon_that_is_unplugged_while_it_moves_gives_all_back():
    slot = ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off", "-device", "pcie-root-port,id=slot0,chassis=1,slot=1",
            "-device", "virtio-balloon-pci,id=balloon0,bus=slot0"]
    memory = 256
    with Guest("selftest", memory=memory, cmdline="-- spin", qemu_args=slot) as guest:
        guest.wait_for(r"^spinning")
        guest.qmp("device_del", id="balloon0")
        gone = False
        while not gone:  # some seconds, for the guest may change its mind
            for target in (64, 192):
                try:
                    guest.qmp("balloon", value=target * MIB)
                    time.sleep(0.003)
                except QemuError:
                    gone = True
        guest.wait_event("DEVICE_DELETED", 20, device="balloon0")
        assert guest.powerdown() == 0
        assert ", 0 in the balloon," in AUDIT_PASSED.search(guest.log).group(0)
