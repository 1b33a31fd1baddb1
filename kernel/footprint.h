/* SPDX-License-Identifier: MIT */
/*
 * Keeps the guest's footprint near its working set, where the host is told of free memory
 * (`balloon=auto`): what the application's allocator holds without need goes back to the
 * page allocator, and pages that lie scattered move down, so that free memory becomes whole
 * 2 MiB blocks, which are reported.
 *
 * Nothing happens in a guest that frees nothing: the first free() after a round tells of it,
 * and a round follows a while later. One whose memory was wanted back at once is followed by
 * a longer pause. A round works in slices, with pauses nine times as long.
 *
 * Concurrency: kernel context; one thread, "footprint".
 */
#ifndef KERNEL_FOOTPRINT_H
#define KERNEL_FOOTPRINT_H

#include "lib/base/types.h"

/* Begins to look after the footprint. -ENOMEM. Once, further calls do nothing. */
int footprint_start(void);

/*
 * Gives back some of what is unused, and sets *pages up by how many that was. true: there is
 * more; false: that was all, and the next call begins anew, or the allocator is busy.
 * *waits becomes true where something is to rest until the next round.
 */
typedef bool footprint_trim(uint64_t *pages, bool *waits);

/*
 * Something was freed. Need not be told while footprint_knows, which is true from the start
 * where nobody cares.
 */
extern bool footprint_knows;
void footprint_freed(footprint_trim *trim);

struct footprint_stats {
    uint64_t rounds;
    uint64_t trimmed; /* pages that the allocator gave back */
    uint64_t moved;   /* pages that were moved to lower ones */
};

void footprint_get_stats(struct footprint_stats *stats);

#endif
