/* SPDX-License-Identifier: MIT */
/*
 * Memory that comes and goes: how much there is, caches that are given back before
 * malloc() fails, and what the host wants. In every image.
 *
 *     static size_t drop(struct aerostat_shrinker *self, size_t bytes)
 *     {
 *         ...                                  free() the oldest entries, about so many bytes
 *         self->held_bytes -= dropped;
 *         return dropped;
 *     }
 *
 *     static struct aerostat_shrinker cache = { .shrink = drop };
 *
 *     aerostat_shrinker_add(&cache);
 *
 * When malloc() finds no memory, the host is asked first for what it was lent, where it
 * allows that (the balloon's DEFLATE_ON_OOM); then shrinkers are asked, in the order in which
 * they were added, until it fits. Only then it returns NULL with errno ENOMEM.
 *
 * Threads: for any of the application; shrinkers are called by one at a time.
 */
#ifndef AEROSTAT_MEMORY_H
#define AEROSTAT_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct aerostat_shrinker {
    /*
     * Gives back about so many bytes by free() and returns how many they were; 0: there is
     * nothing. Runs inside of malloc(); its own malloc() fails rather than ask anybody.
     */
    size_t (*shrink)(struct aerostat_shrinker *shrinker, size_t bytes);
    size_t held_bytes; /* kept by its owner: what it could give, which the host is told */
    struct aerostat_shrinker *next; /* not its owner's */
};

/* The struct is the owner's, and stays where it is until it is removed. */
void aerostat_shrinker_add(struct aerostat_shrinker *shrinker);
void aerostat_shrinker_remove(struct aerostat_shrinker *shrinker);

struct aerostat_memory {
    uint64_t total_bytes;        /* the guest's, without what is in the balloon */
    uint64_t free_bytes;         /* nobody's */
    uint64_t available_bytes;    /* what malloc() may still get, in pieces */
    uint64_t ballooned_bytes;    /* lent to the host */
    uint64_t reported_bytes;     /* free, and the host was told that it need not keep them */
    uint64_t largest_free_bytes; /* the largest block */
    uint64_t target_bytes;       /* what the host wishes total_bytes to be */
};

/* Fills *memory with what is now. Does not fail. */
void aerostat_memory_get(struct aerostat_memory *memory);

/*
 * Waits until the host wishes something else than target_bytes, at most timeout_ms
 * milliseconds (negative: without end). 1: it does, ask aerostat_memory_get() what; 0: the time
 * has passed. Several threads may wait at once: all of them are told.
 */
int aerostat_memory_wait(uint64_t target_bytes, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
