/* SPDX-License-Identifier: MIT */
/* What to do when memory is short, see pressure.h. */
#include "kernel/pressure.h"

#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/page.h"

#define PATIENCE_NS (3 * NSEC_PER_SEC)
#define LOOK_NS     (NSEC_PER_SEC / 2)

/* On the stack of who waits. */
struct waiter {
    struct list link; /* in waiters or watchers; in none: it has its answer */
    struct event answered;
    uint64_t pages;
    bool served; /* so many are promised to it */
};

static bool (*ask)(uint64_t pages);
static struct list waiters = LIST_INIT(waiters);   /* for memory, the longest waiting first */
static struct list watchers = LIST_INIT(watchers); /* for a new wish */
static bool fills_reserve;
static uint64_t stalls, wish;

uint64_t (*pressure_count_caches)(void);

void pressure_ask(bool (*give)(uint64_t pages))
{
    ask = give;
}

static void answer(struct waiter *waiter)
{
    list_remove(&waiter->link);
    event_signal(&waiter->answered);
}

/*
 * Strictly in turn, so that many small ones do not keep a large one waiting. What
 * one was told of is promised to it until it runs, so that no other gets it meanwhile.
 */
static void serve(void)
{
    while (!list_empty(&waiters)) {
        struct waiter *first = CONTAINER_OF(waiters.next, struct waiter, link);

        if (page_promise(first->pages))
            return;
        first->served = true;
        answer(first);
    }
}

/* Whether so many pages are free beside the reserve, or come back. */
static bool can_be_had(uint64_t pages)
{
    uint64_t missing = page_missing(pages);

    return !missing || (ask && ask(missing));
}

/* What all lack together is asked for; those whose part is too much for it are refused. */
static void ask_for_all(void)
{
    struct list *link, *next;
    uint64_t pages = 0;

    fills_reserve = fills_reserve && page_missing(0) && can_be_had(0);
    for (link = waiters.next; link != &waiters; link = next) {
        struct waiter *waiter = CONTAINER_OF(link, struct waiter, link);

        next = link->next;
        if (can_be_had(pages + waiter->pages))
            pages += waiter->pages;
        else
            answer(waiter);
    }
    if (ask && !fills_reserve && !pages)
        ask(0);
}

void pressure_given(void)
{
    serve();
    ask_for_all();
}

void pressure_keep_reserve(struct event *event)
{
    if (!page_watch_reserve(event) || fills_reserve)
        return;
    fills_reserve = true;
    ask_for_all();
}

static void wait_for_answer(struct waiter *waiter)
{
    uint64_t now_ns = clock_monotonic_ns(), end_ns = now_ns + PATIENCE_NS;

    stalls++;
    while (!list_empty(&waiter->link) && now_ns < end_ns) {
        event_wait(&waiter->answered, now_ns + LOOK_NS);
        now_ns = clock_monotonic_ns();
        if (!list_empty(&waiter->link)) /* memory comes back in other ways too */
            pressure_given();
    }
    if (list_empty(&waiter->link))
        return;
    list_remove(&waiter->link);
    ask_for_all();
}

bool pressure_relieve(uint64_t pages)
{
    struct waiter waiter = { .pages = pages };

    if (!page_missing(pages))
        return true;
    event_init(&waiter.answered);
    list_append(&waiters, &waiter.link);
    pressure_given();
    if (!list_empty(&waiter.link))
        wait_for_answer(&waiter);
    if (waiter.served)
        page_unpromise(pages);
    return waiter.served;
}

uint64_t pressure_wish(void)
{
    return wish;
}

void pressure_tell_wish(uint64_t pages)
{
    wish = pages;
    while (!list_empty(&watchers))
        answer(CONTAINER_OF(watchers.next, struct waiter, link));
}

void pressure_wait_for_wish(uint64_t deadline_ns)
{
    struct waiter waiter = { .pages = 0 };

    event_init(&waiter.answered);
    list_append(&watchers, &waiter.link);
    event_wait(&waiter.answered, deadline_ns);
    list_remove(&waiter.link);
}

uint64_t pressure_stalls(void)
{
    return stalls;
}
