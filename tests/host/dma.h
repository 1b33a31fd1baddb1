/* SPDX-License-Identifier: MIT */
/* How scattered memory is for the code under test. */
#ifndef TESTS_HOST_DMA_H
#define TESTS_HOST_DMA_H

#include <stdbool.h>
#include <stddef.h>

/* dma_translate() gives runs that end at multiples of this; 0: memory is whole. */
extern size_t host_dma_run_bytes;

/* dma_alloc() gives memory below 2 GiB, for devices that are told addresses in few bits. */
extern bool host_dma_low;

/* dma_translate() knows no memory at this address; NULL: it knows all. */
extern const void *host_dma_hole;

/*
 * Blocks of dma_alloc() that were not given back. Those of a device that does not
 * answer a reset stay for ever: they are remembered here, so that the leak
 * sanitizer does not count what is lost on purpose.
 */
extern unsigned host_dma_live;

#endif
