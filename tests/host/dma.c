/* SPDX-License-Identifier: MIT */
/* kernel/dma.h for hosted tests: pages from the C library, a device's address is the pointer. */
#include "kernel/dma.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/page.h"
#include "tests/host/alloc.h"
#include "tests/host/dma.h"

size_t host_dma_run_bytes;
const void *host_dma_hole;
bool dma_is_translated;
unsigned host_dma_live;

#define BLOCKS_MAX 4096

static void *blocks[BLOCKS_MAX]; /* the first host_dma_live of them */

void *dma_alloc(size_t bytes, dma_addr_t *addr)
{
    size_t whole = ALIGN_UP(bytes, (size_t)PAGE_SIZE);
    void *memory = host_alloc_allowed() ? aligned_alloc(PAGE_SIZE, whole) : NULL;

    if (!memory)
        return NULL;
    memset(memory, 0, whole);
    if (host_dma_live == BLOCKS_MAX)
        abort();
    blocks[host_dma_live++] = memory;
    *addr = (uintptr_t)memory;
    return memory;
}

void dma_free(void *memory, size_t bytes)
{
    unsigned i = 0;

    (void)bytes;
    while (i < host_dma_live && blocks[i] != memory)
        i++;
    if (i == host_dma_live)
        abort();
    blocks[i] = blocks[--host_dma_live];
    free(memory);
}

size_t dma_translate(const void *memory, size_t bytes, dma_addr_t *addr)
{
    *addr = (uintptr_t)memory;
    if (memory && memory == host_dma_hole)
        return 0;
    return host_dma_run_bytes ? MIN(bytes, host_dma_run_bytes - *addr % host_dma_run_bytes) : bytes;
}

dma_addr_t dma_address(const void *memory)
{
    return (uintptr_t)memory;
}
