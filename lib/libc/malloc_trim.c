/* SPDX-License-Identifier: MIT */
/*
 * Gives back whole pages of what malloc holds and nobody uses: of free slots, where the same
 * ones of a group were free in the round before. mallocng keeps a group of slots while one of them
 * is in use; a page of free ones is as good as one that was never touched, but for the four bytes
 * in front of each slot, which are zeros in those too.
 *
 * Concurrency: the footprint's thread, with malloc's lock; never waits for it.
 */
#include "lib/libc/malloc_trim.h"

#include <meta.h> /* mallocng's own */
#include <string.h>

#define GROUPS_AT_ONCE 32 /* while the lock is held */

/* Of a group's header; the rest of its padding is the first slot's. */
#define SEEN_BYTES 3

static struct meta_area *area; /* where to go on; areas are never given back */
static int slot;

/* The whole pages between these; whether some of them are there is seen by the first. */
static uint64_t give_back(const unsigned char *start, const unsigned char *end)
{
    uintptr_t first = ((uintptr_t)start + PAGESIZE - 1) & -PAGESIZE;
    uintptr_t last = (uintptr_t)end & -PAGESIZE;

    if (first >= last || !vmem_is_resident(first))
        return 0;
    vmem_discard((void *)first, last - first);
    return (last - first) / PAGESIZE;
}

/* The runs of slots that are set in the mask. */
static uint64_t give_back_slots(const struct meta *meta, uint32_t mask)
{
    size_t stride = get_stride(meta);
    uint64_t pages = 0;

    while (mask) {
        unsigned from = (unsigned)a_ctz_32(mask);
        uint32_t after = ~(mask >> from);
        unsigned n = after ? (unsigned)a_ctz_32(after) : 32 - from;

        pages += give_back(meta->mem->storage + stride * from,
                           meta->mem->storage + stride * (from + n) - IB);
        mask &= n + from >= 32 ? 0 : ~UINT32_C(0) << (from + n);
    }
    return pages;
}

static bool is_too_small(const struct meta *meta)
{
    return meta->sizeclass >= 48 || get_stride(meta) * (meta->last_idx + 1) < 2 * PAGESIZE;
}

/* Whether the same slots were free in the round before, as nearly as can be kept. */
static bool is_as_before(struct meta *meta, uint32_t is_free)
{
    uint32_t seen = is_free ^ is_free >> (8 * SEEN_BYTES);

    if (!memcmp(meta->mem->pad, &seen, SEEN_BYTES))
        return true;
    memcpy(meta->mem->pad, &seen, SEEN_BYTES);
    return false;
}

static uint64_t trim_group(struct meta *meta, bool *waits)
{
    uint32_t is_free = (uint32_t)(meta->avail_mask | meta->freed_mask);

    if (is_as_before(meta, is_free))
        return give_back_slots(meta, is_free);
    *waits |= is_free != 0;
    return 0;
}

static bool next_group(struct meta **meta)
{
    if (area && slot == area->nslots) {
        area = area->next;
        slot = 0;
    }
    if (!area)
        return false;
    *meta = &area->slots[slot++];
    return true;
}

bool malloc_trim_some(uint64_t *pages, bool *waits)
{
    struct meta *meta;
    bool more = true;

    if (!malloc_try_lock()) {
        *waits = true;
        return false;
    }
    if (!area) {
        area = ctx.meta_area_head;
        slot = 0;
    }
    for (int i = 0; i < GROUPS_AT_ONCE && more; i++) {
        more = next_group(&meta);
        if (more && meta->mem && !is_too_small(meta))
            *pages += trim_group(meta, waits);
    }
    malloc_unlock();
    return more;
}
