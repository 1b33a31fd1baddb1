/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tests/host/shared_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES ((size_t)4096)

bool shared_memory_open(struct shared_memory *memory, size_t bytes, void *at,
                        dma_addr_t device_start)
{
    int flags = MAP_SHARED | MAP_POPULATE | (at ? MAP_FIXED_NOREPLACE : 0);
    void *start = MAP_FAILED;

    *memory = (struct shared_memory){ .bytes = ALIGN_UP(bytes, PAGE_BYTES),
                                      .device_start = device_start };
    memory->file = memfd_create("shared with a device", MFD_CLOEXEC);
    if (memory->file >= 0 && ftruncate(memory->file, (off_t)memory->bytes) == 0)
        start = mmap(at, memory->bytes, PROT_READ | PROT_WRITE, flags, memory->file, 0);
    if (start == MAP_FAILED) {
        shared_memory_close(memory);
        return false;
    }
    memory->start = start;
    return true;
}

void shared_memory_close(struct shared_memory *memory)
{
    if (memory->start)
        munmap(memory->start, memory->bytes);
    if (memory->file >= 0)
        close(memory->file);
    *memory = (struct shared_memory){ .file = -1 };
}

void *shared_memory_take(struct shared_memory *memory, size_t bytes, dma_addr_t *addr)
{
    size_t whole = ALIGN_UP(bytes, PAGE_BYTES);
    uint8_t *piece = memory->start + memory->taken_bytes;

    if (whole < bytes || whole > memory->bytes - memory->taken_bytes)
        return NULL;
    memory->taken_bytes += whole;
    *addr = shared_memory_address(memory, piece);
    return piece;
}

bool shared_memory_holds(const struct shared_memory *memory, const void *pointer, size_t bytes)
{
    uintptr_t offset = (uintptr_t)pointer - (uintptr_t)memory->start;

    return memory->start && offset <= memory->bytes && bytes <= memory->bytes - offset;
}

dma_addr_t shared_memory_address(const struct shared_memory *memory, const void *pointer)
{
    if (!shared_memory_holds(memory, pointer, 0)) {
        fprintf(stderr, "shared memory: %p is not inside, no device can reach it\n", pointer);
        abort();
    }
    return memory->device_start + (uintptr_t)pointer - (uintptr_t)memory->start;
}
