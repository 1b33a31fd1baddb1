/* SPDX-License-Identifier: MIT */
/*
 * What all boot paths do with what a loader hands over, which comes from
 * outside: addresses are believed only where the boot tables map memory, counts
 * are bounded.
 */
#ifndef BOOT_HANDOVER_H
#define BOOT_HANDOVER_H

#include "boot/boot_info.h"

/* What boot/start.asm mapped; everything a loader hands over lies below. */
#define MAPPED_BYTES GIB

extern struct boot_info boot_info; /* filled here, read by the kernel */

/* Empties it; the name is kept, not copied. */
void handover_begin(const char *path);

bool handover_is_mapped(uint64_t start, uint64_t bytes);

/* Of a structure at an address that was checked. */
static inline const void *handover_at(uint64_t address)
{
    return (const void *)(uintptr_t)address;
}

/* A terminated text; what is not mapped or not terminated is no command line. */
void handover_cmdline(uint64_t address);

/* One of n_left that are still to come; false: there is no room, and the rest was counted. */
bool handover_range(uint64_t start, uint64_t bytes, uint32_t type, uint32_t n_left);

/* Further ones than there is room for are left out. */
void handover_module(uint64_t start, uint64_t bytes);

/* From a loader of our own (boot/entry64.asm), which has filled all but the path. */
void handover_main(const struct boot_info *given);

#endif
