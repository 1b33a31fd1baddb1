/* SPDX-License-Identifier: MIT */
/*
 * The CPUs beside the first one. They are started and stand by, halted, with
 * stacks, descriptors and local APIC of their own; threads, interrupts and devices
 * are the first one's. So they reach none of its structures, and take no lock.
 */
#ifndef KERNEL_SMP_H
#define KERNEL_SMP_H

#include "lib/base/types.h"

struct boot_info;

/* Which page below 1 MiB CPUs may start at; it is not the page allocator's. 0: there is none. */
phys_addr_t smp_find_start_page(const struct boot_info *boot);

/*
 * Starts those of the n local APIC ids that are not the caller's own, from a thread of
 * its own; the boot does not wait. What did not come up is logged, and nothing
 * depends on it.
 */
void smp_start(const uint32_t *apic_ids, unsigned n);

/* How many are up, the first one included. */
unsigned smp_count(void);

/* For a panic: halts all others for good, wherever they are; waits for them a bounded time. */
void smp_stop_others(void);

/* The last of a CPU that another one has stopped. */
_Noreturn void smp_halt(void);

#endif
