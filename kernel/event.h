/* SPDX-License-Identifier: MIT */
/*
 * An event: what an interrupt handler, a timer or another thread marks, and
 * what threads wait for. A mark without a waiter is kept (once) for the next
 * one, so no wake-up is lost.
 *
 *     for (;;) {
 *         while (virtq_arm(q, 1))      look again after arming: it may have come meanwhile
 *             reap(q);
 *         event_wait(&queue_event, CLOCK_NEVER);
 *     }
 */
#ifndef KERNEL_EVENT_H
#define KERNEL_EVENT_H

#include "kernel/spinlock.h"
#include "lib/base/list.h"
#include "lib/base/types.h"

struct scheduler;

struct event {
    struct spinlock lock;           /* of waiters, poller and marked, with interrupts off */
    struct list waiters;            /* threads, the longest waiting first */
    const struct scheduler *poller; /* that of all waiters, or a mark for several; NULL: none */
    struct list polled;             /* among the polled events, see event_poll() */
    bool marked;                    /* set by event_signal, taken by event_wait */
};

#define EVENT_INIT(name)                                                         \
    {                                                                            \
        .waiters = LIST_INIT((name).waiters), .polled = LIST_INIT((name).polled) \
    }

void event_init(struct event *event);

/*
 * Wakes the longest waiting thread, or marks the event. Any context of any CPU. The event
 * is not touched any more once that thread may run, so it may live on its stack.
 */
void event_signal(struct event *event);

/*
 * Takes the mark, or waits for it until the deadline (monotonic ns, CLOCK_NEVER
 * for ever). 0, or -ETIMEDOUT. Thread context.
 */
int event_wait(struct event *event, uint64_t deadline_ns);

/*
 * Where no interrupt will mark it (`irq=poll`): from now on the event is marked
 * whenever the CPU has nothing else to do, and every millisecond while an
 * application computes. Its waiter looks at the device each time.
 */
void event_poll(struct event *event);
void event_unpoll(struct event *event);

#endif
