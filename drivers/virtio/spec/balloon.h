/* SPDX-License-Identifier: MIT */
/* The traditional memory balloon, §5.5. Pages are of 4096 bytes, whatever the CPU's. */
#ifndef DRIVERS_VIRTIO_SPEC_BALLOON_H
#define DRIVERS_VIRTIO_SPEC_BALLOON_H

#include "lib/base/types.h"

/* Feature bits, §5.5.3. */
#define VIRTIO_BALLOON_F_MUST_TELL_HOST 0 /* pages are used again only after the device agreed */
#define VIRTIO_BALLOON_F_STATS_VQ       1 /* the statistics queue */
#define VIRTIO_BALLOON_F_DEFLATE_ON_OOM 2 /* the driver may take pages back when out of memory */
#define VIRTIO_BALLOON_F_FREE_PAGE_HINT 3 /* the hinting queue */
#define VIRTIO_BALLOON_F_PAGE_POISON    4 /* free pages hold poison_val */
#define VIRTIO_BALLOON_F_PAGE_REPORTING 5 /* the reporting queue */

/*
 * Queues, §5.5.2, in this order: inflate, deflate, statistics, hinting,
 * reporting. Those of features that were not negotiated do not count: the
 * queues behind them move up.
 */
#define VIRTIO_BALLOON_PFN_SHIFT 12 /* inflate and deflate: le32 page numbers */

/* Configuration space, §5.5.4. */
struct virtio_balloon_config {
    le32 num_pages;             /* ro: pages the device wants */
    le32 actual;                /* rw: pages the balloon holds */
    le32 free_page_hint_cmd_id; /* ro */
    le32 poison_val;            /* rw */
};

/* free_page_hint_cmd_id, §5.5.6.5. */
#define VIRTIO_BALLOON_CMD_ID_STOP 0
#define VIRTIO_BALLOON_CMD_ID_DONE 1

/* virtio_balloon_stat.tag, §5.5.6.4; amounts are in bytes. */
#define VIRTIO_BALLOON_S_SWAP_IN      0
#define VIRTIO_BALLOON_S_SWAP_OUT     1
#define VIRTIO_BALLOON_S_MAJFLT       2 /* page faults that needed a disk */
#define VIRTIO_BALLOON_S_MINFLT       3 /* those that did not */
#define VIRTIO_BALLOON_S_MEMFREE      4 /* memory not used for anything */
#define VIRTIO_BALLOON_S_MEMTOT       5 /* all memory */
#define VIRTIO_BALLOON_S_AVAIL        6 /* what applications could get without swapping */
#define VIRTIO_BALLOON_S_CACHES       7 /* what could be dropped at once */
#define VIRTIO_BALLOON_S_HTLB_PGALLOC 8
#define VIRTIO_BALLOON_S_HTLB_PGFAIL  9

/* An entry of the statistics buffer, §5.5.6.3; 10 bytes on the wire. */
struct virtio_balloon_stat {
    le16 tag;
    le64 val;
} __attribute__((packed));

#endif
