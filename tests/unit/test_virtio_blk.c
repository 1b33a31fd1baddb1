/* SPDX-License-Identifier: MIT */
/*
 * drivers/virtio/blk.c and kernel/blkdev.c on a fake device, honest and lying.
 * The device side below checks each request against §5.2.6.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/blk.h"
#include "drivers/virtio/spec/blk.h"
#include "drivers/virtio/spec/ids.h"
#include "kernel/blkdev.h"
#include "kernel/clock.h"
#include "kernel/timer.h"
#include "lib/base/errno.h"
#include "tests/host/alloc.h"
#include "tests/host/clock.h"
#include "tests/host/dma.h"
#include "tests/host/event.h"
#include "tests/host/fake_transport.h"
#include "tests/host/irq.h"
#include "tests/host/lies.h"
#include "tests/host/log.h"
#include "tests/host/proves.h"
#include "tests/host/smp.h"

#define SECTORS    2048
#define DISK_BYTES (SECTORS * 512)
#define QUEUE_SIZE 128

static struct fake_transport fake;
static struct virtio_blk_config config;
static uint8_t disk[DISK_BYTES], disk_at_first[DISK_BYTES];
static uint8_t memory[DISK_BYTES] __attribute__((aligned(4096)));
static struct blkdev *dev;

/* How the device behaves. */
static bool hold;        /* requests stay with it */
static int status_told;  /* instead of the truth; -1: the truth */
static bool status_kept; /* the byte is not written at all */
static int length_told;  /* added to the truth */
static unsigned served, largest_segments, largest_segment_bytes;
static uint64_t cursed_sector; /* a request for it makes the device lie; UINT64_MAX: none */
static unsigned serving;       /* this queue */
static unsigned served_on[FAKE_QUEUES]; /* each queue */
static const char *violation;

static void violate(const char *what)
{
    if (!violation)
        violation = what;
}

static void note_segments(const struct fake_chain *chain, const struct virtio_blk_req *header)
{
    bool out = header->type == VIRTIO_BLK_T_OUT;
    unsigned first = out ? 1 : chain->n_readable;
    unsigned end = out ? chain->n_readable : chain->n_readable + chain->n_writable - 1;

    largest_segments = MAX(largest_segments, end - first);
    for (unsigned i = first; i < end; i++)
        largest_segment_bytes = MAX(largest_segment_bytes, chain->pieces[i].bytes);
}

/* The data's bytes; what the standard forbids is noted. */
static uint64_t check_request(const struct fake_chain *chain, const struct virtio_blk_req *header)
{
    uint64_t in = chain->writable_bytes - 1, out = chain->readable_bytes - sizeof(*header);

    if (header->reserved)
        violate("reserved is not 0");
    switch (header->type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        if ((header->type == VIRTIO_BLK_T_IN ? out : in) || (in + out) % 512 || !(in + out))
            violate("a transfer's data");
        if ((in + out) % config.blk_size)
            violate("a part of a block");
        if (header->sector > config.capacity || (in + out) / 512 > config.capacity - header->sector)
            violate("a transfer beyond the capacity");
        break;
    case VIRTIO_BLK_T_FLUSH:
        if (in || out || header->sector)
            violate("a flush with sector or data");
        break;
    case VIRTIO_BLK_T_GET_ID:
        if (in != VIRTIO_BLK_ID_BYTES || out)
            violate("GET_ID wants 20 bytes");
        break;
    default:
        violate("a type that nobody negotiated");
    }
    note_segments(chain, header);
    return in + out;
}

static void serve_one(struct fake_chain *chain)
{
    struct virtio_blk_req header;
    uint8_t status = VIRTIO_BLK_S_OK;
    uint32_t written = 1;
    uint64_t bytes;

    assert_int_equal(fake_read(chain, 0, &header, sizeof(header)), sizeof(header));
    bytes = check_request(chain, &header);
    served++;
    served_on[serving]++;
    if (cursed_sector - header.sector < bytes / 512) {
        fake_push(&fake.queues[serving].ring, chain, UINT32_MAX);
        return;
    }
    if (!violation && header.type == VIRTIO_BLK_T_OUT)
        fake_read(chain, sizeof(header), disk + header.sector * 512, bytes);
    if (!violation && header.type == VIRTIO_BLK_T_IN)
        written += (uint32_t)fake_write(chain, 0, disk + header.sector * 512, bytes);
    if (header.type == VIRTIO_BLK_T_GET_ID)
        written += (uint32_t)fake_write(chain, 0, "serial-0123456789ab", 20);
    if (status_told >= 0)
        status = (uint8_t)status_told;
    if (!status_kept)
        fake_write(chain, chain->writable_bytes - 1, &status, 1);
    fake_push(&fake.queues[serving].ring, chain, written + (uint32_t)length_told);
}

static void serve_all(void)
{
    struct fake_chain *chain;

    for (serving = 0; serving < FAKE_QUEUES && fake.queues[serving].live; serving++) {
        while ((chain = fake_pop(&fake.queues[serving].ring)))
            serve_one(chain);
        fake_transport_interrupt(&fake, serving);
    }
    serving = 0;
}

static void kicked(struct fake_transport *transport, unsigned queue)
{
    (void)transport;
    (void)queue;
    if (!hold)
        serve_all();
}

static void idle(void)
{
    if (fake.queues[0].enabled)
        serve_all();
}

/* ---- before and after */

static void prepare(void)
{
    host_log_clear();
    fake_transport_init(&fake, VIRTIO_ID_BLOCK);
    config = (struct virtio_blk_config){ .capacity = SECTORS, .seg_max = 126, .blk_size = 512 };
    fake_offer(&fake, VIRTIO_BLK_F_SEG_MAX);
    fake_offer(&fake, VIRTIO_BLK_F_BLK_SIZE);
    fake_offer(&fake, VIRTIO_BLK_F_FLUSH);
    fake.queues[0].size_max = QUEUE_SIZE;
    fake.kicked = kicked;
    hold = status_kept = false;
    status_told = -1;
    length_told = 0;
    served = largest_segments = largest_segment_bytes = 0;
    memset(served_on, 0, sizeof(served_on));
    cursed_sector = UINT64_MAX;
    violation = NULL;
    host_cpu = 0;
    host_cpus = 1;
    host_idle = idle;
    host_dma_run_bytes = 0;
    host_dma_hole = NULL;
    memcpy(disk, disk_at_first, sizeof(disk));
    memset(memory, 0, sizeof(memory));
}

static int try_start(void)
{
    int error;

    memcpy(fake.config, &config, fake.device.config_bytes = sizeof(config));
    error = virtio_add(&fake.device);
    dev = blkdev_next(NULL);
    return error;
}

static void start(void)
{
    assert_int_equal(try_start(), 0);
    assert_non_null(dev);
}

static int setup(void **state)
{
    (void)state;
    prepare();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_null(violation);
    fake_transport_check(&fake);
    virtio_remove(&fake.device);
    assert_null(blkdev_next(NULL));
    return 0;
}

static int fill_disk(void **state)
{
    (void)state;
    for (size_t i = 0; i < DISK_BYTES; i++)
        disk_at_first[i] = (uint8_t)(i * 7 + i / 512);
    return 0;
}

/* ---- many requests at once */

#define MANY 500

static struct blk_request requests[MANY], *pointers[MANY], *done[MANY];
static struct blk_elem elems[MANY];
static struct blk_client client;

static void prepare_reads(unsigned n, uint32_t bytes)
{
    blk_client_init(&client, dev);
    for (unsigned i = 0; i < n; i++) {
        uint64_t sector = i * (bytes / 512) % (SECTORS - bytes / 512);

        elems[i] = (struct blk_elem){ memory + sector * 512, bytes };
        requests[i] = (struct blk_request){ .operation = BLK_READ,
                                            .n_elem = 1,
                                            .elem = &elems[i],
                                            .sector = sector,
                                            .cookie = &requests[i] };
        pointers[i] = &requests[i];
    }
}

/* All come back exactly once; how many of them with this status. */
static unsigned collect_all(unsigned n, int status)
{
    unsigned got = 0, with_status = 0;
    int batch;

    while ((batch = blk_wait(&client, done, 7)) > 0) {
        for (int i = 0; i < batch; i++) {
            struct blk_request *request = done[i];

            assert_ptr_equal(request->cookie, request);
            request->cookie = NULL;
            with_status += request->status == status;
        }
        got += (unsigned)batch;
    }
    assert_int_equal(got, n);
    return with_status;
}

/* ---- reading and writing */

static void a_sector_is_read(void **state)
{
    (void)state;
    start();
    assert_int_equal(blkdev_read(dev, 3, memory, 512), 0);
    assert_memory_equal(memory, disk + 3 * 512, 512);
    assert_int_equal(served, 1);
}

static void the_whole_disk_is_read_and_its_last_sector(void **state)
{
    (void)state;
    start();
    assert_int_equal(blkdev_read(dev, 0, memory, DISK_BYTES), 0);
    assert_memory_equal(memory, disk, DISK_BYTES);
    assert_int_equal(blkdev_read(dev, SECTORS - 1, memory, 512), 0);
    assert_memory_equal(memory, disk + DISK_BYTES - 512, 512);
}

static void what_is_written_is_on_the_disk(void **state)
{
    PROVES("BLK-INIT-01", "BLK-INIT-03", "BLK-OP-04", "BLK-OP-05", "BLK-OP-06");
    (void)state;
    start();
    memset(memory, 0xa5, 4096);
    assert_int_equal(blkdev_write(dev, 8, memory, 4096), 0);
    assert_memory_equal(memory, disk + 8 * 512, 4096);
    assert_int_equal(disk[8 * 512 - 1], (uint8_t)((8 * 512 - 1) * 7 + 7));
    assert_int_equal(blkdev_flush(dev), 0);
    assert_int_equal(served, 2);
}

static void what_lies_beyond_the_disk_is_never_submitted(void **state)
{
    PROVES("BLK-OP-02", "BLK-OP-06");
    (void)state;
    start();
    assert_int_equal(blkdev_read(dev, SECTORS, memory, 512), -EINVAL);
    assert_int_equal(blkdev_read(dev, SECTORS - 1, memory, 1024), -EINVAL);
    assert_int_equal(blkdev_read(dev, UINT64_MAX, memory, 512), -EINVAL);
    assert_int_equal(blkdev_read(dev, UINT64_MAX / 512 + 1, memory, 512), -EINVAL);
    assert_int_equal(blkdev_read(dev, 0, memory, 0), -EINVAL);
    assert_int_equal(blkdev_read(dev, 0, memory, 511), -EINVAL);
    assert_int_equal(blkdev_read(dev, 0, memory, 513), -EINVAL);
    assert_int_equal(served, 0);
}

static void an_empty_disk_starts_and_refuses_everything(void **state)
{
    (void)state;
    config.capacity = 0;
    start();
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EINVAL);
    assert_int_equal(served, 0);
}

static void a_read_only_disk_refuses_writes(void **state)
{
    PROVES("BLK-OP-03");
    (void)state;
    fake_offer(&fake, VIRTIO_BLK_F_RO);
    start();
    assert_true(dev->read_only);
    assert_int_equal(blkdev_write(dev, 0, memory, 512), -EROFS);
    assert_int_equal(blkdev_read(dev, 0, memory, 512), 0);
    assert_int_equal(served, 1);
}

static void blocks_larger_than_a_sector_are_not_cut(void **state)
{
    (void)state;
    config.blk_size = 4096;
    config.seg_max = 3;
    start();
    assert_int_equal(dev->block_bytes, 4096);
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EINVAL);
    assert_int_equal(blkdev_read(dev, 1, memory, 4096), -EINVAL);
    host_dma_run_bytes = 4096;
    assert_int_equal(blkdev_read(dev, 8, memory + 512, 40960), 0);
    assert_memory_equal(memory + 512, disk + 4096, 40960);
    assert_int_equal(largest_segments, 3);
    host_dma_run_bytes = 2048;
    assert_int_equal(blkdev_read(dev, 8, memory + 1024, 40960), 0);
    assert_memory_equal(memory + 1024, disk + 4096, 40960);
}

static void without_a_write_cache_flush_asks_nobody(void **state)
{
    PROVES("BLK-INIT-02");
    (void)state;
    fake_withdraw(&fake, VIRTIO_BLK_F_FLUSH);
    start();
    assert_false(dev->write_back);
    assert_int_equal(blkdev_flush(dev), 0);
    assert_int_equal(served, 0);
}

static void the_identity_is_asked_once(void **state)
{
    PROVES("BLK-OP-08");
    (void)state;
    start();
    assert_string_equal(blkdev_identity(dev), "serial-0123456789ab");
    assert_string_equal(blkdev_identity(dev), "serial-0123456789ab");
    assert_int_equal(served, 1);
}

static void a_device_without_identity_has_an_empty_one(void **state)
{
    (void)state;
    status_told = VIRTIO_BLK_S_UNSUPP;
    start();
    assert_string_equal(blkdev_identity(dev), "");
    assert_string_equal(blkdev_identity(dev), "");
    assert_int_equal(served, 1);
}

/* ---- limits */

static void scattered_memory_is_cut_at_the_segment_limit(void **state)
{
    (void)state;
    config.seg_max = 4;
    host_dma_run_bytes = 4096;
    start();
    assert_int_equal(blkdev_read(dev, 0, memory, 65536), 0);
    assert_memory_equal(memory, disk, 65536);
    assert_int_equal(largest_segments, 4);
    assert_int_equal(served, 4);
}

static void unaligned_memory_is_cut_at_whole_sectors(void **state)
{
    PROVES("BLK-OP-06");
    (void)state;
    config.seg_max = 2;
    host_dma_run_bytes = 4096;
    start();
    assert_int_equal(blkdev_read(dev, 5, memory + 4096 - 100, 65536), 0);
    assert_memory_equal(memory + 4096 - 100, disk + 5 * 512, 65536);
    memset(disk, 0, sizeof(disk));
    assert_int_equal(blkdev_write(dev, 5, memory + 4096 - 100, 65536), 0);
    assert_memory_equal(memory + 4096 - 100, disk + 5 * 512, 65536);
    assert_int_equal(largest_segments, 2);
}

static void pieces_too_small_for_a_sector_are_refused_not_tried_for_ever(void **state)
{
    (void)state;
    config.seg_max = 1;
    host_dma_run_bytes = 256;
    start();
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EINVAL);
    assert_int_equal(served, 0);
}

static void segments_are_cut_at_the_size_limit(void **state)
{
    (void)state;
    config.size_max = 1000; /* no multiple of a sector */
    fake_offer(&fake, VIRTIO_BLK_F_SIZE_MAX);
    start();
    assert_int_equal(blkdev_read(dev, 1, memory, 100 * 512), 0);
    assert_memory_equal(memory, disk + 512, 100 * 512);
    assert_int_equal(largest_segment_bytes, 1000);
}

static void without_seg_max_a_single_segment_is_asked_for(void **state)
{
    (void)state;
    fake_withdraw(&fake, VIRTIO_BLK_F_SEG_MAX);
    host_dma_run_bytes = 4096;
    start();
    assert_int_equal(blkdev_read(dev, 0, memory, 65536), 0);
    assert_memory_equal(memory, disk, 65536);
    assert_int_equal(largest_segments, 1);
}

static void limits_that_hold_no_block_are_refused(void **state)
{
    (void)state;
    config.size_max = 100;
    config.seg_max = 5;
    fake_offer(&fake, VIRTIO_BLK_F_SIZE_MAX);
    assert_int_equal(try_start(), -EINVAL);
    assert_null(dev);
}

/* As qemu-storage-daemon offers its exports. */
static void a_segment_size_of_0_is_no_limit(void **state)
{
    (void)state;
    config.size_max = 0;
    fake_offer(&fake, VIRTIO_BLK_F_SIZE_MAX);
    start();
    assert_int_equal(blkdev_read(dev, 0, memory, 65536), 0);
    assert_memory_equal(memory, disk, 65536);
    assert_int_equal(largest_segment_bytes, 65536);
}

static void nonsense_block_sizes_are_refused(void **state)
{
    static const uint32_t sizes[] = { 0, 1, 256, 511, 513, 131072, UINT32_MAX, 1U << 31 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        prepare();
        config.blk_size = sizes[i];
        assert_int_equal(try_start(), -EINVAL);
        assert_null(dev);
        assert_non_null(strstr(host_log_text(), "nonsense"));
        if (i + 1 < ARRAY_SIZE(sizes))
            virtio_remove(&fake.device);
    }
}

static void a_queue_too_small_for_a_request_is_refused(void **state)
{
    (void)state;
    fake.queues[0].size_max = 2;
    assert_int_equal(try_start(), -EINVAL);
    assert_null(dev);
}

static void the_smallest_queue_carries_everything(void **state)
{
    (void)state;
    fake.queues[0].size_max = 4;
    fake_withdraw(&fake, VIRTIO_F_INDIRECT_DESC);
    host_dma_run_bytes = 4096;
    start();
    prepare_reads(100, 16384);
    assert_int_equal(blk_submit(&client, pointers, 100), 100);
    assert_int_equal(collect_all(100, 0), 100);
    assert_memory_equal(memory, disk, 16384 * 63);
}

static void a_device_without_a_queue_fails_alone(void **state)
{
    (void)state;
    fake.queues[0].size_max = 0;
    assert_true(try_start() < 0);
    assert_null(dev);
}

static void every_failed_allocation_fails_the_start_cleanly(void **state)
{
    int allowed = 0;

    (void)state;
    for (;; allowed++) {
        int error;

        prepare();
        host_allocs_until_failure = allowed;
        error = try_start();
        host_allocs_until_failure = -1;
        if (!error)
            break;
        assert_null(dev);
        virtio_remove(&fake.device);
    }
    assert_true(allowed >= 4);
}

/* ---- many in flight */

static void more_requests_than_the_ring_holds_all_come_back(void **state)
{
    (void)state;
    start();
    hold = true;
    prepare_reads(MANY, 512);
    assert_int_equal(blk_submit(&client, pointers, MANY), MANY);
    assert_int_equal(blk_reap(&client, done, MANY), 0);
    hold = false;
    assert_int_equal(collect_all(MANY, 0), MANY);
    assert_memory_equal(memory, disk, MANY * 512);
    assert_int_equal(served, MANY);
}

static void a_batch_rings_once(void **state)
{
    (void)state;
    start();
    hold = true;
    prepare_reads(50, 512);
    blk_submit(&client, pointers, 50);
    assert_int_equal(fake.queues[0].kicks, 1);
    hold = false;
    assert_int_equal(collect_all(50, 0), 50);
}

static void completions_in_any_order_find_their_requests(void **state)
{
    struct fake_chain *chain[20];

    (void)state;
    start();
    hold = true;
    prepare_reads(20, 512);
    blk_submit(&client, pointers, 20);
    for (unsigned i = 0; i < 20; i++)
        assert_non_null(chain[i] = fake_pop(&fake.queues[0].ring));
    for (unsigned i = 20; i > 0; i--)
        serve_one(chain[(i * 7) % 20]);
    assert_int_equal(collect_all(20, 0), 20);
    assert_memory_equal(memory, disk, 20 * 512);
}

static void the_unsound_request_of_a_batch_stops_it(void **state)
{
    (void)state;
    start();
    prepare_reads(5, 512);
    requests[3].sector = SECTORS;
    assert_int_equal(blk_submit(&client, pointers, 5), 3);
    assert_int_equal(blk_submit(&client, pointers + 3, 2), -EINVAL);
    assert_int_equal(collect_all(3, 0), 3);
}

static void two_clients_get_their_own(void **state)
{
    struct blk_client other;
    struct blk_request *mine;

    (void)state;
    start();
    hold = true;
    prepare_reads(2, 512);
    blk_client_init(&other, dev);
    assert_int_equal(blk_submit(&client, pointers, 1), 1);
    assert_int_equal(blk_submit(&other, pointers + 1, 1), 1);
    serve_all();
    assert_int_equal(blk_wait(&other, &mine, 1), 1);
    assert_ptr_equal(mine, &requests[1]);
    assert_int_equal(blk_wait(&other, &mine, 1), 0);
    assert_int_equal(blk_wait(&client, &mine, 1), 1);
    assert_ptr_equal(mine, &requests[0]);
}

static struct blk_client other_client;

/* Another thread looks, and takes what belongs to the one that waits; no interrupt tells it. */
static void another_looks(void)
{
    struct fake_chain *chain;
    struct blk_request *theirs;

    while ((chain = fake_pop(&fake.queues[0].ring)))
        serve_one(chain);
    blk_reap(&other_client, &theirs, 1);
}

static void who_waits_is_woken_by_another_who_looked(void **state)
{
    (void)state;
    start();
    hold = true;
    prepare_reads(2, 512);
    blk_client_init(&other_client, dev);
    assert_int_equal(blk_submit(&other_client, pointers + 1, 1), 1);
    assert_int_equal(blk_submit(&client, pointers, 1), 1);
    host_idle = another_looks;
    assert_int_equal(collect_all(1, 0), 1);
}

static const struct blkdev_ops *real_ops;
static struct blkdev_ops counting_ops;
static unsigned n_polls, n_idles, polls_at_idle[3];

static void count_a_poll(struct blkdev *blkdev, struct blk_queue *queue)
{
    n_polls++;
    real_ops->poll(blkdev, queue);
}

/* First what belongs to the other one, later what is ours. */
static void serve_one_at_a_time(void)
{
    struct fake_chain *chain = fake_pop(&fake.queues[0].ring);

    if (n_idles < ARRAY_SIZE(polls_at_idle))
        polls_at_idle[n_idles++] = n_polls;
    if (chain)
        serve_one(chain);
    fake_transport_interrupt_always(&fake, 0);
}

static void who_is_woken_for_another_passes_it_on_once(void **state)
{
    (void)state;
    start();
    hold = true;
    prepare_reads(2, 512);
    blk_client_init(&other_client, dev);
    assert_int_equal(blk_submit(&other_client, pointers + 1, 1), 1);
    assert_int_equal(blk_submit(&client, pointers, 1), 1);
    real_ops = dev->ops;
    counting_ops = *real_ops;
    counting_ops.poll = count_a_poll;
    dev->ops = &counting_ops;
    n_polls = n_idles = 0;
    dev->queues[0].waiting = 1; /* the other one */
    host_idle = serve_one_at_a_time;
    assert_int_equal(collect_all(1, 0), 1);
    dev->queues[0].waiting = 0;
    dev->ops = real_ops;
    assert_int_equal(n_idles, 2);
    assert_int_equal(polls_at_idle[0], 1);
    /* Ours for the other's, and one more after our own signal, which here came back to us. */
    assert_int_equal(polls_at_idle[1], 3);
    assert_false(list_empty(&other_client.done));
}

static void who_submits_wakes_those_whose_requests_it_took_off(void **state)
{
    struct fake_chain *chain;

    (void)state;
    start();
    hold = true;
    prepare_reads(2, 512);
    blk_client_init(&other_client, dev);
    assert_int_equal(blk_submit(&other_client, pointers + 1, 1), 1);
    while ((chain = fake_pop(&fake.queues[0].ring)))
        serve_one(chain);
    dev->queues[0].waiting = 1;
    dev->queues[0].event.marked = false;
    assert_int_equal(blk_submit(&client, pointers, 1), 1);
    assert_false(list_empty(&other_client.done));
    assert_true(dev->queues[0].event.marked);
    dev->queues[0].waiting = 0;
    hold = false;
    assert_int_equal(collect_all(1, 0), 1);
}

static void polling_works_without_interrupts(void **state)
{
    (void)state;
    irq_mode = IRQ_MODE_POLL;
    start();
    hold = true;
    assert_int_equal(blkdev_read(dev, 0, memory, 512), 0);
    irq_mode = IRQ_MODE_MSIX;
    assert_memory_equal(memory, disk, 512);
}

static void packed_rings_carry_requests(void **state)
{
    (void)state;
    fake_offer(&fake, VIRTIO_F_RING_PACKED);
    host_dma_run_bytes = 4096;
    start();
    prepare_reads(300, 8192);
    assert_int_equal(blk_submit(&client, pointers, 300), 300);
    assert_int_equal(collect_all(300, 0), 300);
    assert_memory_equal(memory, disk, 8192 * 100);
}

/* ---- errors and lies */

static void an_error_of_the_device_is_told(void **state)
{
    (void)state;
    start();
    status_told = VIRTIO_BLK_S_IOERR;
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    assert_int_equal(blkdev_write(dev, 0, memory, 512), -EIO);
    assert_int_equal(blkdev_flush(dev), -EIO);
    status_told = VIRTIO_BLK_S_UNSUPP;
    assert_int_equal(blkdev_flush(dev), -EOPNOTSUPP);
    status_told = 3;
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    status_told = -1;
    assert_int_equal(blkdev_read(dev, 0, memory, 512), 0);
    assert_int_equal(dev->counters.errors, 5);
}

static void a_status_never_written_is_an_error(void **state)
{
    (void)state;
    start();
    status_kept = true;
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    status_kept = false;
    assert_int_equal(blkdev_read(dev, 0, memory, 512), 0);
}

static void a_success_with_too_few_bytes_is_an_error(void **state)
{
    PROVES("SPLIT-USED-01");
    (void)state;
    start();
    length_told = -1;
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    assert_int_equal(blkdev_write(dev, 0, memory, 512), -EIO);
    length_told = -512;
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    length_told = 0;
    assert_int_equal(blkdev_read(dev, 0, memory, 512), 0);
}

static void the_first_failing_part_stops_the_rest(void **state)
{
    (void)state;
    config.seg_max = 1;
    host_dma_run_bytes = 4096;
    fake.queues[0].size_max = 4;
    fake_withdraw(&fake, VIRTIO_F_INDIRECT_DESC);
    start();
    status_told = VIRTIO_BLK_S_IOERR;
    assert_int_equal(blkdev_read(dev, 0, memory, 65536), -EIO);
    assert_int_equal(served, 1);
}

static void a_device_that_lies_is_reset_and_does_again_what_it_had(void **state)
{
    PROVES("CORE-CLEAN-02");
    (void)state;
    start();
    hold = true;
    prepare_reads(200, 512);
    blk_submit(&client, pointers, 200);
    fake_lie_used(&fake.queues[0].ring, 5000, 1, 1);
    assert_int_equal(collect_all(200, 0), 200);
    assert_int_equal(fake.resets, 2);
    assert_memory_equal(memory, disk, 200 * 512);
    assert_non_null(strstr(host_log_text(), "the device used an id beyond the ring"));
    assert_string_equal(fake.device.last_trouble, "the device used an id beyond the ring");
    assert_int_equal(fake.device.recoveries, 1);
}

static void a_length_beyond_what_was_lent_is_a_lie(void **state)
{
    (void)state;
    start();
    length_told = 1;
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    length_told = 0;
    assert_int_equal(fake.resets, 3); /* it was asked twice */
    assert_int_equal(blkdev_read(dev, 0, memory, 512), 0);
}

static void a_device_that_lies_for_ever_is_given_up(void **state)
{
    (void)state;
    start();
    length_told = 1;
    for (int i = 0; i < 20; i++)
        assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    length_told = 0;
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    assert_int_equal(blkdev_flush(dev), -EIO);
    assert_true(fake.resets < 20);
    assert_non_null(fake.device.failure);
}

static void a_device_that_does_not_reset_fails_its_requests(void **state)
{
    (void)state;
    start();
    hold = true;
    prepare_reads(10, 512);
    blk_submit(&client, pointers, 10);
    fake.reset_never_ends = true;
    fake_lie_used(&fake.queues[0].ring, 5000, 1, 1);
    assert_int_equal(collect_all(10, -EIO), 10);
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    fake.reset_never_ends = false;
}

static void a_device_that_asks_for_a_reset_gets_it(void **state)
{
    PROVES("CORE-STAT-04");
    (void)state;
    start();
    hold = true;
    prepare_reads(10, 512);
    blk_submit(&client, pointers, 10);
    fake_transport_ask_for_reset(&fake);
    assert_int_equal(collect_all(10, 0), 10);
    assert_memory_equal(memory, disk, 10 * 512);
    assert_int_equal(fake.device.recoveries, 1);
}

static struct timer while_it_sleeps;

/* Another thread, while the one that resets the device sleeps. */
static void another_submits(struct timer *timer)
{
    struct blk_request *theirs;

    (void)timer;
    assert_int_equal(blk_submit(&other_client, pointers + 1, 1), 1);
    blk_reap(&other_client, &theirs, 1);
    assert_false(
        dev->ops->arm(dev, dev->queues)); /* it must sleep, or who resets never runs again */
    dev->ops->disarm(dev, dev->queues);
}

static void another_thread_does_not_disturb_a_slow_reset(void **state)
{
    struct blk_request *theirs;

    (void)state;
    start();
    hold = true;
    prepare_reads(2, 512);
    blk_client_init(&other_client, dev);
    blk_submit(&client, pointers, 1);
    fake.reset_polls = 100;
    timer_init(&while_it_sleeps, another_submits);
    timer_start(&while_it_sleeps, host_clock_ns + 1);
    fake_lie_used(&fake.queues[0].ring, 5000, 1, 1);
    assert_int_equal(collect_all(1, 0), 1);
    assert_int_equal(blk_wait(&other_client, &theirs, 1), 1);
    assert_int_equal(theirs->status, 0);
    assert_int_equal(fake.resets, 2);
    assert_memory_equal(memory, disk, 1024);
}

static void a_change_that_a_reset_swallows_is_not_lost(void **state)
{
    (void)state;
    config.capacity = 8;
    start();
    config.capacity = SECTORS;
    memcpy(fake.config, &config, sizeof(config));
    fake_transport_config_changed(&fake);
    fake_lie_used(&fake.queues[0].ring, 5000, 1, 1);
    blkdev_update(dev);
    assert_int_equal(fake.resets, 2);
    assert_int_equal(dev->sectors, SECTORS);
}

/* ---- what a reset cuts off */

#define MIXED       25          /* reads and writes in turn, and an identification */
#define MIXED_BYTES (20 * 1024) /* of each, in a few parts: its memory begins at an odd place */
#define MIXED_ROOM  (24 * 1024) /* in memory */
#define MIXED_AT(i) ((i) * (MIXED_BYTES / 512)) /* its first sector */

static uint8_t expected[DISK_BYTES];

static uint8_t *memory_of_mixed(unsigned i)
{
    return memory + i * MIXED_ROOM + 100;
}

/* The device takes two pieces of 4 KiB at once, and has a small queue. */
static void cut_into_parts(bool packed, bool event_idx, bool indirect)
{
    config.seg_max = 2;
    host_dma_run_bytes = 4096;
    fake.queues[0].size_max = 16;
    if (packed)
        fake_offer(&fake, VIRTIO_F_RING_PACKED);
    if (!event_idx)
        fake_withdraw(&fake, VIRTIO_F_EVENT_IDX);
    if (!indirect)
        fake_withdraw(&fake, VIRTIO_F_INDIRECT_DESC);
}

static void submit_mixed(void)
{
    blk_client_init(&client, dev);
    memcpy(expected, disk_at_first, sizeof(expected));
    for (unsigned i = 0; i < MIXED; i++) {
        bool writes = i & 1, identifies = i == MIXED - 1;

        elems[i] = (struct blk_elem){ memory_of_mixed(i), identifies ? 20 : MIXED_BYTES };
        requests[i] = (struct blk_request){ .operation = identifies ? BLK_IDENTIFY
                                                         : writes   ? BLK_WRITE
                                                                    : BLK_READ,
                                            .n_elem = 1,
                                            .elem = &elems[i],
                                            .sector = identifies ? 0 : MIXED_AT(i),
                                            .cookie = &requests[i] };
        pointers[i] = &requests[i];
        if (!writes)
            continue;
        memset(memory_of_mixed(i), (int)(0x80 + i), MIXED_BYTES);
        memset(expected + MIXED_AT(i) * 512, (int)(0x80 + i), MIXED_BYTES);
    }
    assert_int_equal(blk_submit(&client, pointers, MIXED), MIXED);
}

/* Every byte, on both sides, is as if nothing had happened. */
static void assert_mixed_is_done(void)
{
    assert_int_equal(collect_all(MIXED, 0), MIXED);
    assert_memory_equal(disk, expected, sizeof(disk));
    for (unsigned i = 0; i < MIXED - 1; i += 2) {
        const uint8_t *at = memory_of_mixed(i);

        assert_memory_equal(at, disk_at_first + MIXED_AT(i) * 512, MIXED_BYTES);
        assert_int_equal(at[-1], 0);
        assert_int_equal(at[MIXED_BYTES], 0);
    }
    assert_memory_equal(memory_of_mixed(MIXED - 1), "serial-0123456789ab", 20);
}

static void serve_some(unsigned n)
{
    struct fake_chain *chain;

    while (n && (chain = fake_pop(&fake.queues[0].ring))) {
        serve_one(chain);
        dev->ops->poll(dev, dev->queues);
        n--;
    }
    assert_int_equal(n, 0);
}

static void after_a_reset_every_byte_is_as_if_nothing_had_happened(void **state)
{
    PROVES("CORE-STAT-04", "CORE-CLEAN-02");
    (void)state;
    for (unsigned done_before = 0; done_before < 40; done_before++) {
        prepare();
        cut_into_parts(done_before & 1, true, done_before & 2);
        start();
        hold = true;
        submit_mixed();
        serve_some(done_before);
        fake_transport_ask_for_reset(&fake);
        assert_mixed_is_done();
        assert_int_equal(fake.device.recoveries, 1);
        host_assert_queues_idle(&fake);
        if (done_before < 39)
            assert_int_equal(teardown(NULL), 0);
    }
}

static void a_part_that_failed_before_the_reset_fails_its_request(void **state)
{
    (void)state;
    cut_into_parts(false, true, true);
    start();
    hold = true;
    submit_mixed();
    status_told = VIRTIO_BLK_S_IOERR;
    serve_some(1); /* the first part of the first request, whose others are under way */
    status_told = -1;
    cursed_sector = 0; /* nobody asks for it again */
    fake_transport_ask_for_reset(&fake);
    assert_int_equal(collect_all(MIXED, 0), MIXED - 1);
    assert_int_equal(requests[0].status, -EIO);
    assert_int_equal(fake.device.recoveries, 1);
    assert_memory_equal(disk, expected, sizeof(disk));
}

static void a_request_that_brings_the_device_down_fails_alone(void **state)
{
    (void)state;
    cut_into_parts(false, true, true);
    start();
    hold = true;
    submit_mixed();
    cursed_sector = MIXED_AT(3) + 16; /* inside the fourth one */
    assert_int_equal(collect_all(MIXED, 0), MIXED - 1);
    assert_int_equal(requests[3].status, -EIO);
    assert_int_equal(fake.device.recoveries, 2);
    assert_null(fake.device.failure);
    assert_int_equal(blkdev_read(dev, 0, memory, 512), 0);
}

static void a_flush_under_way_fails_and_that_tells_of_the_loss(void **state)
{
    struct blk_request flush = { .operation = BLK_FLUSH }, *submitted = &flush;

    (void)state;
    start();
    assert_int_equal(blkdev_write(dev, 0, memory, 512), 0);
    hold = true;
    blk_client_init(&client, dev);
    assert_int_equal(blk_submit(&client, &submitted, 1), 1);
    fake_transport_ask_for_reset(&fake);
    assert_int_equal(blk_wait(&client, done, 1), 1);
    assert_int_equal(flush.status, -EIO);
    hold = false;
    assert_int_equal(blkdev_flush(dev), 0);
    assert_non_null(strstr(host_log_text(), "may be lost"));
}

static void writes_lost_with_the_cache_fail_the_next_flush_once(void **state)
{
    (void)state;
    start();
    assert_int_equal(blkdev_write(dev, 0, memory, 512), 0);
    assert_int_equal(blkdev_flush(dev), 0);
    assert_int_equal(blkdev_write(dev, 8, memory, 512), 0);
    fake_transport_ask_for_reset(&fake);
    served = 0;
    assert_int_equal(blkdev_write(dev, 16, memory, 512), 0);
    assert_int_equal(blkdev_flush(dev), -EIO);
    assert_int_equal(served, 1); /* the device was not asked to vouch for it */
    assert_int_equal(blkdev_flush(dev), 0);
    assert_int_equal(blkdev_flush(dev), 0);
    assert_int_equal(served, 3);
    assert_int_equal(dev->counters.errors, 1);
}

static void without_unflushed_writes_a_reset_loses_nothing(void **state)
{
    (void)state;
    start();
    assert_int_equal(blkdev_write(dev, 0, memory, 512), 0);
    assert_int_equal(blkdev_flush(dev), 0);
    assert_int_equal(blkdev_read(dev, 0, memory, 512), 0);
    fake_transport_ask_for_reset(&fake);
    assert_int_equal(blkdev_read(dev, 0, memory, 512), 0);
    assert_int_equal(fake.device.recoveries, 1);
    assert_int_equal(blkdev_flush(dev), 0);
    assert_null(strstr(host_log_text(), "may be lost"));
}

static void without_a_write_cache_a_reset_loses_nothing(void **state)
{
    (void)state;
    fake_withdraw(&fake, VIRTIO_BLK_F_FLUSH);
    start();
    assert_int_equal(blkdev_write(dev, 0, memory, 512), 0);
    fake_transport_ask_for_reset(&fake);
    assert_int_equal(blkdev_flush(dev), 0);
    assert_int_equal(fake.device.recoveries, 1);
}

/* It would vouch for a write that came back before it, and that the reset may have lost. */
static void a_flush_that_waited_through_the_reset_fails_too(void **state)
{
    struct blk_request flush = { .operation = BLK_FLUSH }, *last = &flush;

    (void)state;
    cut_into_parts(false, true, false);
    start();
    assert_int_equal(blkdev_write(dev, 1900, memory, 512), 0);
    hold = true;
    submit_mixed();
    assert_int_equal(blk_submit(&client, &last, 1), 1); /* behind more than the queue holds */
    serve_some(10);                                     /* the first write is done meanwhile */
    assert_int_equal(dev->written, 2);
    fake_transport_ask_for_reset(&fake);
    assert_int_equal(blk_wait(&client, done, 1), 1);
    while (flush.client->in_flight)
        blk_wait(&client, done, MANY);
    assert_int_equal(flush.status, -EIO);
    for (unsigned i = 0; i < MIXED; i++)
        assert_int_equal(requests[i].status, 0);
}

/* ... which leaves a write to tell of that came back after the flush was submitted. */
static void a_loss_that_no_failed_flush_could_tell_of_is_told_by_the_next(void **state)
{
    struct blk_request flush = { .operation = BLK_FLUSH }, *submitted[2];
    struct fake_chain *held;

    (void)state;
    start();
    hold = true;
    prepare_reads(1, 512);
    requests[0].operation = BLK_WRITE;
    submitted[0] = &flush;
    submitted[1] = &requests[0];
    assert_int_equal(blk_submit(&client, submitted, 2), 2);
    held = fake_pop(&fake.queues[0].ring);
    assert_non_null(held);
    serve_one(fake_pop(&fake.queues[0].ring));
    assert_int_equal(blk_wait(&client, done, 1), 1);
    assert_ptr_equal(done[0], &requests[0]);
    fake_transport_ask_for_reset(&fake);
    assert_int_equal(blk_wait(&client, done, 1), 1);
    assert_int_equal(flush.status, -EIO);
    hold = false;
    assert_int_equal(blkdev_flush(dev), -EIO);
    assert_int_equal(blkdev_flush(dev), 0);
}

static void a_device_that_needs_a_reset_now_and_then_is_never_given_up(void **state)
{
    (void)state;
    start();
    for (unsigned i = 0; i < 100; i++) {
        host_clock_ns += 601 * NSEC_PER_SEC;
        fake_transport_ask_for_reset(&fake);
        assert_int_equal(blkdev_read(dev, i, memory, 512), 0);
        assert_int_equal(fake.device.recoveries, i + 1);
    }
    for (unsigned i = 0; i < 8; i++) {
        if (i == 7)
            host_clock_ns += 601 * NSEC_PER_SEC; /* one of eight is forgotten */
        fake_transport_ask_for_reset(&fake);
        assert_int_equal(blkdev_read(dev, i, memory, 512), 0);
    }
    fake_transport_ask_for_reset(&fake);
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    assert_string_equal(fake.device.failure, "the device was reset too often");
}

static void remove_it(struct timer *timer)
{
    (void)timer;
    virtio_remove(&fake.device);
}

static void a_device_removed_while_it_is_reset_lets_go(void **state)
{
    (void)state;
    start();
    hold = true;
    prepare_reads(10, 512);
    blk_submit(&client, pointers, 10);
    fake.reset_polls = 100;
    timer_init(&while_it_sleeps, remove_it);
    timer_start(&while_it_sleeps, host_clock_ns + 1);
    fake_transport_ask_for_reset(&fake);
    assert_int_equal(collect_all(10, -EIO), 10);
    prepare();
    start();
}

/* It may still look at, and write to, all that it was lent. */
static void nothing_that_a_stuck_device_holds_is_touched(void **state)
{
    PROVES("CORE-CLEAN-01");
    static uint8_t ring[QUEUE_SIZE * 16], headers[QUEUE_SIZE][16];
    struct fake_queue *queue = &fake.queues[0].ring;
    const struct fake_chain *chain;
    unsigned n = 0;

    (void)state;
    start();
    hold = true;
    submit_mixed();
    while (fake_pop(queue))
        ;
    memcpy(ring, queue->desc, sizeof(ring));
    for (chain = queue->held; chain; chain = chain->next)
        memcpy(headers[n++], chain->pieces[0].start, 16);
    fake.reset_never_ends = true;
    fake_transport_ask_for_reset(&fake);
    assert_int_equal(collect_all(MIXED, -EIO), MIXED);
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    virtio_remove(&fake.device);
    assert_memory_equal(ring, queue->desc, sizeof(ring));
    n = 0;
    for (chain = queue->held; chain; chain = chain->next)
        assert_memory_equal(headers[n++], chain->pieces[0].start, 16);
    assert_int_equal(n, MIXED);
    host_take_away(&fake);
    prepare();
    start();
}

static void a_device_that_was_given_up_is_reset_before_it_is_brought_up_again(void **state)
{
    unsigned n;

    PROVES("CORE-STAT-03");
    (void)state;
    start();
    fake.queues[0].size_max = 0;
    fake_transport_ask_for_reset(&fake);
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    assert_true(fake.status & VIRTIO_CONFIG_S_FAILED);
    virtio_remove(&fake.device);
    fake.queues[0].size_max = QUEUE_SIZE;
    fake.device.failure = NULL;
    n = fake.n_statuses;
    fake.status |= VIRTIO_CONFIG_S_FAILED; /* as if the one who removed it had not reset it */
    start();
    assert_int_equal(fake.statuses[n], 0);
    assert_int_equal(fake.statuses[n + 1], VIRTIO_CONFIG_S_ACKNOWLEDGE);
    assert_int_equal(blkdev_read(dev, 0, memory, 512), 0);
}

/* ---- nonsense after a reset */

static void reset_into(const struct virtio_blk_config *changed)
{
    hold = true;
    prepare_reads(40, 512);
    assert_int_equal(blk_submit(&client, pointers, 40), 40);
    config = *changed;
    memcpy(fake.config, &config, sizeof(config));
    hold = false;
    fake_transport_ask_for_reset(&fake);
}

static void a_disk_that_is_smaller_after_a_reset_is_not_read_beyond_its_end(void **state)
{
    PROVES("BLK-OP-01", "BLK-OP-02");
    static const uint64_t sizes[] = { 0, 1, 39 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct virtio_blk_config smaller;

        start();
        smaller = config;
        smaller.capacity = sizes[i];
        reset_into(&smaller);
        assert_int_equal(collect_all(40, 0), sizes[i]);
        assert_int_equal(dev->sectors, sizes[i]);
        assert_int_equal(blkdev_read(dev, sizes[i], memory, 512), -EINVAL);
        assert_int_equal(teardown(NULL), 0);
        prepare();
    }
    start();
}

static void a_disk_with_other_blocks_after_a_reset_is_given_up(void **state)
{
    static const uint32_t sizes[] = { 0, 1, 511, 1024, 4096, UINT32_MAX };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct virtio_blk_config other;

        start();
        other = config;
        other.blk_size = sizes[i];
        reset_into(&other);
        assert_int_equal(collect_all(40, -EIO), 40);
        assert_int_equal(dev->block_bytes, 512); /* nobody divides by 0 */
        assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
        assert_string_equal(fake.device.failure, "the device did not come back after a reset");
        assert_int_equal(teardown(NULL), 0);
        prepare();
    }
    start();
}

static void a_disk_that_takes_less_at_once_after_a_reset_gets_less(void **state)
{
    struct virtio_blk_config weaker;

    (void)state;
    host_dma_run_bytes = 4096;
    start();
    weaker = config;
    weaker.seg_max = 1;
    reset_into(&weaker);
    assert_int_equal(collect_all(40, 0), 40);
    largest_segments = 0;
    assert_int_equal(blkdev_read(dev, 0, memory, 65536), 0);
    assert_int_equal(largest_segments, 1);
}

static void a_capacity_that_never_settles_costs_the_device_a_reset(void **state)
{
    PROVES("CORE-CFG-02");
    (void)state;
    start();
    fake.never_settles = true;
    fake_transport_config_changed(&fake);
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    assert_string_equal(fake.device.last_trouble, "the device's capacity cannot be read");
    assert_string_equal(fake.device.failure, "the device did not come back after a reset");
    assert_int_equal(fake.resets, 2);
    fake.never_settles = false;
}

/* ---- each lie, with each aftermath */

static const struct lie *told;
static const struct aftermath *followed;

/* Where a case ended early, its name is what one wants to know. */
static int name_the_case(void **state)
{
    (void)state;
    if (told)
        print_message("in the case: \"%s\", then it \"%s\"\n", told->name, followed->name);
    told = NULL;
    return 0;
}

static void serve_honestly(struct fake_transport *transport, unsigned queue,
                           struct fake_chain *chain)
{
    (void)transport;
    (void)queue;
    serve_one(chain);
}

/* All of its slots come and go. */
static void assert_works(void)
{
    assert_mixed_is_done();
    assert_null(fake.device.failure);
    assert_int_equal(fake.device.recoveries, 1);
    hold = true;
    prepare_reads(300, 512);
    assert_int_equal(blk_submit(&client, pointers, 300), 300);
    assert_int_equal(collect_all(300, 0), 300);
    host_assert_queues_idle(&fake);
}

static void assert_is_dead(void)
{
    unsigned resets;
    unsigned well = collect_all(MIXED, 0);

    for (unsigned i = 0; i < MIXED; i++)
        assert_true(requests[i].status == 0 || requests[i].status == -EIO);
    assert_true(well < MIXED);
    assert_non_null(fake.device.failure);
    assert_non_null(strstr(host_log_text(), fake.device.failure));
    assert_in_range(fake.device.recoveries, 1, 9);
    resets = fake.resets;
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    assert_int_equal(blkdev_flush(dev), -EIO);
    assert_false(dev->ops->arm(dev, dev->queues));
    assert_int_equal(fake.resets, resets);
}

static void assert_nothing_left(struct host_left before)
{
    assert_null(blkdev_next(NULL));
    if (followed->stuck) { /* what was lent stays lent: rings and headers, and our book of them */
        before.dma_blocks += 2;
        before.allocations++;
    }
    host_assert_nothing_left(before, 1); /* the struct, with which clients may come back */
}

static void run_case(bool packed, bool event_idx, bool indirect)
{
    struct host_left before = host_left();

    prepare();
    cut_into_parts(packed, event_idx, indirect);
    start();
    hold = true;
    submit_mixed();
    serve_some(3);
    host_honest = serve_honestly;
    host_arrange(&fake, followed, told, 0);
    host_tell(&fake, told, 0);
    if (followed->lies_again)
        host_idle = NULL;
    else
        hold = false;
    if (followed->survives)
        assert_works();
    else
        assert_is_dead();
    assert_non_null(fake.device.last_trouble);
    assert_non_null(strstr(host_log_text(), fake.device.last_trouble));
    assert_null(violation);
    fake_transport_check(&fake);
    virtio_remove(&fake.device);
    host_take_away(&fake);
    assert_nothing_left(before);
}

static void run_all_cases(bool packed, bool event_idx)
{
    for (unsigned i = 0; i < host_n_lies * host_n_aftermaths * 2; i++) {
        told = &host_lies[i / 2 % host_n_lies];
        followed = &host_aftermaths[i / 2 / host_n_lies];
        if (host_lie_fits(told, packed))
            run_case(packed, event_idx, i & 1);
    }
    told = NULL;
}

static void every_lie_on_a_split_ring_costs_at_most_an_error(void **state)
{
    PROVES("CORE-STAT-04", "CORE-CLEAN-02");
    (void)state;
    run_all_cases(false, true);
    run_all_cases(false, false);
}

static void every_lie_on_a_packed_ring_costs_at_most_an_error(void **state)
{
    PROVES("CORE-STAT-04", "CORE-CLEAN-02");
    (void)state;
    run_all_cases(true, true);
    run_all_cases(true, false);
}

static void memory_that_is_none_fails_its_request_only(void **state)
{
    (void)state;
    start();
    host_dma_hole = memory + 512;
    prepare_reads(3, 512);
    assert_int_equal(blk_submit(&client, pointers, 3), 3);
    assert_int_equal(collect_all(3, -EFAULT), 1);
    assert_int_equal(requests[0].status, 0);
    assert_int_equal(requests[1].status, -EFAULT);
    assert_int_equal(requests[2].status, 0);
}

/* ---- changes */

static void a_grown_disk_is_noticed(void **state)
{
    PROVES("BLK-OP-01");
    (void)state;
    config.capacity = 8;
    start();
    assert_int_equal(blkdev_read(dev, 8, memory, 512), -EINVAL);
    config.capacity = SECTORS;
    memcpy(fake.config, &config, sizeof(config));
    fake_transport_config_changed(&fake);
    assert_int_equal(blkdev_read(dev, 8, memory, 512), 0);
    assert_int_equal(dev->sectors, SECTORS);
}

/* A device that does not work yet tells nobody (§2.1.2). */
static void grow_silently(struct fake_transport *transport)
{
    config.capacity = SECTORS;
    memcpy(transport->config, &config, sizeof(config));
    transport->generation++;
}

static void a_disk_that_grows_while_it_is_brought_up_is_seen_as_it_is(void **state)
{
    (void)state;
    config.capacity = 8;
    fake.started = grow_silently;
    start();
    blkdev_update(dev);
    assert_int_equal(dev->sectors, SECTORS);
}

static void a_grown_disk_is_noticed_without_a_request(void **state)
{
    (void)state;
    config.capacity = 8;
    start();
    config.capacity = SECTORS;
    memcpy(fake.config, &config, sizeof(config));
    fake_transport_config_changed(&fake);
    blkdev_update(dev);
    assert_int_equal(dev->sectors, SECTORS);
}

static void a_shrunk_disk_is_not_read_beyond_its_end(void **state)
{
    PROVES("BLK-OP-02", "BLK-OP-01");
    (void)state;
    fake.queues[0].size_max = 4;
    fake_withdraw(&fake, VIRTIO_F_INDIRECT_DESC);
    start();
    hold = true;
    prepare_reads(100, 512);
    blk_submit(&client, pointers, 100);
    config.capacity = 50;
    memcpy(fake.config, &config, sizeof(config));
    fake_transport_config_changed(&fake);
    hold = false;
    assert_int_equal(collect_all(100, -EIO), 50);
}

static void a_removed_device_gives_everything_back(void **state)
{
    (void)state;
    start();
    hold = true;
    prepare_reads(200, 512);
    blk_submit(&client, pointers, 200);
    virtio_remove(&fake.device);
    assert_null(blkdev_next(NULL));
    assert_int_equal(collect_all(200, -EIO), 200);
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    prepare();
    start();
}

static void a_device_that_left_its_bus_is_asked_nothing_and_keeps_nothing(void **state)
{
    (void)state;
    start();
    hold = true;
    prepare_reads(200, 512);
    blk_submit(&client, pointers, 200);
    fake.device.gone = true;
    virtio_remove(&fake.device);
    assert_int_equal(collect_all(200, -EIO), 200);
    assert_true(fake.status & VIRTIO_CONFIG_S_DRIVER_OK); /* nobody has written to it */
    assert_false(fake.device.stuck);
    prepare();
    start();
}

static void pull_it_out(void)
{
    host_idle = NULL;
    virtio_remove(&fake.device);
}

static void a_device_removed_under_one_who_waits_lets_it_go(void **state)
{
    (void)state;
    start();
    hold = true;
    host_idle = pull_it_out;
    assert_int_equal(blkdev_read(dev, 0, memory, 512), -EIO);
    prepare();
    start();
}

static void disks_are_named_in_order(void **state)
{
    static struct blkdev many[800];
    struct blkdev *at;

    (void)state;
    start();
    assert_memory_equal(dev->name, "vd", 2);
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++) {
        many[i].prefix = "vd";
        blkdev_register(&many[i]);
    }
    at = blkdev_next(dev);
    assert_ptr_equal(at, &many[0]);
    assert_int_equal(strlen(many[799].name), 5);
    assert_non_null(strstr(many[799].name, "vda"));
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++) {
        for (unsigned j = 0; j < i; j += 37)
            assert_string_not_equal(many[i].name, many[j].name);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
        blkdev_unregister(&many[i]);
}

/* ---- a queue for each CPU */

/* A disk of so many queues, on a machine of so many CPUs. */
static void spread(unsigned queues, unsigned cpus)
{
    config.num_queues = (uint16_t)queues;
    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        fake.queues[i].size_max = i < queues ? QUEUE_SIZE : 0;
    fake.n_vectors = queues + 1;
    host_cpus = cpus;
    fake_offer(&fake, VIRTIO_BLK_F_MQ);
}

static unsigned cpu_of_queue(unsigned queue)
{
    return host_irq_cpu(fake.messages[fake.queues[queue].vector]);
}

static void each_cpu_has_a_queue_and_its_interrupt(void **state)
{
    (void)state;
    spread(4, 4);
    start();
    for (host_cpu = 0; host_cpu < 4; host_cpu++) {
        assert_int_equal(blkdev_read(dev, 3, memory, 512), 0);
        assert_int_equal(served_on[host_cpu], 1);
        assert_int_equal(cpu_of_queue(host_cpu), host_cpu);
    }
}

static void a_disk_with_fewer_queues_shares_them_among_the_cpus(void **state)
{
    (void)state;
    spread(2, 5);
    start();
    for (host_cpu = 0; host_cpu < 5; host_cpu++)
        assert_int_equal(blkdev_read(dev, 3, memory, 512), 0);
    assert_int_equal(served_on[0], 3);
    assert_int_equal(served_on[1], 2);
}

static void no_more_queues_are_set_up_than_there_are_cpus(void **state)
{
    (void)state;
    spread(4, 1);
    start();
    assert_false(fake.queues[1].enabled);
    virtio_remove(&fake.device);
    prepare();
    spread(4, 3);
    start();
    assert_true(fake.queues[2].enabled);
    assert_false(fake.queues[3].enabled);
}

static void a_disk_without_mq_has_one_queue_for_all(void **state)
{
    (void)state;
    spread(4, 4);
    fake_withdraw(&fake, VIRTIO_BLK_F_MQ);
    start();
    host_cpu = 3;
    assert_int_equal(blkdev_read(dev, 3, memory, 512), 0);
    assert_int_equal(served_on[0], 1);
}

static void a_disk_that_says_it_has_no_queue_has_one(void **state)
{
    (void)state;
    spread(1, 4);
    config.num_queues = 0;
    start();
    host_cpu = 2;
    assert_int_equal(blkdev_read(dev, 3, memory, 512), 0);
    assert_int_equal(served_on[0], 1);
}

static void a_disk_that_says_it_has_more_queues_than_it_has_fails_alone(void **state)
{
    (void)state;
    spread(2, 4);
    config.num_queues = UINT16_MAX;
    assert_int_not_equal(try_start(), 0);
    assert_null(dev);
    assert_non_null(fake.device.failure);
}

static void with_fewer_vectors_than_queues_all_come_back(void **state)
{
    (void)state;
    spread(4, 4);
    fake.n_vectors = 2;
    start();
    for (host_cpu = 0; host_cpu < 4; host_cpu++)
        assert_int_equal(blkdev_read(dev, 3, memory, 512), 0);
}

/* So that each queue has some of them, in this order. */
static struct blk_client clients[4];

static void submit_from_each_cpu(unsigned n_each)
{
    prepare_reads(4 * n_each, 512);
    for (host_cpu = 0; host_cpu < 4; host_cpu++) {
        blk_client_init(&clients[host_cpu], dev);
        assert_int_equal(blk_submit(&clients[host_cpu], pointers + host_cpu * n_each, n_each),
                         n_each);
    }
    host_cpu = 0;
}

static unsigned collect_on(unsigned cpu, unsigned n_each, int status)
{
    host_cpu = cpu;
    client = clients[cpu];
    list_init(&client.done);
    while (!list_empty(&clients[cpu].done))
        list_append(&client.done, list_pop(&clients[cpu].done));
    for (unsigned i = 0; i < n_each; i++)
        requests[cpu * n_each + i].client = &client;
    return collect_all(n_each, status);
}

static unsigned collect_on_each_cpu(unsigned n_each, int status)
{
    unsigned with_status = 0;

    for (unsigned cpu = 0; cpu < 4; cpu++)
        with_status += collect_on(cpu, n_each, status);
    return with_status;
}

static void a_reset_repeats_what_all_queues_had(void **state)
{
    (void)state;
    spread(4, 4);
    start();
    hold = true;
    submit_from_each_cpu(10);
    fake_transport_ask_for_reset(&fake);
    assert_int_equal(collect_on_each_cpu(10, 0), 40);
    assert_memory_equal(memory, disk, 40 * 512);
    assert_int_equal(fake.device.recoveries, 1);
    for (unsigned i = 0; i < 4; i++)
        assert_true(served_on[i] >= 10);
}

/* Whose thread sleeps, and is not told by any interrupt that it may go on. */
static void what_waited_for_a_repetition_goes_on_by_itself(void **state)
{
    unsigned before;

    (void)state;
    spread(4, 4);
    start();
    hold = true;
    submit_from_each_cpu(10);
    fake_transport_ask_for_reset(&fake);
    before = served_on[1];
    assert_int_equal(collect_on(0, 10, 0), 10);
    serve_all();
    assert_true(served_on[1] > before);
    for (unsigned cpu = 1; cpu < 4; cpu++)
        collect_on(cpu, 10, 0);
}

static void a_lie_on_one_queue_harms_no_request_of_the_others(void **state)
{
    (void)state;
    spread(4, 4);
    start();
    hold = true;
    cursed_sector = 15; /* the second CPU's */
    submit_from_each_cpu(10);
    assert_int_equal(collect_on_each_cpu(10, 0), 39);
    cursed_sector = UINT64_MAX;
    assert_int_equal(requests[15].status, -EIO);
}

static void a_change_wakes_who_waits_on_any_queue(void **state)
{
    (void)state;
    spread(4, 4);
    start();
    for (unsigned i = 0; i < 4; i++)
        dev->queues[i].event.marked = false;
    fake_transport_config_changed(&fake);
    for (unsigned i = 0; i < 4; i++)
        assert_true(dev->queues[i].event.marked);
}

static void a_removed_disk_lets_go_of_all_queues(void **state)
{
    (void)state;
    spread(4, 4);
    start();
    hold = true;
    submit_from_each_cpu(10);
    for (unsigned i = 0; i < 4; i++) {
        dev->queues[i].event.marked = false;
        dev->queues[i].waiting = 1;
    }
    virtio_remove(&fake.device);
    for (unsigned i = 0; i < 4; i++) {
        struct blk_request *back[10];

        assert_true(dev->queues[i].event.marked);
        assert_int_equal(blk_reap(&clients[i], back, 10), 10);
        assert_int_equal(back[0]->status, -EIO);
    }
    prepare();
    start();
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define CASES(name) cmocka_unit_test_setup_teardown(name, NULL, name_the_case)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sector_is_read),
        TEST(each_cpu_has_a_queue_and_its_interrupt),
        TEST(a_disk_with_fewer_queues_shares_them_among_the_cpus),
        TEST(no_more_queues_are_set_up_than_there_are_cpus),
        TEST(a_disk_without_mq_has_one_queue_for_all),
        TEST(a_disk_that_says_it_has_no_queue_has_one),
        TEST(a_disk_that_says_it_has_more_queues_than_it_has_fails_alone),
        TEST(with_fewer_vectors_than_queues_all_come_back),
        TEST(a_reset_repeats_what_all_queues_had),
        TEST(what_waited_for_a_repetition_goes_on_by_itself),
        TEST(a_lie_on_one_queue_harms_no_request_of_the_others),
        TEST(a_change_wakes_who_waits_on_any_queue),
        TEST(a_removed_disk_lets_go_of_all_queues),
        TEST(the_whole_disk_is_read_and_its_last_sector),
        TEST(what_is_written_is_on_the_disk),
        TEST(what_lies_beyond_the_disk_is_never_submitted),
        TEST(an_empty_disk_starts_and_refuses_everything),
        TEST(a_read_only_disk_refuses_writes),
        TEST(blocks_larger_than_a_sector_are_not_cut),
        TEST(without_a_write_cache_flush_asks_nobody),
        TEST(the_identity_is_asked_once),
        TEST(a_device_without_identity_has_an_empty_one),
        TEST(scattered_memory_is_cut_at_the_segment_limit),
        TEST(unaligned_memory_is_cut_at_whole_sectors),
        TEST(pieces_too_small_for_a_sector_are_refused_not_tried_for_ever),
        TEST(segments_are_cut_at_the_size_limit),
        TEST(without_seg_max_a_single_segment_is_asked_for),
        TEST(limits_that_hold_no_block_are_refused),
        TEST(a_segment_size_of_0_is_no_limit),
        TEST(nonsense_block_sizes_are_refused),
        TEST(a_queue_too_small_for_a_request_is_refused),
        TEST(the_smallest_queue_carries_everything),
        TEST(a_device_without_a_queue_fails_alone),
        TEST(every_failed_allocation_fails_the_start_cleanly),
        TEST(more_requests_than_the_ring_holds_all_come_back),
        TEST(a_batch_rings_once),
        TEST(completions_in_any_order_find_their_requests),
        TEST(the_unsound_request_of_a_batch_stops_it),
        TEST(two_clients_get_their_own),
        TEST(who_waits_is_woken_by_another_who_looked),
        TEST(who_is_woken_for_another_passes_it_on_once),
        TEST(who_submits_wakes_those_whose_requests_it_took_off),
        TEST(polling_works_without_interrupts),
        TEST(packed_rings_carry_requests),
        TEST(an_error_of_the_device_is_told),
        TEST(a_status_never_written_is_an_error),
        TEST(a_success_with_too_few_bytes_is_an_error),
        TEST(the_first_failing_part_stops_the_rest),
        TEST(a_device_that_lies_is_reset_and_does_again_what_it_had),
        TEST(a_length_beyond_what_was_lent_is_a_lie),
        TEST(a_device_that_lies_for_ever_is_given_up),
        TEST(a_device_that_does_not_reset_fails_its_requests),
        TEST(a_device_that_asks_for_a_reset_gets_it),
        TEST(another_thread_does_not_disturb_a_slow_reset),
        TEST(a_change_that_a_reset_swallows_is_not_lost),
        TEST(after_a_reset_every_byte_is_as_if_nothing_had_happened),
        TEST(a_part_that_failed_before_the_reset_fails_its_request),
        TEST(a_request_that_brings_the_device_down_fails_alone),
        TEST(a_flush_under_way_fails_and_that_tells_of_the_loss),
        TEST(writes_lost_with_the_cache_fail_the_next_flush_once),
        TEST(without_unflushed_writes_a_reset_loses_nothing),
        TEST(without_a_write_cache_a_reset_loses_nothing),
        TEST(a_flush_that_waited_through_the_reset_fails_too),
        TEST(a_loss_that_no_failed_flush_could_tell_of_is_told_by_the_next),
        TEST(a_device_that_needs_a_reset_now_and_then_is_never_given_up),
        TEST(a_device_removed_while_it_is_reset_lets_go),
        TEST(nothing_that_a_stuck_device_holds_is_touched),
        TEST(a_device_that_was_given_up_is_reset_before_it_is_brought_up_again),
        TEST(a_disk_that_is_smaller_after_a_reset_is_not_read_beyond_its_end),
        TEST(a_disk_with_other_blocks_after_a_reset_is_given_up),
        TEST(a_disk_that_takes_less_at_once_after_a_reset_gets_less),
        TEST(a_capacity_that_never_settles_costs_the_device_a_reset),
        TEST(memory_that_is_none_fails_its_request_only),
        TEST(a_grown_disk_is_noticed),
        TEST(a_disk_that_grows_while_it_is_brought_up_is_seen_as_it_is),
        TEST(a_grown_disk_is_noticed_without_a_request),
        TEST(a_shrunk_disk_is_not_read_beyond_its_end),
        TEST(a_removed_device_gives_everything_back),
        TEST(a_device_that_left_its_bus_is_asked_nothing_and_keeps_nothing),
        TEST(a_device_removed_under_one_who_waits_lets_it_go),
        TEST(disks_are_named_in_order),
        CASES(every_lie_on_a_split_ring_costs_at_most_an_error),
        CASES(every_lie_on_a_packed_ring_costs_at_most_an_error),
    };

    return cmocka_run_group_tests(tests, fill_disk, NULL);
}
