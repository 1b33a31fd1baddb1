/* SPDX-License-Identifier: MIT */
/* lwIP's memory, see heap.h. */
#include "lib/net/heap.h"

#include "kernel/page.h"
#include "kernel/panic.h"
#include "lib/base/list.h"
#include "lib/base/string.h"

#define BLOCK_ORDER  2
#define BLOCK_BYTES  PAGE_BYTES(BLOCK_ORDER)
#define HEADER_BYTES 64
#define LARGE        UINT16_MAX

/* Objects of one size fill a block well; 1600 holds a full segment with its pbuf and headers. */
static const uint16_t class_bytes[] = {
    32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1600, 4064
};

#define CLASSES ARRAY_SIZE(class_bytes)

struct object {
    struct object *next;
};

/*
 * At the start of each block, which is aligned to BLOCK_BYTES: an object's
 * block is found by its address.
 */
struct block {
    struct list link;               /* among the class's blocks with room, to itself when full */
    struct object *free;            /* of those that were used before */
    uint16_t class;                 /* LARGE: one object of 2^order pages */
    uint16_t used, fresh, capacity; /* objects; fresh: at the end, never used yet */
    unsigned order;
};

_Static_assert(sizeof(struct block) <= HEADER_BYTES, "objects would overlap the header");

static struct list roomy[CLASSES]; /* blocks with room; next == NULL: not set up yet */
static struct net_heap_stats heap = { .limit_bytes = 256 * KIB };

void net_heap_limit(uint64_t bytes)
{
    heap.limit_bytes = bytes;
}

void net_heap_get_stats(struct net_heap_stats *stats)
{
    *stats = heap;
}

static struct block *new_block(unsigned order)
{
    struct block *block;

    if (heap.held_bytes + PAGE_BYTES(order) > heap.limit_bytes)
        return NULL;
    block = (struct block *)page_alloc(order);
    if (!block)
        return NULL;
    heap.held_bytes += PAGE_BYTES(order);
    *block = (struct block){ .order = order };
    list_init(&block->link);
    return block;
}

static void free_block(struct block *block)
{
    unsigned order = block->order;

    heap.held_bytes -= PAGE_BYTES(order);
    page_free((phys_addr_t)block, order);
}

static void *alloc_large(size_t bytes)
{
    unsigned order = BLOCK_ORDER;
    struct block *block;

    while (PAGE_BYTES(order) < bytes + HEADER_BYTES)
        order++;
    block = new_block(order);
    if (!block)
        return NULL;
    block->class = LARGE;
    block->used = 1;
    return (char *)block + HEADER_BYTES;
}

static struct block *block_with_room(unsigned class)
{
    struct list *head = &roomy[class];
    struct block *block;

    if (!head->next)
        list_init(head);
    if (!list_empty(head))
        return CONTAINER_OF(head->next, struct block, link);
    block = new_block(BLOCK_ORDER);
    if (!block)
        return NULL;
    block->class = (uint16_t) class;
    block->fresh = block->capacity = (uint16_t)((BLOCK_BYTES - HEADER_BYTES) / class_bytes[class]);
    list_append(head, &block->link);
    return block;
}

static void *alloc_small(unsigned class)
{
    struct block *block = block_with_room(class);
    struct object *object;

    if (!block)
        return NULL;
    object = block->free;
    if (object)
        block->free = object->next;
    else
        object = (struct object *)((char *)block + HEADER_BYTES +
                                   (size_t)(block->capacity - block->fresh--) * class_bytes[class]);
    if (++block->used == block->capacity)
        list_remove(&block->link);
    return object;
}

void *net_heap_alloc(size_t bytes)
{
    unsigned class = 0;
    void *object = NULL;

    while (class < CLASSES && class_bytes[class] < bytes)
        class ++;
    if (class < CLASSES)
        object = alloc_small(class);
    else if (bytes < heap.limit_bytes)
        object = alloc_large(bytes);
    if (object)
        heap.used++;
    else
        heap.refused++;
    return object;
}

void *net_heap_calloc(size_t n, size_t bytes)
{
    void *object = n && bytes > SIZE_MAX / n ? NULL : net_heap_alloc(n * bytes);

    if (object)
        memset(object, 0, n * bytes);
    return object;
}

/* One empty block of a class stays: a single packet that comes and goes costs no pages. */
static void free_small(struct block *block, struct object *object)
{
    struct list *head = &roomy[block->class];

    if (block->used-- == block->capacity)
        list_append(head, &block->link);
    object->next = block->free;
    block->free = object;
    if (block->used == 0 && head->next->next != head) {
        list_remove(&block->link);
        free_block(block);
    }
}

void net_heap_free(void *object)
{
    struct block *block;

    if (!object)
        return;
    block = (struct block *)ALIGN_DOWN((uintptr_t)object, BLOCK_BYTES);
    assert(block->used > 0 && (block->class == LARGE || block->class < CLASSES));
    heap.used--;
    if (block->class == LARGE)
        free_block(block);
    else
        free_small(block, object);
}
