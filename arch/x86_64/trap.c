/* SPDX-License-Identifier: MIT */
/*
 * Exceptions and interrupts. Runs on IST stacks with interrupts off: one stack
 * for interrupts, one for exceptions, one for what may hit in the middle of
 * either (NMI, double fault, machine check).
 */
#include "arch/x86_64/trap.h"

#include "arch/x86_64/cpu.h"
#include "kernel/irq.h"
#include "kernel/irq_entry.h"
#include "kernel/thread_entry.h"
#include "kernel/trap_entry.h"
#include "lib/base/string.h"

enum ist { IST_INTERRUPT = 1, IST_EXCEPTION = 2, IST_CRITICAL = 3 };

#define VECTOR_NMI           2
#define VECTOR_DOUBLE_FAULT  8
#define VECTOR_PAGE_FAULT    14
#define VECTOR_MACHINE_CHECK 18
#define N_EXCEPTIONS         32

#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TSS  0x18

/* As in entry.asm. */
#define DESCRIPTOR_CODE UINT64_C(0x00af9a000000ffff)
#define DESCRIPTOR_DATA UINT64_C(0x00cf92000000ffff)

#define GATE_PRESENT_INTERRUPT 0x8e00

#define RED_ZONE_BYTES 128

#define HYPERCALL_BYTES 3
#define KVM_ENOSYS      1000

struct idt_gate {
    uint16_t offset_low, selector, ist_and_type_low;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
} __attribute__((packed));

struct descriptor_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

extern const char exception_stubs[], interrupt_stubs[];       /* arch/x86_64/entry.asm */
extern const char kvm_hypercall_intel[], kvm_hypercall_amd[]; /* arch/x86_64/hypercall.asm */

#define EXCEPTION_STUB_BYTES 9
#define INTERRUPT_STUB_BYTES 7

static struct idt_gate idt[TRAP_VECTORS];

static void set_gate(unsigned vector, uintptr_t offset, enum ist ist)
{
    idt[vector].offset_low = (uint16_t)offset;
    idt[vector].selector = SELECTOR_CODE;
    idt[vector].offset_middle = (uint16_t)(offset >> 16);
    idt[vector].offset_high = (uint32_t)(offset >> 32);
    idt[vector].ist_and_type_low = (uint16_t)(GATE_PRESENT_INTERRUPT | ist);
}

static enum ist exception_ist(unsigned vector)
{
    switch (vector) {
    case VECTOR_NMI:
    case VECTOR_DOUBLE_FAULT:
    case VECTOR_MACHINE_CHECK:
        return IST_CRITICAL;
    default:
        return IST_EXCEPTION;
    }
}

void trap_init(void)
{
    for (unsigned vector = 0; vector < N_EXCEPTIONS; vector++)
        set_gate(vector, (uintptr_t)(exception_stubs + EXCEPTION_STUB_BYTES * vector),
                 exception_ist(vector));
    trap_open_interrupt(TRAP_SPURIOUS);
}

void trap_load(struct trap_tables *tables, struct trap_stacks *stacks)
{
    struct descriptor_pointer gdt = { sizeof(tables->gdt) - 1, (uintptr_t)tables->gdt };
    struct descriptor_pointer interrupts = { sizeof(idt) - 1, (uintptr_t)idt };
    struct tss *tss = &tables->tss;
    uint64_t base = (uintptr_t)tss, *descriptor = &tables->gdt[SELECTOR_TSS / 8];

    tss->ist[IST_INTERRUPT - 1] = (uintptr_t)(stacks->interrupt + sizeof(stacks->interrupt));
    tss->ist[IST_EXCEPTION - 1] = (uintptr_t)(stacks->exception + sizeof(stacks->exception));
    tss->ist[IST_CRITICAL - 1] = (uintptr_t)(stacks->critical + sizeof(stacks->critical));
    tss->io_map_base = sizeof(*tss);
    tables->gdt[SELECTOR_CODE / 8] = DESCRIPTOR_CODE;
    tables->gdt[SELECTOR_DATA / 8] = DESCRIPTOR_DATA;
    descriptor[0] = (sizeof(*tss) - 1) | (base & 0xffffff) << 16 | UINT64_C(0x89) << 40 |
                    (base >> 24 & 0xff) << 56;
    descriptor[1] = base >> 32;
    __asm__ volatile("lgdt %0" : : "m"(gdt) : "memory");
    __asm__ volatile("ltr %0" : : "r"((uint16_t)SELECTOR_TSS) : "memory");
    __asm__ volatile("lidt %0" : : "m"(interrupts));
}

void trap_open_interrupt(unsigned vector)
{
    set_gate(vector,
             (uintptr_t)(interrupt_stubs + INTERRUPT_STUB_BYTES * (vector - TRAP_FIRST_INTERRUPT)),
             IST_INTERRUPT);
}

/* A KVM that cannot take the call answers like one that does not know it. */
static bool is_refused_hypercall(struct trap_frame *frame)
{
    if (exception_ist((unsigned)frame->vector) ==
        IST_CRITICAL) /* which came by chance just there */
        return false;
    if (frame->rip != (uintptr_t)kvm_hypercall_intel && frame->rip != (uintptr_t)kvm_hypercall_amd)
        return false;
    frame->rax = (uint64_t)-KVM_ENOSYS;
    frame->rip += HYPERCALL_BYTES;
    return true;
}

void trap_exception(struct trap_frame *frame);
void trap_exception(struct trap_frame *frame)
{
    uintptr_t address = cr2_read();

    if (frame->vector == VECTOR_PAGE_FAULT && trap_page_fault(frame, address))
        return;
    if (is_refused_hypercall(frame))
        return;
    trap_unhandled(frame, address);
}

/* The frame to return to: see interrupt_common in entry.asm. */
struct trap_frame *trap_interrupt(struct trap_frame *frame);
struct trap_frame *trap_interrupt(struct trap_frame *frame)
{
    struct trap_frame *moved;

    irq_entry((unsigned)frame->vector);
    if (!thread_should_preempt())
        return frame;
    moved = (struct trap_frame *)ALIGN_DOWN(frame->rsp - RED_ZONE_BYTES - sizeof(*frame), 16);
    memcpy(moved, frame, sizeof(*frame));
    return moved;
}

bool irq_save(void)
{
    uint64_t flags;

    __asm__ volatile("pushfq; popq %0; cli" : "=r"(flags) : : "memory");
    return flags & RFLAGS_IF;
}

void irq_restore(bool were_on)
{
    if (were_on)
        __asm__ volatile("sti" ::: "memory");
}
