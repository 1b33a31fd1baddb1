/* SPDX-License-Identifier: MIT */
/*
 * The block device, §5.2: from a virtio device to a struct blkdev.
 *
 * Shaped for many requests in flight straight from their owners' memory: one
 * doorbell a batch, a header and a status byte per request in memory that is
 * made at the start, nothing allocated later. A request that is larger than
 * the device takes at once is handed over in parts; what finds the ring full
 * waits in order.
 *
 * The driver's entry is collected by the linker; this header is for tests,
 * which bring up the driver by hand.
 */
#ifndef DRIVERS_VIRTIO_BLK_H
#define DRIVERS_VIRTIO_BLK_H

#include "drivers/virtio/device.h"

extern const struct virtio_driver virtio_blk_driver;

#endif
