/* SPDX-License-Identifier: MIT */
/*
 * kernel/page.h for hosted tests of its users, on the C library, so that the
 * sanitizer watches it. Tests of the allocator itself use kernel/page.c.
 */
#include "tests/host/page.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/page.h"
#include "tests/host/alloc.h"

uint64_t host_pages_total = 16384;
uint64_t host_pages_taken;

phys_addr_t page_alloc(unsigned order)
{
    void *block = host_alloc_allowed() ? aligned_alloc(PAGE_BYTES(order), PAGE_BYTES(order)) : NULL;

    if (!block)
        return 0;
    host_pages_taken += UINT64_C(1) << order;
    memset(block, 0xa5, PAGE_BYTES(order));
    return (phys_addr_t)(uintptr_t)block;
}

void page_free(phys_addr_t start, unsigned order)
{
    host_pages_taken -= UINT64_C(1) << order;
    free((void *)(uintptr_t)start);
}

void page_get_stats(struct page_stats *stats)
{
    *stats = (struct page_stats){ .total = host_pages_total,
                                  .free = host_pages_total - host_pages_taken,
                                  .largest_free = PAGE_BYTES(PAGE_ORDER_2M) };
}

phys_addr_t page_alloc_run(uint64_t pages)
{
    void *block =
        host_alloc_allowed() ? aligned_alloc(PAGE_SIZE, (size_t)(pages * PAGE_SIZE)) : NULL;

    if (!block)
        return 0;
    host_pages_taken += pages;
    memset(block, 0xa5, (size_t)(pages * PAGE_SIZE));
    return (phys_addr_t)(uintptr_t)block;
}

void page_free_run(phys_addr_t start, uint64_t pages)
{
    host_pages_taken -= pages;
    free((void *)(uintptr_t)start);
}
