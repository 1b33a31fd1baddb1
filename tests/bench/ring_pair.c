/* SPDX-License-Identifier: MIT */
/*
 * Driver and device of one virtqueue in two threads, each on a CPU of its own:
 *     ring_pair [DRIVER_CPU [DEVICE_CPU]]
 *
 * Both poll. The driver keeps the ring as full as it can, in batches; the
 * device gives back what it finds. Buffers are not touched: what is counted is
 * how fast the ring itself travels between two CPUs.
 *
 * Prints a line a cell: device (lean: ring_device.h; fake: the checking one of
 * the hosted tests), format, event_idx, in_order, batch, buffers a second.
 */
#define _GNU_SOURCE
#include "drivers/virtio/virtq.h"

#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/barrier.h"
#include "tests/bench/ring_device.h"
#include "tests/bench/ring_measure.h"
#include "tests/host/fake_device.h"

#define SIZE         256
#define FRAME        64
#define BATCH        32
#define WARM_SECONDS 0.05
#define SECONDS      0.25

struct pair {
    struct virtq_config config;
    bool fake;
    bool stop __attribute__((aligned(64))); /* written by the driver's thread, at the end */
};

static void run_lean(struct pair *pair)
{
    struct ring_device device;

    ring_device_start(&device, &pair->config);
    ring_device_refuse_notification(&device);
    while (!load_once(&pair->stop))
        ring_device_run(&device, BATCH, 0);
}

static void run_fake(struct pair *pair)
{
    struct fake_queue_config config = {
        .packed = pair->config.format == VIRTQ_PACKED,
        .event_idx = pair->config.event_idx,
        .size = SIZE,
        .desc_addr = pair->config.areas.descriptor_addr,
        .driver_addr = pair->config.areas.driver_addr,
        .device_addr = pair->config.areas.device_addr,
    };
    struct fake_queue queue;
    struct fake_chain *chain;

    fake_queue_start(&queue, &config);
    fake_refuse_notification(&queue);
    while (!load_once(&pair->stop)) {
        chain = fake_pop(&queue);
        if (chain)
            fake_push(&queue, chain, 0);
        if (queue.violation)
            errx(1, "the driver broke a rule: %s", queue.violation);
    }
    fake_queue_stop(&queue);
}

static void *device_thread(void *argument)
{
    struct pair *pair = argument;

    if (pair->fake)
        run_fake(pair);
    else
        run_lean(pair);
    return NULL;
}

/* One look of the driver: fills the ring, takes what came back; returns how many that were. */
static unsigned driver_turn(struct virtq *q, const struct virtq_buffer *buffers)
{
    struct virtq_done done[BATCH];
    int got;

    if (virtq_free_count(q) >= BATCH && virtq_add(q, buffers, BATCH) > 0 && virtq_publish(q))
        virtq_notify(q);
    got = virtq_get(q, done, BATCH);
    if (got < 0)
        errx(1, "the queue broke: %s", virtq_broken_reason(q));
    return (unsigned)got;
}

static uint64_t drive(struct virtq *q, const struct virtq_buffer *buffers, double seconds)
{
    double end = measure_seconds() + seconds;
    uint64_t got = 0;

    do {
        for (unsigned i = 0; i < 1000; i++)
            got += driver_turn(q, buffers);
    } while (measure_seconds() < end);
    return got;
}

/* There from its first instruction: on our CPU it might wait for us to stop polling. */
static void device_start(pthread_t *thread, struct pair *pair, unsigned cpu)
{
    pthread_attr_t attributes;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_attr_init(&attributes);
    if (pthread_attr_setaffinity_np(&attributes, sizeof(set), &set) ||
        pthread_create(thread, &attributes, device_thread, pair))
        errx(1, "cannot start a thread on CPU %u", cpu);
    pthread_attr_destroy(&attributes);
}

static void cell(unsigned device_cpu, bool fake, enum virtq_format format, bool event_idx,
                 bool in_order)
{
    static struct virtq_elem elem[BATCH];
    static struct virtq_buffer buffers[BATCH];
    static struct pair pair;
    struct virtq_layout layout = virtq_layout(format, SIZE, 0);
    struct virtq q;
    pthread_t device;
    uint64_t got;
    double start;

    pair = (struct pair){
        .config = { .format = format, .size = SIZE, .event_idx = event_idx, .in_order = in_order },
        .fake = fake,
    };
    void *shared = aligned_alloc(4096, ALIGN_UP(layout.shared_bytes, 4096));
    pair.config.private_memory = aligned_alloc(64, ALIGN_UP(layout.private_bytes, 64));
    /* Device addresses are pointers, as fake_device.h understands them without a translation. */
    pair.config.areas = virtq_areas_in(&layout, shared, (dma_addr_t)shared);
    for (unsigned i = 0; i < BATCH; i++) {
        elem[i] = (struct virtq_elem){ (dma_addr_t)shared, FRAME };
        buffers[i] = (struct virtq_buffer){ &elem[i], 1, 0, &elem[i] };
    }
    if (virtq_init(&q, &pair.config))
        errx(1, "virtq_init");
    device_start(&device, &pair, device_cpu);
    drive(&q, buffers, WARM_SECONDS);
    start = measure_seconds();
    got = drive(&q, buffers, SECONDS);
    printf("pair %s %s %d %d %d %.0f\n", fake ? "fake" : "lean",
           format == VIRTQ_PACKED ? "packed" : "split", event_idx, in_order, BATCH,
           (double)got / (measure_seconds() - start));
    store_once(&pair.stop, true);
    pthread_join(device, NULL);
    free(shared);
    free(pair.config.private_memory);
}

int main(int argc, char **argv)
{
    unsigned driver_cpu = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    unsigned device_cpu = argc > 2 ? (unsigned)atoi(argv[2]) : 1;

    measure_pin(driver_cpu);
    for (int format = VIRTQ_SPLIT; format <= VIRTQ_PACKED; format++)
        for (int event_idx = 0; event_idx <= 1; event_idx++) {
            for (int in_order = 0; in_order <= 1; in_order++)
                cell(device_cpu, false, format, event_idx, in_order);
            cell(device_cpu, true, format, event_idx, false);
        }
    return 0;
}
