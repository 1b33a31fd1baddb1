/* SPDX-License-Identifier: MIT */
/*
 * The packed ring, §2.8; private to virtq.c. Buffers occupy consecutive
 * positions of the ring; the number of the slot is the buffer's id.
 *
 * A device looks at positions in order, so a batch stays invisible as long as
 * the flags of its first descriptor do: that one word is held back until the
 * batch is published.
 */
#ifndef DRIVERS_VIRTIO_VIRTQ_PACKED_H
#define DRIVERS_VIRTIO_VIRTQ_PACKED_H

#include "drivers/virtio/virtq_slot.h"
#include "lib/base/barrier.h"

#define PACKED_ID_SHIFT (8 * (offsetof(struct pvirtq_desc, id) - offsetof(struct pvirtq_desc, len)))
#define PACKED_FLAGS_SHIFT \
    (8 * (offsetof(struct pvirtq_desc, flags) - offsetof(struct pvirtq_desc, len)))
#define PACKED_WRAP_FLAGS (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)

/* The event suppression structures are read and written as one word, so that desc fits flags. */
#define PACKED_EVENT_FLAGS_SHIFT 16
_Static_assert(offsetof(struct pvirtq_event_suppress, flags) == 2, "the upper half of the word");

static inline uint64_t packed_word(uint32_t len, uint32_t id, uint32_t flags)
{
    return len | (uint64_t)id << PACKED_ID_SHIFT | (uint64_t)flags << PACKED_FLAGS_SHIFT;
}

static inline void packed_init(struct virtq *q)
{
    for (uint32_t i = 0; i < q->size; i++)
        q->desc[i].word = 0;
    *(le32 *)q->driver_area = (le32)RING_EVENT_FLAGS_DISABLE << PACKED_EVENT_FLAGS_SHIFT;
    *(le32 *)q->device_area = (le32)RING_EVENT_FLAGS_ENABLE << PACKED_EVENT_FLAGS_SHIFT;
    q->avail_flags = VIRTQ_DESC_F_AVAIL; /* both wrap counters start at 1, §2.8.1 */
    q->used_flags = PACKED_WRAP_FLAGS;
}

/* Moves on by n descriptors that were written. */
static inline void packed_advance(struct virtq *q, uint16_t n)
{
    q->avail_next += n;
    q->unpublished += n;
    q->free_count -= n;
    if (q->avail_next >= q->size) {
        q->avail_next -= q->size;
        q->avail_flags ^= PACKED_WRAP_FLAGS;
    }
}

/* Where the second word of the next descriptor goes: of a batch's first one, it is held back. */
static inline le64 *packed_head(struct virtq *q)
{
    if (q->unpublished)
        return &q->desc[q->avail_next].word;
    q->held_at = q->avail_next;
    return &q->held_word;
}

/*
 * Lends the buffers up to the first one that is no single element, finds the
 * ring full, or would lie behind the ring's end.
 */
static __attribute__((noinline)) unsigned
packed_add_singles(struct virtq *q, const struct virtq_buffer *buffer, unsigned n)
{
    /* In locals: the compiler must expect the stores below to reach q. */
    struct virtq_slot *const slots = q->slot;
    const uint32_t avail_flags = q->avail_flags;
    const unsigned to_end = q->size - q->avail_next;
    const unsigned limit = MIN(n, MIN(q->free_count, to_end));
    struct virtq_words *desc = &q->desc[q->avail_next];
    le64 *word = packed_head(q);
    uint32_t id = q->free_first;
    unsigned i;

    for (i = 0; i < limit && LIKELY(virtq_is_single(&buffer[i])); i++) {
        const struct virtq_elem *elem = buffer[i].elem;
        uint32_t writes = buffer[i].n_writable, len = elem->len; /* writes: 0 or 1 */
        /* Before the stores into the same word of the slot: behind them it waits for those. */
        uint32_t next = slots[id].next;

        desc->addr = elem->addr;
        *word = packed_word(len, id, avail_flags | writes * VIRTQ_DESC_F_WRITE);
        word = &(++desc)->word;
        slots[id].cookie = buffer[i].cookie;
        slots[id].writable = len & -writes;
        slots[id].descriptors = 1;
        id = next;
    }
    q->free_first = id;
    packed_advance(q, i);
    return i;
}

/* Describes the elements in the ring, from the next position on. */
static inline void packed_fill_chain(struct virtq *q, const struct virtq_buffer *buffer,
                                     uint16_t id, uint32_t elements)
{
    le64 *word = packed_head(q);
    uint16_t at = q->avail_next, flags = q->avail_flags;

    for (uint32_t i = 0; i < elements; i++) {
        uint16_t element_flags = flags | (i < buffer->n_readable ? 0 : VIRTQ_DESC_F_WRITE) |
                                 (i + 1 < elements ? VIRTQ_DESC_F_NEXT : 0);

        q->desc[at].addr = buffer->elem[i].addr;
        *word = packed_word(buffer->elem[i].len, id, element_flags);
        if (++at == q->size) {
            at = 0;
            flags ^= PACKED_WRAP_FLAGS;
        }
        word = &q->desc[at].word;
    }
    packed_advance(q, (uint16_t)elements);
}

/* Describes the elements in the slot's table, and the table in the ring. */
static inline void packed_fill_table(struct virtq *q, const struct virtq_buffer *buffer,
                                     uint16_t id, uint32_t elements)
{
    struct virtq_words *table = virtq_table(q, id);

    for (uint32_t i = 0; i < elements; i++) {
        table[i].addr = buffer->elem[i].addr;
        table[i].word =
            packed_word(buffer->elem[i].len, 0, i < buffer->n_readable ? 0 : VIRTQ_DESC_F_WRITE);
    }
    q->desc[q->avail_next].addr = virtq_table_addr(q, id);
    *packed_head(q) =
        packed_word(elements * sizeof(*table), id, q->avail_flags | VIRTQ_DESC_F_INDIRECT);
    packed_advance(q, 1);
}

/*
 * Lends one buffer of several elements. 1, 0: full, -EMSGSIZE. Kept apart, as
 * the loop of the singles needs all registers.
 */
static __attribute__((noinline)) int packed_add_chain(struct virtq *q,
                                                      const struct virtq_buffer *buffer)
{
    uint32_t elements = virtq_elements(buffer);
    bool indirect = virtq_is_indirect(q, elements);
    uint16_t descriptors = indirect ? 1 : (uint16_t)elements;
    uint16_t id = q->free_first;
    struct virtq_slot *slot = &q->slot[id];
    uint32_t writable;

    if (!virtq_fits(q, buffer, &writable))
        return -EMSGSIZE;
    if (descriptors > q->free_count)
        return 0;

    if (indirect)
        packed_fill_table(q, buffer, id, elements);
    else
        packed_fill_chain(q, buffer, id, elements);
    slot->cookie = buffer->cookie;
    slot->writable = writable;
    slot->descriptors = descriptors;
    q->free_first = slot->next;
    return 1;
}

static inline void packed_publish(struct virtq *q)
{
    /* Pairs with the device's read of flags, §2.8.21.1.1: it sees the whole batch behind it. */
    store_release(&q->desc[q->held_at].word, q->held_word);
}

/* Whether publishing the last n descriptors is to be notified, §2.8.21.2. */
static inline bool packed_wants_notification(const struct virtq *q, uint16_t n)
{
    le32 event = load_once((const le32 *)q->device_area);
    uint16_t flags = (event >> PACKED_EVENT_FLAGS_SHIFT) & 3;
    bool wrap = (event >> PVIRTQ_EVENT_WRAP_SHIFT) & 1;
    int32_t position = event & ((1 << PVIRTQ_EVENT_WRAP_SHIFT) - 1);

    if (flags != RING_EVENT_FLAGS_DESC || !q->event_idx)
        return flags != RING_EVENT_FLAGS_DISABLE;
    /* Positions of the lap before this one count as negative. */
    if (wrap != !!(q->avail_flags & VIRTQ_DESC_F_AVAIL))
        position -= q->size;
    return position < q->avail_next && position >= q->avail_next - n;
}

/* Descriptors that the device may give back. */
static inline uint16_t packed_published(const struct virtq *q)
{
    return q->size - q->free_count - q->unpublished;
}

static inline bool packed_is_used(uint64_t word, uint32_t used_flags)
{
    return ((word >> PACKED_FLAGS_SHIFT) & PACKED_WRAP_FLAGS) == used_flags;
}

/* Descriptors from where the queue stands to a position in this lap or (other flags) the next. */
static inline uint32_t packed_passed(const struct virtq *q, uint32_t at, uint32_t used_flags)
{
    return at - q->used_next + (used_flags != q->used_flags ? q->size : 0);
}

/*
 * A descriptor that is not used must be as we published it: a device that lost
 * count of its laps would otherwise be waited for without end.
 */
static inline void packed_check_wrap(struct virtq *q, uint64_t word, uint32_t used_flags,
                                     uint32_t freed)
{
    uint32_t available_flags = used_flags ^ VIRTQ_DESC_F_USED;

    if (UNLIKELY(((word >> PACKED_FLAGS_SHIFT) & PACKED_WRAP_FLAGS) != available_flags) &&
        packed_published(q) > freed)
        virtq_break(q, "the device used a descriptor with a wrong wrap counter");
}

/*
 * Whether nothing is wrong with a used entry but a length that means nothing:
 * without WRITE it is reserved (§2.8.5), and DPDK leaves there what the driver
 * had written. QEMU never sets WRITE but tells the length, so one that can be
 * true is taken for true.
 */
static __attribute__((cold, noinline)) bool packed_len_is_reserved(const struct virtq *q,
                                                                   uint64_t word)
{
    uint32_t id = (uint16_t)(word >> PACKED_ID_SHIFT);

    return !(word >> PACKED_FLAGS_SHIFT & VIRTQ_DESC_F_WRITE) && id < q->size &&
           q->slot[id].descriptors != 0 && !(q->held_slots && virtq_is_held(q, id));
}

/* What the used entry says; the bytes written in *len. false: a lie, and the queue is broken. */
static inline bool packed_judge(struct virtq *q, const struct virtq_slot *slots, uint32_t size,
                                uint64_t word, uint32_t *len)
{
    uint32_t id = (uint16_t)(word >> PACKED_ID_SHIFT);

    *len = (uint32_t)word;
    if (LIKELY(virtq_is_lent(q, slots, size, id, *len)))
        return true;
    *len = 0;
    if (packed_len_is_reserved(q, word))
        return true;
    virtq_refuse(q, id);
    return false;
}

static __attribute__((noinline)) unsigned packed_get(struct virtq *q, struct virtq_done *done,
                                                     unsigned max)
{
    const struct virtq_words *const desc = q->desc, *const desc_end = desc + q->size;
    const struct virtq_words *at = desc + q->used_next;
    struct virtq_slot *const slots = q->slot;
    const uint32_t size = q->size;
    /* One slot a buffer, however many descriptors it has: slots run out later than those. */
    const bool none_free = q->in_flight == size;
    uint16_t *link = virtq_free_link(q, none_free);
    uint32_t used_flags = q->used_flags;
    const struct virtq_done *const start = done, *const end = done + max;
    unsigned passed;

    for (; done < end; done++) {
        /* Pairs with the device's write of flags, §2.8.22: one load, so id and len are its own. */
        uint64_t word = load_acquire(&at->word);
        struct virtq_slot *slot;
        uint32_t id = (uint16_t)(word >> PACKED_ID_SHIFT);

        if (!packed_is_used(word, used_flags)) {
            packed_check_wrap(q, word, used_flags, packed_passed(q, at - desc, used_flags));
            break;
        }
        if (UNLIKELY(!packed_judge(q, slots, size, word, &done->len)))
            break;
        slot = &slots[id];
        done->cookie = slot->cookie;
        at += 1 + virtq_more_descriptors(slot);
        if (UNLIKELY(at >= desc_end)) {
            at -= size;
            used_flags ^= PACKED_WRAP_FLAGS;
        }
        slot->descriptors = 0;
        *link = id;
        link = &slot->next;
    }
    virtq_end_free(q, none_free, link);
    passed = packed_passed(q, at - desc, used_flags);
    q->free_count += passed;
    q->used_next += passed;
    if (used_flags != q->used_flags)
        q->used_next -= size;
    q->used_flags = used_flags;
    return done - start;
}

/*
 * The same with IN_ORDER, §2.8.8: a used descriptor tells where a batch ends,
 * the next one stands behind the whole batch.
 */
static __attribute__((noinline)) unsigned packed_get_in_order(struct virtq *q,
                                                              struct virtq_done *done, unsigned max)
{
    const struct virtq_words *const desc = q->desc;
    struct virtq_slot *const slots = q->slot;
    const uint32_t size = q->size;
    uint32_t freed = 0, at = q->used_next, used_flags = q->used_flags, id = q->used_first;
    uint32_t last = q->batch_last, last_len = q->batch_len;
    unsigned n;

    for (n = 0; n < max; n++) {
        struct virtq_slot *slot = &slots[id];
        uint32_t more;

        if (last == VIRTQ_NO_BATCH) {
            /* Pairs with the device's write of flags, §2.8.22: id and len are its own. */
            uint64_t word = load_acquire(&desc[at].word);

            if (!packed_is_used(word, used_flags)) {
                packed_check_wrap(q, word, used_flags, freed);
                break;
            }
            if (UNLIKELY(!packed_judge(q, slots, size, word, &last_len)))
                break;
            last = (uint16_t)(word >> PACKED_ID_SHIFT);
        }
        /* All slots from this one to the batch's last are lent and published. */
        done[n].cookie = slot->cookie;
        done[n].len = slot->writable;
        if (id == last) {
            done[n].len = last_len;
            last = VIRTQ_NO_BATCH;
        }
        more = virtq_more_descriptors(slot);
        slot->descriptors = 0;
        if (++id == size)
            id = 0;
        freed += 1 + more;
        at += 1 + more;
        if (UNLIKELY(at >= size)) {
            at -= size;
            used_flags ^= PACKED_WRAP_FLAGS;
        }
    }
    q->used_first = id;
    q->batch_last = last;
    q->batch_len = last_len;
    q->free_count += freed;
    q->used_next = at;
    q->used_flags = used_flags;
    return n;
}

static inline bool packed_used_here(const struct virtq *q)
{
    return q->batch_last != VIRTQ_NO_BATCH ||
           packed_is_used(load_acquire(&q->desc[q->used_next].word), q->used_flags);
}

/* Where the next batch will begin, as a notification tells it, §2.9: position and wrap counter. */
static inline uint16_t packed_next(const struct virtq *q)
{
    uint16_t at = q->unpublished ? q->held_at : q->avail_next;
    bool wrap = (q->avail_flags & VIRTQ_DESC_F_AVAIL) != 0;

    return (uint16_t)(at | (wrap != (at > q->avail_next)) << PVIRTQ_EVENT_WRAP_SHIFT);
}

/*
 * Asks for an interrupt when the position is used that the n-th buffer from
 * here would have if all were of one descriptor: with longer ones, it comes
 * earlier. §2.8.10
 */
static inline void packed_arm(struct virtq *q, uint16_t n)
{
    uint32_t at = q->used_next + n - 1u, wrap = q->used_flags != 0;

    if (!q->event_idx) {
        if (!q->armed)
            store_once((le32 *)q->driver_area,
                       (le32)RING_EVENT_FLAGS_ENABLE << PACKED_EVENT_FLAGS_SHIFT);
        return;
    }
    if (at >= q->size) {
        at -= q->size;
        wrap ^= 1;
    }
    store_once((le32 *)q->driver_area, at | wrap << PVIRTQ_EVENT_WRAP_SHIFT |
                                           (le32)RING_EVENT_FLAGS_DESC << PACKED_EVENT_FLAGS_SHIFT);
}

static inline void packed_disarm(struct virtq *q)
{
    store_once((le32 *)q->driver_area, (le32)RING_EVENT_FLAGS_DISABLE << PACKED_EVENT_FLAGS_SHIFT);
}

#endif
