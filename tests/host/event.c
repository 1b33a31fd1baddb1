/* SPDX-License-Identifier: MIT */
/*
 * kernel/event.h, kernel/timer.h and the sleeping part of kernel/thread.h for hosted tests.
 * There is one thread: who waits lets time pass, and the test's idle hook play
 * the device meanwhile.
 */
#include "tests/host/event.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/thread.h"
#include "kernel/timer.h"
#include "lib/base/errno.h"
#include "tests/host/clock.h"

#define MAX_IDLE_ROUNDS 100000

static struct list timers = LIST_INIT(timers); /* the earliest first */

void (*host_idle)(void);

void event_init(struct event *event)
{
    list_init(&event->waiters);
    list_init(&event->polled);
    event->marked = false;
}

void event_signal(struct event *event)
{
    event->marked = true;
}

void event_poll(struct event *event)
{
    if (!list_empty(&event->polled)) {
        fprintf(stderr, "event_poll: the event is polled already\n");
        abort();
    }
    /* Out of its list, as the kernel has it while it is polled. */
    event->polled.next = event->polled.prev = NULL;
}

void event_unpoll(struct event *event)
{
    list_init(&event->polled);
}

bool host_event_is_polled(const struct event *event)
{
    return !event->polled.next;
}

void timer_init(struct timer *timer, void (*expired)(struct timer *timer))
{
    list_init(&timer->link);
    timer->expired = expired;
}

void timer_start(struct timer *timer, uint64_t deadline_ns)
{
    struct list *link;

    list_remove(&timer->link);
    timer->deadline_ns = deadline_ns;
    LIST_FOR_EACH (link, &timers)
        if (CONTAINER_OF(link, struct timer, link)->deadline_ns > deadline_ns)
            break;
    list_insert_before(&timer->link, link);
}

void timer_cancel(struct timer *timer)
{
    list_remove(&timer->link);
}

bool host_next_timer(uint64_t limit_ns)
{
    struct timer *timer = CONTAINER_OF(timers.next, struct timer, link);

    if (list_empty(&timers) || timer->deadline_ns > limit_ns)
        return false;
    if (host_clock_ns < timer->deadline_ns)
        host_clock_ns = timer->deadline_ns;
    list_remove(&timer->link);
    timer->expired(timer);
    return true;
}

static void let_time_pass(uint64_t until_ns)
{
    while (host_next_timer(until_ns))
        ;
    if (host_clock_ns < until_ns)
        host_clock_ns = until_ns;
}

int event_wait(struct event *event, uint64_t deadline_ns)
{
    for (unsigned i = 0; i < MAX_IDLE_ROUNDS; i++) {
        if (event->marked) {
            event->marked = false;
            return 0;
        }
        if (host_idle)
            host_idle();
        if (host_event_is_polled(event))
            event->marked = true;
        if (event->marked || host_next_timer(deadline_ns))
            continue;
        if (deadline_ns != CLOCK_NEVER) {
            let_time_pass(deadline_ns);
            return -ETIMEDOUT;
        }
        if (!host_idle)
            break;
    }
    fprintf(stderr, "event_wait: nobody will ever signal this event\n");
    abort();
}

void thread_sleep_until(uint64_t deadline_ns)
{
    let_time_pass(deadline_ns);
}
