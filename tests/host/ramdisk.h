/* SPDX-License-Identifier: MIT */
/* A block device in memory for hosted tests: answers each request at once. */
#ifndef TESTS_HOST_RAMDISK_H
#define TESTS_HOST_RAMDISK_H

#include "kernel/blkdev.h"

struct ramdisk {
    struct blkdev dev;
    struct blk_queue queue;
    uint8_t *bytes;      /* whole disk; NULL: all reads give zeros */
    uint64_t bad_sector; /* reading it fails; UINT64_MAX: none is bad */
    const char *identity;
    unsigned requests; /* so far */
};

/* A zeroed disk, registered; freed by ramdisk_free(). */
void ramdisk_init(struct ramdisk *disk, uint64_t sectors, uint32_t block_bytes);

/* The same without memory behind it, for the very large. */
void ramdisk_init_empty(struct ramdisk *disk, uint64_t sectors, uint32_t block_bytes);

void ramdisk_free(struct ramdisk *disk);

#endif
