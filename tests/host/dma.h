/* SPDX-License-Identifier: MIT */
/* How scattered memory is for the code under test. */
#ifndef TESTS_HOST_DMA_H
#define TESTS_HOST_DMA_H

#include <stddef.h>

/* dma_translate() gives runs that end at multiples of this; 0: memory is whole. */
extern size_t host_dma_run_bytes;

/* dma_translate() knows no memory at this address; NULL: it knows all. */
extern const void *host_dma_hole;

#endif
