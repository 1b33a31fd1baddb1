/* SPDX-License-Identifier: MIT */
/* What to do when memory is short, see pressure.h. */
#include "kernel/pressure.h"

#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/page.h"

#define PATIENCE_NS (3 * NSEC_PER_SEC)
#define LOOK_NS     (NSEC_PER_SEC / 2)

static bool (*ask)(uint64_t pages);
static struct event given = EVENT_INIT(given);
static struct event wished = EVENT_INIT(wished);
static uint64_t stalls, wish;

uint64_t (*pressure_count_caches)(void);

void pressure_ask(bool (*give)(uint64_t pages))
{
    ask = give;
}

void pressure_given(void)
{
    event_signal(&given);
}

bool pressure_relieve(uint64_t pages)
{
    uint64_t missing = page_missing(pages);
    uint64_t now_ns = clock_monotonic_ns(), end_ns = now_ns + PATIENCE_NS;

    if (!missing || !ask || !ask(missing))
        return !missing;
    stalls++;
    do {
        event_wait(&given, now_ns + LOOK_NS);
        now_ns = clock_monotonic_ns();
        missing = page_missing(pages);
    } while (missing && now_ns < end_ns && ask(missing));
    ask(0);
    return !missing;
}

uint64_t pressure_wish(void)
{
    return wish;
}

void pressure_tell_wish(uint64_t pages)
{
    wish = pages;
    event_signal(&wished);
}

void pressure_wait_for_wish(uint64_t deadline_ns)
{
    event_wait(&wished, deadline_ns);
}

uint64_t pressure_stalls(void)
{
    return stalls;
}
