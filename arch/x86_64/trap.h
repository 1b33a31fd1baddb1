/* SPDX-License-Identifier: MIT */
/* Exceptions and interrupts: descriptors, stacks, frames. */
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

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, io_map_base;
} __attribute__((packed));

/* A CPU's own. */
struct trap_tables {
    uint64_t gdt[5]; /* null, code, data, and the TSS, which takes two */
    struct tss tss;
};

struct trap_stacks {
    uint8_t interrupt[4096], exception[8192], critical[4096];
} __attribute__((aligned(16)));

/* The interrupt descriptors, which all CPUs share. Before any trap_load(). */
void trap_init(void);

/* Descriptors and task state of this CPU; both stay its own. */
void trap_load(struct trap_tables *tables, struct trap_stacks *stacks);

/* Opens the gate of an interrupt vector (32 to 255). */
void trap_open_interrupt(unsigned vector);

#endif
