/* SPDX-License-Identifier: MIT */
/*
 * The one address space. Below 64 TiB physical memory and device registers are
 * mapped at their own address; the application's window lies above. Four
 * levels of tables, in 4 KiB, 2 MiB and 1 GiB pages; large pages are split when
 * a part of them changes.
 *
 * Concurrency: kernel context and page fault handler of any CPU. What other CPUs remember of a
 * mapping stays until they forget it: nobody tells them yet.
 */
#ifndef ARCH_X86_64_PAGING_H
#define ARCH_X86_64_PAGING_H

#include "lib/base/types.h"

struct boot_info;

#define PAGING_IDENTITY_END (UINT64_C(1) << 46) /* 64 TiB: the application's window starts */
#define PAGING_END          (UINT64_C(1) << 47)

enum paging_flags {
    PAGING_WRITE = 1 << 0,
    PAGING_UNCACHED = 1 << 1,
};

/* Keeps the memory map, to tell RAM from registers (the struct must stay), and unmaps the null
 * page. */
void paging_init(const struct boot_info *boot);

/*
 * Maps [virtual, virtual + bytes) to physical memory from `physical` on, not
 * executable, in the largest pages that fit; replaces what was mapped there.
 * All three are multiples of 4 KiB. -ENOMEM: no page for a table; a part may be
 * mapped then.
 */
int paging_map(uintptr_t virtual, phys_addr_t physical, uint64_t bytes, unsigned flags);

/*
 * Unmaps the page that contains the address, whatever its size: where it
 * pointed, and its size in *bytes. 0: nothing was mapped, *bytes is then the
 * size of the hole that is known from one table entry.
 */
phys_addr_t paging_unmap_page(uintptr_t virtual, uint64_t *bytes);

/* Unmaps one 4 KiB page out of what may be a large one. -ENOMEM: no page for a table. */
int paging_unmap_4k(uintptr_t virtual);

/*
 * Frees the page table of the 2 MiB around the address, so that a large page
 * fits there again. Nothing may be mapped in it.
 */
void paging_drop_table(uintptr_t virtual);

/*
 * Where the address points, and in *bytes_left how far the same page goes on
 * from there. 0: nowhere.
 */
phys_addr_t paging_lookup(uintptr_t virtual, uint64_t *bytes_left);

#endif
