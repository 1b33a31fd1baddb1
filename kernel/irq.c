/* SPDX-License-Identifier: MIT */
#include "kernel/irq.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/trap.h"
#include "kernel/irq_entry.h"
#include "kernel/random.h"
#include "lib/base/errno.h"

/* The spurious vector has no handler and wants no end. */
#define N_VECTORS (TRAP_SPURIOUS - TRAP_FIRST_INTERRUPT)

static struct {
    irq_handler handler; /* NULL: free */
    void *argument;
    const char *name;
} vectors[N_VECTORS];

static unsigned next_vector;

enum irq_mode irq_mode = IRQ_MODE_MSIX;

int irq_alloc(irq_handler handler, void *argument, const char *name)
{
    for (unsigned tried = 0; tried < N_VECTORS; tried++) {
        unsigned i = next_vector++ % N_VECTORS;
        int vector = (int)(TRAP_FIRST_INTERRUPT + i);

        if (vectors[i].handler)
            continue;
        vectors[i].argument = argument;
        vectors[i].name = name;
        vectors[i].handler = handler;
        trap_open_interrupt((unsigned)vector);
        return vector;
    }
    return -ENOSPC;
}

void irq_free(int vector)
{
    vectors[vector - TRAP_FIRST_INTERRUPT].handler = NULL;
}

struct irq_message irq_message(int vector)
{
    return (struct irq_message){ apic_message_address(), (uint32_t)vector };
}

int irq_route(uint32_t gsi, int vector, bool level_triggered, bool active_low)
{
    bool were_on = irq_save(); /* a handler may unroute its own pin */
    int error = ioapic_route(gsi, (unsigned)vector, level_triggered, active_low);

    irq_restore(were_on);
    return error;
}

void irq_unroute(uint32_t gsi)
{
    bool were_on = irq_save();

    ioapic_unroute(gsi);
    irq_restore(were_on);
}

void irq_entry(unsigned vector)
{
    unsigned i = vector - TRAP_FIRST_INTERRUPT;

    if (i >= N_VECTORS)
        return;
    random_note_moment();
    /* A vector freed a moment ago may still have been on its way. */
    if (vectors[i].handler)
        vectors[i].handler(vectors[i].argument);
    apic_eoi();
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
