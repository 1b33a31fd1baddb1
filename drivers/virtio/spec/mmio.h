/* SPDX-License-Identifier: MIT */
/*
 * Virtio over MMIO, §4.2.2, and its legacy version 1, §4.2.4: offsets of
 * registers. All are 32 bits wide, but for the configuration (§4.2.2.2).
 */
#ifndef DRIVERS_VIRTIO_SPEC_MMIO_H
#define DRIVERS_VIRTIO_SPEC_MMIO_H

#define VIRTIO_MMIO_MAGIC 0x74726976 /* "virt" */

#define VIRTIO_MMIO_VERSION_LEGACY 1
#define VIRTIO_MMIO_VERSION_MODERN 2

/* ro: read only, wo: write only. The queue's registers are those of the one chosen by QUEUE_SEL. */
#define VIRTIO_MMIO_MAGIC_VALUE         0x000 /* ro */
#define VIRTIO_MMIO_VERSION             0x004 /* ro */
#define VIRTIO_MMIO_DEVICE_ID           0x008 /* ro; 0: there is no device */
#define VIRTIO_MMIO_VENDOR_ID           0x00c /* ro */
#define VIRTIO_MMIO_DEVICE_FEATURES     0x010 /* ro */
#define VIRTIO_MMIO_DEVICE_FEATURES_SEL 0x014 /* wo: which word of 32 features */
#define VIRTIO_MMIO_DRIVER_FEATURES     0x020 /* wo */
#define VIRTIO_MMIO_DRIVER_FEATURES_SEL 0x024 /* wo */
#define VIRTIO_MMIO_QUEUE_SEL           0x030 /* wo */
#define VIRTIO_MMIO_QUEUE_NUM_MAX       0x034 /* ro: its size at most; 0: no such queue */
#define VIRTIO_MMIO_QUEUE_NUM           0x038 /* wo: its size */
#define VIRTIO_MMIO_QUEUE_READY         0x044
#define VIRTIO_MMIO_QUEUE_NOTIFY        0x050 /* wo: the queue's index, or notification data */
#define VIRTIO_MMIO_INTERRUPT_STATUS    0x060 /* ro */
#define VIRTIO_MMIO_INTERRUPT_ACK       0x064 /* wo */
#define VIRTIO_MMIO_STATUS              0x070 /* VIRTIO_CONFIG_S_... */
#define VIRTIO_MMIO_QUEUE_DESC_LOW      0x080 /* wo, as the five below */
#define VIRTIO_MMIO_QUEUE_DESC_HIGH     0x084
#define VIRTIO_MMIO_QUEUE_AVAIL_LOW     0x090 /* the driver area */
#define VIRTIO_MMIO_QUEUE_AVAIL_HIGH    0x094
#define VIRTIO_MMIO_QUEUE_USED_LOW      0x0a0 /* the device area */
#define VIRTIO_MMIO_QUEUE_USED_HIGH     0x0a4
#define VIRTIO_MMIO_QUEUE_RESET         0x0c0 /* with RING_RESET: write 1, poll until 0 */
#define VIRTIO_MMIO_CONFIG_GENERATION   0x0fc /* ro */
#define VIRTIO_MMIO_CONFIG              0x100 /* what the device type has */

/* Version 1 only. */
#define VIRTIO_MMIO_GUEST_PAGE_SIZE 0x028 /* wo: bytes; before any queue is used */
#define VIRTIO_MMIO_QUEUE_ALIGN     0x03c /* wo: of the used ring, bytes */
#define VIRTIO_MMIO_QUEUE_PFN       0x040 /* the queue's page; 0: not in use */

/* INTERRUPT_STATUS and INTERRUPT_ACK. */
#define VIRTIO_MMIO_INT_VRING  0x1 /* a queue has used a buffer */
#define VIRTIO_MMIO_INT_CONFIG 0x2 /* the configuration has changed */

#endif
