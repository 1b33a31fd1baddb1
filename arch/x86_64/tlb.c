/* SPDX-License-Identifier: MIT */
#include "arch/x86_64/tlb.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/percpu.h"
#include "kernel/irq.h"
#include "kernel/page.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"

#define MOST_BYTES (32 * PAGE_SIZE) /* page by page; above, forgetting everything costs less */

/* The latest. It stays while somebody who was asked has not followed it. */
static struct {
    uint64_t number; /* written last */
    uintptr_t start;
    uint64_t bytes; /* 0: everything */
} request;

static int vector;
static unsigned n_others; /* that have arrived; by them, atomically */

static void forget_all(void)
{
    cr3_write(cr3_read());
}

static void forget_pages(uintptr_t start, uint64_t bytes)
{
    for (uint64_t done = 0; done < bytes; done += PAGE_SIZE)
        tlb_flush_page(start + done);
}

/*
 * Who is in use has been asked each time: if it lacks one, that is the latest, and stays as
 * it is. Who is idle may lack several, and may meet the next one just being written.
 */
static void follow(struct cpu *cpu)
{
    uint64_t number = load_acquire(&request.number); /* pairs with tlb_forget() */

    if (cpu->tlb.served == number)
        return;
    if (cpu->tlb.state == TLB_IN_USE && cpu->tlb.served + 1 == number && request.bytes)
        forget_pages(request.start, request.bytes);
    else
        forget_all();
    store_release(&cpu->tlb.served, number); /* pairs with wait_for() */
}

/* Not twice at a time, or an older number would come behind a newer one. */
void tlb_serve(void)
{
    struct cpu *cpu = cpu_current();
    bool were_on;

    if (LIKELY(load_acquire(&request.number) == cpu->tlb.served))
        return;
    were_on = irq_save();
    follow(cpu);
    irq_restore(were_on);
}

static void on_interrupt(void *argument)
{
    (void)argument;
    tlb_serve();
}

int tlb_start(void)
{
    vector = irq_alloc_everywhere(on_interrupt, NULL, "tlb");
    cpu_current()->tlb.state = TLB_IN_USE;
    return MIN(vector, 0);
}

/* Whoever does not ask this CPU now has asked before this looks. */
static void enter(struct cpu *cpu)
{
    uint64_t number;

    store_once(&cpu->tlb.state, TLB_IN_USE);
    barrier_full(); /* pairs with tlb_forget() */
    number = load_acquire(&request.number);
    if (cpu->tlb.served == number)
        return;
    forget_all();
    store_release(&cpu->tlb.served, number);
}

void tlb_arrive(void)
{
    struct cpu *cpu = cpu_current();

    __atomic_add_fetch(&n_others, 1, __ATOMIC_SEQ_CST);
    cpu->tlb.served = UINT64_MAX; /* none: it has not been asked so far */
    enter(cpu);
}

void tlb_part(void)
{
    store_release(&cpu_current()->tlb.state, TLB_AWAY);
}

void tlb_leave_now(void)
{
    store_release(&cpu_current()->tlb.state, TLB_IDLE);
}

void tlb_join_now(void)
{
    enter(cpu_current());
}

static bool concerns(const struct cpu *cpu, bool tables)
{
    enum tlb_state state = load_acquire(&cpu->tlb.state);

    return state == TLB_IN_USE || (tables && state == TLB_IDLE);
}

/* One that has gone idle meanwhile will forget everything. */
static void wait_for(const struct cpu *cpu, bool tables)
{
    while (load_acquire(&cpu->tlb.served) != request.number && concerns(cpu, tables))
        cpu_pause();
}

void tlb_forget(uintptr_t start, uint64_t bytes, bool tables)
{
    struct cpu *self = cpu_current();
    struct cpu_set asked = { 0 };

    if (!load_acquire(&n_others))
        return;
    request.start = start;
    request.bytes = tables || bytes > MOST_BYTES ? 0 : bytes;
    store_release(&request.number, request.number + 1);
    self->tlb.served = request.number;
    if (!spin_several && !tables)
        return;     /* the others do nothing yet */
    barrier_full(); /* what was changed, and the number, before the look at who is there */
    for (unsigned i = 0; i < cpu_wanted(); i++)
        if (i != self->number && concerns(cpu_numbered(i), tables))
            cpu_set_add(&asked, i);
    apic_send_to_set(&asked, load_acquire(&n_others), (unsigned)vector);
    for (unsigned i = 0; i < cpu_wanted(); i++)
        if (cpu_set_has(&asked, i))
            wait_for(cpu_numbered(i), tables);
}
