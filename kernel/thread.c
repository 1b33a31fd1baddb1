/* SPDX-License-Identifier: MIT */
/*
 * The scheduler, one on each CPU. Two queues: kernel threads, which go first, and
 * application threads, which run while no kernel thread is ready. There is no
 * idle thread: whoever waits last runs the idle loop on its own stack.
 *
 * A thread stays on its CPU, and all of a scheduler but its arrivals is touched by that
 * CPU alone, with interrupts off. Locks are taken in this order: a CPU's timers, the
 * polled events, an event.
 */
#include "kernel/thread.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/tlb.h"
#include "arch/x86_64/tls.h"
#include "kernel/alloc.h"
#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/irq.h"
#include "kernel/page.h"
#include "kernel/panic.h"
#include "kernel/smp.h"
#include "kernel/spinlock.h"
#include "kernel/thread_entry.h"
#include "kernel/timer.h"
#include "kernel/vmem.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"

/* A kernel stack is a block of four pages: the lowest one unmapped, to catch an overflow. */
#define KERNEL_STACK_ORDER 2
#define KERNEL_STACK_BYTES (PAGE_BYTES(KERNEL_STACK_ORDER) - PAGE_SIZE)

#define POLL_INTERVAL_NS NSEC_PER_MSEC

/* How often to look whether the kernel lock is free before giving way: some tens of us. */
#define LOCK_LOOKS 200

struct thread {
    struct list link; /* in a ready queue or among an event's waiters; to itself while running */
    const char *name;
    struct scheduler *home;
    struct thread *arrives_before; /* among the arrivals of its CPU */
    uint64_t rsp;                  /* while it does not run */
    unsigned kernel_depth; /* kernel_enter() less kernel_leave(); a kernel thread's own is 1 */
    bool application;
    bool parallel;   /* never holds the kernel lock */
    bool waiting;    /* on an event, whose lock it is under; cleared by whoever ends the wait */
    uintptr_t stack; /* lowest address; 0: not ours to free */
    uintptr_t tls;   /* of an application's thread */
    void *local_slot;
    void (*entry)(void *argument);
    void *argument;
};

struct scheduler {
    struct cpu *cpu;
    struct thread *current;
    struct thread *dead; /* to be freed by who runs next */
    struct list ready_kernel, ready_application;
    struct thread *arrivals; /* made ready by other CPUs, the latest first; taken by this one */
    struct thread first;     /* on the stack that the CPU started with */
    struct scheduler *next;  /* among all, from the first one on */
    bool looks;              /* through the polled events; who changes them waits for it */
};

static struct scheduler first_scheduler;

/* Marked while nobody holds it; goes from one to the next in the order in which they asked. */
static struct event kernel_lock = EVENT_INIT(kernel_lock);

/*
 * All CPUs that poll go through them all the time, and none must wait for another: a host
 * that takes a CPU away in the middle would stop all. So there is a lock for changes alone.
 */
static struct list polled_events = LIST_INIT(polled_events);
static struct spinlock polled_lock;
static bool polled_change; /* nobody begins to go through them */

/* arch/x86_64/entry.asm; interrupts are off on both sides. */
extern void thread_switch(uint64_t *save_rsp, uint64_t load_rsp);

static int wait_for(struct event *event, uint64_t deadline_ns, bool unlocks);
static bool poll(struct scheduler *here);

static struct scheduler *own(void)
{
    return cpu_current()->scheduler;
}

static struct thread *thread_of(struct list *link)
{
    return CONTAINER_OF(link, struct thread, link);
}

static void take_cpu(struct scheduler *scheduler, struct cpu *cpu, const char *name)
{
    scheduler->cpu = cpu;
    scheduler->current = &scheduler->first;
    list_init(&scheduler->ready_kernel);
    list_init(&scheduler->ready_application);
    scheduler->first.name = name;
    scheduler->first.home = scheduler;
    scheduler->first.kernel_depth = 1;
    list_init(&scheduler->first.link);
    cpu->scheduler = scheduler;
}

void thread_init(void)
{
    take_cpu(&first_scheduler, cpu_current(), "boot");
}

int thread_prepare(struct cpu *cpu)
{
    struct scheduler *scheduler = kalloc(sizeof(*scheduler));

    if (!scheduler)
        return -ENOMEM;
    take_cpu(scheduler, cpu, "idle");
    scheduler->first.parallel = true;
    scheduler->next = first_scheduler.next;
    store_release(&first_scheduler.next, scheduler); /* begin_change() */
    return 0;
}

static void free_dead(void)
{
    struct thread *thread = own()->dead;

    own()->dead = NULL;
    if (!thread || !thread->stack)
        return;
    if (thread->application) {
        tls_free(thread->tls);
        vmem_free((void *)thread->stack);
    } else {
        paging_map(thread->stack, thread->stack, PAGE_SIZE, PAGING_WRITE);
        page_free(thread->stack, KERNEL_STACK_ORDER);
    }
    kfree(thread);
}

static void switch_to(struct thread *next)
{
    struct scheduler *here = own();
    struct thread *previous = here->current;

    if (next == previous)
        return;
    here->current = next;
    thread_switch(&previous->rsp, next->rsp);
    free_dead();
}

static void line_up(struct thread *thread)
{
    struct scheduler *here = thread->home;

    list_append(thread->application ? &here->ready_application : &here->ready_kernel,
                &thread->link);
}

/* Who finds arrivals already there knows that the CPU has been told. */
static void send_home(struct thread *thread)
{
    struct scheduler *home = thread->home;
    struct thread *latest = __atomic_load_n(&home->arrivals, __ATOMIC_RELAXED);

    do
        thread->arrives_before = latest;
    while (!__atomic_compare_exchange_n(&home->arrivals, &latest, thread, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED));
    if (!latest)
        smp_wake(home->cpu);
}

/* The latest lies on top, so the list is turned over first. */
void thread_take_arrivals(void)
{
    struct thread *thread, *turned = NULL;

    if (!load_once(&own()->arrivals))
        return;
    thread = __atomic_exchange_n(&own()->arrivals, NULL, __ATOMIC_ACQUIRE); /* send_home() */
    while (thread) {
        struct thread *next = thread->arrives_before;

        thread->arrives_before = turned;
        turned = thread;
        thread = next;
    }
    for (; turned; turned = turned->arrives_before)
        line_up(turned);
}

static void make_ready(struct thread *thread)
{
    if (thread->home == own())
        line_up(thread);
    else
        send_home(thread);
}

static void rest(void)
{
    tlb_leave();
    cpu_wait_for_interrupt();
    tlb_join();
}

/* The next thread to run, waiting for one if need be. Interrupts are off. */
static struct thread *choose(void)
{
    struct scheduler *here = own();

    for (;;) {
        thread_take_arrivals();
        if (!list_empty(&here->ready_kernel))
            return thread_of(list_pop(&here->ready_kernel));
        if (!list_empty(&here->ready_application))
            return thread_of(list_pop(&here->ready_application));
        if (poll(here))
            __asm__ volatile("sti; nop; cli" ::: "memory");
        else
            rest();
    }
}

/*
 * Each thread that is in the kernel, and not parallel, holds the lock while it runs.
 * Without other CPUs there is none to hold: who is running when they come has it then,
 * and everybody else takes it before going on.
 */
static void lock_kernel(const struct thread *self)
{
    if (!UNLIKELY(spin_several) || self->parallel || !self->kernel_depth)
        return;
    for (unsigned i = 0; i < LOCK_LOOKS && !load_once(&kernel_lock.marked); i++)
        cpu_pause();
    wait_for(&kernel_lock, CLOCK_NEVER, false);
}

static void unlock_kernel(const struct thread *self)
{
    if (UNLIKELY(spin_several) && !self->parallel && self->kernel_depth)
        event_signal(&kernel_lock);
}

/* The first function on every new stack, reached by thread_switch() with interrupts off. */
static void thread_main(void)
{
    struct thread *self = thread_current();

    free_dead();
    if (self->application) {
        tls_load(self->tls);
        fpu_reset();
    }
    irq_restore(true);
    lock_kernel(self);
    self->entry(self->argument);
    thread_exit();
}

/* What thread_switch() pops, and where it returns to. */
static void prepare_stack(struct thread *thread, uintptr_t top)
{
    uint64_t *frame = (uint64_t *)top - 8;

    for (unsigned i = 0; i < 8; i++)
        frame[i] = 0;
    frame[6] = (uintptr_t)thread_main;
    thread->rsp = (uintptr_t)frame;
}

/* NULL: no memory, or no such CPU. */
static struct thread *new_thread(unsigned number, const char *name, void (*entry)(void *),
                                 void *argument)
{
    struct cpu *cpu = cpu_numbered(number);
    struct thread *thread = cpu ? kalloc(sizeof(*thread)) : NULL;

    if (!thread)
        return NULL;
    if (number)
        spin_become_several();
    list_init(&thread->link);
    thread->name = name;
    thread->home = cpu->scheduler;
    thread->entry = entry;
    thread->argument = argument;
    return thread;
}

static void start(struct thread *thread, uintptr_t stack, size_t bytes)
{
    bool were_on = irq_save();

    thread->stack = stack;
    prepare_stack(thread, stack + bytes);
    make_ready(thread);
    irq_restore(were_on);
}

static struct thread *create(unsigned cpu, const char *name, void (*entry)(void *argument),
                             void *argument, bool parallel)
{
    phys_addr_t stack = page_alloc(KERNEL_STACK_ORDER);
    struct thread *thread = stack ? new_thread(cpu, name, entry, argument) : NULL;

    if (!thread || paging_unmap_4k(stack)) {
        kfree(thread);
        if (stack)
            page_free(stack, KERNEL_STACK_ORDER);
        return NULL;
    }
    thread->kernel_depth = 1;
    thread->parallel = parallel;
    start(thread, stack, PAGE_BYTES(KERNEL_STACK_ORDER));
    return thread;
}

struct thread *thread_create(const char *name, void (*entry)(void *argument), void *argument)
{
    return create(0, name, entry, argument, false);
}

struct thread *thread_create_on(unsigned cpu, const char *name, void (*entry)(void *argument),
                                void *argument)
{
    return create(cpu, name, entry, argument, false);
}

struct thread *thread_create_parallel(unsigned cpu, const char *name, void (*entry)(void *argument),
                                      void *argument)
{
    return create(cpu, name, entry, argument, true);
}

struct thread *thread_create_application(unsigned cpu, const char *name,
                                         void (*entry)(void *argument), void *argument,
                                         size_t stack_bytes)
{
    void *stack = vmem_alloc(stack_bytes);
    uintptr_t tls = stack ? tls_new() : 0;
    struct thread *thread = tls ? new_thread(cpu, name, entry, argument) : NULL;

    if (!thread) {
        tls_free(tls);
        vmem_free(stack);
        return NULL;
    }
    thread->application = true;
    thread->tls = tls;
    start(thread, (uintptr_t)stack, stack_bytes);
    return thread;
}

/* A further CPU goes back to its first thread, which has nothing else to do than to free this. */
void thread_exit(void)
{
    struct thread *self = thread_current();
    struct scheduler *here = self->home;

    irq_disable();
    unlock_kernel(self);
    self->kernel_depth++; /* while it waits for a successor, no interrupt may preempt it */
    here->dead = self;
    switch_to(here == &first_scheduler ? choose() : &here->first);
    panic("a thread that ended was run again");
}

void thread_run(void)
{
    irq_disable();
    for (;;)
        switch_to(choose());
}

struct thread *thread_current(void)
{
    return own()->current;
}

bool thread_is_parallel(void)
{
    return thread_current()->parallel;
}

const char *thread_name(const struct thread *thread)
{
    return thread->name;
}

void **thread_local_slot(void)
{
    return &thread_current()->local_slot;
}

void thread_yield(void)
{
    struct thread *self = thread_current();
    bool were_on = irq_save();

    unlock_kernel(self);
    line_up(self);
    switch_to(choose());
    irq_restore(were_on);
    lock_kernel(self);
}

void thread_sleep_until(uint64_t deadline_ns)
{
    struct event never = EVENT_INIT(never);

    event_wait(&never, deadline_ns);
}

/*
 * Kernel code runs on the application's stack, which is mapped on demand. What
 * it needs of it is mapped here: a page fault amid the page allocator would
 * enter the allocator a second time.
 */
static void map_stack_below(const struct thread *self, uintptr_t top)
{
    for (uintptr_t page = top - PAGE_SIZE; page >= self->stack && page >= top - KERNEL_STACK_BYTES;
         page -= PAGE_SIZE)
        (void)load_once((const char *)page);
}

void kernel_enter(void)
{
    struct thread *self = thread_current();

    if (self->kernel_depth++)
        return;
    map_stack_below(self, (uintptr_t)__builtin_frame_address(0));
    lock_kernel(self);
}

void kernel_leave(void)
{
    struct thread *self = thread_current();

    if (self->kernel_depth == 1)
        unlock_kernel(self);
    /* Who became ready before this line waits for us; from here on an interrupt preempts. */
    self->kernel_depth--;
    barrier_compiler(); /* first the depth, then the look at the queue */
    if (self->kernel_depth == 0 && !list_empty(&self->home->ready_kernel))
        thread_yield();
}

bool thread_should_preempt(void)
{
    return thread_current()->kernel_depth == 0 && !list_empty(&own()->ready_kernel);
}

void thread_preempt(void)
{
    struct thread *self = thread_current();

    map_stack_below(self, (uintptr_t)__builtin_frame_address(0));
    list_insert_before(&self->link, self->home->ready_application.next);
    switch_to(choose());
}

void event_init(struct event *event)
{
    *event = (struct event)EVENT_INIT(*event);
}

/* For an event's poller. */
#define SEVERAL ((const struct scheduler *)&polled_events)

static void stand_in_line(struct event *event, struct thread *thread)
{
    bool first = list_empty(&event->waiters);

    list_append(&event->waiters, &thread->link);
    if (first || event->poller != thread->home)
        store_once(&event->poller, first ? thread->home : SEVERAL);
}

static void leave_line(struct event *event, struct thread *thread)
{
    list_remove(&thread->link);
    thread->waiting = false;
    if (list_empty(&event->waiters))
        store_once(&event->poller, NULL);
}

/* The longest waiting thread, which the event has nothing to do with from here on; or NULL. */
static struct thread *first_waiter(struct event *event)
{
    struct thread *thread;

    SPIN_SCOPE(&event->lock);
    if (list_empty(&event->waiters)) {
        event->marked = true;
        return NULL;
    }
    thread = thread_of(event->waiters.next);
    leave_line(event, thread);
    return thread;
}

/* Behind first_waiter() nothing touches the event: who is woken may be done with it. */
void event_signal(struct event *event)
{
    bool were_on = irq_save();
    struct thread *woken = first_waiter(event);

    if (woken)
        make_ready(woken);
    irq_restore(were_on);
}

struct wait {
    struct timer timer;
    struct event *event;
    struct thread *thread;
    bool timed_out; /* set in interrupt context */
};

/* false: signalled, and only not yet running again. */
static bool take_out(struct wait *wait)
{
    SPIN_SCOPE(&wait->event->lock);
    if (!wait->thread->waiting)
        return false;
    leave_line(wait->event, wait->thread);
    return true;
}

/* On the waiting thread's own CPU. */
static void on_timeout(struct timer *timer)
{
    struct wait *wait = CONTAINER_OF(timer, struct wait, timer);

    wait->timed_out = take_out(wait);
    if (wait->timed_out)
        make_ready(wait->thread);
}

/* false: there was a mark, which is taken. */
static bool wait_in_line(struct event *event, struct thread *thread)
{
    SPIN_SCOPE(&event->lock);
    thread->waiting = !event->marked;
    event->marked = false;
    if (thread->waiting)
        stand_in_line(event, thread);
    return thread->waiting;
}

/* Stands in line before it gives up the kernel lock: under that, others look at the line. */
static int wait_for(struct event *event, uint64_t deadline_ns, bool unlocks)
{
    struct thread *self = thread_current();
    struct wait wait = { .thread = self, .event = event };
    bool were_on = irq_save(), waits = wait_in_line(event, self);

    if (waits) {
        timer_init(&wait.timer, on_timeout);
        if (deadline_ns != CLOCK_NEVER)
            timer_start(&wait.timer, deadline_ns);
        if (unlocks)
            unlock_kernel(self);
        switch_to(choose());
        timer_cancel(&wait.timer);
    }
    irq_restore(were_on);
    if (waits && unlocks)
        lock_kernel(self);
    return wait.timed_out ? -ETIMEDOUT : 0;
}

int event_wait(struct event *event, uint64_t deadline_ns)
{
    return wait_for(event, deadline_ns, true);
}

/* ---- events that no interrupt marks */

/* false: they are being changed. Interrupts are off until the end of the look. */
static bool begin_look(struct scheduler *here)
{
    __atomic_store_n(&here->looks, true, __ATOMIC_SEQ_CST); /* begin_change() */
    if (!__atomic_load_n(&polled_change, __ATOMIC_SEQ_CST))
        return true;
    store_release(&here->looks, false);
    return false;
}

static void end_look(struct scheduler *here)
{
    store_release(&here->looks, false);
}

/* With polled_lock held. */
static void begin_change(void)
{
    __atomic_store_n(&polled_change, true, __ATOMIC_SEQ_CST); /* begin_look() */
    for (const struct scheduler *each = &first_scheduler; each; each = load_acquire(&each->next))
        while (__atomic_load_n(&each->looks, __ATOMIC_SEQ_CST))
            spin_pause();
}

static void end_change(void)
{
    store_release(&polled_change, false);
}

/*
 * An event is polled by the CPUs whose threads wait for it; by the first one, while nobody
 * waits. Its lock is taken only where they are several.
 */
static bool is_polled_by(struct event *event, const struct scheduler *here)
{
    const struct scheduler *poller = load_once(&event->poller);
    struct list *link;

    if (poller != SEVERAL)
        return here == (poller ? poller : &first_scheduler);

    SPIN_SCOPE(&event->lock);
    LIST_FOR_EACH (link, &event->waiters)
        if (thread_of(link)->home == here)
            return true;
    return list_empty(&event->waiters) && here == &first_scheduler;
}

/* The idle loop's part; true: there is something to poll, so that it must not halt. */
static bool poll(struct scheduler *here)
{
    struct list *link;
    bool polls = false;

    if (load_once(&polled_events.next) == &polled_events)
        return false;
    if (!begin_look(here))
        return true;
    LIST_FOR_EACH (link, &polled_events) {
        struct event *event = CONTAINER_OF(link, struct event, polled);

        if (!is_polled_by(event, here))
            continue;
        event_signal(event);
        polls = true;
    }
    end_look(here);
    return polls;
}

/* false: there are none. */
static bool signal_polled(struct scheduler *here)
{
    struct list *link;
    bool are_any;

    if (!begin_look(here))
        return true;
    LIST_FOR_EACH (link, &polled_events)
        event_signal(CONTAINER_OF(link, struct event, polled));
    are_any = !list_empty(&polled_events);
    end_look(here);
    return are_any;
}

static void poll_while_computing(struct timer *timer)
{
    if (signal_polled(own()))
        timer_start(timer, clock_monotonic_ns() + POLL_INTERVAL_NS);
}

/* May still be running when the last event has gone and the next one comes. */
static struct timer poll_timer = { .link = LIST_INIT(poll_timer.link),
                                   .expired = poll_while_computing };

/* true: it is the only one. */
static bool add_polled(struct event *event)
{
    SPIN_SCOPE(&polled_lock);
    begin_change();
    list_remove(&event->polled); /* may be polled already */
    list_append(&polled_events, &event->polled);
    end_change();
    return event->polled.prev == event->polled.next;
}

/* Who waits for it on a CPU that has halted looks, and waits once more: then it is polled there. */
void event_poll(struct event *event)
{
    bool were_on = irq_save();

    if (add_polled(event))
        timer_start(&poll_timer, clock_monotonic_ns() + POLL_INTERVAL_NS);
    if (UNLIKELY(spin_several))
        event_signal(event);
    irq_restore(were_on);
}

void event_unpoll(struct event *event)
{
    bool were_on = irq_lock(&polled_lock);

    begin_change();
    list_remove(&event->polled);
    end_change();
    irq_unlock(&polled_lock, were_on);
}
