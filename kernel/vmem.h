/* SPDX-License-Identifier: MIT */
/*
 * The application's window of virtual memory, above 64 TiB: heap and stacks.
 * Ranges are mapped page by page when they are first touched, in 2 MiB pages
 * where a whole one fits into a large range; all their pages are promised when
 * the range is made, so touching them never fails. Between ranges lie unmapped
 * guard pages.
 *
 * Concurrency: kernel context, and the page fault handler.
 */
#ifndef KERNEL_VMEM_H
#define KERNEL_VMEM_H

#include "lib/base/types.h"

/* A range of zeros, rounded up to whole pages. NULL: no memory, or bytes is 0. */
void *vmem_alloc(size_t bytes);

/* Gives a whole range back. NULL is allowed. */
void vmem_free(void *start);

/*
 * Makes the range larger or smaller, moving it where it has to, without copying:
 * its new start. NULL: no memory; nothing has changed.
 */
void *vmem_resize(void *start, size_t bytes);

/*
 * Gives back the memory of the whole pages in [start, start + bytes), a part of
 * one range. They stay promised, and read as zeros.
 */
void vmem_discard(void *start, size_t bytes);

/* Whether the page that holds the address is mapped. */
bool vmem_is_resident(uintptr_t address);

/*
 * Moving the pages of ranges to lower memory, so that free memory becomes whole. Only of
 * ranges that are said to allow it: whose owner never relies on where they lie.
 *
 *     while (vmem_move_down(&at, end, &moved))        until at is at the window's end
 *         ...                                         let others run
 *
 * Moves pages that lie above `end` to free ones below it, beginning at *at (0: the first
 * range), and leaves there where to go on. At most VMEM_MOVES pages in a call, and it looks at
 * not many more. false: that was the last of them, or there is no memory below. Nothing is
 * moved while a device may use memory of the window's: while vmem_pins is not 0.
 */
#define VMEM_MOVES 32

void vmem_allow_moves(void *start);
bool vmem_move_down(uintptr_t *at, phys_addr_t end, uint64_t *moved);

/* Requests to devices with memory of the window's; under the kernel lock. */
extern uint64_t vmem_pins;

/*
 * Maps the page that holds the address, when nothing is mapped there. false:
 * the address lies in no range.
 */
bool vmem_fault(uintptr_t address);

struct vmem_stats {
    uint64_t ranges;
    uint64_t reserved_bytes; /* of all ranges */
    uint64_t resident_bytes; /* of these, mapped */
    uint64_t faults;         /* pages mapped on demand, since the start */
    uint64_t large;          /* pages of 2 MiB that were mapped, ever ... */
    uint64_t large_refused;  /* ... and those for which there was none in one piece */
};

void vmem_get_stats(struct vmem_stats *stats);

#endif
