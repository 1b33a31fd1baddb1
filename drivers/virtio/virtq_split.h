/* SPDX-License-Identifier: MIT */
/*
 * The split ring, §2.7; private to virtq.c. A slot is also the index of its
 * descriptor, and of the first one of a chain that is the buffer's id.
 */
#ifndef DRIVERS_VIRTIO_VIRTQ_SPLIT_H
#define DRIVERS_VIRTIO_VIRTQ_SPLIT_H

#include "drivers/virtio/virtq_slot.h"
#include "lib/base/barrier.h"

#define SPLIT_FLAGS_SHIFT \
    (8 * (offsetof(struct virtq_desc, flags) - offsetof(struct virtq_desc, len)))
#define SPLIT_NEXT_SHIFT \
    (8 * (offsetof(struct virtq_desc, next) - offsetof(struct virtq_desc, len)))

static inline uint64_t split_word(uint32_t len, uint32_t flags, uint32_t next)
{
    return len | (uint64_t)flags << SPLIT_FLAGS_SHIFT | (uint64_t)next << SPLIT_NEXT_SHIFT;
}

static inline le16 *split_used_event(const struct virtq *q)
{
    return &((struct virtq_avail *)q->driver_area)->ring[q->ring_size];
}

static inline le16 *split_avail_event(const struct virtq *q)
{
    return (void *)&((struct virtq_used *)q->device_area)->ring[q->ring_size];
}

/* The available index as the device knows it, which a notification tells, §2.9. */
static inline uint16_t split_next(const struct virtq *q)
{
    return (uint16_t)(q->avail_next - q->unpublished);
}

/* Buffers that the device may give back. */
static inline uint16_t split_published(const struct virtq *q)
{
    return (uint16_t)(split_next(q) - q->used_next);
}

static inline void split_init(struct virtq *q)
{
    struct virtq_avail *avail = q->driver_area;
    struct virtq_used *used = q->device_area;

    avail->idx = 0;
    avail->flags = q->event_idx ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT;
    *split_used_event(q) = UINT16_MAX; /* behind the first one: no interrupt */
    used->flags = 0;
    used->idx = 0;
    *split_avail_event(q) = 0;
}

/*
 * Writes an avail entry only if it differs: a device that works in order then
 * keeps the line in its cache. Read back, but never used: a device that has
 * changed it misleads only itself.
 */
static inline void split_offer(le16 *entry, uint16_t id)
{
    if (*entry != id)
        *entry = id;
}

/* Lends the buffers up to the first one that is no single element or finds the ring full. */
static __attribute__((noinline)) unsigned
split_add_singles(struct virtq *q, const struct virtq_buffer *buffer, unsigned n)
{
    /* In locals: the compiler must expect the stores below to reach q. */
    struct virtq_words *const desc = q->desc;
    struct virtq_slot *const slots = q->slot;
    le16 *const ring = ((struct virtq_avail *)q->driver_area)->ring;
    const uint32_t mask = q->ring_size - 1u, at = q->avail_next;
    const unsigned limit = MIN(n, q->free_count);
    uint32_t id = q->free_first;
    unsigned i;

    for (i = 0; i < limit && LIKELY(virtq_is_single(&buffer[i])); i++) {
        const struct virtq_elem *elem = buffer[i].elem;
        uint32_t writes = buffer[i].n_writable, len = elem->len; /* writes: 0 or 1 */
        /* Before the stores into the same word of the slot: behind them it waits for those. */
        uint32_t next = slots[id].next;

        desc[id].addr = elem->addr;
        desc[id].word = split_word(len, writes * VIRTQ_DESC_F_WRITE, 0);
        slots[id].cookie = buffer[i].cookie;
        slots[id].writable = len & -writes;
        slots[id].descriptors = 1;
        split_offer(&ring[(at + i) & mask], id);
        id = next;
    }
    q->free_first = id;
    q->free_count -= i;
    q->avail_next += i;
    q->unpublished += i;
    return i;
}

/* Describes the elements in descriptors of the ring, from first on; returns the slot after them. */
static inline uint16_t split_fill_chain(struct virtq *q, const struct virtq_buffer *buffer,
                                        uint16_t first, uint32_t elements)
{
    uint16_t id = first;

    for (uint32_t i = 0; i < elements; i++) {
        uint16_t next = q->slot[id].next;
        uint16_t flags = i < buffer->n_readable ? 0 : VIRTQ_DESC_F_WRITE;

        if (i + 1 < elements)
            flags |= VIRTQ_DESC_F_NEXT;
        q->desc[id].addr = buffer->elem[i].addr;
        q->desc[id].word = split_word(buffer->elem[i].len, flags, next);
        id = next;
    }
    return id;
}

/* Describes the elements in the slot's table, and that in its descriptor; returns the next slot. */
static inline uint16_t split_fill_table(struct virtq *q, const struct virtq_buffer *buffer,
                                        uint16_t id, uint32_t elements)
{
    struct virtq_words *table = virtq_table(q, id);

    for (uint32_t i = 0; i < elements; i++) {
        uint16_t flags = i < buffer->n_readable ? 0 : VIRTQ_DESC_F_WRITE;

        if (i + 1 < elements)
            flags |= VIRTQ_DESC_F_NEXT;
        table[i].addr = buffer->elem[i].addr;
        table[i].word = split_word(buffer->elem[i].len, flags, (uint16_t)(i + 1));
    }
    q->desc[id].addr = virtq_table_addr(q, id);
    q->desc[id].word = split_word(elements * sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
    return q->slot[id].next;
}

/*
 * Lends one buffer of several elements. 1, 0: full, -EMSGSIZE. Kept apart, as
 * the loop of the singles needs all registers.
 */
static __attribute__((noinline)) int split_add_chain(struct virtq *q,
                                                     const struct virtq_buffer *buffer)
{
    uint32_t elements = virtq_elements(buffer);
    bool indirect = virtq_is_indirect(q, elements);
    uint16_t descriptors = indirect ? 1 : (uint16_t)elements;
    uint16_t id = q->free_first;
    struct virtq_slot *slot = &q->slot[id];
    struct virtq_avail *avail = q->driver_area;
    uint32_t writable;

    if (!virtq_fits(q, buffer, &writable))
        return -EMSGSIZE;
    if (descriptors > q->free_count)
        return 0;

    q->free_first = indirect ? split_fill_table(q, buffer, id, elements)
                             : split_fill_chain(q, buffer, id, elements);
    slot->cookie = buffer->cookie;
    slot->writable = writable;
    slot->descriptors = descriptors;
    split_offer(&avail->ring[q->avail_next & (q->ring_size - 1)], id);
    q->free_count -= descriptors;
    q->avail_next++;
    q->unpublished++;
    return 1;
}

static inline void split_publish(struct virtq *q)
{
    struct virtq_avail *avail = q->driver_area;

    /* Pairs with the device's read of idx, §2.7.13.3.1: it sees all that the entries describe. */
    store_release(&avail->idx, q->avail_next);
}

/* Whether publishing the last n buffers is to be notified, §2.7.10.1. */
static inline bool split_wants_notification(const struct virtq *q, uint16_t n)
{
    const struct virtq_used *used = q->device_area;

    if (!q->event_idx)
        return !(load_once(&used->flags) & VIRTQ_USED_F_NO_NOTIFY);
    return (uint16_t)(q->avail_next - load_once(split_avail_event(q)) - 1) < n;
}

/* The link of the last slot of a chain. */
static inline uint16_t *split_chain_end(struct virtq_slot *slots, struct virtq_slot *slot)
{
    for (uint32_t more = slot->descriptors; UNLIKELY(--more);)
        slot = &slots[slot->next];
    return &slot->next;
}

/* ring_size and any_length are q's, where they differ from what the compiler knows already. */
static inline __attribute__((always_inline)) unsigned
split_get_from(struct virtq *q, struct virtq_done *done, unsigned max, uint32_t ring_size,
               bool any_length)
{
    const struct virtq_used *const used = q->device_area;
    struct virtq_slot *const slots = q->slot;
    const uint32_t size = q->size, at = q->used_next;
    /* Pairs with the device's write of idx, §2.7.14: the entries before it are complete. */
    const uint16_t here = (uint16_t)(load_acquire(&used->idx) - at);
    const unsigned limit = MIN(max, here);
    const bool none_free = q->free_count == 0;
    uint16_t *link = virtq_free_link(q, none_free);
    uint32_t freed = 0;
    const struct virtq_done *const start = done, *const end = done + limit;

    /* An index that ran too far would have us take old entries for new ones, without end. */
    if (UNLIKELY(here > split_published(q))) {
        virtq_break(q, "the device's used index ran ahead");
        return 0;
    }
    for (uint32_t entry = at; done < end; done++, entry++) {
        const struct virtq_used_elem *elem = &used->ring[entry & (ring_size - 1)];
        uint32_t id = load_once(&elem->id), len = any_length ? 0 : load_once(&elem->len);
        struct virtq_slot *slot;

        if (UNLIKELY(!virtq_is_lent(q, slots, size, id, len))) {
            virtq_refuse(q, id);
            break;
        }
        slot = &slots[id];
        done->cookie = slot->cookie;
        done->len = any_length ? slot->writable : len;
        freed += slot->descriptors;
        *link = id;
        link = split_chain_end(slots, slot);
        slot->descriptors = 0;
    }
    virtq_end_free(q, none_free, link);
    q->free_count += freed;
    q->used_next += done - start;
    return done - start;
}

static __attribute__((noinline)) unsigned split_get(struct virtq *q, struct virtq_done *done,
                                                    unsigned max)
{
    return split_get_from(q, done, max, q->size, false);
}

/* Apart, so that the loop for the others stays as it is. */
static __attribute__((noinline)) unsigned split_get_legacy(struct virtq *q, struct virtq_done *done,
                                                           unsigned max)
{
    return split_get_from(q, done, max, q->ring_size, q->any_length);
}

/*
 * The same with IN_ORDER, §2.7.9: an entry tells where a batch ends, the next
 * entry stands behind the whole batch.
 */
static __attribute__((noinline)) unsigned split_get_in_order(struct virtq *q,
                                                             struct virtq_done *done, unsigned max)
{
    const struct virtq_used *const used = q->device_area;
    struct virtq_slot *const slots = q->slot;
    const uint32_t mask = q->size - 1u, at = q->used_next;
    /* Pairs with the device's write of idx, §2.7.14: the entries before it are complete. */
    const uint16_t here = (uint16_t)(load_acquire(&used->idx) - at);
    const unsigned limit = MIN(max, here);
    uint32_t id = q->used_first, last = q->batch_last, last_len = q->batch_len, freed = 0;
    unsigned n;

    if (UNLIKELY(here > split_published(q))) {
        virtq_break(q, "the device's used index ran ahead");
        return 0;
    }
    for (n = 0; n < limit; n++) {
        struct virtq_slot *slot = &slots[id];
        uint32_t more;

        if (last == VIRTQ_NO_BATCH) {
            const struct virtq_used_elem *elem = &used->ring[(at + n) & mask];
            uint32_t named = load_once(&elem->id);

            last_len = load_once(&elem->len);
            if (UNLIKELY(!virtq_is_lent(q, slots, mask + 1, named, last_len))) {
                virtq_refuse(q, named);
                break;
            }
            last = named;
        }
        done[n].cookie = slot->cookie;
        done[n].len = slot->writable;
        if (id == last) {
            done[n].len = last_len;
            last = VIRTQ_NO_BATCH;
        }
        more = virtq_more_descriptors(slot);
        slot->descriptors = 0;
        id = (id + 1 + more) & mask;
        freed += 1 + more;
    }
    q->used_first = id;
    q->batch_last = last;
    q->batch_len = last_len;
    q->free_count += freed;
    q->used_next += n;
    /* Else buffers would be taken for used that the index does not tell of yet. */
    if (UNLIKELY(n == here && last != VIRTQ_NO_BATCH))
        virtq_break(q, "the device used buffers out of order");
    return n;
}

static inline bool split_used_here(const struct virtq *q)
{
    const struct virtq_used *used = q->device_area;

    return load_acquire(&used->idx) != q->used_next;
}

/* Asks for an interrupt when the n-th buffer from here is used, §2.7.7.1. */
static inline void split_arm(struct virtq *q, uint16_t n)
{
    struct virtq_avail *avail = q->driver_area;

    if (q->event_idx)
        store_once(split_used_event(q), (uint16_t)(q->used_next + n - 1));
    else if (!q->armed)
        store_once(&avail->flags, 0);
}

/* With EVENT_IDX the flag must stay 0: the event is put behind, 65,535 buffers away. */
static inline void split_disarm(struct virtq *q)
{
    struct virtq_avail *avail = q->driver_area;

    if (q->event_idx)
        store_once(split_used_event(q), (uint16_t)(q->used_next - 1));
    else
        store_once(&avail->flags, VIRTQ_AVAIL_F_NO_INTERRUPT);
}

#endif
