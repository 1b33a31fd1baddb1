/* SPDX-License-Identifier: MIT */
/*
 * lwIP's memory: packets, connections, timeouts. Size classes in blocks of
 * 16 KiB from the page allocator, larger pieces in blocks of their own; bounded
 * in sum, so that no peer can take the machine's memory; never cleared, for a
 * packet is written whole by who asked for it. Empty blocks go back.
 *
 * Concurrency: kernel context.
 */
#ifndef LIB_NET_HEAP_H
#define LIB_NET_HEAP_H

#include "lib/base/types.h"

/* At most so many bytes from the page allocator; may be called again. */
void net_heap_limit(uint64_t bytes);

/* As malloc(), calloc() and free(). */
void *net_heap_alloc(size_t bytes);
void *net_heap_calloc(size_t n, size_t bytes);
void net_heap_free(void *object);

struct net_heap_stats {
    uint64_t held_bytes, limit_bytes; /* from the page allocator */
    uint64_t used;                    /* objects */
    uint64_t refused;                 /* requests */
};

void net_heap_get_stats(struct net_heap_stats *stats);

#endif
