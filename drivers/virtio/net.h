/* SPDX-License-Identifier: MIT */
/*
 * The network device, §5.1, with one pair of queues: from a virtio device to a
 * struct netdev.
 *
 * Shaped for bulk traffic of a stack that is its only user: frames go and come
 * in batches with one doorbell each, what was sent is taken back when there is
 * other work to do, and the device interrupts only while the stack sleeps.
 *
 * The driver's entry is collected by the linker; this header is for tests,
 * which bring up the driver by hand.
 */
#ifndef DRIVERS_VIRTIO_NET_H
#define DRIVERS_VIRTIO_NET_H

#include "drivers/virtio/device.h"

extern const struct virtio_driver virtio_net_driver;

#endif
