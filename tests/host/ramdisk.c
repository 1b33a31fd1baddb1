/* SPDX-License-Identifier: MIT */
#include "tests/host/ramdisk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct ramdisk *disk_of(struct blkdev *dev)
{
    return CONTAINER_OF(dev, struct ramdisk, dev);
}

static void move(struct ramdisk *disk, const struct blk_request *request)
{
    uint64_t at = request->sector * BLK_SECTOR_BYTES;

    for (uint32_t i = 0; i < request->n_elem; i++) {
        const struct blk_elem *elem = &request->elem[i];

        if (request->operation == BLK_WRITE)
            memcpy(disk->bytes + at, elem->memory, elem->bytes);
        else if (disk->bytes)
            memcpy(elem->memory, disk->bytes + at, elem->bytes);
        else
            memset(elem->memory, 0, elem->bytes);
        at += elem->bytes;
    }
}

static int answer(struct ramdisk *disk, const struct blk_request *request)
{
    uint64_t bytes = 0;

    switch (request->operation) {
    case BLK_READ:
    case BLK_WRITE:
        for (uint32_t i = 0; i < request->n_elem; i++)
            bytes += request->elem[i].bytes;
        if (disk->bad_sector >= request->sector &&
            disk->bad_sector - request->sector < bytes / BLK_SECTOR_BYTES)
            return -EIO;
        move(disk, request);
        return 0;
    case BLK_IDENTIFY:
        if (!disk->identity)
            return -EIO;
        strncpy(request->elem[0].memory, disk->identity, BLK_IDENTITY_BYTES);
        return 0;
    default:
        return 0;
    }
}

static void submit(struct blkdev *dev, struct blk_queue *queue, struct blk_request *const *requests,
                   unsigned n)
{
    struct ramdisk *disk = disk_of(dev);

    (void)queue;
    for (unsigned i = 0; i < n; i++) {
        disk->requests++;
        blk_complete(requests[i], answer(disk, requests[i]));
    }
}

static void poll(struct blkdev *dev, struct blk_queue *queue)
{
    (void)dev;
    (void)queue;
}

static bool arm(struct blkdev *dev, struct blk_queue *queue)
{
    (void)dev;
    (void)queue;
    return false;
}

static const struct blkdev_ops operations = { submit, poll, arm, poll };

void ramdisk_init_empty(struct ramdisk *disk, uint64_t sectors, uint32_t block_bytes)
{
    *disk = (struct ramdisk){ .bad_sector = UINT64_MAX };
    disk->dev.ops = &operations;
    disk->dev.prefix = "vd";
    disk->dev.block_bytes = block_bytes;
    disk->dev.sectors = sectors;
    disk->dev.write_back = true;
    disk->dev.queues = &disk->queue;
    disk->dev.n_queues = 1;
    event_init(&disk->queue.event);
    blkdev_register(&disk->dev);
}

void ramdisk_init(struct ramdisk *disk, uint64_t sectors, uint32_t block_bytes)
{
    ramdisk_init_empty(disk, sectors, block_bytes);
    disk->bytes = calloc(sectors ? sectors : 1, BLK_SECTOR_BYTES);
}

void ramdisk_free(struct ramdisk *disk)
{
    blkdev_unregister(&disk->dev);
    free(disk->bytes);
    disk->bytes = NULL;
}
