/* SPDX-License-Identifier: MIT */
/*
 * kernel/alloc.h and kernel/dma.h for fuzz targets, in place of
 * tests/host/alloc.c and dma.c: every object is known, so that what an input
 * leaves behind shows at once and does not pile up over a million inputs.
 */
#ifndef TESTS_FUZZ_MEMORY_H
#define TESTS_FUZZ_MEMORY_H

#include <stdint.h>

/* Objects of kalloc() and of dma_alloc() that were not freed. */
struct fuzz_memory {
    unsigned objects, dma;
};

struct fuzz_memory fuzz_memory_left(void);

/* Frees what is left. */
void fuzz_memory_drop(void);

/* The bits that device addresses have; others are cut off, where nobody follows them. All: ~0. */
extern uint64_t fuzz_dma_mask;

/* The object is its driver's, which frees it at its next probe or never: it counts no more. */
void fuzz_memory_leave(const void *object);

#endif
