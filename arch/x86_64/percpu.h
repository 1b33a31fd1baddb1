/* SPDX-License-Identifier: MIT */
/* What each CPU has of its own, found by its GS base. */
#ifndef ARCH_X86_64_PERCPU_H
#define ARCH_X86_64_PERCPU_H

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/kvm_pv.h"
#include "arch/x86_64/tlb.h"
#include "arch/x86_64/trap.h"
#include "kernel/spinlock.h"
#include "lib/base/barrier.h"
#include "lib/base/list.h"
#include "lib/base/types.h"

struct irq_vectors;
struct scheduler;

#define CPU_MAX 256 /* with the one that booted */

/* Zeroed before it is added, and never moved. */
struct cpu {
    struct cpu *self;            /* for cpu_current() */
    uintptr_t stack_top;         /* where a further CPU starts: read by ap.asm */
    unsigned number;             /* 0: the one that booted */
    uint32_t apic_id;            /* by which a further CPU finds this: read by ap.asm */
    uint32_t taken;              /* bit 0, by ap.asm: a CPU has found this, and no other may */
    bool up;                     /* of a further CPU, by itself */
    struct irq_vectors *vectors; /* kernel/irq.c's, of a further CPU */
    unsigned serving;            /* the vector whose handler runs here; 0: none */
    struct scheduler *scheduler; /* kernel/thread.c's */
    struct {
        struct spinlock lock;
        struct list pending; /* the earliest first */
        bool hardware_ready;
    } timers; /* kernel/timer.c's */
    struct apic_timer timer;
    struct cpu_tlb tlb;
    struct kvm_pv_area pv;
    struct trap_tables tables;
};

/* CPUs by number. */
struct cpu_set {
    uint64_t bits[CPU_MAX / 64];
    unsigned n;
};

static inline void cpu_set_add(struct cpu_set *set, unsigned number)
{
    set->bits[number / 64] |= UINT64_C(1) << number % 64;
    set->n++;
}

static inline bool cpu_set_has(const struct cpu_set *set, unsigned number)
{
    return set->bits[number / 64] >> number % 64 & 1;
}

/* Interrupt gates, and the descriptors and GS of the CPU that boots: first of all. */
void cpu_init_first(void);

/* The calling CPU is this one from now on. */
void cpu_take(struct cpu *cpu, struct trap_stacks *stacks);

/*
 * Makes one known by its local APIC id and gives it the next number; the one that
 * booted is the first. false: its id is known already, or there are CPU_MAX. All that
 * are wanted are added before drivers start; whether they come up is seen later.
 */
bool cpu_add(struct cpu *cpu);
bool cpu_is_known(uint32_t apic_id);

/* How many were added, and the one of a number below. Any context. */
unsigned cpu_wanted(void);
struct cpu *cpu_numbered(unsigned number);

/*
 * Whether the calling CPU's TSC agrees with those that called before: by the first CPU before
 * others start and when they have come, by each of them as it comes.
 */
void tsc_compare(void);

/* The TSC, not read ahead of what this CPU has learned from another before. */
static inline uint64_t tsc_read_ordered(void)
{
    if (UNLIKELY(spin_several))
        barrier_loads();
    return tsc_read();
}

static inline struct cpu *cpu_current(void)
{
    struct cpu *cpu;

    __asm__ volatile("mov %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

#endif
