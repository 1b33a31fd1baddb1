/* SPDX-License-Identifier: MIT */
/*
 * Devices see physical addresses. Kernel memory is mapped at its own, so its
 * translation is the identity; application memory is looked up in the page
 * tables, and mapped first where nobody has touched it.
 *
 * Concurrency: kernel context and parallel threads, on any CPU. It has nothing of its own to
 * lock: pages and the window have, and the tables on the way to memory that somebody owns stay.
 */
#include "kernel/dma.h"

#include "arch/x86_64/paging.h"
#include "kernel/alloc.h"
#include "kernel/page.h"
#include "kernel/panic.h"
#include "kernel/vmem.h"
#include "lib/base/string.h"

/* A ring of a few buffers is not worth a page, nor the clearing of one. */
#define SMALL_BYTES 1024

bool dma_is_translated;

static uint64_t pages_of(size_t bytes)
{
    return bytes / PAGE_SIZE + (bytes % PAGE_SIZE != 0);
}

static void *alloc_small(size_t bytes, dma_addr_t *addr)
{
    void *memory = kalloc(bytes);

    *addr = (uintptr_t)memory;
    return memory;
}

void *dma_alloc(size_t bytes, dma_addr_t *addr)
{
    uint64_t pages = pages_of(bytes);
    phys_addr_t start;

    if (bytes && bytes <= SMALL_BYTES)
        return alloc_small(bytes, addr);
    start = pages ? page_alloc_run(pages) : 0;
    if (!start)
        return NULL;
    *addr = start;
    return memset((void *)(uintptr_t)start, 0, pages * PAGE_SIZE);
}

void dma_free(void *memory, size_t bytes)
{
    if (memory && bytes <= SMALL_BYTES)
        kfree(memory);
    else if (memory)
        page_free_run((uintptr_t)memory, pages_of(bytes));
}

/* The page of the application's that holds the address; 0: none. */
static phys_addr_t look_up(uintptr_t address, uint64_t *bytes_left)
{
    phys_addr_t physical = paging_lookup(address, bytes_left);

    if (!physical && vmem_fault(address))
        physical = paging_lookup(address, bytes_left);
    return physical;
}

size_t dma_translate(const void *memory, size_t bytes, dma_addr_t *addr)
{
    uintptr_t address = (uintptr_t)memory;
    uint64_t left, done;
    phys_addr_t start;

    if (address < PAGING_IDENTITY_END) {
        *addr = address;
        return address < PAGE_SIZE ? 0 : MIN(bytes, PAGING_IDENTITY_END - address);
    }
    start = bytes && address < PAGING_END ? look_up(address, &left) : 0;
    if (!start)
        return 0;
    *addr = start;
    for (done = left; done < bytes; done += left) {
        if (look_up(address + done, &left) != start + done)
            break;
    }
    return MIN(done, bytes);
}

dma_addr_t dma_address(const void *memory)
{
    assert((uintptr_t)memory < PAGING_IDENTITY_END);
    return (uintptr_t)memory;
}
