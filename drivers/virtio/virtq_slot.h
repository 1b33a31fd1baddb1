/* SPDX-License-Identifier: MIT */
/*
 * What both ring formats share; private to virtq.c. The slots are our memory
 * of what was lent, one for each descriptor of the ring, out of the device's
 * reach. 16 bytes, four to a cache line.
 *
 * Free slots form a queue, not a stack: a device that works in order then gets
 * the same id at the same place of the ring each lap, so that the split ring's
 * avail entries need no store, and slots and descriptors are walked in the
 * order in which the CPU prefetches. With IN_ORDER that is certain: no link ever
 * changes, and lent slots follow each other around the ring.
 */
#ifndef DRIVERS_VIRTIO_VIRTQ_SLOT_H
#define DRIVERS_VIRTIO_VIRTQ_SLOT_H

#include "drivers/virtio/spec/ring.h"
#include "drivers/virtio/virtq.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"

struct virtq_slot {
    void *cookie;         /* while lent */
    uint32_t writable;    /* bytes that the device may write */
    uint16_t descriptors; /* that the buffer occupies in the ring; 0: not lent */
    uint16_t next;        /* the next free slot; split: or the next one of the chain */
};

/*
 * A descriptor of either format as two words, each written by one store: what
 * lies beside len differs by format.
 */
struct virtq_words {
    le64 addr;
    le64 word;
};

_Static_assert(sizeof(struct virtq_slot) == 16, "four slots to a cache line");
_Static_assert(sizeof(struct virtq_words) == sizeof(struct virtq_desc), "split descriptor");
_Static_assert(sizeof(struct virtq_words) == sizeof(struct pvirtq_desc), "packed descriptor");

/* All that a used entry says is false from here on, so nothing of the queue is believed. */
static __attribute__((cold, noinline)) void virtq_break(struct virtq *q, const char *reason)
{
    q->broken = reason;
}

/* Whether the buffer was added but not published. Slots keep their links when they are lent. */
static __attribute__((cold, noinline)) bool virtq_is_held(const struct virtq *q, uint32_t id)
{
    uint32_t held = q->held_first;

    for (unsigned i = 0; i < q->held_slots; i++, held = q->slot[held].next)
        if (held == id)
            return true;
    return false;
}

/* Breaks the queue by what is wrong with the used entry. Apart from the checks: those are small. */
static __attribute__((cold, noinline)) void virtq_refuse(struct virtq *q, uint32_t id)
{
    if (id >= q->size)
        virtq_break(q, "the device used an id beyond the ring");
    else if (q->slot[id].descriptors == 0)
        virtq_break(q, "the device used a buffer that was not lent");
    else if (virtq_is_held(q, id))
        virtq_break(q, "the device used a buffer that was not published");
    else
        virtq_break(q, "the device wrote more than was lent");
}

/*
 * Whether what the device says of a finished buffer can be true. Unchecked, an
 * id beyond the ring would make us read any memory, an idle one would free a
 * buffer twice, one that was not published would reach the device after its
 * memory was given back, and a length beyond what was lent would have the owner
 * read what was never written. (That it gives back a buffer untouched, only its
 * owner can tell.)
 *
 * slots and size are q's, in registers of the caller's loop.
 */
static inline bool virtq_is_lent(const struct virtq *q, const struct virtq_slot *slots,
                                 uint32_t size, uint32_t id, uint32_t len)
{
    return LIKELY(id < size && slots[id].descriptors != 0 && len <= slots[id].writable &&
                  !(q->held_slots && virtq_is_held(q, id)));
}

/* Where the queue of free slots goes on: behind its last one, or at its front. */
static inline uint16_t *virtq_free_link(struct virtq *q, bool none_free)
{
    return none_free ? &q->free_first : q->free_link;
}

/*
 * The queue of free slots ends at `link` now. If it had run empty, its old end
 * is the last slot that was lent; where that one is not published yet, those
 * that are lent next must still follow it.
 */
static inline void virtq_end_free(struct virtq *q, bool none_free, uint16_t *link)
{
    if (none_free && link == &q->free_first)
        return; /* nothing came free */
    if (none_free && UNLIKELY(q->held_slots))
        *q->free_link = q->free_first;
    q->free_link = link;
}

/* As q->batch_last: the next thing the device says begins a batch. */
#define VIRTQ_NO_BATCH UINT16_MAX

/*
 * How many descriptors beyond one a buffer had. By a branch that is predicted:
 * what comes next in the ring is then looked at without waiting for this
 * slot's line (make bench-ring: 5 cycles a packed buffer instead of 16). The
 * barrier keeps the compiler from making arithmetic of it again.
 */
static inline uint32_t virtq_more_descriptors(const struct virtq_slot *slot)
{
    if (LIKELY(slot->descriptors == 1))
        return 0;
    barrier_compiler();
    return slot->descriptors - 1u;
}

/* Whether the buffer is one contiguous element, by far the most frequent kind. */
static inline bool virtq_is_single(const struct virtq_buffer *buffer)
{
    return buffer->n_readable + buffer->n_writable == 1;
}

static inline uint32_t virtq_elements(const struct virtq_buffer *buffer)
{
    return (uint32_t)buffer->n_readable + buffer->n_writable;
}

static inline bool virtq_is_indirect(const struct virtq *q, uint32_t elements)
{
    return elements > 1 && elements <= q->indirect_max;
}

/*
 * Whether a buffer of several elements can ever be lent, §2.7.5.2, §2.7.5.3.1
 * and §2.8.17; its writable bytes in *writable.
 */
static inline bool virtq_fits(const struct virtq *q, const struct virtq_buffer *buffer,
                              uint32_t *writable)
{
    uint32_t elements = virtq_elements(buffer);
    uint64_t readable_bytes = 0, writable_bytes = 0;

    if (elements == 0 || elements > q->size)
        return false;
    for (uint32_t i = 0; i < buffer->n_readable; i++)
        readable_bytes += buffer->elem[i].len;
    for (uint32_t i = buffer->n_readable; i < elements; i++)
        writable_bytes += buffer->elem[i].len;
    *writable = (uint32_t)writable_bytes;
    return readable_bytes + writable_bytes <= UINT32_MAX;
}

/* The slot's indirect table, as the device and as we see it. */
static inline dma_addr_t virtq_table_addr(const struct virtq *q, uint16_t id)
{
    return q->indirect_addr + (uint64_t)id * q->indirect_max * sizeof(struct virtq_words);
}

static inline struct virtq_words *virtq_table(const struct virtq *q, uint16_t id)
{
    return q->indirect + (size_t)id * q->indirect_max;
}

#endif
