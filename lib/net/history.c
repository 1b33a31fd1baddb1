/* SPDX-License-Identifier: MIT */
/* The memory's history in a ring, see history.h. */
#include "lib/net/history.h"

#include "kernel/clock.h"
#include "kernel/page.h"
#include "kernel/thread.h"
#include "lib/base/errno.h"
#include "lib/base/format.h"

enum fact { TOTAL, USED, REPORTED, BALLOONED, FACTS };

static const char *const names[FACTS] = { "total_bytes", "used_bytes", "reported_bytes",
                                          "ballooned_bytes" };

static struct sample {
    uint64_t uptime_ns;
    uint32_t pages[FACTS]; /* up to 16 TiB */
} samples[HISTORY_SAMPLES];

static uint64_t taken; /* samples in all; the ring holds the last ones */

void history_sample(void)
{
    struct page_stats stats;

    page_get_stats(&stats);
    samples[taken++ % HISTORY_SAMPLES] = (struct sample){
        .uptime_ns = clock_monotonic_ns(),
        .pages = { [TOTAL] = (uint32_t)(stats.total - stats.ballooned),
                   [USED] = (uint32_t)page_stats_used(&stats),
                   [REPORTED] = (uint32_t)stats.reported,
                   [BALLOONED] = (uint32_t)stats.ballooned },
    };
}

static void write_fact(struct text *to, enum fact fact, uint64_t first)
{
    text_add(to, ",\"%s\":[", names[fact]);
    for (uint64_t i = first; i < taken; i++)
        text_add(to, "%s%lu", i > first ? "," : "",
                 samples[i % HISTORY_SAMPLES].pages[fact] * PAGE_SIZE);
    text_add(to, "]");
}

void history_write(struct text *to)
{
    uint64_t first = taken > HISTORY_SAMPLES ? taken - HISTORY_SAMPLES : 0;

    text_add(to, "{\"interval_ns\":%lu,\"uptime_ns\":[", HISTORY_INTERVAL_NS);
    for (uint64_t i = first; i < taken; i++)
        text_add(to, "%s%lu", i > first ? "," : "", samples[i % HISTORY_SAMPLES].uptime_ns);
    text_add(to, "]");
    for (enum fact fact = 0; fact < FACTS; fact++)
        write_fact(to, fact, first);
    text_add(to, "}\n");
}

static void keep_sampling(void *unused)
{
    uint64_t due_ns = clock_monotonic_ns();

    (void)unused;
    for (;;) {
        history_sample();
        /* What a host that stood still made us miss is not made up for. */
        due_ns = MAX(due_ns, clock_monotonic_ns()) + HISTORY_INTERVAL_NS;
        thread_sleep_until(due_ns);
    }
}

int history_start(void)
{
    return thread_create("history", keep_sampling, NULL) ? 0 : -ENOMEM;
}
