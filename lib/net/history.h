/* SPDX-License-Identifier: MIT */
/*
 * What the memory was in the last twelve minutes, for charts: a sample each few
 * seconds, in a fixed place. An image that serves no pages keeps none.
 *
 * Concurrency: kernel context.
 */
#ifndef LIB_NET_HISTORY_H
#define LIB_NET_HISTORY_H

#include "lib/base/types.h"

struct text;

#define HISTORY_INTERVAL_NS UINT64_C(4000000000)
#define HISTORY_SAMPLES     180

/* Samples from now on, by a thread of its own. 0 or -ENOMEM. */
int history_start(void);

/* One sample, of now. */
void history_sample(void);

/* As JSON: the interval, and for each fact a list of its values, the oldest first. */
void history_write(struct text *to);

#endif
