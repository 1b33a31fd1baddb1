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

extern unsigned host_irqs_free; /* of HOST_IRQS; lower it to make irq_alloc() fail */

#endif
