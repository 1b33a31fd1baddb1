/* SPDX-License-Identifier: MIT */
#include "arch/x86_64/percpu.h"

#include "arch/x86_64/cpu.h"
#include "kernel/spinlock.h"

static struct cpu first;
static struct trap_stacks first_stacks;

const void *spin_self(void)
{
    return cpu_current();
}

void cpu_init_first(void)
{
    trap_init();
    cpu_take(&first, &first_stacks);
}

void cpu_take(struct cpu *cpu, struct trap_stacks *stacks)
{
    cpu->self = cpu;
    list_init(&cpu->timers.pending);
    trap_load(&cpu->tables, stacks);
    msr_write(MSR_GS_BASE, (uintptr_t)cpu);
}
