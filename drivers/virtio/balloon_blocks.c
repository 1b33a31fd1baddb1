/* SPDX-License-Identifier: MIT */
/* The stack of blocks, see balloon_blocks.h. */
#include "drivers/virtio/balloon_blocks.h"

bool block_make_room(struct block_stack *stack)
{
    struct block_chunk *chunk;

    if (stack->top && stack->top->n < BLOCKS_IN_CHUNK)
        return true;
    chunk = (struct block_chunk *)(uintptr_t)page_alloc(0);
    if (!chunk)
        return false;
    chunk->below = stack->top;
    chunk->n = 0;
    stack->top = chunk;
    return true;
}

void block_push(struct block_stack *stack, phys_addr_t start, unsigned order)
{
    struct block_chunk *chunk = stack->top;

    chunk->blocks[chunk->n++] = start | order;
}

void block_drop_room(struct block_stack *stack)
{
    while (stack->top && stack->top->n == 0) {
        struct block_chunk *empty = stack->top;

        stack->top = empty->below;
        page_free((uintptr_t)empty, 0);
    }
}

uint64_t block_top(const struct block_stack *stack)
{
    return stack->top->blocks[stack->top->n - 1];
}

uint64_t block_pop(struct block_stack *stack)
{
    uint64_t block = stack->top->blocks[--stack->top->n];

    block_drop_room(stack);
    return block;
}

bool block_split_top(struct block_stack *stack)
{
    uint64_t *block = &stack->top->blocks[stack->top->n - 1];
    unsigned order = block_order(*block) - 1;
    phys_addr_t start = block_start(*block);

    if (!block_make_room(stack))
        return false;
    *block = (start + PAGE_BYTES(order)) | order;
    block_push(stack, start, order);
    return true;
}
