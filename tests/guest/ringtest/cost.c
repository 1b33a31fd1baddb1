/* SPDX-License-Identifier: MIT */
/*
 * What a buffer costs the driver in instructions: add, publish and get, with the
 * device's side played between them by the same thread and not counted. Under
 * QEMU's `-icount shift=0`, where the time stamp counts instructions, the same
 * image gives the same numbers each time. Elsewhere the numbers mean nothing.
 */
#include <stdio.h>
#include <string.h>

#include "drivers/virtio/spec/ring.h"
#include "drivers/virtio/virtq.h"
#include "kernel/irq.h"
#include "kernel/page.h"
#include "tests/guest/ringtest/ringtest.h"

#define RING_SIZE    256
#define BATCH_MAX    32
#define BUFFERS      (8 * RING_SIZE) /* the rings wrap around */
#define BUFFER_BYTES 64
#define MEMORY_BYTES (16 * KIB)

static struct virtq q;
static struct virtq_areas areas;
static uint16_t device_next; /* split: the next avail entry; packed: the next ring position */

/*
 * The time stamp goes straight to memory: nothing of it is in the compiler's
 * hands, which could move its computation into or out of what is measured.
 */
#define STAMP(stamp)                                       \
    __asm__ volatile("rdtsc; mov %%eax, %0; mov %%edx, %1" \
                     : "=m"((stamp)[0]), "=m"((stamp)[1])  \
                     :                                     \
                     : "rax", "rdx", "memory")

static inline uint64_t between(const uint32_t *from, const uint32_t *to)
{
    return ((uint64_t)to[1] << 32 | to[0]) - ((uint64_t)from[1] << 32 | from[0]);
}

/* What runs between two stamps, without what the stamps themselves take. */
#define COUNT(sum, what)                           \
    do {                                           \
        uint32_t from[2], to[2];                   \
                                                   \
        STAMP(from);                               \
        what;                                      \
        STAMP(to);                                 \
        (sum) += between(from, to) - stamp_itself; \
    } while (0)

static uint64_t stamp_itself;

/* ---- the device's side: uses each buffer where it lies, and never wants to be notified */

static void split_use(unsigned n)
{
    const struct virtq_avail *avail = areas.driver;
    struct virtq_used *used = areas.device;
    le16 *avail_event = (void *)&used->ring[RING_SIZE];

    for (; n > 0; n--, device_next++) {
        uint16_t entry = device_next % RING_SIZE;

        used->ring[entry] = (struct virtq_used_elem){ avail->ring[entry], 0 };
    }
    used->idx = device_next;
    *avail_event = (uint16_t)(device_next - 1); /* has just been */
}

/* The descriptor of a used buffer is the available one, but for USED, which becomes as AVAIL. */
static void packed_use(unsigned n)
{
    struct pvirtq_event_suppress *events = areas.device;
    struct pvirtq_desc *ring = areas.descriptor;

    for (; n > 0; n--, device_next = (device_next + 1) % RING_SIZE) {
        ring[device_next].len = 0;
        ring[device_next].flags ^= VIRTQ_DESC_F_USED;
    }
    events->flags = RING_EVENT_FLAGS_DISABLE;
}

static void (*const use[])(unsigned n) = { [VIRTQ_SPLIT] = split_use, [VIRTQ_PACKED] = packed_use };
static const char *const format_name[] = { [VIRTQ_SPLIT] = "split", [VIRTQ_PACKED] = "packed" };

/* ---- the driver's side */

static bool make_queue(enum virtq_format format)
{
    static _Alignas(PAGE_SIZE) char shared[MEMORY_BYTES], private_memory[MEMORY_BYTES];
    struct virtq_layout layout = virtq_layout(format, RING_SIZE, 0);

    if (layout.shared_bytes > sizeof(shared) || layout.private_bytes > sizeof(private_memory))
        return false;
    memset(shared, 0, sizeof(shared));
    areas = virtq_areas_in(&layout, shared, (uintptr_t)shared);
    device_next = 0;
    return virtq_init(&q, &(struct virtq_config){ .format = format,
                                                  .size = RING_SIZE,
                                                  .event_idx = true,
                                                  .areas = areas,
                                                  .private_memory = private_memory }) == 0;
}

struct cost {
    uint64_t add, publish, get; /* instructions */
};

/* false: a buffer did not come back, or a notification was wanted. */
static bool exchange(enum virtq_format format, unsigned n, struct cost *cost)
{
    static char memory[BATCH_MAX][BUFFER_BYTES];
    struct virtq_elem elem[BATCH_MAX];
    struct virtq_buffer buffers[BATCH_MAX];
    struct virtq_done done[BATCH_MAX];
    bool notify;
    int added, got;

    for (unsigned i = 0; i < n; i++) {
        elem[i] = (struct virtq_elem){ (uintptr_t)memory[i], BUFFER_BYTES };
        buffers[i] = (struct virtq_buffer){ &elem[i], 1, 0, memory[i] };
    }
    COUNT(cost->add, added = virtq_add(&q, buffers, n));
    COUNT(cost->publish, notify = virtq_publish(&q));
    use[format](n);
    COUNT(cost->get, got = virtq_get(&q, done, BATCH_MAX));
    for (int i = 0; i < got; i++)
        if (done[i].cookie != memory[i])
            return false;
    return added == (int)n && got == added && !notify;
}

static bool measure(enum virtq_format format, unsigned batch)
{
    struct cost cost = { 0 };
    bool well = true, were_on;

    if (!make_queue(format))
        return false;
    use[format](0);       /* no buffer, but from now on no notification is wanted */
    were_on = irq_save(); /* handlers would be counted too */
    for (unsigned i = 0; well && i < BUFFERS; i += batch)
        well = exchange(format, batch, &cost);
    irq_restore(were_on);
    printf("cost ring=%s batch=%u buffers=%u add=%llu publish=%llu get=%llu\n", format_name[format],
           batch, BUFFERS, (unsigned long long)cost.add, (unsigned long long)cost.publish,
           (unsigned long long)cost.get);
    return well;
}

int run_cost(int argc, char **argv)
{
    static const unsigned batches[] = { 1, 8, BATCH_MAX };
    uint32_t from[2], to[2];
    bool well = true;

    (void)argc, (void)argv;
    STAMP(from);
    STAMP(to);
    stamp_itself = between(from, to);
    virtq_use_strong_barrier(false); /* as under KVM; nobody runs beside this thread */
    for (unsigned i = 0; i < ARRAY_SIZE(batches); i++) {
        well &= measure(VIRTQ_SPLIT, batches[i]);
        well &= measure(VIRTQ_PACKED, batches[i]);
    }
    return well ? 0 : 1;
}
