/* SPDX-License-Identifier: MIT */
/*
 * Small kernel objects: size classes of powers of two from 16 to 2048 bytes in
 * pages of their own, whole page blocks above. Physically contiguous, mapped at
 * its own address, aligned to the size class (at least 16 bytes): fit for DMA.
 *
 * Concurrency: kernel context only, never from an interrupt handler.
 */
#ifndef KERNEL_ALLOC_H
#define KERNEL_ALLOC_H

#include "lib/base/types.h"

/* Zeroed memory, or NULL. bytes > 0. */
void *kalloc(size_t bytes);

/* NULL is allowed. */
void kfree(void *object);

/* Bytes in use, and taken from the page allocator for it. */
struct kalloc_stats {
    uint64_t used_bytes, held_bytes;
};

void kalloc_get_stats(struct kalloc_stats *stats);

#endif
