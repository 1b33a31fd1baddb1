/* SPDX-License-Identifier: MIT */
/* A footprint near the working set, see footprint.h. */
#include "kernel/footprint.h"

#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/thread.h"
#include "kernel/timer.h"
#include "kernel/vmem.h"
#include "lib/base/errno.h"

#define REST_NS     NSEC_PER_SEC
#define REST_MAX_NS (32 * NSEC_PER_SEC)
#define SLICE_NS    (500 * NSEC_PER_USEC)
#define PAUSE_NS    (9 * SLICE_NS)

/* What may lie scattered, beside the eighth part of what is in use: not worth moving for. */
#define SCATTERED_PAGES (4 * MIB / PAGE_SIZE)

static struct event event = EVENT_INIT(event);
static struct timer timer;
static struct thread *thread;
static footprint_trim *trim; /* the allocator's, once it has freed something */
static struct footprint_stats stats;
static uint64_t rest_ns = REST_NS;
static uint64_t returned;       /* pages, in the round before */
static uint64_t faults_before;  /* at its end */
static uint64_t left_scattered; /* what could not be moved, the last time */

bool footprint_knows = true;

static void wake(struct timer *expired)
{
    (void)expired;
    event_signal(&event);
}

static void pause(uint64_t *slice_end_ns)
{
    if (clock_monotonic_ns() < *slice_end_ns)
        return;
    thread_sleep_until(clock_monotonic_ns() + PAUSE_NS);
    *slice_end_ns = clock_monotonic_ns() + SLICE_NS;
}

static uint64_t pages_in_use(void)
{
    struct page_stats pages;

    page_get_stats(&pages);
    return pages.total - pages.free - pages.ballooned - pages.hinted - pages.reporting;
}

/* Moving costs copies: only for much, and not for the same again in vain. */
static bool is_worth_moving(void)
{
    uint64_t scattered = page_scattered(), most = pages_in_use() / 8 + SCATTERED_PAGES;

    left_scattered = MIN(left_scattered, scattered);
    return scattered > left_scattered + most;
}

static void move(uint64_t *slice_end_ns)
{
    phys_addr_t end = page_dense_end();
    uintptr_t at = 0;

    if (!is_worth_moving())
        return;
    while (vmem_move_down(&at, end, &stats.moved))
        pause(slice_end_ns);
    left_scattered = page_scattered();
}

static uint64_t faults_now(void)
{
    struct vmem_stats window;

    vmem_get_stats(&window);
    return window.faults;
}

/* Was it wanted back, then a longer rest is due. */
static void choose_rest(void)
{
    if (returned && faults_now() - faults_before > returned / 2)
        rest_ns = MIN(2 * rest_ns, REST_MAX_NS);
    else
        rest_ns = REST_NS;
}

/* true: something rests, and is to be looked at again. */
static bool run_round(void)
{
    uint64_t slice_end_ns = clock_monotonic_ns() + SLICE_NS;
    bool waits = false;

    choose_rest();
    returned = 0;
    stats.rounds++;
    while (trim(&returned, &waits))
        pause(&slice_end_ns);
    stats.trimmed += returned;
    faults_before = faults_now();
    move(&slice_end_ns);
    log_debug("footprint: %llu MiB given back, %llu MiB moved so far, %llu MiB scattered",
              (unsigned long long)(returned * PAGE_SIZE / MIB),
              (unsigned long long)(stats.moved * PAGE_SIZE / MIB),
              (unsigned long long)(page_scattered() * PAGE_SIZE / MIB));
    return waits;
}

static void run(void *unused)
{
    (void)unused;
    for (;;) {
        event_wait(&event, CLOCK_NEVER);
        __atomic_store_n(&footprint_knows, false,
                         __ATOMIC_RELAXED); /* what comes now counts anew */
        if (run_round())
            footprint_freed(trim);
    }
}

int footprint_start(void)
{
    if (thread)
        return 0;
    timer_init(&timer, wake);
    thread = thread_create("footprint", run, NULL);
    if (!thread)
        return -ENOMEM;
    footprint_knows = false;
    return 0;
}

void footprint_freed(footprint_trim *allocators)
{
    if (__atomic_exchange_n(&footprint_knows, true, __ATOMIC_RELAXED))
        return;
    trim = allocators;
    timer_start(&timer, clock_monotonic_ns() + rest_ns);
}

void footprint_get_stats(struct footprint_stats *to)
{
    *to = stats;
}
