/* SPDX-License-Identifier: MIT */
/* Readings of a clock that several places may take, made never to go back. */
#ifndef LIB_BASE_LATEST_H
#define LIB_BASE_LATEST_H

#include "lib/base/types.h"

/* The latest of what was ever given here for *so_far: `value`, or what it holds. Any context. */
static inline uint64_t latest(uint64_t *so_far, uint64_t value)
{
    uint64_t seen = __atomic_load_n(so_far, __ATOMIC_RELAXED);

    do {
        if (value <= seen)
            return seen;
    } while (!__atomic_compare_exchange_n(so_far, &seen, value, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return value;
}

#endif
