/* SPDX-License-Identifier: MIT */
/* Memory as applications see it: see aerostat/memory.h. */
#include "aerostat/memory.h"

#include "kernel/clock.h"
#include "kernel/page.h"
#include "kernel/pressure.h"
#include "lib/libc/kernel_call.h"
#include "lib/libc/memory.h"

#define ATTEMPTS    16
#define SPARE_PAGES 64 /* for page tables, and what malloc takes beside */

static struct aerostat_shrinker *shrinkers; /* the first added first; changed in the kernel only */
static struct thread *shrinking; /* who calls them: on all CPUs one at a time; atomically */

/* The balloon thread's view, for statistics. */
static uint64_t count_caches(void)
{
    uint64_t bytes = 0;

    for (const struct aerostat_shrinker *at = shrinkers; at; at = at->next)
        bytes += at->held_bytes;
    return bytes;
}

void aerostat_shrinker_add(struct aerostat_shrinker *shrinker)
{
    struct aerostat_shrinker **at = &shrinkers;

    kernel_enter();
    pressure_count_caches = count_caches;
    while (*at)
        at = &(*at)->next;
    shrinker->next = NULL;
    *at = shrinker;
    kernel_leave();
}

void aerostat_shrinker_remove(struct aerostat_shrinker *shrinker)
{
    struct aerostat_shrinker **at = &shrinkers;

    kernel_enter();
    while (*at && *at != shrinker)
        at = &(*at)->next;
    if (*at)
        *at = shrinker->next;
    kernel_leave();
}

/* One after the other, until there is enough. A shrinker may remove itself. */
static size_t ask_shrinkers(size_t bytes)
{
    struct aerostat_shrinker *at = shrinkers, *next;
    size_t given = 0;

    for (; at && given < bytes; at = next) {
        next = at->next;
        given += at->shrink(at, bytes - given);
    }
    return given;
}

/* true: something came back, or may have, by another CPU's doing. */
static bool drop_caches(size_t bytes)
{
    struct thread *nobody = NULL;
    size_t given;

    if (!__atomic_compare_exchange_n(&shrinking, &nobody, thread_current(), false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED)) {
        kernel_enter();
        thread_sleep_until(clock_monotonic_ns() + NSEC_PER_MSEC);
        kernel_leave();
        return true;
    }
    given = ask_shrinkers(bytes);
    __atomic_store_n(&shrinking, NULL, __ATOMIC_SEQ_CST);
    return given > 0;
}

static bool fits_at_all(uint64_t pages)
{
    struct page_stats stats;

    page_get_stats(&stats);
    return pages < stats.total;
}

bool memory_relieve(size_t bytes, unsigned attempt)
{
    uint64_t pages = bytes / PAGE_SIZE + bytes / PAGE_SIZE / 256 + SPARE_PAGES;

    if (__atomic_load_n(&shrinking, __ATOMIC_RELAXED) == thread_current() || attempt == ATTEMPTS ||
        !KERNEL_CALL(bool, fits_at_all(pages)))
        return false;
    if (KERNEL_CALL(uint64_t, page_missing(pages)) && KERNEL_CALL(bool, pressure_relieve(pages)))
        return true;
    return drop_caches(pages * PAGE_SIZE);
}

static void look(struct aerostat_memory *memory)
{
    struct page_stats pages;
    uint64_t wish = pressure_wish();

    page_get_stats(&pages);
    *memory = (struct aerostat_memory){
        .total_bytes = (pages.total - pages.ballooned) * PAGE_SIZE,
        .free_bytes = (pages.free + pages.hinted + pages.reporting) * PAGE_SIZE,
        .available_bytes = page_available() * PAGE_SIZE,
        .ballooned_bytes = pages.ballooned * PAGE_SIZE,
        .reported_bytes = pages.reported * PAGE_SIZE,
        .largest_free_bytes = pages.largest_free,
        .target_bytes = (pages.total - MIN(wish, pages.total)) * PAGE_SIZE,
    };
}

void aerostat_memory_get(struct aerostat_memory *memory)
{
    kernel_enter();
    look(memory);
    kernel_leave();
}

static int wait_for_wish(uint64_t target_bytes, int timeout_ms)
{
    uint64_t deadline_ns = CLOCK_NEVER;
    struct aerostat_memory memory;

    if (timeout_ms >= 0)
        deadline_ns = clock_monotonic_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
    for (;;) {
        look(&memory);
        if (memory.target_bytes != target_bytes)
            return 1;
        if (clock_monotonic_ns() >= deadline_ns)
            return 0;
        pressure_wait_for_wish(deadline_ns);
    }
}

int aerostat_memory_wait(uint64_t target_bytes, int timeout_ms)
{
    return KERNEL_CALL(int, wait_for_wish(target_bytes, timeout_ms));
}
