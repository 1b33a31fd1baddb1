/* SPDX-License-Identifier: MIT */
/*
 * The one address space. Below 64 TiB physical memory and device registers are
 * mapped at their own address; the application's window lies above. Four
 * levels of tables, in 4 KiB, 2 MiB and 1 GiB pages; large pages are split when
 * a part of them changes.
 *
 * Concurrency: kernel context and page fault handler of any CPU. What was unmapped or replaced
 * all CPUs have forgotten when the function returns, except where it says otherwise.
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

/* Unmaps one 4 KiB page out of what may be a large one. -ENOMEM: no page for a table. */
int paging_unmap_4k(uintptr_t virtual);

/*
 * Unmapping much, with one word to the other CPUs for all of it: everything is hidden,
 * then all forget it, and only then is it taken and used for something else.
 *
 *     while (...)
 *         paging_hide(at, end - at, &bytes);
 *     tables = paging_hide_tables(start, end);
 *     paging_forget(start, end - start, tables);
 *     while (...)
 *         page = paging_take_hidden(at, &bytes);
 *     paging_free_tables(start, tables);
 *
 * memory_lock is held over all of it.
 */

/*
 * Hides the page that starts at the address: a large one where all of it lies in the room, else
 * 4 KiB of it. 1, and in *bytes its size; 0: nothing is mapped, in *bytes for how long, within the
 * room; -ENOMEM: no page for a table.
 */
int paging_hide(uintptr_t virtual, uint64_t room, uint64_t *bytes);

/* Hides the tables that serve nothing but [start, end), where nothing may be mapped. How many. */
unsigned paging_hide_tables(uintptr_t start, uintptr_t end);

/* All CPUs forget [start, start + bytes), and with it tables that were hidden there. */
void paging_forget(uintptr_t start, uint64_t bytes, bool tables);

/* The hidden page at the address, which is hidden no more, and its size. 0: none, and for how long.
 */
phys_addr_t paging_take_hidden(uintptr_t virtual, uint64_t *bytes);

/* Frees the n hidden tables from there on. */
void paging_free_tables(uintptr_t start, unsigned n);

/*
 * Where the table lies that has the 4 KiB pages around the address; 0: there is none. It can be
 * copied to another page: the old one is free when all CPUs have forgotten it.
 */
phys_addr_t paging_table(uintptr_t virtual);
void paging_move_table(uintptr_t virtual, phys_addr_t to);

/* Where nothing is mapped: the size of the hole that is known from one table entry. */
uint64_t paging_hole(uintptr_t virtual);

/*
 * Where the address points, and in *bytes_left how far the same page goes on
 * from there. 0: nowhere.
 */
phys_addr_t paging_lookup(uintptr_t virtual, uint64_t *bytes_left);

#endif
