/* SPDX-License-Identifier: MIT */
/* What arch/ calls when an interrupt came: runs the vector's handler and ends the interrupt. */
#ifndef KERNEL_IRQ_ENTRY_H
#define KERNEL_IRQ_ENTRY_H

void irq_entry(unsigned vector);

#endif
