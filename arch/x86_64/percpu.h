/* SPDX-License-Identifier: MIT */
/* What each CPU has of its own, found by its GS base. */
#ifndef ARCH_X86_64_PERCPU_H
#define ARCH_X86_64_PERCPU_H

#include "arch/x86_64/kvm_pv.h"
#include "arch/x86_64/trap.h"
#include "lib/base/types.h"

/* Zeroed before it is taken, and never moved. */
struct cpu {
    struct cpu *self;    /* for cpu_current() */
    uintptr_t stack_top; /* where a further CPU starts: read by ap.asm */
    unsigned number;     /* 0: the one that booted */
    uint32_t apic_id;    /* of a further CPU, by itself, before it is up */
    bool up;             /* the same */
    struct kvm_pv_area pv;
    struct trap_tables tables;
};

/* Interrupt gates, and the descriptors and GS of the CPU that boots: first of all. */
void cpu_init_first(void);

/* The calling CPU is this one from now on. */
void cpu_take(struct cpu *cpu, struct trap_stacks *stacks);

static inline struct cpu *cpu_current(void)
{
    struct cpu *cpu;

    __asm__ volatile("mov %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

#endif
