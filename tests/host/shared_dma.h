/* SPDX-License-Identifier: MIT */
/*
 * All memory of the code under test from one piece that another process can be
 * given: kernel/page.c and kernel/alloc.c work on it, and kernel/dma.h, which
 * is here, knows nothing else. Devices see it elsewhere than we do, as under an
 * IOMMU. Link it instead of tests/host/{dma,alloc,page}.c.
 */
#ifndef TESTS_HOST_SHARED_DMA_H
#define TESTS_HOST_SHARED_DMA_H

#include "tests/host/shared_memory.h"

extern struct shared_memory host_shared;

/* Once, first of all. It is never given back. */
void host_shared_init(size_t bytes);

#endif
