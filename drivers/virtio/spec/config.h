/* SPDX-License-Identifier: MIT */
/*
 * What all virtio devices have in common: the device status field (§2.1) and
 * the feature bits that belong to no device type (§2.2, §6).
 */
#ifndef DRIVERS_VIRTIO_SPEC_CONFIG_H
#define DRIVERS_VIRTIO_SPEC_CONFIG_H

/* Device status, §2.1. A driver only ever adds bits; writing 0 resets. */
#define VIRTIO_CONFIG_S_ACKNOWLEDGE 1   /* the guest has noticed the device */
#define VIRTIO_CONFIG_S_DRIVER      2   /* and knows how to drive it */
#define VIRTIO_CONFIG_S_DRIVER_OK   4   /* the driver is ready: the device may work */
#define VIRTIO_CONFIG_S_FEATURES_OK 8   /* negotiation is complete; the device may refuse the bit */
#define VIRTIO_CONFIG_S_SUSPEND     16  /* the device is, or shall be, suspended (§3.4) */
#define VIRTIO_CONFIG_S_NEEDS_RESET 64  /* set by the device: it cannot recover by itself */
#define VIRTIO_CONFIG_S_FAILED      128 /* the driver has given up */

/* Feature bits are numbers of bits, 0 to 127 as of 1.4, in words of 32 on the wire. */
#define VIRTIO_FEATURE_BITS 128

/* Legacy only, §6.3: never acknowledged by a modern driver. */
#define VIRTIO_F_NOTIFY_ON_EMPTY 24 /* interrupt when the device ran out of buffers */
#define VIRTIO_F_ANY_LAYOUT      27 /* no rule how a request is cut into descriptors */

/* Reserved feature bits, §6. */
#define VIRTIO_F_INDIRECT_DESC     28 /* descriptors that point at tables, §2.7.5.3, §2.8.7 */
#define VIRTIO_F_EVENT_IDX         29 /* notifications at a chosen position, §2.7.7, §2.8.10 */
#define VIRTIO_F_VERSION_1         32 /* a device of version 1.0 or later */
#define VIRTIO_F_ACCESS_PLATFORM   33 /* device addresses are translated by the platform */
#define VIRTIO_F_RING_PACKED       34 /* the packed ring, §2.8 */
#define VIRTIO_F_IN_ORDER          35 /* buffers are used in the order they were offered */
#define VIRTIO_F_ORDER_PLATFORM    36 /* memory is ordered as for hardware devices */
#define VIRTIO_F_SR_IOV            37 /* single root I/O virtualization */
#define VIRTIO_F_NOTIFICATION_DATA 38 /* notifications carry the ring position, §2.9 */
#define VIRTIO_F_NOTIF_CONFIG_DATA 39 /* the device chooses what notifications carry, §2.9 */
#define VIRTIO_F_RING_RESET        40 /* single queues can be reset, §2.6.1 */
#define VIRTIO_F_ADMIN_VQ          41 /* administration virtqueues, §2.13 */
#define VIRTIO_F_SUSPEND           43 /* the device can be suspended, §3.4 */

#endif
