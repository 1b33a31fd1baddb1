/* SPDX-License-Identifier: MIT */
/*
 * Disks, for applications whose app.mk says USES = fs. They are numbered from 0
 * in the order in which they were found or came; a number is not used again when its
 * disk goes. A sector has 512 bytes, whatever the
 * block size of the disk; a transfer is whole blocks of the disk.
 *
 * One transfer after the other:
 *
 *     char sector[AEROSTAT_SECTOR_BYTES];
 *
 *     if (aerostat_disk_read(0, 0, sector, sizeof(sector)))
 *         perror("disk 0");
 *
 * Many in flight at once:
 *
 *     struct aerostat_disk_queue queue;
 *     struct aerostat_disk_request request = {
 *         .operation = AEROSTAT_DISK_READ, .sector = 0, .memory = buffer, .bytes = sizeof(buffer)
 *     };
 *     struct aerostat_disk_request *submitted[] = { &request }, *done[32];
 *
 *     aerostat_disk_queue_open(&queue, 0);
 *     aerostat_disk_submit(&queue, submitted, 1);
 *     while ((n = aerostat_disk_wait(&queue, done, 32)) > 0)
 *         ...                                    done[i]->error, done[i]->cookie
 *
 * Errors: -1 and errno, unless said otherwise. Every function that names a disk
 * fails with ENODEV where there is none of that number, or not any more.
 *
 * Threads: for any of the application, a queue for one at a time; not for signal
 * handlers. While one waits, the network and the balloon go on.
 */
#ifndef AEROSTAT_DISK_H
#define AEROSTAT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AEROSTAT_SECTOR_BYTES 512

struct aerostat_disk {
    char name[8];         /* "vda" */
    char identity[21];    /* the serial number or what the disk says of itself, may be empty */
    uint64_t sectors;     /* its capacity now: the host may change it */
    uint32_t block_bytes; /* transfers are multiples of it, and begin at one */
    bool read_only;
    bool write_back; /* what is written is durable only after aerostat_disk_flush() */
};

/* How many numbers disks have had so far, of those that went too; does not fail. */
unsigned aerostat_disk_count(void);

/*
 * Waits until there is a disk of that number. 0; -1: ENODEV: it went already; ETIMEDOUT.
 * aerostat_disk_count() is the number of the next one that comes.
 */
int aerostat_disk_await(unsigned index, unsigned milliseconds);

/* Fills *disk with what the index-th disk is now. 0; -1: ENODEV. May wait for the disk. */
int aerostat_disk_get(unsigned index, struct aerostat_disk *disk);

/*
 * One transfer of `bytes` bytes from `sector` on, waited for. Memory aligned to 512
 * bytes suits every disk. 0; -1 with errno
 * ENODEV      there is no such disk
 * EINVAL      not whole blocks, none, or beyond the disk; or memory so unaligned that
 *             the disk cannot take it in pieces
 * EROFS       a write to a read-only disk
 * EFAULT      memory that is not the application's
 * EIO         the disk failed; part of the transfer may be done
 * EOPNOTSUPP  the disk does not know the operation
 */
int aerostat_disk_read(unsigned index, uint64_t sector, void *to, uint32_t bytes);
int aerostat_disk_write(unsigned index, uint64_t sector, const void *from, uint32_t bytes);

/*
 * Waits until all that was written before is durable. 0; -1: ENODEV, EIO or EOPNOTSUPP.
 *
 * A disk that fails may be brought back: reads and writes that were under way are then
 * repeated, without a trace. Writes that had come back and were not flushed may be lost:
 * a flush says so once with EIO, the one under way or else the next. Then write again what
 * has to be durable, and flush again.
 */
int aerostat_disk_flush(unsigned index);

/*
 * Writes the disk's partitions as `fdisk -l` shows them into the buffer, terminated. A
 * broken table is named in the text. Returns the bytes written without the terminating
 * zero; -1 with errno ENODEV, ENOMEM, EINVAL: size is 0, or ENOSPC: it did not fit and
 * the buffer holds its start.
 */
int aerostat_disk_describe_partitions(unsigned index, char *buffer, size_t size);

/* ---- many in flight */

enum aerostat_disk_operation {
    AEROSTAT_DISK_READ,
    AEROSTAT_DISK_WRITE,
    AEROSTAT_DISK_FLUSH, /* covers the writes that came back before it was submitted */
};

/*
 * The caller owns it and fills the first five. Request and memory are the system's from
 * aerostat_disk_submit() until aerostat_disk_wait() or aerostat_disk_reap() hands the
 * request back: till then neither is touched, moved or freed.
 */
struct aerostat_disk_request {
    enum aerostat_disk_operation operation;
    uint32_t bytes;  /* AEROSTAT_DISK_FLUSH: 0 */
    uint64_t sector; /* AEROSTAT_DISK_FLUSH: 0 */
    void *memory;    /* as for aerostat_disk_read(); not written to by AEROSTAT_DISK_WRITE */
    void *cookie;    /* the caller's own */
    int error;       /* when it has come back: 0, or the errno of aerostat_disk_read() */
    uint64_t system[16];
};

/*
 * One thread's requests on one disk, by the disk's queue for the thread's CPU. The caller
 * owns it; it stays in place while a request is in flight, needs no closing, and any number
 * may be open. When the disk goes, all that is in flight comes back, and what is submitted
 * later too: with EIO, unless done.
 */
struct aerostat_disk_queue {
    uint64_t system[6];
};

/* Makes the queue ready for use. 0; -1: ENODEV. */
int aerostat_disk_queue_open(struct aerostat_disk_queue *queue, unsigned index);

/*
 * Submits the first of n requests that are sound, and does not wait: there is always room.
 * Returns how many; -1 when already the first one is not: EINVAL or EROFS, as for
 * aerostat_disk_read().
 */
int aerostat_disk_submit(struct aerostat_disk_queue *queue,
                         struct aerostat_disk_request *const *requests, unsigned n);

/*
 * Puts at most max requests that have come back into `done`, in any order; waits for the
 * first. Returns how many; 0: none is in flight. Does not fail: see each request's error.
 */
int aerostat_disk_wait(struct aerostat_disk_queue *queue, struct aerostat_disk_request **done,
                       unsigned max);

/* The same without waiting; 0: none has come back yet. */
int aerostat_disk_reap(struct aerostat_disk_queue *queue, struct aerostat_disk_request **done,
                       unsigned max);

#ifdef __cplusplus
}
#endif

#endif
