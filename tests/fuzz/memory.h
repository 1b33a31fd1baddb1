/* SPDX-License-Identifier: MIT */
/*
 * kernel/alloc.h and kernel/dma.h for fuzz targets, in place of
 * tests/host/alloc.c and dma.c: every object is known, so that what an input
 * leaves behind shows at once and does not pile up over a million inputs.
 */
#ifndef TESTS_FUZZ_MEMORY_H
#define TESTS_FUZZ_MEMORY_H

/* Objects of kalloc() and of dma_alloc() that were not freed. */
struct fuzz_memory {
    unsigned objects, dma;
};

struct fuzz_memory fuzz_memory_left(void);

/* Frees what is left, but for one object that is still in use; NULL: all. */
void fuzz_memory_drop(const void *but);

#endif
