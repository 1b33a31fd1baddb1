/* SPDX-License-Identifier: MIT */
/*
 * Interrupt lines that several devices share: all who listen to one are asked in
 * turn whether it was theirs. A line that goes on although nobody claims it would
 * leave the CPU no time for anything else: it is switched off, and who
 * listened is told.
 *
 * A level-triggered line comes again after the end of the interrupt while any device still raises
 * it. On an edge-triggered one a device that raised it meanwhile made no edge, so
 * all are asked again until none claims it.
 *
 * Concurrency: attach, detach and retry in thread context; handlers and lost in
 * interrupt context.
 */
#ifndef KERNEL_IRQ_LINE_H
#define KERNEL_IRQ_LINE_H

#include "kernel/irq.h"
#include "lib/base/list.h"
#include "lib/base/types.h"

struct irq_shared_line;

/* Owned by who listens, which keeps it while it is attached. */
struct irq_listener {
    bool (*handler)(
        void *argument);          /* asks its device, and has it lower the line; true: it was it */
    void (*lost)(void *argument); /* the line was switched off: nothing comes any more */
    void *argument;
    const char *name;
    struct list link;               /* set by irq_line_attach() */
    struct irq_shared_line *shared; /* the same; NULL: not attached */
};

/*
 * From now on handler is called. -ENODEV: no I/O APIC has that pin; -EBUSY: it is
 * somebody's who does not share; -EINVAL: others use it with another trigger or
 * polarity; -ENOSPC: no vector, or more lines than are kept.
 */
int irq_line_attach(const struct irq_line *line, struct irq_listener *listener);

/* Nothing is called after it. Harmless where it is not attached. */
void irq_line_detach(struct irq_listener *listener);

/* What made the line useless may be over: switches it on again, if it is off. */
void irq_line_retry(struct irq_listener *listener);

#endif
