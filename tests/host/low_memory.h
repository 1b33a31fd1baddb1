/* SPDX-License-Identifier: MIT */
/*
 * Memory below 1 GiB as boot/ maps it, for what a loader hands over: what lies
 * beside it is not mapped, so that one byte too far ends the test. And a kernel
 * that notes that it was reached.
 */
#ifndef TESTS_HOST_LOW_MEMORY_H
#define TESTS_HOST_LOW_MEMORY_H

#include "boot/handover.h"

#define AREA       0x10000000
#define AREA_BYTES 0x10000
#define TOP        (MAPPED_BYTES - 0x2000) /* the last two pages that the boot tables map */
#define TOP_BYTES  0x2000

/* For a group of tests. */
int host_map_low_memory(void **state);

/* Zeros, and an empty boot_info. */
void host_clear_low_memory(void);

/* Calls a boot path's main function with its argument, until it reaches the kernel. */
void host_boot(void (*main)(const void *handed_over), const void *handed_over);

#endif
