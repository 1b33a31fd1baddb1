/* SPDX-License-Identifier: MIT */
/*
 * How often something outside may go wrong before it is given up: a few times in
 * a row, and once more for each while that has passed since. So one that always
 * fails ends soon, and one that fails now and then may do so for years.
 */
#ifndef KERNEL_PATIENCE_H
#define KERNEL_PATIENCE_H

#include "kernel/clock.h"
#include "lib/base/types.h"

#define PATIENCE_FAILURES  8
#define PATIENCE_FORGET_NS (600 * NSEC_PER_SEC)

struct patience {
    unsigned failures; /* that are not forgotten */
    uint64_t since_ns; /* when the oldest of them happened, or the last one was forgotten */
};

/* One more failure. false: it has become too many. */
static inline bool patience_lasts(struct patience *patience)
{
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t forgotten = (now_ns - patience->since_ns) / PATIENCE_FORGET_NS;

    if (forgotten >= patience->failures)
        *patience = (struct patience){ 0, now_ns };
    else
        *patience = (struct patience){ patience->failures - (unsigned)forgotten,
                                       patience->since_ns + forgotten * PATIENCE_FORGET_NS };
    return ++patience->failures <= PATIENCE_FAILURES;
}

#endif
