/* SPDX-License-Identifier: MIT */
/*
 * The CPUs beside the first one. They are started and stand by, halted, with
 * stacks, descriptors and local APIC of their own, for work that the first one hands
 * over. Threads, interrupts and devices are the first one's.
 */
#ifndef KERNEL_SMP_H
#define KERNEL_SMP_H

#include "lib/base/types.h"

struct boot_info;
struct event;

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

/* The number of the calling one: 0 is the one that booted. */
unsigned smp_current(void);

/*
 * Has a function run on another CPU, which has no threads: it runs to its end, with
 * interrupts off, waits for nothing, and may allocate and free kernel memory, signal
 * events, log, take locks, panic and end the VM. It may not touch the application's
 * memory.
 * -ENODEV: no such CPU is up; -EBUSY: it is at work. Thread context of the first CPU.
 */
int smp_run(unsigned number, void (*function)(void *argument), void *argument);

/* Until it has nothing to do; what its function wrote is then seen. 0, -ETIMEDOUT or -ENODEV. */
int smp_wait(unsigned number, uint64_t deadline_ns);

/*
 * For event_signal(): on another CPU, passes the event on to the first one and returns
 * true. The event has to stay until it was signalled there.
 */
bool smp_pass_on(struct event *event);

/* For a panic: halts all others for good, wherever they are; waits for them a bounded time. */
void smp_stop_others(void);

/* The last of a CPU that another one has stopped. */
_Noreturn void smp_halt(void);

#endif
