/* SPDX-License-Identifier: MIT */
/*
 * What the driver's side of a virtqueue costs by itself:  ring_cost CPU [steps]
 *
 * In one thread: the ring is filled by virtq_add() and virtq_publish(), batch
 * after batch, then the device gives all back, then virtq_get() takes them,
 * batch after batch. Time and instructions are taken around the first and the
 * last part only, so that the device costs nothing. What is left of the caller
 * is its loop. Everything stays in the first-level cache.
 *
 * Prints a line a cell: format, event_idx, in_order, batch; TSC ticks a buffer
 * for add and publish, and for get; instructions a buffer for the same, 0
 * without the word "steps".
 */
#include "drivers/virtio/virtq.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/ring_device.h"
#include "tests/bench/ring_measure.h"

#define SIZE       256
#define FRAME      64
#define TIMED_LAPS 2000
#define STEPPED    64 /* buffers: each instruction of theirs takes microseconds */
#define BATCH_MAX  32

struct cost {
    uint64_t add, get; /* of a lap: TSC ticks or instructions */
};

struct rig {
    struct virtq q;
    struct ring_device device;
    struct virtq_elem elem[SIZE];
    struct virtq_buffer buffer[SIZE];
    void *shared, *private_memory;
};

static void rig_start(struct rig *rig, enum virtq_format format, bool event_idx, bool in_order)
{
    struct virtq_layout layout = virtq_layout(format, SIZE, 0);
    struct virtq_config config = {
        .format = format, .size = SIZE, .event_idx = event_idx, .in_order = in_order
    };

    rig->shared = aligned_alloc(4096, ALIGN_UP(layout.shared_bytes, 4096));
    rig->private_memory = aligned_alloc(64, ALIGN_UP(layout.private_bytes, 64));
    if (!rig->shared || !rig->private_memory)
        errx(1, "no memory");
    config.areas = virtq_areas_in(&layout, rig->shared, 0x100000);
    config.private_memory = rig->private_memory;
    if (virtq_init(&rig->q, &config))
        errx(1, "virtq_init");
    ring_device_start(&rig->device, &config);
    for (unsigned i = 0; i < SIZE; i++) {
        rig->elem[i] = (struct virtq_elem){ 0x200000 + i * FRAME, FRAME };
        rig->buffer[i] = (struct virtq_buffer){ &rig->elem[i], 1, 0, &rig->elem[i] };
    }
}

static void rig_stop(struct rig *rig)
{
    free(rig->shared);
    free(rig->private_memory);
}

/* Both return how often they were told to notify, or got fewer than they should: never. */
static __attribute__((noinline)) unsigned add_all(struct rig *rig, unsigned n, unsigned batch)
{
    unsigned odd = 0;

    for (unsigned i = 0; i < n; i += batch) {
        odd += virtq_add(&rig->q, &rig->buffer[i], batch) != (int)batch;
        odd += virtq_publish(&rig->q);
    }
    return odd;
}

static __attribute__((noinline)) unsigned get_all(struct rig *rig, unsigned n, unsigned batch)
{
    struct virtq_done done[BATCH_MAX];
    unsigned odd = 0;

    for (unsigned i = 0; i < n; i += batch)
        odd += virtq_get(&rig->q, done, batch) != (int)batch;
    return odd;
}

static uint64_t ticks_begin(void)
{
    return measure_tsc();
}

static uint64_t ticks_end(uint64_t start)
{
    return measure_tsc() - start;
}

static uint64_t steps_begin(void)
{
    measure_steps_begin();
    return 0;
}

static uint64_t steps_end(uint64_t start)
{
    return measure_steps_end() - start;
}

static void lap(struct rig *rig, unsigned n, unsigned batch, struct cost *cost,
                uint64_t (*begin)(void), uint64_t (*end)(uint64_t))
{
    uint64_t start;
    unsigned odd;

    start = begin();
    odd = add_all(rig, n, batch);
    cost->add = end(start);
    if (ring_device_run(&rig->device, n, 0) != n)
        errx(1, "the device did not see all buffers");
    ring_device_refuse_notification(&rig->device);
    start = begin();
    odd += get_all(rig, n, batch);
    cost->get = end(start);
    if (odd)
        errx(1, "the queue did not do what was measured: %s",
             virtq_broken_reason(&rig->q) ?: "not broken");
}

static int compare(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

/* Of all laps: interrupts and other programs lengthen some. */
static struct cost median_lap(struct rig *rig, unsigned batch)
{
    static uint64_t add[TIMED_LAPS], get[TIMED_LAPS];
    struct cost cost;

    for (unsigned i = 0; i < TIMED_LAPS; i++) {
        lap(rig, SIZE, batch, &cost, ticks_begin, ticks_end);
        add[i] = cost.add;
        get[i] = cost.get;
    }
    qsort(add, TIMED_LAPS, sizeof(*add), compare);
    qsort(get, TIMED_LAPS, sizeof(*get), compare);
    return (struct cost){ add[TIMED_LAPS / 2], get[TIMED_LAPS / 2] };
}

static void cell(enum virtq_format format, bool event_idx, bool in_order, unsigned batch,
                 bool stepped)
{
    static struct rig rig;
    struct cost ticks, steps = { 0 };

    rig_start(&rig, format, event_idx, in_order);
    ring_device_refuse_notification(&rig.device);
    ticks = median_lap(&rig, batch);
    if (stepped)
        lap(&rig, STEPPED, batch, &steps, steps_begin, steps_end);
    rig_stop(&rig);
    printf("cost %s %d %d %u %.2f %.2f %.2f %.2f\n", format == VIRTQ_PACKED ? "packed" : "split",
           event_idx, in_order, batch, (double)ticks.add / SIZE, (double)ticks.get / SIZE,
           (double)steps.add / STEPPED, (double)steps.get / STEPPED);
}

int main(int argc, char **argv)
{
    static const unsigned batches[] = { 1, 8, 32 };
    bool stepped = argc == 3 && strcmp(argv[2], "steps") == 0;

    if (argc < 2)
        errx(2, "usage: ring_cost CPU [steps]");
    measure_pin((unsigned)atoi(argv[1]));
    printf("machine %.0f %.3f\n", measure_tsc_hz(), measure_core_cycles_per_tick());
    for (int format = VIRTQ_SPLIT; format <= VIRTQ_PACKED; format++)
        for (int event_idx = 0; event_idx <= 1; event_idx++)
            for (int in_order = 0; in_order <= 1; in_order++)
                for (unsigned i = 0; i < ARRAY_SIZE(batches); i++)
                    cell(format, event_idx, in_order, batches[i], stepped);
    return 0;
}
