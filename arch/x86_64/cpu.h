/* SPDX-License-Identifier: MIT */
/*
 * The CPU's own instructions, registers and feature bits, with the names of
 * Intel's and AMD's manuals.
 */
#ifndef ARCH_X86_64_CPU_H
#define ARCH_X86_64_CPU_H

#include "lib/base/types.h"

#define CR0_WP                    (UINT64_C(1) << 16)
#define RFLAGS_IF                 (UINT64_C(1) << 9)
#define CPUID_1_ECX_X2APIC        (1u << 21)
#define CPUID_1_ECX_TSC_DEADLINE  (1u << 24)
#define CPUID_1_ECX_HYPERVISOR    (1u << 31)
#define CPUID_80000001_EDX_PAGE1G (1u << 26)

#define MSR_APIC_BASE    0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_FS_BASE      0xc0000100u
#define MSR_GS_BASE      0xc0000101u

struct cpuid_regs {
    uint32_t a, b, c, d;
};

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_regs r;

    __asm__ volatile("cpuid"
                     : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

static inline uint64_t msr_read(uint32_t msr)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void msr_write(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr"
                     :
                     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

static inline uint64_t tsc_read(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline void cpu_pause(void)
{
    __asm__ volatile("pause");
}

static inline uint64_t cr2_read(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr2, %0" : "=r"(value));
    return value;
}

static inline uint64_t cr3_read(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}

static inline void cr3_write(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

static inline void tlb_flush_page(uintptr_t address)
{
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static inline void irq_disable(void)
{
    __asm__ volatile("cli" ::: "memory");
}

/*
 * The state of x87 and SSE that a C function finds (System V ABI, §3.4): all
 * exceptions masked, round to nearest. By fxrstor, which every KVM can interpret.
 */
static inline void fpu_reset(void)
{
    struct {
        uint16_t fcw, fsw, ftw, fop;
        uint64_t ip, dp;
        uint32_t mxcsr;
        uint8_t rest[512 - 28];
    } __attribute__((packed, aligned(16))) state;

    __asm__ volatile("fxsave %0" : "=m"(state));
    state.fcw = 0x37f;
    state.fsw = state.ftw = 0; /* empty */
    state.mxcsr = 0x1f80;
    __asm__ volatile("fxrstor %0" : : "m"(state));
}

/* Interrupts are taken from the instruction after hlt on: none slips in between. */
static inline void cpu_wait_for_interrupt(void)
{
    __asm__ volatile("sti; hlt; cli" ::: "memory");
}

/* The reset that needs no device: a fault with no handler for it. */
static inline _Noreturn void cpu_reset(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) no_idt = { 0, 0 };

    __asm__ volatile("lidt %0; ud2" : : "m"(no_idt));
    __builtin_unreachable();
}

#endif
