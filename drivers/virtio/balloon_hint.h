/* SPDX-License-Identifier: MIT */
/*
 * Free page hinting (§5.5.6.5): while the VM migrates, the host asks which memory
 * need not be sent. A round begins with the host's command id, names free blocks,
 * and ends with STOP: when there are no more, when the host wants no more, when it
 * begins another round, or when memory is needed. Hinted memory is kept out of use
 * until the host says DONE. What is needed earlier is written over first, and only
 * when the device has returned the hint: it may be lost otherwise.
 *
 * Concurrency: the balloon thread.
 */
#ifndef DRIVERS_VIRTIO_BALLOON_HINT_H
#define DRIVERS_VIRTIO_BALLOON_HINT_H

#include "drivers/virtio/balloon_blocks.h"
#include "drivers/virtio/device.h"

struct balloon_hint {
    struct virtio_queue queue;
    struct virtio_device *device;
    struct block_stack held;
    uint64_t pages;     /* held */
    uint32_t wanted;    /* free_page_hint_cmd_id, as last read */
    uint32_t round;     /* the command id of the round under way or last; STOP: none yet */
    bool open;          /* its STOP has not been lent */
    bool overwrites;    /* all that is held goes back, and must be written over first */
    unsigned in_flight; /* buffers that have not come back */
    uint64_t keep;      /* pages that a round leaves to the guest */
    le32 *commands;     /* read by the device: the id, and STOP */
};

/* Sets up the queue, of a struct of zeros. 0, -ENOMEM, or what virtio_queue_setup() says. */
int balloon_hint_init(struct balloon_hint *hint, struct virtio_device *device, uint16_t index,
                      struct event *event);

/* Reads the command id; when the configuration has changed. 0, or -EIO: it does not settle. */
int balloon_hint_read(struct balloon_hint *hint);

/*
 * Takes in answers, follows the command id, and gives `needed` pages back to the guest, if
 * it has so many. 0, or -EIO: the device lied. *gave grows by what went back; *again is set
 * where there is more to do at once.
 */
int balloon_hint_work(struct balloon_hint *hint, uint64_t needed, uint64_t *gave, bool *again);

/* The device has forgotten everything. */
void balloon_hint_cut_off(struct balloon_hint *hint);

/* All that is held goes back. The device has forgotten everything. */
void balloon_hint_release(struct balloon_hint *hint);

/* The same, and the rest too. The device is reset, or was never started. */
void balloon_hint_free(struct balloon_hint *hint);

#endif
