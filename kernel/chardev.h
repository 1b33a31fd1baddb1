/* SPDX-License-Identifier: MIT */
/*
 * Channels of bytes between the application and the host, as the rest of the
 * system sees them: the ports of a virtio console. A driver fills a struct
 * chardev and adds it; one user at a time opens it.
 *
 * What the user does not read stays with the driver, whose room for it is
 * bounded: the host waits then. What is written and does not fit waits here.
 *
 * Concurrency: kernel context. Functions that wait say so.
 */
#ifndef KERNEL_CHARDEV_H
#define KERNEL_CHARDEV_H

#include "kernel/event.h"
#include "lib/base/list.h"
#include "lib/base/types.h"

#define CHARDEV_NAME_BYTES 128 /* with a NUL; longer names are cut */

struct chardev;

enum chardev_readiness {
    CHARDEV_READABLE = 1,  /* read() gives something, the end too */
    CHARDEV_WRITABLE = 2,  /* write() takes something */
    CHARDEV_CONNECTED = 4, /* the host's side is open */
    CHARDEV_GONE = 8,      /* the host took the device away: always told */
    CHARDEV_SENT = 16,     /* the host has taken all that was written */
};

/* What the driver does; none of it waits. */
struct chardev_ops {
    size_t (*read)(struct chardev *dev, void *to, size_t max);            /* 0: nothing is here */
    size_t (*write)(struct chardev *dev, const void *from, size_t bytes); /* 0: no room */
    bool (*has_input)(const struct chardev *dev);
    bool (*has_room)(const struct chardev *dev);
    bool (*is_sent)(const struct chardev *dev);
    void (*set_used)(struct chardev *dev, bool used); /* tells the host */
    void (*release)(struct chardev *dev);             /* gone and not in use: may be freed */
};

struct chardev {
    struct list link; /* among all that are there; the class's */
    const struct chardev_ops *ops;
    char id[24];                   /* "vport1p2": where it is */
    char name[CHARDEV_NAME_BYTES]; /* what the host calls it; may be empty */
    bool is_console;               /* as the host says */
    bool connected;                /* the host's side is open; the driver's, as those below */
    uint16_t columns, rows;        /* 0: not told */
    uint64_t read_bytes, written_bytes;
    struct event readable, writable; /* signalled by the driver when something has changed */

    /* The class's. */
    bool used, gone;
};

/* ---- for drivers */

/* Not used and not connected yet; ops, id and whatever is known are set. */
void chardev_add(struct chardev *dev);

/*
 * It is there no more. Who uses it may still read what the driver has; release() is
 * called when nobody does, perhaps at once.
 */
void chardev_remove(struct chardev *dev);

/* Something has changed: wakes whoever waits for it. */
void chardev_changed(struct chardev *dev);

/* ---- for users */

/* The index-th; NULL beyond the last. */
struct chardev *chardev_get(unsigned index);

/* The first with this name, else with this id. NULL: there is none. */
struct chardev *chardev_find(const char *name);

/* 0; -EBUSY: somebody uses it. The host is told. */
int chardev_open(struct chardev *dev);
void chardev_close(struct chardev *dev);

/*
 * At least one byte and at most max > 0. 0: the host's side is not open, and all that
 * it sent has been read. -EAGAIN: nothing is here, and `waits` is false. -ENODEV: gone.
 */
long chardev_read(struct chardev *dev, void *to, size_t max, bool waits);

/*
 * All bytes, or without `waits` those that fit. Waits also for the host to open its
 * side. -EAGAIN: none fitted; -ENODEV: gone before any was taken.
 */
long chardev_write(struct chardev *dev, const void *from, size_t bytes, bool waits);

/*
 * Waits until one of the wanted is true or the deadline (monotonic ns) passes; tells
 * which are, 0: none.
 */
unsigned chardev_wait(struct chardev *dev, unsigned wanted, uint64_t deadline_ns);

#endif
