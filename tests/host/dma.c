/* SPDX-License-Identifier: MIT */
/* kernel/dma.h for hosted tests: pages from the C library, a device's address is the pointer. */
#include "kernel/dma.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel/page.h"
#include "tests/host/alloc.h"
#include "tests/host/dma.h"

size_t host_dma_run_bytes;
const void *host_dma_hole;
bool host_dma_low;
bool dma_is_translated;
unsigned host_dma_live;

#define BLOCKS_MAX 4096

/* The first host_dma_live of them. */
static struct {
    void *start;
    size_t mapped_bytes; /* 0: it came from the C library */
} blocks[BLOCKS_MAX];

/* With a page behind it that nobody may touch, as the sanitizer does not watch this memory. */
static void *map_low(size_t bytes)
{
    char *start = mmap(NULL, bytes + PAGE_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

    if (start == MAP_FAILED)
        return NULL;
    mprotect(start + bytes, PAGE_SIZE, PROT_NONE);
    return start;
}

void *dma_alloc(size_t bytes, dma_addr_t *addr)
{
    size_t whole = ALIGN_UP(bytes, (size_t)PAGE_SIZE);
    void *memory = NULL;

    if (host_alloc_allowed())
        memory = host_dma_low ? map_low(whole) : aligned_alloc(PAGE_SIZE, whole);
    if (!memory)
        return NULL;
    memset(memory, 0, whole);
    if (host_dma_live == BLOCKS_MAX)
        abort();
    blocks[host_dma_live].start = memory;
    blocks[host_dma_live++].mapped_bytes = host_dma_low ? whole + PAGE_SIZE : 0;
    *addr = (uintptr_t)memory;
    return memory;
}

void dma_free(void *memory, size_t bytes)
{
    unsigned i = 0;

    (void)bytes;
    while (i < host_dma_live && blocks[i].start != memory)
        i++;
    if (i == host_dma_live)
        abort();
    if (blocks[i].mapped_bytes)
        munmap(memory, blocks[i].mapped_bytes);
    else
        free(memory);
    blocks[i] = blocks[--host_dma_live];
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
