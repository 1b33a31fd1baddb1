/* SPDX-License-Identifier: MIT */
/*
 * Interrupts as drivers see them: a handler behind a CPU vector, reached by a
 * message (MSI-X) or through an I/O APIC pin (INTx, SCI). Handlers run with
 * interrupts off and only mark events; the work is done in thread context.
 */
#ifndef KERNEL_IRQ_H
#define KERNEL_IRQ_H

#include "lib/base/types.h"

typedef void (*irq_handler)(void *argument);

/* A vector of this CPU for the handler; its number, or -ENOSPC. */
int irq_alloc(irq_handler handler, void *argument, const char *name);
void irq_free(int vector);

/* The message that raises the vector (what goes into an MSI-X table entry). */
struct irq_message {
    uint64_t address;
    uint32_t data;
};

struct irq_message irq_message(int vector);

/* A pin with its electrical conventions. */
struct irq_line {
    uint32_t gsi;
    bool level_triggered, active_low;
};

/* Routes a global system interrupt to the vector. -ENODEV: no I/O APIC has that pin;
 * -EBUSY: it leads to another. */
int irq_route(uint32_t gsi, int vector, bool level_triggered, bool active_low);
void irq_unroute(uint32_t gsi);

/* How interrupts may be used, from `irq=`. */
enum irq_mode { IRQ_MODE_MSIX, IRQ_MODE_INTX, IRQ_MODE_POLL };
extern enum irq_mode irq_mode;

/* Off around a few instructions that share state with a handler; restore puts back what was. They
 * nest. */
bool irq_save(void);
void irq_restore(bool were_on);

#endif
