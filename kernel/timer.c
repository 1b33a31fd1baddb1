/* SPDX-License-Identifier: MIT */
#include "kernel/timer.h"

#include "arch/x86_64/apic.h"
#include "kernel/clock.h"
#include "kernel/irq.h"

/* Few timers at a time (a handful of waits and the network's next timeout): a sorted list. */
static struct list pending = LIST_INIT(pending);
static bool hardware_ready;

static struct timer *timer_of(struct list *link)
{
    return CONTAINER_OF(link, struct timer, link);
}

static void set_hardware(void)
{
    if (hardware_ready && !list_empty(&pending))
        apic_timer_set(timer_of(pending.next)->deadline_ns);
}

static void on_interrupt(void *argument)
{
    (void)argument;
    timer_run();
}

int timer_start_hardware(void)
{
    int vector = irq_alloc_everywhere(on_interrupt, NULL, "timer");

    if (vector < 0)
        return vector;
    apic_timer_init((unsigned)vector);
    hardware_ready = true;
    set_hardware(); /* for what was started before */
    return 0;
}

void timer_init(struct timer *timer, void (*expired)(struct timer *timer))
{
    list_init(&timer->link);
    timer->deadline_ns = CLOCK_NEVER;
    timer->expired = expired;
}

void timer_start(struct timer *timer, uint64_t deadline_ns)
{
    bool were_on = irq_save();
    struct list *link;

    list_remove(&timer->link);
    timer->deadline_ns = deadline_ns;
    LIST_FOR_EACH (link, &pending)
        if (timer_of(link)->deadline_ns > deadline_ns)
            break;
    list_insert_before(&timer->link, link);
    if (pending.next == &timer->link)
        set_hardware();
    irq_restore(were_on);
}

/* The hardware is left as it is: it may come early, and timer_run() finds nothing due. */
void timer_cancel(struct timer *timer)
{
    bool were_on = irq_save();

    list_remove(&timer->link);
    irq_restore(were_on);
}

void timer_run(void)
{
    bool were_on = irq_save();

    while (!list_empty(&pending) && timer_of(pending.next)->deadline_ns <= clock_monotonic_ns()) {
        struct timer *timer = timer_of(list_pop(&pending));

        timer->expired(timer);
    }
    set_hardware();
    irq_restore(were_on);
}
