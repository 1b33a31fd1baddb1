/* SPDX-License-Identifier: MIT */
/*
 * The scheduler of one CPU. Two queues: kernel threads, which go first, and
 * application threads, which run while no kernel thread is ready. There is no
 * idle thread: whoever waits last runs the idle loop on its own stack.
 */
#include "kernel/thread.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/paging.h"
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

struct thread {
    struct list link; /* in a ready queue or among an event's waiters; to itself while running */
    const char *name;
    uint64_t rsp;          /* while it does not run */
    unsigned kernel_depth; /* kernel_enter() less kernel_leave(); a kernel thread's own is 1 */
    bool application;
    bool waiting;    /* on an event; cleared by whoever ends the wait: the signal or the time-out */
    uintptr_t stack; /* lowest address; 0: the boot stack */
    void *local_slot;
    void (*entry)(void *argument);
    void *argument;
};

static struct thread boot_thread = { LIST_INIT(boot_thread.link), "boot", .kernel_depth = 1 };
static struct thread *current = &boot_thread;
static struct thread *dead; /* to be freed by who runs next */
static struct list ready_kernel = LIST_INIT(ready_kernel);
static struct list ready_application = LIST_INIT(ready_application);
static struct list polled_events = LIST_INIT(polled_events);

/* arch/x86_64/entry.asm; interrupts are off on both sides. */
extern void thread_switch(uint64_t *save_rsp, uint64_t load_rsp);

static struct thread *thread_of(struct list *link)
{
    return CONTAINER_OF(link, struct thread, link);
}

void thread_init(void)
{
    current = &boot_thread;
}

static void free_dead(void)
{
    struct thread *thread = dead;

    dead = NULL;
    if (!thread || !thread->stack)
        return;
    if (thread->application) {
        vmem_free((void *)thread->stack);
    } else {
        paging_map(thread->stack, thread->stack, PAGE_SIZE, PAGING_WRITE);
        page_free(thread->stack, KERNEL_STACK_ORDER);
    }
    kfree(thread);
}

static void switch_to(struct thread *next)
{
    struct thread *previous = current;

    if (next == previous)
        return;
    current = next;
    thread_switch(&previous->rsp, next->rsp);
    free_dead();
}

/* The next thread to run, waiting for one if need be. Interrupts are off. */
static struct thread *choose(void)
{
    for (;;) {
        if (!list_empty(&ready_kernel))
            return thread_of(list_pop(&ready_kernel));
        if (!list_empty(&ready_application))
            return thread_of(list_pop(&ready_application));
        if (event_poll_all())
            __asm__ volatile("sti; nop; cli" ::: "memory");
        else
            cpu_wait_for_interrupt();
    }
}

static void make_ready(struct thread *thread)
{
    thread->waiting = false;
    list_append(thread->application ? &ready_application : &ready_kernel, &thread->link);
}

/* The first function on every new stack, reached by thread_switch() with interrupts off. */
static void thread_main(void)
{
    free_dead();
    irq_restore(true);
    current->entry(current->argument);
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

static struct thread *new_thread(const char *name, void (*entry)(void *), void *argument)
{
    struct thread *thread = kalloc(sizeof(*thread));

    if (!thread)
        return NULL;
    list_init(&thread->link);
    thread->name = name;
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

struct thread *thread_create(const char *name, void (*entry)(void *argument), void *argument)
{
    phys_addr_t stack = page_alloc(KERNEL_STACK_ORDER);
    struct thread *thread = stack ? new_thread(name, entry, argument) : NULL;

    if (!thread || paging_unmap_4k(stack)) {
        kfree(thread);
        if (stack)
            page_free(stack, KERNEL_STACK_ORDER);
        return NULL;
    }
    thread->kernel_depth = 1;
    start(thread, stack, PAGE_BYTES(KERNEL_STACK_ORDER));
    return thread;
}

struct thread *thread_create_application(const char *name, void (*entry)(void *argument),
                                         void *argument, size_t stack_bytes)
{
    void *stack = vmem_alloc(stack_bytes);
    struct thread *thread = stack ? new_thread(name, entry, argument) : NULL;

    if (!thread) {
        vmem_free(stack);
        return NULL;
    }
    thread->application = true;
    start(thread, (uintptr_t)stack, stack_bytes);
    return thread;
}

void thread_exit(void)
{
    irq_disable();
    current->kernel_depth++; /* while it waits for a successor, no interrupt may preempt it */
    dead = current;
    switch_to(choose());
    panic("a thread that ended was run again");
}

struct thread *thread_current(void)
{
    return current;
}

const char *thread_name(const struct thread *thread)
{
    return thread->name;
}

void **thread_local_slot(void)
{
    return &current->local_slot;
}

void thread_yield(void)
{
    bool were_on = irq_save();

    make_ready(current);
    switch_to(choose());
    irq_restore(were_on);
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
static void map_stack_below(uintptr_t top)
{
    for (uintptr_t page = top - PAGE_SIZE;
         page >= current->stack && page >= top - KERNEL_STACK_BYTES; page -= PAGE_SIZE)
        (void)load_once((const char *)page);
}

void kernel_enter(void)
{
    if (current->kernel_depth++ == 0)
        map_stack_below((uintptr_t)__builtin_frame_address(0));
}

void kernel_leave(void)
{
    /* Who became ready before this line waits for us; from here on an interrupt preempts. */
    current->kernel_depth--;
    barrier_compiler(); /* first the depth, then the look at the queue */
    if (current->kernel_depth == 0 && !list_empty(&ready_kernel))
        thread_yield();
}

bool thread_should_preempt(void)
{
    return current->kernel_depth == 0 && !list_empty(&ready_kernel);
}

void thread_preempt(void)
{
    map_stack_below((uintptr_t)__builtin_frame_address(0));
    list_insert_before(&current->link, ready_application.next);
    switch_to(choose());
}

void event_init(struct event *event)
{
    list_init(&event->waiters);
    list_init(&event->polled);
    event->marked = false;
    event->is_passed_on = false;
}

void event_signal(struct event *event)
{
    bool were_on;

    if (UNLIKELY(spin_several) && smp_pass_on(event))
        return;
    were_on = irq_save();

    if (list_empty(&event->waiters))
        event->marked = true;
    else
        make_ready(thread_of(list_pop(&event->waiters)));
    irq_restore(were_on);
}

struct wait {
    struct timer timer;
    struct thread *thread;
    bool timed_out; /* set in interrupt context */
};

static void on_timeout(struct timer *timer)
{
    struct wait *wait = CONTAINER_OF(timer, struct wait, timer);

    if (!wait->thread->waiting)
        return; /* signalled, and only not yet running again */
    wait->timed_out = true;
    list_remove(&wait->thread->link);
    make_ready(wait->thread);
}

int event_wait(struct event *event, uint64_t deadline_ns)
{
    struct wait wait = { .thread = current };
    bool were_on = irq_save();

    if (event->marked) {
        event->marked = false;
    } else {
        current->waiting = true;
        list_append(&event->waiters, &current->link);
        timer_init(&wait.timer, on_timeout);
        if (deadline_ns != CLOCK_NEVER)
            timer_start(&wait.timer, deadline_ns);
        switch_to(choose());
        timer_cancel(&wait.timer);
    }
    irq_restore(were_on);
    return wait.timed_out ? -ETIMEDOUT : 0;
}

static void poll_while_computing(struct timer *timer)
{
    if (event_poll_all())
        timer_start(timer, clock_monotonic_ns() + POLL_INTERVAL_NS);
}

/* May still be running when the last event has gone and the next one comes. */
static struct timer poll_timer = { .link = LIST_INIT(poll_timer.link),
                                   .expired = poll_while_computing };

void event_poll(struct event *event)
{
    bool were_on = irq_save();

    if (list_empty(&polled_events))
        timer_start(&poll_timer, clock_monotonic_ns() + POLL_INTERVAL_NS);
    list_remove(&event->polled); /* may be polled already */
    list_append(&polled_events, &event->polled);
    irq_restore(were_on);
}

void event_unpoll(struct event *event)
{
    bool were_on = irq_save();

    list_remove(&event->polled);
    irq_restore(were_on);
}

bool event_poll_all(void)
{
    struct list *link;

    LIST_FOR_EACH (link, &polled_events)
        event_signal(CONTAINER_OF(link, struct event, polled));
    return !list_empty(&polled_events);
}
