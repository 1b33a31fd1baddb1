/* SPDX-License-Identifier: MIT */
/* Makes allocations of the code under test fail, and counts those that live. */
#ifndef TESTS_HOST_ALLOC_H
#define TESTS_HOST_ALLOC_H

#include <stdbool.h>

/* So many of kalloc() and dma_alloc() succeed, then all fail; -1: none fails. */
extern int host_allocs_until_failure;

bool host_alloc_allowed(void);

/* Objects of kalloc() that were not given back. */
extern unsigned host_allocs_live;

#endif
