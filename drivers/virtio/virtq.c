/* SPDX-License-Identifier: MIT */
/*
 * The virtqueue's public functions, §2.6: each decides once for the format and
 * for all its buffers. See virtq.h for the contracts, virtq_split.h and
 * virtq_packed.h for the rings.
 */
#include "drivers/virtio/virtq.h"

#include "drivers/virtio/virtq_packed.h"
#include "drivers/virtio/virtq_slot.h"
#include "drivers/virtio/virtq_split.h"
#include "lib/base/barrier.h"
#include "lib/base/io.h"

/* The areas share no cache line: each is written by one side. */
#define AREA_ALIGN 64

/* Where a legacy device expects queue and used ring to begin, §2.7.2. */
#define LEGACY_ALIGN 4096

/* The POST code port: nobody minds what is written there. */
#define POST_PORT 0x80

static bool strong_barrier;

void virtq_use_strong_barrier(bool strong)
{
    strong_barrier = strong;
}

/*
 * Between a store that the device may wait for and our look whether it still
 * does: what we published before its suppression fields (§2.7.13.4.1,
 * §2.8.21.3.1), what we armed before the used ring. Pairs with the device's
 * fence between its own store and look; without either, both sides may sleep.
 */
static inline void virtq_publish_barrier(const struct virtq *q)
{
    if (UNLIKELY(strong_barrier))
        port_write8(POST_PORT, 0);
    else if (UNLIKELY(q->order_platform))
        barrier_platform();
    else
        barrier_full();
}

static inline bool virtq_packed(const struct virtq *q)
{
    return q->format == VIRTQ_PACKED;
}

bool virtq_size_ok(enum virtq_format format, uint32_t size)
{
    if (size == 0 || size > VIRTQ_SIZE_MAX)
        return false;
    return format == VIRTQ_PACKED || (size & (size - 1)) == 0;
}

/* A table of one element would save nothing, and no list may be longer than the queue. */
static uint16_t usable_indirect_max(uint16_t size, uint16_t indirect_max)
{
    indirect_max = MIN(indirect_max, size);
    return indirect_max > 1 ? indirect_max : 0;
}

static size_t split_driver_bytes(uint16_t size)
{
    return sizeof(struct virtq_avail) + (size + 1u) * sizeof(le16);
}

static size_t split_device_bytes(uint16_t size)
{
    return sizeof(struct virtq_used) + size * sizeof(struct virtq_used_elem) + sizeof(le16);
}

static void add_tables_and_slots(struct virtq_layout *layout, uint16_t size, uint16_t indirect_max)
{
    size_t table_bytes = usable_indirect_max(size, indirect_max) * sizeof(struct virtq_desc);

    layout->shared_bytes = layout->indirect_offset + size * table_bytes;
    layout->private_bytes = size * sizeof(struct virtq_slot);
}

struct virtq_layout virtq_layout(enum virtq_format format, uint16_t size, uint16_t indirect_max)
{
    bool split = format == VIRTQ_SPLIT;
    size_t descriptor_bytes = size * sizeof(struct virtq_desc);
    size_t driver_bytes = split ? split_driver_bytes(size) : sizeof(struct pvirtq_event_suppress);
    size_t device_bytes = split ? split_device_bytes(size) : sizeof(struct pvirtq_event_suppress);
    struct virtq_layout layout;

    layout.driver_offset = ALIGN_UP(descriptor_bytes, AREA_ALIGN);
    layout.device_offset = ALIGN_UP(layout.driver_offset + driver_bytes, AREA_ALIGN);
    layout.indirect_offset = ALIGN_UP(layout.device_offset + device_bytes, AREA_ALIGN);
    add_tables_and_slots(&layout, size, indirect_max);
    return layout;
}

struct virtq_layout virtq_legacy_layout(uint16_t ring_size, uint16_t size, uint16_t indirect_max)
{
    struct virtq_layout layout;

    layout.driver_offset = ring_size * sizeof(struct virtq_desc);
    layout.device_offset =
        ALIGN_UP(layout.driver_offset + split_driver_bytes(ring_size), LEGACY_ALIGN);
    layout.indirect_offset =
        ALIGN_UP(layout.device_offset + split_device_bytes(ring_size), LEGACY_ALIGN);
    add_tables_and_slots(&layout, size, indirect_max);
    return layout;
}

struct virtq_areas virtq_areas_in(const struct virtq_layout *layout, void *block, dma_addr_t addr)
{
    char *start = block;

    return (struct virtq_areas){
        .descriptor = start,
        .driver = start + layout->driver_offset,
        .device = start + layout->device_offset,
        .indirect = start + layout->indirect_offset,
        .descriptor_addr = addr,
        .driver_addr = addr + layout->driver_offset,
        .device_addr = addr + layout->device_offset,
        .indirect_addr = addr + layout->indirect_offset,
    };
}

static void free_all_slots(struct virtq *q)
{
    for (uint32_t i = 0; i < q->size; i++) {
        q->slot[i].descriptors = 0;
        q->slot[i].next = (uint16_t)(i + 1);
    }
    q->slot[q->size - 1].next = 0; /* followed by nobody, but always inside the ring */
    q->free_first = 0;
    q->free_link = &q->slot[q->size - 1].next;
    q->free_count = q->size;
}

int virtq_init(struct virtq *q, const struct virtq_config *config)
{
    const uint16_t ring_size = config->ring_size ? config->ring_size : config->size;

    if (!virtq_size_ok(config->format, config->size) || !virtq_size_ok(config->format, ring_size) ||
        ring_size < config->size)
        return -EINVAL;
    *q = (struct virtq){
        .desc = config->areas.descriptor,
        .slot = config->private_memory,
        .driver_area = config->areas.driver,
        .device_area = config->areas.device,
        .size = config->size,
        .ring_size = ring_size,
        .indirect_max = usable_indirect_max(config->size, config->indirect_max),
        .format = (uint8_t)config->format,
        .batch_last = VIRTQ_NO_BATCH,
        .event_idx = config->event_idx,
        .in_order = config->in_order,
        .order_platform = config->order_platform,
        .notification_data = config->notification_data,
        .indirect = config->areas.indirect,
        .indirect_addr = config->areas.indirect_addr,
        .doorbell = config->doorbell,
    };
    free_all_slots(q);
    if (virtq_packed(q))
        packed_init(q);
    else
        split_init(q);
    return 0;
}

/* Runs of single elements, and the others one by one; the functions are known at compile time. */
static inline __attribute__((always_inline)) int
add_all(struct virtq *q, const struct virtq_buffer *buffers, unsigned n,
        unsigned (*add_singles)(struct virtq *, const struct virtq_buffer *, unsigned),
        int (*add_chain)(struct virtq *, const struct virtq_buffer *))
{
    unsigned added = 0;

    while (added < n) {
        unsigned singles = add_singles(q, &buffers[added], n - added);
        int chain;

        added += singles;
        if (singles)
            continue;
        chain = add_chain(q, &buffers[added]);
        if (chain <= 0)
            return added ? (int)added : chain;
        added++;
    }
    return (int)added;
}

int virtq_add(struct virtq *q, const struct virtq_buffer *buffers, unsigned n)
{
    const uint16_t free_before = q->free_count;
    int added;

    if (UNLIKELY(q->broken))
        return -EIO;
    if (!q->held_slots)
        q->held_first = q->free_first;
    if (virtq_packed(q)) {
        added = add_all(q, buffers, n, packed_add_singles, packed_add_chain);
        q->held_slots += MAX(added, 0); /* one a buffer */
    } else {
        added = add_all(q, buffers, n, split_add_singles, split_add_chain);
        q->held_slots += free_before - q->free_count; /* one a descriptor */
    }
    q->in_flight += MAX(added, 0);
    return added;
}

bool virtq_publish(struct virtq *q)
{
    uint16_t n = q->unpublished;

    if (n == 0 || UNLIKELY(q->broken))
        return false;
    q->unpublished = 0;
    q->held_slots = 0;
    if (virtq_packed(q)) {
        packed_publish(q);
        virtq_publish_barrier(q);
        return packed_wants_notification(q, n);
    }
    split_publish(q);
    virtq_publish_barrier(q);
    return split_wants_notification(q, n);
}

/* §2.9: the queue, and where the device will find the next buffer. */
static uint32_t notification(const struct virtq *q)
{
    uint16_t next;

    if (LIKELY(!q->notification_data))
        return q->doorbell.value;
    next = virtq_packed(q) ? packed_next(q) : split_next(q);
    return q->doorbell.value | (uint32_t)next << 16;
}

void virtq_notify(const struct virtq *q)
{
    const struct virtq_doorbell *doorbell = &q->doorbell;
    const uint32_t value = notification(q);

    switch (doorbell->kind) {
    case VIRTQ_DOORBELL_NONE:
        break;
    case VIRTQ_DOORBELL_MMIO16:
        mmio_write16(doorbell->mmio, (uint16_t)value);
        break;
    case VIRTQ_DOORBELL_MMIO32:
        mmio_write32(doorbell->mmio, value);
        break;
    case VIRTQ_DOORBELL_PORT16:
        port_write16(doorbell->port, (uint16_t)value);
        break;
    case VIRTQ_DOORBELL_PORT32:
        port_write32(doorbell->port, value);
        break;
    case VIRTQ_DOORBELL_HOOK:
        doorbell->hook(doorbell->hook_argument, value);
        break;
    }
}

static bool virtq_is_plain(const struct virtq *q)
{
    return q->ring_size == q->size && !q->any_length;
}

static unsigned get(struct virtq *q, struct virtq_done *done, unsigned max)
{
    if (virtq_packed(q))
        return q->in_order ? packed_get_in_order(q, done, max) : packed_get(q, done, max);
    if (q->in_order)
        return split_get_in_order(q, done, max);
    return virtq_is_plain(q) ? split_get(q, done, max) : split_get_legacy(q, done, max);
}

int virtq_get(struct virtq *q, struct virtq_done *done, unsigned max)
{
    unsigned n;

    if (UNLIKELY(q->broken))
        return -EIO;
    n = get(q, done, max);
    q->in_flight -= n;
    return UNLIKELY(q->broken) && n == 0 ? -EIO : (int)n;
}

static bool used_here(const struct virtq *q)
{
    return virtq_packed(q) ? packed_used_here(q) : split_used_here(q);
}

bool virtq_arm(struct virtq *q, uint16_t n)
{
    if (UNLIKELY(q->broken))
        return true;
    if (q->deaf)
        return used_here(q);
    if (virtq_packed(q))
        packed_arm(q, MAX(1, MIN(n, MIN(q->in_flight, packed_published(q)))));
    else
        split_arm(q, MAX(1, MIN(n, split_published(q))));
    q->armed = true;
    virtq_publish_barrier(q);
    return used_here(q);
}

void virtq_be_deaf(struct virtq *q, bool deaf)
{
    q->deaf = deaf;
}

void virtq_take_any_length(struct virtq *q, bool any_length)
{
    q->any_length = any_length;
}

void virtq_disarm(struct virtq *q)
{
    if (!q->armed)
        return;
    q->armed = false;
    if (virtq_packed(q))
        packed_disarm(q);
    else
        split_disarm(q);
}

int virtq_drain(struct virtq *q, void **cookies, unsigned max)
{
    unsigned n = 0;

    virtq_break(q, "the queue was drained after a reset");
    for (; q->drain_next < q->size && n < max; q->drain_next++) {
        struct virtq_slot *slot = &q->slot[q->drain_next];

        if (slot->descriptors == 0)
            continue;
        slot->descriptors = 0;
        cookies[n++] = slot->cookie;
    }
    q->in_flight -= n;
    return (int)n;
}
