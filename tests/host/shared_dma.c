/* SPDX-License-Identifier: MIT */
#include "tests/host/shared_dma.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/dma.h"
#include "kernel/page.h"

/* Where the address sanitizer leaves room; page numbers have 32 bits. */
#define MAPPED_AT UINT64_C(0x40000000)

struct shared_memory host_shared = { .file = -1 };
bool dma_is_translated;

void host_shared_init(size_t bytes)
{
    if (!shared_memory_open(&host_shared, bytes, (void *)MAPPED_AT, SHARED_MEMORY_DEVICE_START)) {
        perror("shared memory");
        exit(1);
    }
    page_add_range(MAPPED_AT, host_shared.bytes);
}

bool page_section_map(phys_addr_t start, uint64_t bytes)
{
    return shared_memory_holds(&host_shared, (void *)start, bytes);
}

static uint64_t pages_of(size_t bytes)
{
    return ALIGN_UP((uint64_t)bytes, PAGE_SIZE) / PAGE_SIZE;
}

void *dma_alloc(size_t bytes, dma_addr_t *addr)
{
    void *memory = (void *)page_alloc_run(pages_of(bytes));

    if (!memory)
        return NULL;
    *addr = dma_address(memory);
    return memset(memory, 0, pages_of(bytes) * PAGE_SIZE);
}

void dma_free(void *memory, size_t bytes)
{
    if (memory)
        page_free_run((uintptr_t)memory, pages_of(bytes));
}

size_t dma_translate(const void *memory, size_t bytes, dma_addr_t *addr)
{
    if (!shared_memory_holds(&host_shared, memory, bytes))
        return 0;
    *addr = dma_address(memory);
    return bytes;
}

dma_addr_t dma_address(const void *memory)
{
    return shared_memory_address(&host_shared, memory);
}
