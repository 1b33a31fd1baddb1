/* SPDX-License-Identifier: MIT */
/*
 * Partition tables: GPT (UEFI 2.10, chapter 5) and MBR with logical partitions,
 * listed as `fdisk -l` shows them. Read when somebody asks, not at the start.
 *
 * A table is what somebody else wrote: checksums are verified, bounds and loops
 * checked; what is wrong is left out and told in `problem`.
 *
 * Concurrency: kernel thread context; waits for the disk.
 */
#ifndef LIB_FS_PARTITION_H
#define LIB_FS_PARTITION_H

#include "kernel/blkdev.h"
#include "lib/base/format.h"
#include "lib/base/types.h"

#define PARTITIONS_MAX       128
#define PARTITION_NAME_BYTES 109 /* 36 characters of UTF-16 as UTF-8, terminated */

enum partition_scheme { PARTITION_NONE, PARTITION_MBR, PARTITION_GPT };

/* As it lies on the disk: the first three fields little-endian (UEFI 2.10, appendix A). */
struct guid {
    uint8_t byte[16];
};

struct partition {
    unsigned number;                 /* as in "vda1"; logical ones from 5 */
    uint64_t first_sector, sectors;  /* of 512 bytes; on the disk, never empty */
    bool bootable;                   /* MBR */
    uint8_t mbr_type;                /* MBR */
    struct guid type, id;            /* GPT */
    char name[PARTITION_NAME_BYTES]; /* GPT; UTF-8 without control characters */
};

struct partition_table {
    enum partition_scheme scheme;
    const char *problem; /* the first thing that was wrong, NULL: nothing */
    uint32_t mbr_id;
    struct guid gpt_id;
    bool from_backup; /* GPT: the primary table is damaged */
    unsigned n_partitions;
    struct partition partition[PARTITIONS_MAX];
};

/* The disk's table, to be freed with kfree(). NULL: no memory. A disk that cannot be read has none.
 */
struct partition_table *partition_table_read(struct blkdev *dev);

/* The text of `fdisk -l` for the disk. */
void partition_table_describe(struct blkdev *dev, const struct partition_table *table,
                              struct text *text);

/* "Linux filesystem", "unknown". */
const char *partition_type_text(const struct partition_table *table,
                                const struct partition *partition);

#endif
