/* SPDX-License-Identifier: MIT */
/*
 * Memory runs short: a cache is filled, the host takes memory away, and then more is
 * wanted than is left, in pieces, until there is none.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "aerostat/memory.h"
#include "cases.h"

#define MIB    (1UL << 20)
#define PIECES 1024

static uint64_t *cached[PIECES], *wanted[PIECES];
static unsigned n_cached, n_wanted, n_asked;

static size_t drop(struct aerostat_shrinker *self, size_t bytes)
{
    size_t dropped = 0;

    n_asked++;
    while (n_cached && dropped < bytes) {
        free(cached[--n_cached]);
        dropped += MIB;
    }
    self->held_bytes -= dropped;
    return dropped;
}

static struct aerostat_shrinker cache = { .shrink = drop };

static uint64_t *piece(unsigned long number)
{
    uint64_t *words = malloc(MIB);

    for (size_t i = 0; words && i < MIB / sizeof(*words); i++)
        words[i] = number * i;
    return words;
}

static bool is_intact(const uint64_t *words, unsigned long number)
{
    for (size_t i = 0; i < MIB / sizeof(*words); i++) {
        if (words[i] != number * i)
            return false;
    }
    return true;
}

static void fill_cache(unsigned long mib)
{
    while (n_cached < mib && n_cached < PIECES && (cached[n_cached] = piece(n_cached)))
        n_cached++;
    cache.held_bytes = n_cached * MIB;
    aerostat_shrinker_add(&cache);
    printf("cached %u MiB\n", n_cached);
}

/* The host may have its wish before anybody waits for it. */
static void wait_for_the_host(uint64_t target_bytes)
{
    struct aerostat_memory memory;

    aerostat_memory_wait(target_bytes, -1);
    aerostat_memory_get(&memory);
    printf("the host wishes %llu MiB\n", (unsigned long long)(memory.target_bytes / MIB));
    wait_for_a_line();
}

/* cached MiB, wanted MiB (0: all that there is). Goes on, and ends, when a line was typed. */
int run_pressure(int argc, char **argv)
{
    struct aerostat_memory before;
    unsigned long mib = number(argc, argv, 2, 0);
    bool intact = true;

    aerostat_memory_get(&before);
    fill_cache(number(argc, argv, 1, 32));
    wait_for_the_host(before.target_bytes);
    if (!mib || mib > PIECES)
        mib = PIECES;
    while (n_wanted < mib && (wanted[n_wanted] = piece(n_wanted)))
        n_wanted++;
    if (n_wanted < mib) {
        report(errno == ENOMEM, "malloc fails with ENOMEM");
        report(n_cached == 0, "the cache went first");
    }
    for (unsigned i = 0; i < n_wanted; i++)
        intact = intact && is_intact(wanted[i], i);
    report(intact, "what was had is intact");
    printf("had %u MiB, cached %u MiB, shrinker asked %u times\n", n_wanted, n_cached, n_asked);
    while (n_wanted)
        free(wanted[--n_wanted]);
    wait_for_a_line();
    return reported();
}
