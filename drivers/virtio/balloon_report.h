/* SPDX-License-Identifier: MIT */
/*
 * Free page reporting (§5.5.6.7): the host is told of free memory, and need not
 * keep it. What is free for REST_NS is reported in blocks as large as can be, a
 * buffer full of them at a time; the memory is free again when the device has
 * answered. Nothing happens while nothing becomes free.
 *
 * Concurrency: the balloon thread, but for the timer, which only marks.
 */
#ifndef DRIVERS_VIRTIO_BALLOON_REPORT_H
#define DRIVERS_VIRTIO_BALLOON_REPORT_H

#include "drivers/virtio/device.h"
#include "kernel/page.h"
#include "kernel/timer.h"

#define REPORT_BLOCKS 32

struct balloon_report {
    struct virtio_queue queue;
    struct page_block blocks[REPORT_BLOCKS]; /* those the device has now */
    unsigned n;                              /* so many; 0: no report is under way */
    uint64_t since_ns;                       /* when it was lent them */
    uint64_t reported;                       /* pages, in sum */
    struct event *event;
    struct timer rest;
    bool resting;
    bool rested; /* set by the timer */
};

/* false: another device reports already, or `reporting=off`. */
bool balloon_report_wanted(void);

/*
 * Sets up the queue, of a struct of zeros; the event is signalled when there is something
 * to do. 0, or what virtio_queue_setup() says.
 */
int balloon_report_init(struct balloon_report *report, struct virtio_device *device, uint16_t index,
                        struct event *event);

/* After virtio_start(): reporting begins, also once more after a reset. */
void balloon_report_begin(struct balloon_report *report);

/*
 * Takes in answers; and unless memory is short, begins the next report. 0, or -EIO: the
 * device lied.
 */
int balloon_report_work(struct balloon_report *report, bool is_short);

/* How many pages the report under way has out of use. */
uint64_t balloon_report_pages(const struct balloon_report *report);

/* The device has forgotten the report under way: its memory is free, and not reported. */
void balloon_report_cut_off(struct balloon_report *report);

/* Stops, if it had begun. What the device may still have stays out of use. */
void balloon_report_end(struct balloon_report *report);

#endif
