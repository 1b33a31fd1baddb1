/* SPDX-License-Identifier: MIT */
/* Where device registers and firmware tables become reachable. Kernel context. */
#ifndef KERNEL_MMIO_H
#define KERNEL_MMIO_H

#include "lib/base/types.h"

/*
 * Maps device registers, uncached, not executable, at their own address; NULL:
 * out of page tables, beyond the 64 TiB this kernel maps, or inside RAM.
 * Mapping again what is mapped is free. Registers stay mapped for good.
 */
volatile void *mmio_map(phys_addr_t start, uint64_t bytes);

/* Whether a byte of it is RAM, so that no device can be there. */
bool mmio_meets_ram(phys_addr_t start, uint64_t bytes);

/*
 * Maps memory that is not ours but is read like RAM, cached and read-only:
 * firmware tables. NULL as above; ranges inside RAM are allowed.
 */
const void *memory_map(phys_addr_t start, uint64_t bytes);

/*
 * Addresses above 4 GiB and all RAM that the CPU has and mmio_map() reaches, from the
 * middle of them on: memory that is plugged in comes right behind RAM. false: none.
 */
bool mmio_high_area(phys_addr_t *start, uint64_t *bytes);

#endif
