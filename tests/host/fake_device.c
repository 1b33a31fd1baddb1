/* SPDX-License-Identifier: MIT */
/* The device side of a virtqueue: see fake_device.h. Written from §2.7 and §2.8 alone. */
#include "tests/host/fake_device.h"

#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/spec/ring.h"

static void *memory_at(struct fake_queue *queue, uint64_t addr, uint64_t bytes)
{
    if (queue->config.memory)
        return queue->config.memory(addr, bytes);
    return (void *)(uintptr_t)addr;
}

static void violate(struct fake_queue *queue, const char *rule)
{
    if (!queue->violation)
        queue->violation = rule;
}

static uint16_t *split_used_event(struct fake_queue *queue)
{
    return &((struct virtq_avail *)queue->driver)->ring[queue->config.size];
}

static void *split_avail_event(struct fake_queue *queue)
{
    return &((struct virtq_used *)queue->device)->ring[queue->config.size];
}

void fake_queue_start(struct fake_queue *queue, const struct fake_queue_config *config)
{
    uint64_t size = config->size;
    uint64_t align = config->packed ? PVIRTQ_EVENT_SUPPRESS_ALIGN : VIRTQ_USED_ALIGN;

    memset(queue, 0, sizeof(*queue));
    queue->config = *config;
    queue->desc = memory_at(queue, config->desc_addr, size * sizeof(struct virtq_desc));
    queue->driver =
        memory_at(queue, config->driver_addr, config->packed ? 4 : 6 + size * sizeof(le16));
    queue->device = memory_at(queue, config->device_addr,
                              config->packed ? 4 : 6 + size * sizeof(struct virtq_used_elem));
    queue->avail_wrap = queue->used_wrap = true;
    if (!queue->desc || !queue->driver || !queue->device)
        violate(queue, "an area is not memory");
    if (config->desc_addr % VIRTQ_DESC_ALIGN || config->device_addr % align ||
        config->driver_addr % (config->packed ? align : VIRTQ_AVAIL_ALIGN))
        violate(queue, "an area is not aligned (2.7, 2.8.10.1)");
    if (size == 0 || size > 32768 || (!config->packed && (size & (size - 1))))
        violate(queue, "no such queue size");
}

static void free_chain(struct fake_chain *chain)
{
    free(chain->pieces);
    free(chain);
}

void fake_queue_stop(struct fake_queue *queue)
{
    while (queue->held) {
        struct fake_chain *chain = queue->held;

        queue->held = chain->next;
        free_chain(chain);
    }
    memset(queue, 0, sizeof(*queue));
}

/* Adds an element to the chain being read. */
static bool add_piece(struct fake_queue *queue, struct fake_chain *chain, uint64_t addr,
                      uint32_t len, bool writable)
{
    unsigned n = chain->n_readable + chain->n_writable;
    struct fake_piece *piece;

    if (n >= queue->config.size) {
        violate(queue, "a list longer than the queue (2.7.5.3.1, 2.8.17)");
        return false;
    }
    if (len == 0)
        violate(queue, "an element of no bytes");
    if (!writable && chain->n_writable)
        violate(queue, "a readable element behind a writable one (2.7.4.2, 2.8.17)");
    if ((n & (n - 1)) == 0) /* room for the next power of two */
        chain->pieces = realloc(chain->pieces, (n ? 2 * n : 1) * sizeof(*chain->pieces));
    piece = &chain->pieces[n];
    piece->start = memory_at(queue, addr, len);
    piece->bytes = len;
    if (!piece->start)
        violate(queue, "an element is not memory");
    if (writable) {
        chain->n_writable++;
        chain->writable_bytes += len;
    } else {
        chain->n_readable++;
        chain->readable_bytes += len;
    }
    if (chain->readable_bytes + chain->writable_bytes > UINT32_MAX)
        violate(queue, "a list of 4 GiB or more (2.7.5.2)");
    return !queue->violation;
}

static void *indirect_table(struct fake_queue *queue, uint64_t addr, uint32_t len)
{
    void *table = memory_at(queue, addr, len);

    if (!queue->config.indirect)
        violate(queue, "an indirect table without INDIRECT_DESC (2.7.5.3.1, 2.8.19)");
    if (len == 0 || len % sizeof(struct virtq_desc))
        violate(queue, "an indirect table of an odd size");
    if (!table)
        violate(queue, "an indirect table is not memory");
    return table;
}

/* Follows a chain of split descriptors in the ring or in an indirect table of `size` entries. */
static void split_follow(struct fake_queue *queue, struct fake_chain *chain,
                         const struct virtq_desc *table, uint32_t size, uint16_t index,
                         bool in_table)
{
    for (;;) {
        struct virtq_desc desc;

        if (index >= size) {
            violate(queue, "a descriptor index beyond the table");
            return;
        }
        desc = table[index];
        if (desc.flags & ~(VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT))
            violate(queue, "a reserved descriptor flag");
        if (desc.flags & VIRTQ_DESC_F_INDIRECT) {
            const struct virtq_desc *inner = indirect_table(queue, desc.addr, desc.len);

            if (in_table || (desc.flags & VIRTQ_DESC_F_NEXT))
                violate(queue, "a nested or chained indirect table (2.7.5.3.1)");
            chain->indirect = true;
            chain->descriptors++;
            if (!queue->violation)
                split_follow(queue, chain, inner, desc.len / sizeof(desc), 0, true);
            return;
        }
        if (!in_table)
            chain->descriptors++;
        if (!add_piece(queue, chain, desc.addr, desc.len, desc.flags & VIRTQ_DESC_F_WRITE))
            return;
        if (!(desc.flags & VIRTQ_DESC_F_NEXT))
            return;
        if (queue->config.in_order && desc.next != (in_table ? index + 1 : (index + 1) % (int)size))
            violate(queue, "IN_ORDER, and descriptors out of order (2.7.5.2, 2.7.5.3.1)");
        index = desc.next;
    }
}

static bool split_available(struct fake_queue *queue)
{
    struct virtq_avail *avail = queue->driver;
    uint16_t idx = __atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE);

    if ((uint16_t)(idx - queue->avail_next) > queue->config.size)
        violate(queue, "the avail index ran ahead");
    return idx != queue->avail_next;
}

static void split_take(struct fake_queue *queue, struct fake_chain *chain)
{
    struct virtq_avail *avail = queue->driver;
    uint16_t size = queue->config.size;

    if (queue->config.event_idx ? avail->flags : avail->flags > 1)
        violate(queue, "avail.flags has a reserved value (2.7.7.1)");
    chain->id = avail->ring[queue->avail_next % size];
    queue->avail_next++;
    split_follow(queue, chain, queue->desc, size, chain->id, false);
    if (queue->config.in_order && chain->id != queue->desc_next)
        violate(queue, "IN_ORDER, and a chain that does not follow the one before (2.7.5)");
    queue->desc_next = (uint16_t)((queue->desc_next + chain->descriptors) % size);
}

static bool packed_is_available(uint16_t flags, bool wrap)
{
    return !!(flags & VIRTQ_DESC_F_AVAIL) == wrap && !!(flags & VIRTQ_DESC_F_USED) != wrap;
}

static bool packed_available(struct fake_queue *queue)
{
    struct pvirtq_desc *ring = queue->desc;
    uint16_t flags = __atomic_load_n(&ring[queue->avail_next].flags, __ATOMIC_ACQUIRE);

    return packed_is_available(flags, queue->avail_wrap);
}

static void packed_read_table(struct fake_queue *queue, struct fake_chain *chain,
                              const struct pvirtq_desc *desc)
{
    const struct pvirtq_desc *inner = indirect_table(queue, desc->addr, desc->len);

    if (chain->descriptors > 1 || (desc->flags & VIRTQ_DESC_F_NEXT))
        violate(queue, "an indirect table in a chain (2.8.19)");
    chain->indirect = true;
    for (uint32_t i = 0; !queue->violation && i < desc->len / sizeof(*inner); i++) {
        if (inner[i].flags & ~VIRTQ_DESC_F_WRITE)
            violate(queue, "a reserved flag in an indirect table (2.8.19)");
        add_piece(queue, chain, inner[i].addr, inner[i].len, inner[i].flags & VIRTQ_DESC_F_WRITE);
    }
}

static void packed_take(struct fake_queue *queue, struct fake_chain *chain)
{
    const struct pvirtq_desc *ring = queue->desc;
    struct pvirtq_desc desc;

    do {
        desc = ring[queue->avail_next];
        if (!packed_is_available(desc.flags, queue->avail_wrap)) {
            violate(queue, "a list whose head came before its rest (2.8.17)");
            return;
        }
        if (++queue->avail_next == queue->config.size) {
            queue->avail_next = 0;
            queue->avail_wrap = !queue->avail_wrap;
        }
        chain->descriptors++;
        if (desc.flags & VIRTQ_DESC_F_INDIRECT)
            packed_read_table(queue, chain, &desc);
        else
            add_piece(queue, chain, desc.addr, desc.len, desc.flags & VIRTQ_DESC_F_WRITE);
    } while (!queue->violation && (desc.flags & VIRTQ_DESC_F_NEXT));
    chain->id = desc.id;
}

bool fake_available(struct fake_queue *queue)
{
    return queue->config.packed ? packed_available(queue) : split_available(queue);
}

struct fake_chain *fake_pop(struct fake_queue *queue)
{
    struct fake_chain *chain;

    if (!queue->desc || queue->violation || !fake_available(queue))
        return NULL;
    chain = calloc(1, sizeof(*chain));
    if (queue->config.packed)
        packed_take(queue, chain);
    else
        split_take(queue, chain);
    for (const struct fake_chain *other = queue->held; other; other = other->next) {
        if (other->id == chain->id)
            violate(queue, "an id that is still in use");
    }
    if (queue->violation) {
        free_chain(chain);
        return NULL;
    }
    chain->next = queue->held;
    queue->held = chain;
    queue->popped++;
    return chain;
}

/* A used entry, and `buffers` or (packed) `descriptors` are skipped with it. */
static void write_used(struct fake_queue *queue, uint32_t id, uint32_t len, uint16_t buffers,
                       uint16_t descriptors)
{
    if (queue->config.packed) {
        struct pvirtq_desc *desc = (struct pvirtq_desc *)queue->desc + queue->used_next;
        uint16_t flags = queue->used_wrap ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;

        desc->id = (uint16_t)id;
        desc->len = len;
        __atomic_store_n(&desc->flags, flags | (len ? VIRTQ_DESC_F_WRITE : 0), __ATOMIC_RELEASE);
        queue->used_since += descriptors;
        if (queue->used_next + descriptors >= queue->config.size) {
            queue->used_next -= queue->config.size;
            queue->used_wrap = !queue->used_wrap;
        }
        queue->used_next += descriptors;
    } else {
        struct virtq_used *used = queue->device;

        used->ring[queue->used_next % queue->config.size] = (struct virtq_used_elem){ id, len };
        queue->used_next += buffers;
        __atomic_store_n(&used->idx, queue->used_next, __ATOMIC_RELEASE);
    }
}

void fake_lie_used(struct fake_queue *queue, uint32_t id, uint32_t len, uint16_t descriptors)
{
    write_used(queue, id, len, 1, descriptors);
}

void fake_lie_used_jump(struct fake_queue *queue, uint16_t entries)
{
    struct virtq_used *used = queue->device;

    queue->used_next += entries;
    __atomic_store_n(&used->idx, queue->used_next, __ATOMIC_RELEASE);
}

static void forget(struct fake_queue *queue, struct fake_chain *chain)
{
    struct fake_chain **link = &queue->held;

    while (*link != chain)
        link = &(*link)->next;
    *link = chain->next;
    queue->pushed++;
    free_chain(chain);
}

void fake_push(struct fake_queue *queue, struct fake_chain *chain, uint32_t len)
{
    write_used(queue, chain->id, len, 1, chain->descriptors);
    forget(queue, chain);
}

void fake_push_batch(struct fake_queue *queue, struct fake_chain **chains, unsigned n, uint32_t len)
{
    uint16_t descriptors = 0;

    for (unsigned i = 0; i < n; i++)
        descriptors += chains[i]->descriptors;
    write_used(queue, chains[n - 1]->id, len, (uint16_t)n, descriptors);
    while (n--)
        forget(queue, chains[n]);
}

/* The first position whose descriptor is not available, with its wrap counter on top. */
static uint16_t packed_end(struct fake_queue *queue)
{
    const struct pvirtq_desc *ring = queue->desc;
    uint16_t at = queue->avail_next;
    bool wrap = queue->avail_wrap;

    for (unsigned n = queue->config.size; n && packed_is_available(ring[at].flags, wrap); n--) {
        if (++at == queue->config.size) {
            at = 0;
            wrap = !wrap;
        }
    }
    return (uint16_t)(at | wrap << PVIRTQ_EVENT_WRAP_SHIFT);
}

void fake_notified(struct fake_queue *queue, uint32_t value)
{
    const struct virtq_avail *avail = queue->driver;

    if (!queue->config.notification_data) {
        if (value > UINT16_MAX)
            violate(queue, "a notification with data that nobody agreed on (2.9)");
    } else if (value >> 16 != (queue->config.packed ? packed_end(queue) : avail->idx)) {
        violate(queue, "a notification that does not tell where the ring stands (2.9)");
    }
}

static bool split_interrupt_wanted(struct fake_queue *queue)
{
    struct virtq_avail *avail = queue->driver;
    uint16_t n = queue->used_next - queue->used_asked, event;

    if (n == 0)
        return false;
    queue->used_asked = queue->used_next;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!queue->config.event_idx)
        return !(__atomic_load_n(&avail->flags, __ATOMIC_RELAXED) & VIRTQ_AVAIL_F_NO_INTERRUPT);
    event = __atomic_load_n(split_used_event(queue), __ATOMIC_RELAXED);
    return (uint16_t)(queue->used_next - event - 1) < n;
}

/* Walks back from where used_next is over what was used, looking for the event's position. */
static bool packed_interrupt_wanted(struct fake_queue *queue)
{
    struct pvirtq_event_suppress *event = queue->driver;
    uint16_t position = queue->used_next, desc, flags;
    bool wrap = queue->used_wrap;
    unsigned n = queue->used_since;

    if (n == 0)
        return false;
    queue->used_since = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    flags = __atomic_load_n(&event->flags, __ATOMIC_RELAXED);
    desc = __atomic_load_n(&event->desc, __ATOMIC_RELAXED);
    if (flags > RING_EVENT_FLAGS_DESC ||
        (flags == RING_EVENT_FLAGS_DESC && !queue->config.event_idx))
        violate(queue, "a reserved event flag (2.8.10)");
    if (flags != RING_EVENT_FLAGS_DESC)
        return flags == RING_EVENT_FLAGS_ENABLE;
    while (n--) {
        if (position == 0) {
            position = queue->config.size;
            wrap = !wrap;
        }
        position--;
        if (desc == (position | (uint16_t)wrap << PVIRTQ_EVENT_WRAP_SHIFT))
            return true;
    }
    return false;
}

bool fake_interrupt_wanted(struct fake_queue *queue)
{
    if (!queue->desc)
        return false;
    return queue->config.packed ? packed_interrupt_wanted(queue) : split_interrupt_wanted(queue);
}

static void packed_set_event(struct fake_queue *queue, uint16_t desc, uint16_t flags)
{
    struct pvirtq_event_suppress *event = queue->device;

    __atomic_store_n(&event->desc, desc, __ATOMIC_RELAXED);
    __atomic_store_n(&event->flags, flags, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void split_set_flags(struct fake_queue *queue, uint16_t flags)
{
    struct virtq_used *used = queue->device;

    __atomic_store_n(&used->flags, flags, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void fake_want_notification_at(struct fake_queue *queue, uint16_t n)
{
    if (queue->config.packed) {
        unsigned position = queue->avail_next + n - 1u;
        bool wrap = queue->avail_wrap;

        if (position >= queue->config.size) {
            position -= queue->config.size;
            wrap = !wrap;
        }
        packed_set_event(queue, position | wrap << PVIRTQ_EVENT_WRAP_SHIFT, RING_EVENT_FLAGS_DESC);
    } else {
        uint16_t event = queue->avail_next + n - 1;

        memcpy(split_avail_event(queue), &event, sizeof(event));
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
}

void fake_want_notification(struct fake_queue *queue)
{
    if (queue->config.event_idx)
        fake_want_notification_at(queue, 1);
    else if (queue->config.packed)
        packed_set_event(queue, 0, RING_EVENT_FLAGS_ENABLE);
    else
        split_set_flags(queue, 0);
}

void fake_refuse_notification(struct fake_queue *queue)
{
    uint16_t behind = queue->avail_next - 1;

    if (queue->config.packed)
        packed_set_event(queue, 0, RING_EVENT_FLAGS_DISABLE);
    else if (queue->config.event_idx)
        memcpy(split_avail_event(queue), &behind, sizeof(behind));
    else
        split_set_flags(queue, VIRTQ_USED_F_NO_NOTIFY);
}

/* Copies between a flat buffer and a list of pieces, from an offset on. */
static size_t copy(const struct fake_piece *piece, unsigned n, size_t offset, void *flat,
                   size_t bytes, bool into_pieces)
{
    size_t done = 0;

    for (; n && done < bytes; n--, piece++) {
        size_t part = piece->bytes;

        if (offset >= part) {
            offset -= part;
            continue;
        }
        part -= offset;
        if (part > bytes - done)
            part = bytes - done;
        if (into_pieces)
            memcpy(piece->start + offset, (char *)flat + done, part);
        else
            memcpy((char *)flat + done, piece->start + offset, part);
        done += part;
        offset = 0;
    }
    return done;
}

size_t fake_read(const struct fake_chain *chain, size_t offset, void *to, size_t bytes)
{
    return copy(chain->pieces, chain->n_readable, offset, to, bytes, false);
}

size_t fake_write(const struct fake_chain *chain, size_t offset, const void *from, size_t bytes)
{
    return copy(chain->pieces + chain->n_readable, chain->n_writable, offset, (void *)from, bytes,
                true);
}
