/* SPDX-License-Identifier: MIT */
/* Interrupts in hosted tests: raised by the test, run at once. */
#ifndef TESTS_HOST_IRQ_H
#define TESTS_HOST_IRQ_H

#include <stdbool.h>

#include "kernel/irq.h"

#define HOST_IRQ_FIRST 32
#define HOST_IRQS      64

/* Runs the handler that the message reaches; false: it reaches none. */
bool host_irq_send(struct irq_message message);

/* Which CPU it goes to. */
unsigned host_irq_cpu(struct irq_message message);

/* Lines, as the I/O APIC's pins are routed. */
#define HOST_LINES 64

struct host_line {
    int vector; /* 0: nobody listens, it is masked */
    bool level_triggered, active_low;
    bool absent; /* set by the test: no I/O APIC has it */
};

extern struct host_line host_lines[HOST_LINES];

/* An interrupt by the line; false: it is masked. */
bool host_line_raise(unsigned gsi);

extern unsigned host_irqs_free; /* of HOST_IRQS; lower it to make irq_alloc() fail */

#endif
