/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tests/host/live_event.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/thread.h"
#include "kernel/timer.h"
#include "lib/base/errno.h"

#define WATCHES_MAX 64
#define POLLED_MS   1 /* between two looks at what no interrupt marks */

struct watch {
    void (*handler)(void *argument);
    void *argument;
};

static struct pollfd watched[WATCHES_MAX];
static struct watch watches[WATCHES_MAX]; /* same index */
static unsigned n_watches;

static struct list timers = LIST_INIT(timers); /* the earliest first */

uint64_t clock_monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/* ---- descriptors */

void host_watch(int fd, void (*handler)(void *argument), void *argument)
{
    if (n_watches == WATCHES_MAX)
        abort();
    watched[n_watches] = (struct pollfd){ .fd = fd, .events = POLLIN | POLLRDHUP };
    watches[n_watches++] = (struct watch){ handler, argument };
}

void host_unwatch(int fd)
{
    for (unsigned i = 0; i < n_watches; i++) {
        if (watched[i].fd != fd)
            continue;
        n_watches--;
        watched[i] = watched[n_watches];
        watches[i] = watches[n_watches];
        return;
    }
}

static bool is_watched(int fd)
{
    for (unsigned i = 0; i < n_watches; i++)
        if (watched[i].fd == fd)
            return true;
    return false;
}

/* A handler may stop watching others, so the ready ones are written down first. */
static void look(int timeout_ms)
{
    struct watch ready[WATCHES_MAX];
    int fds[WATCHES_MAX];
    unsigned n = 0;

    if (poll(watched, n_watches, timeout_ms) <= 0)
        return;
    for (unsigned i = 0; i < n_watches; i++) {
        if (!watched[i].revents)
            continue;
        fds[n] = watched[i].fd;
        ready[n++] = watches[i];
    }
    for (unsigned i = 0; i < n; i++)
        if (is_watched(fds[i]))
            ready[i].handler(ready[i].argument);
}

/* ---- timers */

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

static struct timer *first_timer(void)
{
    return list_empty(&timers) ? NULL : CONTAINER_OF(timers.next, struct timer, link);
}

static void run_timers(void)
{
    struct timer *timer;

    while ((timer = first_timer()) && timer->deadline_ns <= clock_monotonic_ns()) {
        list_remove(&timer->link);
        timer->expired(timer);
    }
}

/* ---- events */

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

/* Out of its list, as the kernel has it while it is polled. */
void event_poll(struct event *event)
{
    event->polled.next = event->polled.prev = NULL;
}

void event_unpoll(struct event *event)
{
    list_init(&event->polled);
}

static bool is_polled(const struct event *event)
{
    return !event->polled.next;
}

static int ms_until(uint64_t deadline_ns)
{
    uint64_t now_ns = clock_monotonic_ns();

    return now_ns >= deadline_ns ? 0 : (int)((deadline_ns - now_ns) / NSEC_PER_MSEC + 1);
}

static void sleep_until(const struct event *event, uint64_t deadline_ns)
{
    const struct timer *timer = first_timer();

    if (timer)
        deadline_ns = MIN(deadline_ns, timer->deadline_ns);
    look(event && is_polled(event) ? POLLED_MS : ms_until(deadline_ns));
}

int event_wait(struct event *event, uint64_t deadline_ns)
{
    uint64_t patience_ns = clock_monotonic_ns() + HOST_PATIENCE_MS * NSEC_PER_MSEC;

    for (;;) {
        run_timers();
        if (event->marked) {
            event->marked = false;
            return 0;
        }
        if (clock_monotonic_ns() >= deadline_ns)
            return -ETIMEDOUT;
        if (clock_monotonic_ns() >= patience_ns)
            break;
        sleep_until(event, MIN(deadline_ns, patience_ns));
        if (is_polled(event))
            event->marked = true;
    }
    fprintf(stderr, "event_wait: nobody has signalled this event for %d ms\n", HOST_PATIENCE_MS);
    abort();
}

void thread_sleep_until(uint64_t deadline_ns)
{
    while (clock_monotonic_ns() < deadline_ns) {
        run_timers();
        sleep_until(NULL, deadline_ns);
    }
}
