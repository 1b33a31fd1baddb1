/* SPDX-License-Identifier: MIT */
/*
 * What CPUs remember of the page tables, and how they are made to forget it. One
 * asks at a time (memory_lock), all whom it concerns answer, and only then is the memory
 * behind handed on.
 *
 * A CPU with nothing to do is not asked: it forgets everything before it goes on. Only
 * where a table itself is given back it is, for a CPU may look into tables that it
 * remembers at any time, and marks what it has seen.
 */
#ifndef ARCH_X86_64_TLB_H
#define ARCH_X86_64_TLB_H

#include "kernel/spinlock.h"
#include "lib/base/types.h"

enum tlb_state {
    TLB_AWAY, /* not up yet, or halted for good: never asked */
    TLB_IDLE,
    TLB_IN_USE,
};

/* Of each CPU. */
struct cpu_tlb {
    enum tlb_state state; /* by the CPU itself */
    uint64_t served;      /* the same: the number of the latest request that it has followed */
};

/* On the first CPU, before others are started. -ENOSPC: no vector to ask them by. */
int tlb_start(void);

/* A further CPU, before it is up. Interrupts are off. */
void tlb_arrive(void);

/* A CPU that halts for good. Any context. */
void tlb_part(void);

/*
 * All CPUs have forgotten [start, start + bytes) when it returns, tables: and the tables on
 * the way to it. The caller's CPU has already. Under memory_lock.
 */
void tlb_forget(uintptr_t start, uint64_t bytes, bool tables);

/* Follows what is asked, if anything: where a CPU waits for another. Any context. */
void tlb_serve(void);

void tlb_leave_now(void);
void tlb_join_now(void);

/* Around a halt, interrupts off: between the two no memory is touched that is ever unmapped. */
static inline void tlb_leave(void)
{
    if (UNLIKELY(spin_several))
        tlb_leave_now();
}

static inline void tlb_join(void)
{
    if (UNLIKELY(spin_several))
        tlb_join_now();
}

#endif
