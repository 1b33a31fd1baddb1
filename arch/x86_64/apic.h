/* SPDX-License-Identifier: MIT */
/*
 * The local APIC (x2APIC where the CPU has it, else by registers in memory), its
 * timer, and the I/O APICs. Intel SDM volume 3, "Advanced Programmable
 * Interrupt Controller"; 82093AA data sheet.
 */
#ifndef ARCH_X86_64_APIC_H
#define ARCH_X86_64_APIC_H

#include "lib/base/types.h"

struct cpu_set;

/*
 * Enables the local APIC of this CPU and silences the legacy controllers, and what
 * KVM offers beside it. polling: devices are polled, so that the host need not poll for
 * us. -ENODEV: there is none, or its registers can not be reached.
 */
int apic_init(bool polling);

/* The same on a further CPU, with its kvm_clock. */
void apic_init_further(void);

/* What the host gave to others while a CPU was ready to run, in ns, where it tells; else 0. */
uint64_t apic_stolen_ns(unsigned cpu);

bool apic_is_x2apic(void);
uint32_t apic_id(void);
void apic_eoi(void);

/*
 * Starts a further CPU at a page below 1 MiB: apic_send_init() makes it wait for
 * apic_send_startup(). -ERANGE: its id is beyond what an xAPIC can name.
 */
int apic_send_init(uint32_t id);
int apic_send_startup(uint32_t id, phys_addr_t page);

/* A non-maskable interrupt; an interrupt by vector. */
int apic_send_nmi(uint32_t id);
int apic_send_interrupt(uint32_t id, unsigned vector);

/*
 * The interrupt to several CPUs, none of which is the caller's, in as few steps as can be.
 * n_others: how many there are beside the caller's.
 */
void apic_send_to_set(const struct cpu_set *set, unsigned n_others, unsigned vector);

/* The address that a message-signalled interrupt for a CPU is written to. 0: none can name it. */
uint64_t apic_message_address(uint32_t id);

/* Of each CPU. */
struct apic_timer {
    bool by_deadline;
    uint32_t set_to; /* where it counts down: from there, at that time */
    uint64_t set_at_ns;
};

/*
 * The calling CPU's timer raises its vector once, at the monotonic time or a little before;
 * the caller looks at the clock and sets it again. By TSC deadline where the
 * CPU has it and the clock's rate is known, else by counting down. The vector is the same
 * on all CPUs.
 */
void apic_timer_init(unsigned vector);
void apic_timer_set(uint64_t deadline_ns);
void apic_timer_stop(void);
const char *apic_timer_name(void);

/* Where a board's first I/O APIC is, unless firmware says otherwise. */
#define IOAPIC_DEFAULT_ADDRESS 0xfec00000

/*
 * I/O APICs. -ENOSPC: more than we keep; -ENODEV: no registers there, or no such
 * pin; -EBUSY: the pin leads to another vector; -ERANGE: no pin can name that CPU. One
 * caller at a time.
 */
int ioapic_add(phys_addr_t address, uint32_t gsi_base);
int ioapic_route(uint32_t gsi, uint32_t apic_id, unsigned vector, bool level_triggered,
                 bool active_low);
void ioapic_unroute(uint32_t gsi);

#endif
