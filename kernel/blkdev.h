/* SPDX-License-Identifier: MIT */
/*
 * Block devices as the rest of the system sees them: sectors of 512 bytes read
 * and written by asynchronous requests, any number in flight. A driver fills a
 * struct blkdev and registers it; any number of clients use it.
 *
 * Shaped for batches: requests are submitted many at a time, straight from and
 * into the caller's memory, and come back into an array of the caller.
 *
 *     struct blk_client client;
 *
 *     blk_client_init(&client, dev);
 *     n = blk_submit(&client, requests, n);              lent from here on
 *     while ((n = blk_wait(&client, done, 32)) > 0)      whatever has finished, 0: nothing left
 *         ...                                            done[i]->status, done[i]->cookie
 *
 * A device has one queue or more; a client uses the one of the CPU that it was made on, and
 * is woken there. Who waits also works for the others: completions of a whole queue are
 * sorted to their clients by whichever thread looks, so a device needs no thread.
 *
 * A device that has to be reset may forget what it had: its driver repeats reads
 * and writes that were under way, a few times, and nobody notices. So a write
 * that has not come back may reach the disk twice; two that overlap end in either
 * order, as ever. A flush that was under way fails with -EIO. Writes that had come
 * back and were not flushed may be lost with the device's cache: then a flush
 * fails once with -EIO, the one under way or else the next; the writes have to be
 * repeated.
 *
 * Concurrency: kernel thread context; one thread for each client. Interrupt
 * handlers only signal the queues' events.
 */
#ifndef KERNEL_BLKDEV_H
#define KERNEL_BLKDEV_H

#include "kernel/event.h"
#include "lib/base/list.h"
#include "lib/base/types.h"

#define BLK_SECTOR_BYTES   512
#define BLK_IDENTITY_BYTES 20 /* of text, unterminated when it is as long */

enum blk_operation {
    BLK_READ,
    BLK_WRITE,
    BLK_FLUSH,    /* what came back before is durable, see above; no memory, no sector */
    BLK_IDENTIFY, /* BLK_IDENTITY_BYTES into one element; use blkdev_identity() */
};

struct blkdev;
struct blk_client;
struct blk_queue;

/* One contiguous piece of kernel or application memory, never empty. */
struct blk_elem {
    void *memory;
    uint32_t bytes;
};

/*
 * Filled by the client down to `cookie`; it, its elements and their memory are
 * the device's from blk_submit() until it comes back. The elements together
 * are whole blocks. Memory that is aligned to a sector suits every device;
 * other memory may be refused (-EINVAL) by one that takes few pieces a request.
 */
struct blk_request {
    enum blk_operation operation;
    uint32_t n_elem;
    const struct blk_elem *elem;
    uint64_t sector;
    void *cookie;

    int status; /* set when it comes back: 0, or a negative errno; part of it may be done */

    /* The class's and the driver's while it is in flight. */
    struct list link;
    struct blk_client *client;
    uint64_t next_sector; /* what is not handed to the device yet begins here ... */
    uint32_t next_elem;   /* ... in this element ... */
    uint32_t next_offset; /* ... at this byte */
    uint32_t parts;       /* pieces of it that the device has */
    uint32_t repeats;     /* resets of the device that it has lived through */
    uint64_t covers;      /* a flush: blkdev.written when it was submitted */
};

/* One user's requests on one device. */
struct blk_client {
    struct blkdev *dev;
    struct blk_queue *queue;
    struct list done;   /* requests that have come back and were not collected */
    unsigned in_flight; /* submitted and not collected */
};

struct blkdev_ops {
    /* Takes n checked requests; what the device has no room for waits in the driver. */
    void (*submit)(struct blkdev *dev, struct blk_queue *queue, struct blk_request *const *requests,
                   unsigned n);

    /* Looks what has finished and calls blk_complete() for it; goes on with what waits. */
    void (*poll)(struct blkdev *dev, struct blk_queue *queue);

    /* Asks for queue->event at the next completion. true: one is here already. disarm: a hint. */
    bool (*arm)(struct blkdev *dev, struct blk_queue *queue);
    void (*disarm)(struct blkdev *dev, struct blk_queue *queue);
};

/* What a device has for each CPU, or for several where it has fewer. Zeroed by the driver. */
struct blk_queue {
    struct event event; /* the driver's: it has something to tell */

    /* The class's own. */
    unsigned waiting;     /* threads inside blk_wait() */
    uint64_t completions; /* requests that came back, so far */
};

struct blkdev_counters {
    uint64_t reads, read_bytes, writes, written_bytes, flushes, errors;
};

struct blkdev {
    struct list link; /* among all devices, set by blkdev_register() */
    char name[8];     /* "vda", set by blkdev_register() */
    unsigned number;  /* 0 for the first one, never used again; set by blkdev_register() */
    bool gone;        /* set by blkdev_unregister(): what is asked of it fails */

    /* Set by the driver before blkdev_register(). */
    const struct blkdev_ops *ops;
    const char *prefix;   /* of the name: "vd" */
    uint32_t block_bytes; /* the logical block: a power of two, at least a sector */
    bool read_only;
    bool write_back;          /* written blocks are durable only after BLK_FLUSH */
    unsigned n_queues;        /* at least 1 */
    struct blk_queue *queues; /* the driver's; they stay as the struct blkdev does */

    uint64_t sectors; /* the capacity; the driver's, may change at any time */

    /* The class's own. */
    uint64_t written; /* writes that came back well, so far ... */
    uint64_t flushed; /* ... of which the first so many are durable, or told to be lost */
    uint64_t lost;    /* those from there to here may be lost, what a flush has to tell; 0: none */
    bool identity_known;
    char identity[BLK_IDENTITY_BYTES + 1];
    struct blkdev_counters counters;
};

/* ---- for users */

/*
 * The first device with NULL, then one after the other; NULL after the last, and after one that
 * went while it was looked at. A struct blkdev stays memory for good.
 */
struct blkdev *blkdev_next(const struct blkdev *dev);

/* How many there have ever been: the number of the next one. */
unsigned blkdev_numbers(void);

/* Of the queues, the one that the calling CPU uses. */
struct blk_queue *blkdev_queue(struct blkdev *dev);

/* Takes in what the device has to tell, such as a new capacity; who does not submit asks for it. */
void blkdev_update(struct blkdev *dev);

/* The serial number or what else the device says of itself, "" if nothing. Asked once; may wait. */
const char *blkdev_identity(struct blkdev *dev);

void blk_client_init(struct blk_client *client, struct blkdev *dev);

/*
 * Submits the first of n requests that are sound; returns how many. When the
 * first is not: -EINVAL: not whole blocks, or beyond the capacity; -EROFS: a
 * write to a read-only device. Nothing else fails here: there is always room.
 */
int blk_submit(struct blk_client *client, struct blk_request *const *requests, unsigned n);

/* Collects at most max requests that have come back; how many, 0: none yet. */
int blk_reap(struct blk_client *client, struct blk_request **done, unsigned max);

/* The same, but waits for the first one; 0: none is in flight. */
int blk_wait(struct blk_client *client, struct blk_request **done, unsigned max);

/* One request, waited for: 0 or a negative errno. */
int blkdev_read(struct blkdev *dev, uint64_t sector, void *to, uint32_t bytes);
int blkdev_write(struct blkdev *dev, uint64_t sector, const void *from, uint32_t bytes);
int blkdev_flush(struct blkdev *dev);

/* ---- for drivers */

/* Names the device and puts it behind the others. */
void blkdev_register(struct blkdev *dev);

/* Whoever waits looks again: requests of all queues may have come back. */
void blkdev_wake_all(struct blkdev *dev);

/* The device is gone: it is no longer listed; its ops must fail what still comes. */
void blkdev_unregister(struct blkdev *dev);

/* Gives a request back to its client. */
void blk_complete(struct blk_request *request, int status);

/* The device has nothing of the request any more: it begins anew. */
void blk_rewind(struct blk_request *request);

/* The device may have lost its write cache. true: there was something in it. */
bool blkdev_lose_cache(struct blkdev *dev);

/* Whether the request is a flush that has to fail: what it would vouch for may be lost. */
bool blk_tells_of_loss(const struct blk_request *request);

#endif
