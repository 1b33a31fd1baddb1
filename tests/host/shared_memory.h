/* SPDX-License-Identifier: MIT */
/*
 * Memory that another process can be given: one memfd, mapped here. A device
 * sees it at an address of its own, so that code which takes a pointer for a
 * device address, or the other way round, fails instead of working by chance.
 *
 *     struct shared_memory memory;
 *     dma_addr_t addr;
 *
 *     shared_memory_open(&memory, 64 * MIB, NULL, SHARED_MEMORY_DEVICE_START);
 *     frame = shared_memory_take(&memory, 2048, &addr);
 *     ...
 *     shared_memory_close(&memory);
 *
 * Pieces are taken one behind the other and come back all at once.
 */
#ifndef TESTS_HOST_SHARED_MEMORY_H
#define TESTS_HOST_SHARED_MEMORY_H

#include "lib/base/types.h"

/* Above 32 bits, so that an address cut to them reaches nothing. */
#define SHARED_MEMORY_DEVICE_START (UINT64_C(16) * GIB)

struct shared_memory {
    int file;                /* -1: not open */
    uint8_t *start;          /* our mapping, touched already */
    size_t bytes;            /* whole pages */
    dma_addr_t device_start; /* where a device sees start */
    size_t taken_bytes;
};

/* at: where to map it, NULL: anywhere. false: errno says why; nothing is left open. */
bool shared_memory_open(struct shared_memory *memory, size_t bytes, void *at,
                        dma_addr_t device_start);
void shared_memory_close(struct shared_memory *memory);

/* Zeroed at first, aligned to a page; its device address in *addr. NULL: not so much is left. */
void *shared_memory_take(struct shared_memory *memory, size_t bytes, dma_addr_t *addr);

/* The device's address of what lies at the pointer. It must be inside. */
dma_addr_t shared_memory_address(const struct shared_memory *memory, const void *pointer);

/* Whether all of [pointer, pointer + bytes) is inside. */
bool shared_memory_holds(const struct shared_memory *memory, const void *pointer, size_t bytes);

#endif
