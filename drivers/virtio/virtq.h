/* SPDX-License-Identifier: MIT */
/*
 * A virtqueue, driver side: split (§2.7) and packed (§2.8) rings behind one
 * set of functions, with INDIRECT_DESC, EVENT_IDX, IN_ORDER, ORDER_PLATFORM and
 * NOTIFICATION_DATA.
 *
 * Shaped for batches of small buffers at high rates: buffers are added one
 * array at a time, published with one release, one full fence and one decision
 * whether to notify, and got back into an array of the caller.
 *
 *     struct virtq_elem frame = { addr, bytes };
 *     struct virtq_buffer out = { &frame, 1, 0, packet };
 *
 *     if (virtq_add(q, &out, 1) == 0)
 *         ...                                 full: get completions first
 *     if (virtq_publish(q))                   after any number of adds
 *         virtq_notify(q);
 *
 *     struct virtq_done done[32];
 *     int n = virtq_get(q, done, 32);         what the device has finished
 *     if (n < 0)
 *         ...                                 it lied: virtq_broken_reason(q); reset, drain
 *     for (int i = 0; i < n; i++)
 *         packet_free(done[i].cookie);
 *
 *     while (virtq_arm(q, 1))                 about to sleep: look again after arming
 *         ...                                 get what came meanwhile
 *     event_wait(&queue_event, CLOCK_NEVER);
 *     virtq_disarm(q);
 *
 * A device is not trusted. All that is needed to take a buffer back lies in
 * private slots out of its reach, no descriptor is ever read back, each field
 * that it writes is loaded once, and all it says is checked. The first lie
 * breaks the queue for good: a reason is kept, and every call fails until
 * virtq_init() after a reset.
 *
 * Concurrency: one owner at a time; no function blocks, allocates, logs or
 * calls back, so any context will do.
 */
#ifndef DRIVERS_VIRTIO_VIRTQ_H
#define DRIVERS_VIRTIO_VIRTQ_H

#include "lib/base/types.h"

enum virtq_format { VIRTQ_SPLIT, VIRTQ_PACKED };

#define VIRTQ_SIZE_MAX 32768 /* descriptors, §2.7 and §2.8.10.1 */

/* One contiguous piece of memory. len in bytes, never 0. */
struct virtq_elem {
    dma_addr_t addr;
    uint32_t len;
};

/*
 * What is lent to the device in one piece: first the elements it reads, then
 * those it writes, together at least one and below 4 GiB (§2.7.5.2). The struct
 * and the element array may die after virtq_add(); the memory they describe is
 * the device's until virtq_get() or virtq_drain() gives the cookie back.
 */
struct virtq_buffer {
    const struct virtq_elem *elem; /* n_readable + n_writable of them */
    uint16_t n_readable, n_writable;
    void *cookie; /* the owner's name for it, kept out of the device's reach */
};

/* A buffer that came back. len: bytes written by the device, never more than were writable. */
struct virtq_done {
    void *cookie;
    uint32_t len;
};

/*
 * How the device is told that buffers were published. The hook is for tests
 * and for devices whose notification is more than one store.
 */
enum virtq_doorbell_kind {
    VIRTQ_DOORBELL_NONE, /* a device that polls */
    VIRTQ_DOORBELL_MMIO16,
    VIRTQ_DOORBELL_MMIO32,
    VIRTQ_DOORBELL_PORT16,
    VIRTQ_DOORBELL_PORT32,
    VIRTQ_DOORBELL_HOOK,
};

struct virtq_doorbell {
    enum virtq_doorbell_kind kind;
    uint16_t value; /* the queue's index, or the device's word for it with NOTIF_CONFIG_DATA */
    union {
        volatile void *mmio;
        uint16_t port;
        void *hook_argument;
    };
    void (*hook)(void *hook_argument, uint32_t value);
};

/*
 * The three areas that driver and device share (§2.6), as the driver and as the
 * device see them, and the tables for indirect descriptors.
 */
struct virtq_areas {
    void *descriptor, *driver, *device, *indirect;
    dma_addr_t descriptor_addr, driver_addr, device_addr, indirect_addr;
};

/*
 * Where those lie in one block of memory, and how much private memory goes with
 * them: offsets from the block's start and sizes, all in bytes. The areas share
 * no cache line.
 */
struct virtq_layout {
    size_t driver_offset, device_offset, indirect_offset; /* the descriptor area is at 0 */
    size_t shared_bytes;                                  /* of the block, 64-byte aligned */
    size_t private_bytes;                                 /* apart from it, 8-byte aligned */
};

struct virtq_config {
    enum virtq_format format;
    uint16_t size;         /* descriptors that are used; see virtq_size_ok() */
    uint16_t ring_size;    /* legacy: what the device takes for the size, at least ours; else 0 */
    uint16_t indirect_max; /* elements in one indirect table; 0: INDIRECT_DESC is not used */
    /* What was negotiated. */
    bool event_idx, in_order, order_platform;
    bool notification_data; /* the doorbell takes 32 bits: where the ring stands comes along */
    struct virtq_areas areas;
    void *private_memory; /* virtq_layout.private_bytes that the device cannot reach */
    struct virtq_doorbell doorbell;
};

struct virtq_slot;
struct virtq_words;

/* Private to virtq.c but for its size; read it through the functions below. */
struct virtq {
    struct virtq_words *desc; /* the descriptor area */
    struct virtq_slot *slot;  /* size of them */
    uint16_t *free_link;      /* where the number of the next slot that comes free is written */
    void *driver_area;        /* virtq_avail or pvirtq_event_suppress, written by us */
    void *device_area;        /* virtq_used or pvirtq_event_suppress, written by the device */
    const char *broken;       /* NULL: it works */
    uint16_t size;            /* descriptors that are used */
    uint16_t ring_size;   /* split: entries of avail and used ring; more than size only if legacy */
    uint16_t free_count;  /* descriptors that are ours */
    uint16_t free_first;  /* the slot that is ours for the longest time; the others follow it */
    uint16_t in_flight;   /* buffers lent */
    uint16_t avail_next;  /* split: the next avail index; packed: the next ring position */
    uint16_t used_next;   /* split: the next used index; packed: the next ring position */
    uint16_t unpublished; /* split: buffers, packed: descriptors added since the last publish */
    uint16_t avail_flags; /* packed: AVAIL and USED as the current lap writes them */
    uint16_t used_flags;  /* packed: AVAIL and USED as the device marks this lap's used ones */
    uint16_t held_at;     /* packed: position of the first unpublished descriptor */
    uint16_t held_first;  /* the first unpublished buffer's slot; the others' follow it */
    uint16_t held_slots;  /* how many slots unpublished buffers have */
    uint16_t used_first;  /* IN_ORDER: the slot that is lent for the longest time */
    uint16_t batch_last;  /* IN_ORDER: where the batch that the device used ends; or none */
    uint32_t batch_len;   /* IN_ORDER: bytes written into that last one */
    uint16_t indirect_max;
    uint16_t drain_next; /* virtq_drain() has emptied the slots before this one */
    uint8_t format;      /* enum virtq_format */
    bool event_idx, in_order, order_platform, notification_data;
    bool armed;         /* the device was asked to interrupt */
    bool deaf;          /* its interrupts reach nobody: it is never asked for one */
    bool any_length;    /* what the device says of lengths means nothing */
    uint64_t held_word; /* packed: its second word, which makes the whole batch visible */
    struct virtq_words *indirect;
    dma_addr_t indirect_addr;
    struct virtq_doorbell doorbell;
};

/* Whether a ring of this format may have this size: 1 to 32768; split: a power of two (§2.7). */
bool virtq_size_ok(enum virtq_format format, uint32_t size);

/* The memory a queue needs; the size is one that virtq_size_ok() allows. */
struct virtq_layout virtq_layout(enum virtq_format format, uint16_t size, uint16_t indirect_max);

/*
 * The same for a split queue of a legacy device (§2.7.2): the areas lie as such
 * a device computes them from ring_size, in one block that begins on a page.
 * Only `size` of its descriptors are used, so that a device with a long ring
 * costs no more tables and slots than another.
 */
struct virtq_layout virtq_legacy_layout(uint16_t ring_size, uint16_t size, uint16_t indirect_max);

/* The areas of a layout in a block of memory, which lies at addr for the device. */
struct virtq_areas virtq_areas_in(const struct virtq_layout *layout, void *block, dma_addr_t addr);

/*
 * Makes the queue ready for a device that has just been told to use its areas,
 * or after a reset for a new life. Clears what the device reads; the memory
 * stays the caller's and must live as long as the queue. Completions do not
 * interrupt until virtq_arm(). 0, or -EINVAL: no such size.
 */
int virtq_init(struct virtq *q, const struct virtq_config *config);

/*
 * Lends the first of n buffers that fit; returns how many. 0: full, retry after
 * virtq_get(). -EMSGSIZE: the first one never fits (no element, more elements
 * than the queue has descriptors, 4 GiB or more). -EIO: broken. The device does
 * not see them before virtq_publish().
 *
 * A buffer takes one descriptor an element, or one in all when an indirect
 * table holds it.
 */
int virtq_add(struct virtq *q, const struct virtq_buffer *buffers, unsigned n);

/*
 * Shows the device all that was added. true: it wants a notification, call
 * virtq_notify(). false: it does not, or there was nothing new, or the queue is
 * broken.
 */
bool virtq_publish(struct virtq *q);

/* Rings the doorbell: one store or out; with NOTIFICATION_DATA it carries what is published (§2.9).
 */
void virtq_notify(const struct virtq *q);

/*
 * Takes back at most max finished buffers, each exactly once; returns how many,
 * or -EIO once the device has lied. What was found before a lie in the same
 * call comes back first. With IN_ORDER a device may tell only the last one of
 * a batch: those before it then count as written to their full length (§2.7.9).
 */
int virtq_get(struct virtq *q, struct virtq_done *done, unsigned max);

/*
 * Asks for an interrupt after n more buffers at the latest, n >= 1 (more than
 * one counts only with EVENT_IDX; never more than are in flight). true:
 * completions are here already, or the queue is broken: no interrupt may come,
 * call virtq_get() and arm again. false: safe to sleep.
 */
bool virtq_arm(struct virtq *q, uint16_t n);

/*
 * Whether the device's interrupts reach nobody, where its owner polls: then
 * virtq_arm() only looks. Not after interrupts were asked for.
 */
void virtq_be_deaf(struct virtq *q, bool deaf);

/*
 * Whether the lengths of used buffers are not looked at: some legacy devices
 * write nonsense there. Each buffer then counts as written to its full length.
 */
void virtq_take_any_length(struct virtq *q, bool any_length);

/* Asks for no more interrupts: a hint, one may still come. */
void virtq_disarm(struct virtq *q);

/*
 * After the device was reset (§2.4, §2.6.1), and only then: gives back the
 * cookies of at most max buffers that were lent, each exactly once, in no
 * particular order; 0: there are no more. Works on a broken queue. The queue is
 * of no use until virtq_init().
 */
int virtq_drain(struct virtq *q, void **cookies, unsigned max);

/* Why the queue is broken; NULL: it is not. */
static inline const char *virtq_broken_reason(const struct virtq *q)
{
    return q->broken;
}

/* Descriptors that are free: buffers of as many elements in sum fit now. */
static inline uint16_t virtq_free_count(const struct virtq *q)
{
    return q->free_count;
}

/* Buffers that were added and have not come back. */
static inline uint16_t virtq_in_flight(const struct virtq *q)
{
    return q->in_flight;
}

/*
 * true: the barrier between publishing and looking whether the device wants to
 * be notified becomes a port write. For QEMU's TCG with one CPU, which emits
 * nothing for a fence although its device threads run beside the guest, so
 * notifications and interrupts get lost. Chosen once, before the first queue.
 */
void virtq_use_strong_barrier(bool strong);

#endif
