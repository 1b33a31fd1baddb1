/* SPDX-License-Identifier: MIT */
/* Exceptions and interrupts of this CPU: descriptors, stacks, frames. */
#ifndef ARCH_X86_64_TRAP_H
#define ARCH_X86_64_TRAP_H

#include "lib/base/types.h"

/* What the entry code pushed, lowest address first. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss; /* pushed by the CPU */
};

#define TRAP_FIRST_INTERRUPT 32
#define TRAP_VECTORS         256
#define TRAP_SPURIOUS        255 /* what the local APIC raises for an interrupt that went away */

/* Interrupt descriptors, task state, exception gates. Once per CPU, first of all. */
void trap_init(void);

/* Opens the gate of an interrupt vector (32 to 255). */
void trap_open_interrupt(unsigned vector);

#endif
