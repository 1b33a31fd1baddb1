/* SPDX-License-Identifier: MIT */
/*
 * The CPUs beside the first one: how they start, and stop. Each has stacks, descriptors,
 * a local APIC with its timer, and a scheduler of its own, and halts while it has no
 * thread to run.
 */
#ifndef KERNEL_SMP_H
#define KERNEL_SMP_H

#include "lib/base/types.h"

struct boot_info;
struct cpu;

/* Which page below 1 MiB CPUs may start at; it is not the page allocator's. 0: there is none. */
phys_addr_t smp_find_start_page(const struct boot_info *boot);

/*
 * Makes those of the n local APIC ids known that are not the caller's own (cpu_numbered()),
 * and starts them from a thread of its own; the boot does not wait. What did not come
 * up is logged.
 */
void smp_start(const uint32_t *apic_ids, unsigned n);

/* How many are up, the first one included; how many may be, known before devices are looked for. */
unsigned smp_count(void);
unsigned smp_wanted(void);

/* Waits until the one of a number is up, for as long as it may still come. 0, or -ENODEV. */
int smp_wait_for(unsigned number);

/* The number of the calling one: 0 is the one that booted. */
unsigned smp_current(void);

/* For the scheduler: it has put threads among the arrivals of another CPU, which looks for them. */
void smp_wake(const struct cpu *cpu);

/* For a panic: halts all others for good, wherever they are; waits for them a bounded time. */
void smp_stop_others(void);

/* The last of a CPU that another one has stopped. */
_Noreturn void smp_halt(void);

#endif
