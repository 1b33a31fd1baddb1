/* SPDX-License-Identifier: MIT */
/* The block device, §5.2. A sector is 512 bytes, whatever the block size. */
#ifndef DRIVERS_VIRTIO_SPEC_BLK_H
#define DRIVERS_VIRTIO_SPEC_BLK_H

#include "lib/base/types.h"

/* Feature bits, §5.2.3. */
#define VIRTIO_BLK_F_SIZE_MAX     1  /* largest segment in size_max */
#define VIRTIO_BLK_F_SEG_MAX      2  /* most segments of a request in seg_max */
#define VIRTIO_BLK_F_GEOMETRY     4  /* cylinders, heads and sectors in geometry */
#define VIRTIO_BLK_F_RO           5  /* writes fail */
#define VIRTIO_BLK_F_BLK_SIZE     6  /* block size in blk_size */
#define VIRTIO_BLK_F_FLUSH        9  /* VIRTIO_BLK_T_FLUSH works */
#define VIRTIO_BLK_F_TOPOLOGY     10 /* best alignment and sizes in topology */
#define VIRTIO_BLK_F_CONFIG_WCE   11 /* the cache mode can be set in writeback */
#define VIRTIO_BLK_F_MQ           12 /* several queues, num_queues */
#define VIRTIO_BLK_F_DISCARD      13 /* VIRTIO_BLK_T_DISCARD works */
#define VIRTIO_BLK_F_WRITE_ZEROES 14 /* VIRTIO_BLK_T_WRITE_ZEROES works */
#define VIRTIO_BLK_F_LIFETIME     15 /* VIRTIO_BLK_T_GET_LIFETIME works */
#define VIRTIO_BLK_F_SECURE_ERASE 16 /* VIRTIO_BLK_T_SECURE_ERASE works */
#define VIRTIO_BLK_F_ZONED        17 /* a zoned device */

/* Legacy feature bits, §5.2.3.1. */
#define VIRTIO_BLK_F_BARRIER 0
#define VIRTIO_BLK_F_SCSI    7

/* zoned.model, §5.2.4. */
#define VIRTIO_BLK_Z_NONE 0 /* not zoned, or managed by the device itself */
#define VIRTIO_BLK_Z_HM   1 /* managed by the host, which must write zones in sequence */
#define VIRTIO_BLK_Z_HA   2 /* the host may write zones in sequence */

/* Configuration space, §5.2.4; which fields exist is told by the feature bits. */
struct virtio_blk_config {
    le64 capacity; /* sectors; always there */
    le32 size_max; /* bytes */
    le32 seg_max;
    struct virtio_blk_geometry {
        le16 cylinders;
        uint8_t heads;
        uint8_t sectors;
    } geometry;
    le32 blk_size; /* bytes */
    struct virtio_blk_topology {
        uint8_t physical_block_exp; /* log2 of logical blocks per physical block */
        uint8_t alignment_offset;   /* the first aligned logical block */
        le16 min_io_size;           /* suggested least, in blocks */
        le32 opt_io_size;           /* suggested most, in blocks */
    } topology;
    uint8_t writeback; /* 0: writethrough, 1: writeback */
    uint8_t unused0;
    le16 num_queues;
    le32 max_discard_sectors;
    le32 max_discard_seg;
    le32 discard_sector_alignment; /* sectors */
    le32 max_write_zeroes_sectors;
    le32 max_write_zeroes_seg;
    uint8_t write_zeroes_may_unmap; /* 1: the unmap flag may free storage */
    uint8_t unused1[3];
    le32 max_secure_erase_sectors;
    le32 max_secure_erase_seg;
    le32 secure_erase_sector_alignment; /* sectors */
    struct virtio_blk_zoned_characteristics {
        le32 zone_sectors;
        le32 max_open_zones;
        le32 max_active_zones;
        le32 max_append_sectors;
        le32 write_granularity; /* bytes */
        uint8_t model;          /* VIRTIO_BLK_Z_... */
        uint8_t unused2[3];
    } zoned;
};

/* virtio_blk_req.type, §5.2.6. */
#define VIRTIO_BLK_T_IN           0 /* read; the data is whole sectors */
#define VIRTIO_BLK_T_OUT          1 /* write */
#define VIRTIO_BLK_T_FLUSH        4 /* no data, sector 0 */
#define VIRTIO_BLK_T_GET_ID       8 /* VIRTIO_BLK_ID_BYTES of text, NUL-terminated if shorter */
#define VIRTIO_BLK_T_GET_LIFETIME 10
#define VIRTIO_BLK_T_DISCARD      11 /* the data is virtio_blk_discard_write_zeroes segments */
#define VIRTIO_BLK_T_WRITE_ZEROES 13
#define VIRTIO_BLK_T_SECURE_ERASE 14

#define VIRTIO_BLK_ID_BYTES 20

/*
 * A request, §5.2.6: this header (device-readable), the data (readable or
 * writable by type), and one byte of status (writable).
 */
struct virtio_blk_req {
    le32 type; /* VIRTIO_BLK_T_... */
    le32 reserved;
    le64 sector;
};

/* A segment of DISCARD, WRITE_ZEROES or SECURE_ERASE. */
struct virtio_blk_discard_write_zeroes {
    le64 sector;
    le32 num_sectors;
    le32 flags;
};

#define VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP 1 /* flags; WRITE_ZEROES only */

/* What GET_LIFETIME gives. */
struct virtio_blk_lifetime {
    le16 pre_eol_info;              /* 0 unknown, 1 normal, 2: 80 %, 3: 90 % of the spares used */
    le16 device_lifetime_est_typ_a; /* 0 unknown, 1 to 10: tenths used, 11: exceeded */
    le16 device_lifetime_est_typ_b;
};

/* The status byte. */
#define VIRTIO_BLK_S_OK     0
#define VIRTIO_BLK_S_IOERR  1
#define VIRTIO_BLK_S_UNSUPP 2

#endif
