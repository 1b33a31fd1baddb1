/* SPDX-License-Identifier: MIT */
#include "kernel/timer.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/percpu.h"
#include "kernel/clock.h"
#include "kernel/irq.h"

/* Few timers at a time on a CPU (a handful of waits and the network's next timeout): a sorted list.
 */

static struct timer *timer_of(struct list *link)
{
    return CONTAINER_OF(link, struct timer, link);
}

static void set_hardware(const struct cpu *cpu)
{
    if (cpu->timers.hardware_ready && !list_empty(&cpu->timers.pending))
        apic_timer_set(timer_of(cpu->timers.pending.next)->deadline_ns);
}

static void on_interrupt(void *argument)
{
    (void)argument;
    timer_run();
}

int timer_start_hardware(void)
{
    static int vector = -1; /* of all CPUs; the first one comes here first */
    struct cpu *cpu = cpu_current();

    if (vector < 0)
        vector = irq_alloc_everywhere(on_interrupt, NULL, "timer");
    if (vector < 0)
        return vector;
    apic_timer_init((unsigned)vector);
    cpu->timers.hardware_ready = true;
    set_hardware(cpu); /* for what was started before */
    return 0;
}

void timer_init(struct timer *timer, void (*expired)(struct timer *timer))
{
    list_init(&timer->link);
    timer->deadline_ns = CLOCK_NEVER;
    timer->expired = expired;
    timer->cpu = NULL;
}

/* Out of the list of the CPU that started it, whose interrupt may be about to expire it. */
static void take_out(struct timer *timer)
{
    struct cpu *cpu = timer->cpu;

    if (!cpu)
        return;
    SPIN_SCOPE(&cpu->timers.lock);
    list_remove(&timer->link);
}

static void put_in(struct timer *timer, struct cpu *cpu)
{
    struct list *link;

    SPIN_SCOPE(&cpu->timers.lock);
    LIST_FOR_EACH (link, &cpu->timers.pending)
        if (timer_of(link)->deadline_ns > timer->deadline_ns)
            break;
    list_insert_before(&timer->link, link);
    if (cpu->timers.pending.next == &timer->link)
        set_hardware(cpu);
}

void timer_start(struct timer *timer, uint64_t deadline_ns)
{
    bool were_on = irq_save();

    take_out(timer);
    timer->deadline_ns = deadline_ns;
    timer->cpu = cpu_current();
    put_in(timer, timer->cpu);
    irq_restore(were_on);
}

/* The hardware is left as it is: it may come early, and timer_run() finds nothing due. */
void timer_cancel(struct timer *timer)
{
    bool were_on = irq_save();

    take_out(timer);
    irq_restore(were_on);
}

/* expired() runs under the lock: who cancels the timer on another CPU waits for its end. */
static void expire(struct cpu *cpu)
{
    struct list *pending = &cpu->timers.pending;

    SPIN_SCOPE(&cpu->timers.lock);
    while (!list_empty(pending) && timer_of(pending->next)->deadline_ns <= clock_monotonic_ns()) {
        struct timer *timer = timer_of(list_pop(pending));

        timer->expired(timer);
    }
    set_hardware(cpu);
}

void timer_run(void)
{
    bool were_on = irq_save();

    expire(cpu_current());
    irq_restore(were_on);
}
