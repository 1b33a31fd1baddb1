/* SPDX-License-Identifier: MIT */
/*
 * The panic report. Runs with interrupts off, in any context, possibly with
 * damaged memory: every address is looked up in the page tables before it is
 * read, a second panic inside the first ends the VM at once, and a third, on
 * that way out, resets the CPU.
 */
#include "kernel/panic.h"

#include <stdarg.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/trap.h"
#include "kernel/exit.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/smp.h"
#include "kernel/symbol.h"
#include "kernel/thread.h"
#include "kernel/trap_entry.h"
#include "kernel/vmem.h"
#include "lib/base/format.h"

#define MAX_FRAMES    32
#define MAX_NOTIFIERS 4

static void (*notifiers[MAX_NOTIFIERS])(void);
static unsigned n_notifiers;
static unsigned panics;
#define NOBODY (~0u)
static unsigned reporting_cpu = NOBODY; /* all others halt */
static char who[32];

void panic_register_notifier(void (*notify)(void))
{
    if (n_notifiers < MAX_NOTIFIERS)
        notifiers[n_notifiers++] = notify;
}

static bool is_readable(uintptr_t address, size_t bytes)
{
    uint64_t left;

    return IS_ALIGNED(address, sizeof(uint64_t)) && address < PAGING_END &&
           paging_lookup(address, &left) && left >= bytes;
}

/*
 * A return address may be the first of the next function, behind a call that
 * does not return: the function that was left is that of the byte before.
 */
static void print_place(unsigned number, uintptr_t address, bool is_return)
{
    uintptr_t offset;
    const char *name = symbol_find(address - is_return, &offset);

    log_error("  #%-2u 0x%016lx %s+0x%lx", number, address, name ? name : "?",
              name ? offset + is_return : 0);
}

/*
 * Follows the chain of frame pointers: each points to the caller's, with the
 * return address above. After a call into nowhere no frame was made yet, and the
 * caller stands on top of the stack (rsp 0: that did not happen).
 */
static void print_backtrace(uintptr_t rip, uintptr_t rsp, uintptr_t rbp)
{
    unsigned n = 0;
    uintptr_t offset;

    log_error("backtrace:");
    print_place(n++, rip, false);
    if (rsp && !symbol_find(rip, &offset) && is_readable(rsp, sizeof(rip)))
        print_place(n++, *(const uintptr_t *)rsp, true);
    while (n < MAX_FRAMES && is_readable(rbp, 2 * sizeof(rip))) {
        const uintptr_t *frame = (const uintptr_t *)rbp;

        if (!frame[1])
            return;
        print_place(n++, frame[1], true);
        if (frame[0] <= rbp)
            return;
        rbp = frame[0];
    }
}

static void print_registers(const struct trap_frame *f)
{
    log_error("rip %016lx  rsp %016lx  rflags %08lx  cr3 %016lx", f->rip, f->rsp, f->rflags,
              cr3_read());
    log_error("rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
    log_error("rsi %016lx  rdi %016lx  rbp %016lx  r8  %016lx", f->rsi, f->rdi, f->rbp, f->r8);
    log_error("r9  %016lx  r10 %016lx  r11 %016lx  r12 %016lx", f->r9, f->r10, f->r11, f->r12);
    log_error("r13 %016lx  r14 %016lx  r15 %016lx", f->r13, f->r14, f->r15);
}

static void tell_who(unsigned cpu)
{
    const char *thread = thread_name(thread_current());

    if (cpu)
        format(who, sizeof(who), "CPU %u, thread %s", cpu, thread);
    else
        format(who, sizeof(who), "thread %s", thread);
}

static void begin(void)
{
    unsigned cpu = cpu_current()->number, first = NOBODY;

    irq_disable();
    if (!__atomic_compare_exchange_n(&reporting_cpu, &first, cpu, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST) &&
        first != cpu)
        smp_halt();
    if (++panics > 2)
        cpu_reset();
    if (panics == 1) {
        tell_who(cpu);
        smp_stop_others();
    }
    console_panic();
    if (panics == 2)
        kernel_exit(EXIT_PANIC);
}

/* A VMM may end the guest as soon as it is told of the panic: the record goes out before. */
static _Noreturn void finish(void)
{
    exit_record(EXIT_PANIC);
    for (unsigned i = 0; i < n_notifiers; i++)
        notifiers[i]();
    exit_machine();
}

void panic(const char *format, ...)
{
    char reason[160];
    va_list arguments;

    begin();
    va_start(arguments, format);
    format_va(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    log_error("panic: %s (%s)", reason, who);
    print_backtrace((uintptr_t)__builtin_return_address(0) - 1, 0,
                    *(const uintptr_t *)__builtin_frame_address(0));
    finish();
}

static const char *exception_name(uint64_t vector)
{
    static const char *const names[] = {
        "divide error",
        "debug exception",
        "non-maskable interrupt",
        "breakpoint",
        "overflow",
        "bound range exceeded",
        "invalid opcode",
        "no floating point",
        "double fault",
        "coprocessor overrun",
        "invalid TSS",
        "segment not present",
        "stack fault",
        "general protection",
        "page fault",
        "reserved",
        "x87 error",
        "alignment check",
        "machine check",
        "SIMD error",
        "virtualization exception",
        "control protection",
    };

    return vector < ARRAY_SIZE(names) ? names[vector] : "reserved exception";
}

#define PAGE_FAULT_VECTOR  14
#define PAGE_FAULT_PRESENT 1
#define PAGE_FAULT_WRITE   2
#define PAGE_FAULT_FETCH   16

static void print_page_fault(const struct trap_frame *frame, uintptr_t address)
{
    const char *access = frame->error & PAGE_FAULT_FETCH   ? "executing"
                         : frame->error & PAGE_FAULT_WRITE ? "writing"
                                                           : "reading";
    const char *what = frame->error & PAGE_FAULT_PRESENT ? "protected memory"
                       : address < PAGE_SIZE             ? "a null pointer"
                       : address - (frame->rsp - PAGE_SIZE) < 2 * PAGE_SIZE
                           ? "beyond the stack (overflow)"
                           : "unmapped memory";

    log_error("%s %s at 0x%lx", access, what, address);
}

void trap_unhandled(const struct trap_frame *frame, uintptr_t address)
{
    begin();
    log_error("panic: %s, error code 0x%lx (%s)", exception_name(frame->vector), frame->error, who);
    if (frame->vector == PAGE_FAULT_VECTOR)
        print_page_fault(frame, address);
    print_registers(frame);
    print_backtrace(frame->rip, frame->rsp, frame->rbp);
    finish();
}

bool trap_page_fault(struct trap_frame *frame, uintptr_t address)
{
    return !(frame->error & PAGE_FAULT_PRESENT) && vmem_fault(address);
}

uintptr_t __stack_chk_guard; /* set by boot/ before the first function that has a canary */

void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
    panic("a function wrote beyond its stack frame");
}
