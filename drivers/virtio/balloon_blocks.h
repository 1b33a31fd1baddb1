/* SPDX-License-Identifier: MIT */
/*
 * A stack of blocks of memory that are lent: which ones they are is kept beside
 * them, 8 bytes a block, so that they themselves are not touched.
 *
 * Concurrency: one owner, the balloon thread.
 */
#ifndef DRIVERS_VIRTIO_BALLOON_BLOCKS_H
#define DRIVERS_VIRTIO_BALLOON_BLOCKS_H

#include "kernel/page.h"

/* A page full of blocks: physical address with the order in its low bits. */
#define BLOCKS_IN_CHUNK 510

struct block_chunk {
    struct block_chunk *below;
    uint64_t n;
    uint64_t blocks[BLOCKS_IN_CHUNK];
};

_Static_assert(sizeof(struct block_chunk) == PAGE_SIZE, "a chunk is a page");

struct block_stack {
    struct block_chunk *top; /* NULL: empty */
};

static inline phys_addr_t block_start(uint64_t block)
{
    return ALIGN_DOWN(block, PAGE_SIZE);
}

static inline unsigned block_order(uint64_t block)
{
    return block % PAGE_SIZE;
}

/* Room for one more block on top; false: no memory for a chunk. */
bool block_make_room(struct block_stack *stack);

/* Into the room that was made. */
void block_push(struct block_stack *stack, phys_addr_t start, unsigned order);

/* Of a stack that is not empty. */
uint64_t block_top(const struct block_stack *stack);
uint64_t block_pop(struct block_stack *stack);

/* Room that was made and not used. */
void block_drop_room(struct block_stack *stack);

/* Halves the topmost block; the lower half lies on top then. false: no memory for its entry. */
bool block_split_top(struct block_stack *stack);

#endif
