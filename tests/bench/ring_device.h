/* SPDX-License-Identifier: MIT */
/*
 * The device side of one virtqueue at the least cost, for benchmarks: gives
 * every buffer back untouched, in order. It believes the driver; tests that
 * doubt it use tests/host/fake_device.h. Buffers are of one descriptor.
 */
#ifndef TESTS_BENCH_RING_DEVICE_H
#define TESTS_BENCH_RING_DEVICE_H

#include "drivers/virtio/virtq.h"

struct ring_device {
    struct virtq_areas areas;
    bool packed, event_idx;
    bool in_order; /* negotiated: of each call's buffers only the last one is told */
    uint16_t size;
    uint16_t next; /* split: the next avail and used index; packed: the next ring position */
    bool wrap;     /* packed */
};

void ring_device_start(struct ring_device *device, const struct virtq_config *config);

/* Finishes what is available, at most max buffers of len bytes each; returns how many. */
unsigned ring_device_run(struct ring_device *device, unsigned max, uint32_t len);

/* Tells the driver that notifications are not wanted, in the way that its features allow. */
void ring_device_refuse_notification(struct ring_device *device);

#endif
