/* SPDX-License-Identifier: MIT */
/* What driver and device share of a virtqueue: the split ring (§2.7) and the packed ring (§2.8). */
#ifndef DRIVERS_VIRTIO_SPEC_RING_H
#define DRIVERS_VIRTIO_SPEC_RING_H

#include "lib/base/types.h"

/* Flags of a descriptor in either format, §2.7.5 and §2.8.6. */
#define VIRTQ_DESC_F_NEXT     1 /* the buffer goes on in another descriptor */
#define VIRTQ_DESC_F_WRITE    2 /* the device writes this element, else it reads it */
#define VIRTQ_DESC_F_INDIRECT 4 /* the element is a table of descriptors */

/* Packed only, §2.8.1: compared with the wrap counters they say whose descriptor it is. */
#define VIRTQ_DESC_F_AVAIL (1 << 7)
#define VIRTQ_DESC_F_USED  (1 << 15)

/* Alignment of the areas in bytes, §2.7 and §2.8.10.1. */
#define VIRTQ_DESC_ALIGN            16
#define VIRTQ_AVAIL_ALIGN           2
#define VIRTQ_USED_ALIGN            4
#define PVIRTQ_DESC_ALIGN           16
#define PVIRTQ_EVENT_SUPPRESS_ALIGN 4

/* Split: an entry of the descriptor table, §2.7.5. Written by the driver. */
struct virtq_desc {
    le64 addr;
    le32 len; /* bytes */
    le16 flags;
    le16 next; /* with VIRTQ_DESC_F_NEXT: index of the next one */
};

/* Split: without EVENT_IDX, asks for no interrupts, §2.7.7. */
#define VIRTQ_AVAIL_F_NO_INTERRUPT 1

/*
 * Split: the driver area, §2.7.6. Written by the driver. Behind the last ring
 * entry stands le16 used_event (with EVENT_IDX).
 */
struct virtq_avail {
    le16 flags;
    le16 idx; /* where the next entry would go, modulo 2^16 */
    le16 ring[];
};

/* Split: without EVENT_IDX, asks for no notifications, §2.7.10. */
#define VIRTQ_USED_F_NO_NOTIFY 1

/* Split: an entry of the used ring, §2.7.8. */
struct virtq_used_elem {
    le32 id;  /* first descriptor of the chain */
    le32 len; /* bytes written into the buffer, from its start */
};

/*
 * Split: the device area, §2.7.8. Written by the device. Behind the last ring
 * entry stands le16 avail_event (with EVENT_IDX).
 */
struct virtq_used {
    le16 flags;
    le16 idx; /* where the next entry would go, modulo 2^16 */
    struct virtq_used_elem ring[];
};

/* Packed: an entry of the descriptor ring, §2.8.13. Written by the driver, then by the device. */
struct pvirtq_desc {
    le64 addr;
    le32 len; /* bytes; when used: bytes written into the buffer */
    le16 id;  /* of the buffer: in the last descriptor of a list, and in the used one */
    le16 flags;
};

/* Packed: values of pvirtq_event_suppress.flags, §2.8.10. */
#define RING_EVENT_FLAGS_ENABLE  0
#define RING_EVENT_FLAGS_DISABLE 1
#define RING_EVENT_FLAGS_DESC    2 /* at one position; only with EVENT_IDX */

/*
 * Packed: the driver area (when does the device interrupt; written by the
 * driver) and the device area (when does the driver notify; written by the
 * device), §2.8.14.
 */
struct pvirtq_event_suppress {
    le16 desc; /* bits 0 to 14: position in the ring; bit 15: wrap counter */
    le16 flags;
};

#define PVIRTQ_EVENT_WRAP_SHIFT 15 /* of desc_event_wrap in pvirtq_event_suppress.desc */

#endif
