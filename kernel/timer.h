/* SPDX-License-Identifier: MIT */
/*
 * Timers: something to do at a time. One-shot, kept in order of deadline per
 * CPU; the hardware is set to the earliest. There is no periodic tick.
 *
 * A timer expires on the CPU that started it last. Any may start it anew or cancel it,
 * one at a time.
 */
#ifndef KERNEL_TIMER_H
#define KERNEL_TIMER_H

#include "lib/base/list.h"
#include "lib/base/types.h"

struct cpu;

struct timer {
    struct list link;     /* set by timer_start */
    uint64_t deadline_ns; /* monotonic */
    void (*expired)(
        struct timer *timer); /* interrupt context: may only signal events and start this timer */
    struct cpu *cpu;          /* whose it is, set by timer_start */
};

void timer_init(struct timer *timer, void (*expired)(struct timer *timer));

/* Starts or moves it. A deadline that has passed expires at the next chance. Any context. */
void timer_start(struct timer *timer, uint64_t deadline_ns);

/* After it, expired() neither runs nor will until it is started again. Any context. */
void timer_cancel(struct timer *timer);

/* Sets up this CPU's timer hardware. -ENOSPC: no vector. */
int timer_start_hardware(void);

/* The interrupt's work: expires what is due and sets the hardware for the rest. */
void timer_run(void);

#endif
