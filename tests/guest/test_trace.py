# SPDX-License-Identifier: MIT
"""What QEMU's devices saw of the drivers, by its trace events and QMP: order of the status, doorbells, features, queues.

On microvm, where no firmware drives virtio devices before the kernel does.
"""

import json
import re

import pytest
from harness import MIB, Guest, random_disk

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, FAILED = 1, 2, 4, 8, 128
BRING_UP = [0, ACKNOWLEDGE, ACKNOWLEDGE | DRIVER, ACKNOWLEDGE | DRIVER | FEATURES_OK,
            ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK]
AVAIL, USED = 1 << 7, 1 << 15  # flags of a packed descriptor
NAMELESS = {"RING_RESET"}  # what this QEMU offers and has no name for
OTHER_NAMES = {"REPORTING": "PAGE_REPORTING"}  # than the standard's
MEMORY_MIB = 64
PAGE = 4096

# Doorbells that are not taken past the trace.
NO_IOEVENTFD = ["-global", "virtio-blk-pci.ioeventfd=off", "-global", "virtio-net-pci.ioeventfd=off"]


def trace_args(log, *events):
    return ["-D", str(log)] + [word for event in events for word in ("-trace", event)]


def traced_events(log, name):
    """[(index in the trace, numbers of the line)] of one kind of event."""
    lines = log.read_text().splitlines()
    return [(at, [int(number, 0) for number in re.findall(r"\b(?:0x[0-9a-f]+|\d+)\b", line)])
            for at, line in enumerate(lines) if line.startswith(name + " ")]


def statuses(log):
    """{device: [(index in the trace, status)]}, what is written again unchanged left out, as QEMU does at the end."""
    written = {}
    for at, (device, status) in traced_events(log, "virtio_set_status"):
        told = written.setdefault(device, [])
        if not told or told[-1][1] != status:
            told.append((at, status))
    return written


def names(features):
    """The short names of what x-query-virtio-status lists."""
    words = [text.split(":")[0] for text in features["dev-features"] + features["transports"]]
    words = {re.sub(r"^VIRTIO_(RING_|[A-Z]+_)?F_", "", word) for word in words}
    return {OTHER_NAMES.get(word, word) for word in words}


def physical_words(guest, address):
    """The first eight 16-bit words of guest memory there, as QEMU's monitor reads it."""
    return [int(word, 16) for line in guest.hmp(f"xp /8hx {address:#x}").splitlines() for word in line.split()[1:]]


class Seen:
    """One guest's life with a disk, a network and a balloon."""

    def __init__(self, ring, folder):
        self.ring, self.log = ring, folder / "trace"
        disk, _ = random_disk(folder / "disk", MIB)
        packed = f"packed={'on' if ring == 'packed' else 'off'}"
        args = trace_args(self.log, "virtio_set_status", "virtio_queue_notify", "virtio_pci_notify_write")
        with Guest("aerostat", machine="microvm", memory=MEMORY_MIB, disks=[(disk, packed)], net="user", forwards=[80],
                   net_options=packed, balloon=True, balloon_options=packed + ",free-page-reporting=on", qemu_args=args + NO_IOEVENTFD) as guest:
            guest.wait_for(r"^serving on http://10\.0\.2\.15/$", 30)
            self.told = json.loads(guest.get("/status.json", deadline=20))["virtio"]["device"]
            guest.balloon((MEMORY_MIB - 16) * MIB)
            self.devices = [self._query(guest, device["path"]) for device in guest.qmp("x-query-virtio")]
            assert guest.powerdown(20) == 0

    def _query(self, guest, path):
        status = guest.qmp("x-query-virtio-status", path=path)
        queues = [guest.qmp("x-query-virtio-queue-status", path=path, queue=index) for index in range(status["num-vqs"])]
        status["queues"] = [queue for queue in queues if queue["vring-desc"]]
        for queue in status["queues"]:
            queue["memory"] = {area: physical_words(guest, queue[f"vring-{area}"]) for area in ("desc", "avail", "used")}
        return status


@pytest.fixture(scope="module", params=["split", "packed"])
def seen(request, tmp_path_factory):
    return Seen(request.param, tmp_path_factory.mktemp(request.param))


def proves(*ids):
    return pytest.mark.proves(*ids, how="trace")


@proves("CORE-STAT-01", "CORE-STAT-02", "CORE-INIT-03", "CORE-INIT-04", "CORE-INIT-06", "CORE-INIT-09")
def test_each_device_sees_the_states_in_order(seen):
    written = statuses(seen.log)
    assert len(written) == 3
    for told in written.values():
        assert [status for _, status in told] == BRING_UP


@proves("CORE-INIT-15")
def test_no_device_sees_a_doorbell_before_driver_ok(seen):
    live = {device: told[-1][0] for device, told in statuses(seen.log).items()}
    doorbells = traced_events(seen.log, "virtio_queue_notify")
    assert {numbers[0] for _, numbers in doorbells} == set(live)
    assert all(at > live[numbers[0]] for at, numbers in doorbells)


@proves("PCI-NTF-01", "PCI-NTF-03")
def test_doorbells_are_16_bit_writes_of_the_queues_index(seen):
    writes = {at: numbers for at, numbers in traced_events(seen.log, "virtio_pci_notify_write")}
    doorbells = traced_events(seen.log, "virtio_queue_notify")
    assert writes and {numbers[1] for _, numbers in doorbells} >= {0, 1, 2}
    for at, (_, queue, _) in doorbells:
        _, value, width = writes.pop(at - 1)  # the write is the line before
        assert (value, width) == (queue, 2)
    assert not writes


@proves("CORE-FEAT-01", "CORE-INIT-05", "CORE-RSV-01")
def test_what_is_accepted_was_offered_and_is_told(seen):
    told = {device["type"]: set(device["accepted"]) for device in seen.told}
    for device, kind in zip(seen.devices, ("memory balloon", "network card", "block device")):
        accepted, offered = names(device["guest-features"]), names(device["host-features"])
        assert accepted <= offered and "VERSION_1" in accepted
        assert not accepted & {"ANY_LAYOUT", "NOTIFY_ON_EMPTY"}  # of devices of the old kind
        assert accepted <= told[kind] <= accepted | NAMELESS
        unknown = [device[side].get("unknown-dev-features", 0) for side in ("guest-features", "host-features")]
        assert not unknown[0] & ~unknown[1]


@proves("CORE-RSV-06")
def test_the_packed_ring_is_taken_where_it_is_offered(seen):
    for device in seen.devices:
        offered, accepted = ("RING_PACKED" in names(device[side]) for side in ("host-features", "guest-features"))
        assert offered == accepted == (seen.ring == "packed")


@proves("BAL-FEAT-02")
def test_page_poison_is_left_where_no_page_is_filled_and_reports_are_taken(seen):
    balloon = next(device for device in seen.devices if device["name"] == "virtio-balloon")
    offered, accepted = names(balloon["host-features"]), names(balloon["guest-features"])
    assert {"PAGE_POISON", "PAGE_REPORTING"} <= offered
    assert "PAGE_POISON" not in accepted and "PAGE_REPORTING" in accepted


@proves("CORE-INIT-08", "SPLIT-ALGN-01", "PACK-ALGN-01", "PCI-CC-04")
def test_queues_are_whole_aligned_and_in_memory(seen):
    packed = seen.ring == "packed"
    sizes = {"descriptor": 16, "driver": 4 if packed else 2, "device": 4}
    for device in seen.devices:
        assert len(device["queues"]) == {"virtio-blk": 1, "virtio-net": 2, "virtio-balloon": 4}[device["name"]]
        for queue in device["queues"]:
            areas = queue["vring-desc"], queue["vring-avail"], queue["vring-used"]
            assert all(PAGE <= area < MEMORY_MIB * MIB for area in areas)
            assert all(area % align == 0 for area, align in zip(areas, sizes.values()))
            assert 0 < queue["vring-num"] <= queue["vring-num-default"]
            assert packed or queue["vring-num"] & (queue["vring-num"] - 1) == 0


@proves("CORE-RSV-05")
def test_ring_addresses_are_physical(seen):
    """Without ACCESS_PLATFORM. At the physical addresses there is what both sides have written."""
    for device in seen.devices:
        assert "ACCESS_PLATFORM" not in names(device["guest-features"])
        for queue in device["queues"]:
            memory = queue["memory"]
            if seen.ring == "packed":
                used = [word & (AVAIL | USED) == AVAIL | USED for word in memory["desc"][7::8]]
                assert all(used) or device["name"] == "virtio-balloon"  # whose queues may not all have had a buffer
            else:
                # idx of either ring; the driver may have gone on since QEMU was asked
                assert memory["used"][1] >= queue["used-idx"] and memory["avail"][1] >= queue["shadow-avail-idx"]
                assert memory["avail"][1] - memory["used"][1] <= queue["vring-num"]
    assert sum(queue["used-idx"] for device in seen.devices for queue in device["queues"]) > 10


@proves("CORE-INIT-13", "CORE-INIT-14")
def test_a_disk_that_cannot_be_driven_ends_in_failed_and_never_works(tmp_path):
    disk, _ = random_disk(tmp_path / "disk", MIB)
    log = tmp_path / "trace"
    options = "logical_block_size=131072,physical_block_size=131072"
    with Guest("selftest", machine="microvm", disks=[(disk, options)], qemu_args=trace_args(log, "virtio_set_status"),
               cmdline="-- disk-list") as guest:
        guest.wait_for(r"^disks: 0$", 20)
        guest.wait_exit()
    (told,) = statuses(log).values()
    values = [status for _, status in told]
    assert any(status & FAILED for status in values)
    assert not any(status & DRIVER_OK for status in values)
    assert values[-1] == FAILED
