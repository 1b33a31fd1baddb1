/* SPDX-License-Identifier: MIT */
/*
 * The pace of a driver's thread that serves its devices in rounds: a device that
 * answers faster than we ask must not keep the CPU from all others. A round that is
 * not waited for counts; after too many of them in a row, or when they took long (some
 * devices do their work while they are notified), the thread pauses.
 */
#ifndef KERNEL_ROUNDS_H
#define KERNEL_ROUNDS_H

#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/thread.h"

#define ROUNDS_MAX      64
#define ROUNDS_BUSY_NS  (10 * NSEC_PER_MSEC)
#define ROUNDS_PAUSE_NS NSEC_PER_MSEC

struct rounds {
    unsigned n;        /* since the last pause, or wait that was as long as one */
    uint64_t since_ns; /* the first of them ended then */
};

/* At a round's end: waits for the event where that is possible, else pauses when it is time to. */
static inline void rounds_end(struct rounds *rounds, struct event *event, bool may_sleep)
{
    uint64_t now_ns = clock_monotonic_ns();

    if (rounds->n++ == 0)
        rounds->since_ns = now_ns;
    if (rounds->n == ROUNDS_MAX || now_ns - rounds->since_ns >= ROUNDS_BUSY_NS) {
        thread_sleep_until(now_ns + ROUNDS_PAUSE_NS);
        rounds->n = 0;
    } else if (may_sleep) {
        event_wait(event, CLOCK_NEVER);
        if (clock_monotonic_ns() - now_ns >= ROUNDS_PAUSE_NS)
            rounds->n = 0;
    }
}

#endif
