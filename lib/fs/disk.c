/* SPDX-License-Identifier: MIT */
/*
 * The application's way to disks, include/aerostat/disk.h, on the class of
 * block devices. The kernel's part of a request lies inside the application's,
 * so nothing is allocated. Compiled as lib/libc is, with the C library's headers.
 */
#include "include/aerostat/disk.h"

#include <string.h>

#include "kernel/alloc.h"
#include "kernel/blkdev.h"
#include "kernel/clock.h"
#include "kernel/thread.h"
#include "lib/fs/partition.h"
#include "lib/libc/kernel_call.h"

#define LOOK_AGAIN_NS (10 * NSEC_PER_MSEC)

struct request {
    struct blk_request kernel;
    struct blk_elem elem;
};

_Static_assert(sizeof(struct request) <= sizeof(((struct aerostat_disk_request *)0)->system),
               "aerostat_disk_request.system is too small");
_Static_assert(sizeof(struct blk_client) <= sizeof(struct aerostat_disk_queue),
               "aerostat_disk_queue.system is too small");
_Static_assert(sizeof(((struct aerostat_disk *)0)->identity) == BLK_IDENTITY_BYTES + 1,
               "an identity fits");
_Static_assert(AEROSTAT_SECTOR_BYTES == BLK_SECTOR_BYTES, "one sector");

static struct blkdev *find(unsigned index)
{
    struct blkdev *dev = blkdev_next(NULL);

    while (dev && dev->number != index)
        dev = blkdev_next(dev);
    return dev;
}

static int get(unsigned index, struct aerostat_disk *disk)
{
    struct blkdev *dev = find(index);

    if (!dev)
        return -ENODEV;
    blkdev_update(dev);
    *disk = (struct aerostat_disk){
        .sectors = dev->sectors,
        .block_bytes = dev->block_bytes,
        .read_only = dev->read_only,
        .write_back = dev->write_back,
    };
    memcpy(disk->name, dev->name, sizeof(dev->name));
    memcpy(disk->identity, blkdev_identity(dev), sizeof(disk->identity));
    return 0;
}

static int read_disk(unsigned index, uint64_t sector, void *to, uint32_t bytes)
{
    struct blkdev *dev = find(index);

    return dev ? blkdev_read(dev, sector, to, bytes) : -ENODEV;
}

static int write_disk(unsigned index, uint64_t sector, const void *from, uint32_t bytes)
{
    struct blkdev *dev = find(index);

    return dev ? blkdev_write(dev, sector, from, bytes) : -ENODEV;
}

static int flush_disk(unsigned index)
{
    struct blkdev *dev = find(index);

    return dev ? blkdev_flush(dev) : -ENODEV;
}

static int describe_partitions(unsigned index, char *buffer, size_t size)
{
    struct blkdev *dev = find(index);
    struct partition_table *table;
    struct text text;

    if (!dev)
        return -ENODEV;
    if (!size)
        return -EINVAL;
    blkdev_update(dev);
    table = partition_table_read(dev);
    if (!table)
        return -ENOMEM;
    text_init(&text, buffer, size);
    partition_table_describe(dev, table, &text);
    kfree(table);
    return text.truncated ? -ENOSPC : (int)text.length;
}

unsigned aerostat_disk_count(void)
{
    return KERNEL_CALL(unsigned, blkdev_numbers());
}

/* Arrivals are rare: who waits for one looks a hundred times a second. */
static int await(unsigned index, unsigned milliseconds)
{
    uint64_t end_ns = clock_monotonic_ns() + milliseconds * NSEC_PER_MSEC;

    while (!find(index)) {
        if (index < blkdev_numbers())
            return -ENODEV;
        if (clock_monotonic_ns() >= end_ns)
            return -ETIMEDOUT;
        thread_sleep_until(MIN(clock_monotonic_ns() + LOOK_AGAIN_NS, end_ns));
    }
    return 0;
}

int aerostat_disk_await(unsigned index, unsigned milliseconds)
{
    return (int)KERNEL_RESULT(await(index, milliseconds));
}

int aerostat_disk_get(unsigned index, struct aerostat_disk *disk)
{
    return (int)KERNEL_RESULT(get(index, disk));
}

int aerostat_disk_read(unsigned index, uint64_t sector, void *to, uint32_t bytes)
{
    return (int)KERNEL_RESULT(read_disk(index, sector, to, bytes));
}

int aerostat_disk_write(unsigned index, uint64_t sector, const void *from, uint32_t bytes)
{
    return (int)KERNEL_RESULT(write_disk(index, sector, from, bytes));
}

int aerostat_disk_flush(unsigned index)
{
    return (int)KERNEL_RESULT(flush_disk(index));
}

int aerostat_disk_describe_partitions(unsigned index, char *buffer, size_t size)
{
    return (int)KERNEL_RESULT(describe_partitions(index, buffer, size));
}

/* ---- many in flight */

static struct blk_client *client_of(struct aerostat_disk_queue *queue)
{
    return (struct blk_client *)queue->system;
}

static int open_queue(struct aerostat_disk_queue *queue, unsigned index)
{
    struct blkdev *dev = find(index);

    if (!dev)
        return -ENODEV;
    blk_client_init(client_of(queue), dev);
    return 0;
}

int aerostat_disk_queue_open(struct aerostat_disk_queue *queue, unsigned index)
{
    return (int)KERNEL_RESULT(open_queue(queue, index));
}

static struct blk_request *translate(struct aerostat_disk_request *request)
{
    static const enum blk_operation operations[] = {
        [AEROSTAT_DISK_READ] = BLK_READ,
        [AEROSTAT_DISK_WRITE] = BLK_WRITE,
        [AEROSTAT_DISK_FLUSH] = BLK_FLUSH,
    };
    struct request *ours = (struct request *)request->system;

    ours->elem = (struct blk_elem){ request->memory, request->bytes };
    ours->kernel = (struct blk_request){
        .operation = operations[request->operation],
        .n_elem = request->operation != AEROSTAT_DISK_FLUSH,
        .elem = &ours->elem,
        .sector = request->sector,
        .cookie = request,
    };
    return &ours->kernel;
}

#define BATCH 32 /* requests on our stack */

static int submit(struct blk_client *client, struct aerostat_disk_request *const *requests,
                  unsigned n)
{
    struct blk_request *ours[BATCH];
    unsigned submitted = 0;

    while (submitted < n) {
        unsigned batch = MIN(n - submitted, BATCH);
        int taken;

        for (unsigned i = 0; i < batch; i++) {
            if (requests[submitted + i]->operation > AEROSTAT_DISK_FLUSH)
                batch = i;
            else
                ours[i] = translate(requests[submitted + i]);
        }
        taken = batch ? blk_submit(client, ours, batch) : -EINVAL;
        if (taken < 0)
            return submitted ? (int)submitted : taken;
        submitted += (unsigned)taken;
    }
    return (int)submitted;
}

int aerostat_disk_submit(struct aerostat_disk_queue *queue,
                         struct aerostat_disk_request *const *requests, unsigned n)
{
    return (int)KERNEL_RESULT(submit(client_of(queue), requests, n));
}

/* The application finds its own requests again by the cookies of ours. */
static void hand_back(struct aerostat_disk_request **done, struct blk_request *const *ours, int n)
{
    for (int i = 0; i < n; i++) {
        done[i] = ours[i]->cookie;
        done[i]->error = -ours[i]->status;
    }
}

typedef int (*collect_function)(struct blk_client *client, struct blk_request **done, unsigned max);

static int collect(collect_function from, struct aerostat_disk_queue *queue,
                   struct aerostat_disk_request **done, unsigned max)
{
    struct blk_request *ours[BATCH];
    int n = from(client_of(queue), ours, MIN(max, BATCH));

    hand_back(done, ours, n);
    return n;
}

int aerostat_disk_wait(struct aerostat_disk_queue *queue, struct aerostat_disk_request **done,
                       unsigned max)
{
    return KERNEL_CALL(int, collect(blk_wait, queue, done, max));
}

int aerostat_disk_reap(struct aerostat_disk_queue *queue, struct aerostat_disk_request **done,
                       unsigned max)
{
    return KERNEL_CALL(int, collect(blk_reap, queue, done, max));
}
