/* SPDX-License-Identifier: MIT */
/*
 * Interrupts as drivers see them: a handler behind a CPU vector, reached by a
 * message (MSI-X) or through an I/O APIC pin (INTx, SCI). Handlers run with
 * interrupts off and only mark events; the work is done in thread context. Any CPU may call
 * what is here.
 */
#ifndef KERNEL_IRQ_H
#define KERNEL_IRQ_H

#include "kernel/spinlock.h"
#include "lib/base/types.h"

typedef void (*irq_handler)(void *argument);

/*
 * A vector of one CPU, which need not be up yet, for the handler, which runs there: a
 * handle that names both, above 0. The name is kept, not copied. -ENODEV: no such CPU;
 * -ENOSPC: all its vectors are taken; -ENOMEM; -ERANGE: no message can name the CPU, whose
 * APIC id is too large. Thread context, no lock held.
 */
int irq_alloc_on(unsigned cpu, irq_handler handler, void *argument, const char *name);

/* The same of the first CPU. */
int irq_alloc(irq_handler handler, void *argument, const char *name);

/*
 * After it the handler runs nowhere and is not called again, unless it is the handler that
 * calls this. The caller holds no lock that the handler takes.
 */
void irq_free(int irq);

/* The number of the CPU that a handle names. */
unsigned irq_cpu(int irq);

/*
 * A vector that is the same on all CPUs, for their timers and to call each other by
 * apic_send_interrupt(); for good. The vector, or -ENOSPC.
 */
int irq_alloc_everywhere(irq_handler handler, void *argument, const char *name);

/* The message that raises the vector on its CPU (what goes into an MSI-X table entry). */
struct irq_message {
    uint64_t address;
    uint32_t data;
};

struct irq_message irq_message(int irq);

/* A pin with its electrical conventions. */
struct irq_line {
    uint32_t gsi;
    bool level_triggered, active_low;
};

/* Routes a global system interrupt to the vector on its CPU. -ENODEV: no I/O APIC has that pin;
 * -EBUSY: it leads to another. */
int irq_route(uint32_t gsi, int irq, bool level_triggered, bool active_low);
void irq_unroute(uint32_t gsi);

/*
 * For reports: a CPU's vectors by index, from 0; the name is NULL where none is given out.
 * false: there are no more.
 */
struct irq_seen {
    unsigned vector;
    const char *name;
    uint64_t count; /* how often its handler has run */
};

bool irq_seen(unsigned cpu, unsigned index, struct irq_seen *seen);

/* How interrupts may be used, from `irq=`. */
enum irq_mode { IRQ_MODE_MSIX, IRQ_MODE_INTX, IRQ_MODE_POLL };
extern enum irq_mode irq_mode;

/* Off around a few instructions that share state with a handler; restore puts back what was. They
 * nest. */
bool irq_save(void);
void irq_restore(bool were_on);

/* The same against handlers on other CPUs too, which take the lock in turn. */
static inline bool irq_lock(struct spinlock *lock)
{
    bool were_on = irq_save();

    spin_take(lock);
    return were_on;
}

static inline void irq_unlock(struct spinlock *lock, bool were_on)
{
    spin_give(lock);
    irq_restore(were_on);
}

#endif
