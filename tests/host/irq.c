/* SPDX-License-Identifier: MIT */
/* kernel/irq.h for hosted tests. */
#include "tests/host/irq.h"

#include "lib/base/errno.h"

#define MESSAGE_ADDRESS UINT64_C(0xfee00000)
#define CPU_SHIFT       12 /* of its number, in the address */

static struct {
    irq_handler handler;
    void *argument;
} vectors[HOST_IRQS];

struct host_line host_lines[HOST_LINES];
unsigned host_irqs_free = HOST_IRQS;
enum irq_mode irq_mode = IRQ_MODE_MSIX;

int irq_alloc(irq_handler handler, void *argument, const char *name)
{
    (void)name;
    for (int i = 0; i < HOST_IRQS && host_irqs_free; i++) {
        if (vectors[i].handler)
            continue;
        vectors[i].handler = handler;
        vectors[i].argument = argument;
        host_irqs_free--;
        return HOST_IRQ_FIRST + i;
    }
    return -ENOSPC;
}

int irq_alloc_on(unsigned cpu, irq_handler handler, void *argument, const char *name)
{
    int irq = irq_alloc(handler, argument, name);

    return irq < 0 ? irq : (int)(cpu << 8) | irq;
}

int irq_alloc_everywhere(irq_handler handler, void *argument, const char *name)
{
    return irq_alloc(handler, argument, name);
}

unsigned irq_cpu(int irq)
{
    return (unsigned)irq >> 8;
}

void irq_free(int vector)
{
    vectors[(vector & 0xff) - HOST_IRQ_FIRST].handler = NULL;
    host_irqs_free++;
}

struct irq_message irq_message(int vector)
{
    return (struct irq_message){ MESSAGE_ADDRESS | (uint64_t)(vector >> 8) << CPU_SHIFT,
                                 (uint32_t)vector & 0xff };
}

int irq_route(uint32_t gsi, int vector, bool level_triggered, bool active_low)
{
    if (gsi >= HOST_LINES || host_lines[gsi].absent)
        return -ENODEV;
    if (host_lines[gsi].vector)
        return -EBUSY;
    host_lines[gsi] = (struct host_line){ vector, level_triggered, active_low, false };
    return 0;
}

void irq_unroute(uint32_t gsi)
{
    if (gsi < HOST_LINES)
        host_lines[gsi].vector = 0;
}

bool host_line_raise(unsigned gsi)
{
    return host_lines[gsi].vector && host_irq_send(irq_message(host_lines[gsi].vector));
}

bool host_irq_send(struct irq_message message)
{
    unsigned i = message.data - HOST_IRQ_FIRST;

    if (message.address >> (CPU_SHIFT + 8) != MESSAGE_ADDRESS >> (CPU_SHIFT + 8) ||
        i >= HOST_IRQS || !vectors[i].handler)
        return false;
    vectors[i].handler(vectors[i].argument);
    return true;
}

unsigned host_irq_cpu(struct irq_message message)
{
    return (unsigned)(message.address - MESSAGE_ADDRESS) >> CPU_SHIFT;
}

bool irq_save(void)
{
    return true;
}

void irq_restore(bool were_on)
{
    (void)were_on;
}
