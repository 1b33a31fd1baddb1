/* SPDX-License-Identifier: MIT */
/* Functions of the application on other CPUs, each in a thread that ends with it. */
#include "aerostat/cpu.h"

#include <errno.h>
#include <stdlib.h>

#include "kernel/alloc.h"
#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/page.h"
#include "kernel/pressure.h"
#include "kernel/smp.h"
#include "kernel/thread.h"
#include "lib/base/errno.h"
#include "lib/base/list.h"
#include "lib/libc/kernel_call.h"
#include "lib/libc/start.h"

#define SPARE_PAGES 16 /* a thread's, beside its stack */

struct call {
    struct list link;
    unsigned cpu;
    int (*function)(void *argument);
    void *argument;
    int result;
    bool has_started, has_ended, is_awaited;
    struct event ended;
};

static struct list calls = LIST_INIT(calls); /* those not waited for; under the kernel lock */

static struct call *call_on(unsigned cpu)
{
    struct list *link;

    LIST_FOR_EACH (link, &calls)
        if (CONTAINER_OF(link, struct call, link)->cpu == cpu)
            return CONTAINER_OF(link, struct call, link);
    return NULL;
}

/* The waiter may free it as soon as the kernel lock is given up, which the thread's end does. */
static void run_call(void *argument)
{
    struct call *call = argument;

    call->result = call->function(call->argument);
    app_thread_end();
    kernel_enter();
    call->has_ended = true;
    event_signal(&call->ended);
    thread_exit();
}

static struct thread *new_thread(struct call *call, size_t stack_bytes)
{
    return thread_create_application(call->cpu, "function", run_call, call, stack_bytes);
}

static int start(struct call *call, size_t stack_bytes)
{
    int error = smp_wait_for(call->cpu);

    if (error || new_thread(call, stack_bytes))
        return error;
    if (pressure_relieve(stack_bytes / PAGE_SIZE + SPARE_PAGES) && new_thread(call, stack_bytes))
        return 0;
    return -ENOMEM;
}

static int run(struct call *wanted, size_t stack_bytes)
{
    struct call *call;
    int error;

    if (wanted->cpu >= smp_wanted())
        return -ENODEV;
    if (!wanted->cpu || call_on(wanted->cpu))
        return -EBUSY;
    call = kalloc(sizeof(*call));
    if (!call)
        return -ENOMEM;
    *call = *wanted;
    event_init(&call->ended);
    list_append(&calls, &call->link);
    error = start(call, stack_bytes);
    call->has_started = !error;
    if (error) {
        list_remove(&call->link);
        kfree(call);
    }
    return error;
}

static int wait_for_end(struct call *call, uint64_t deadline_ns)
{
    int error = 0;

    call->is_awaited = true;
    while (!call->has_ended && !error)
        error = event_wait(&call->ended, deadline_ns);
    call->is_awaited = false;
    return call->has_ended ? 0 : error;
}

static int wait_on(unsigned cpu, int *result, int timeout_ms)
{
    struct call *call = call_on(cpu);
    uint64_t deadline_ns = CLOCK_NEVER;
    int error;

    if (!call || !call->has_started)
        return -ECHILD;
    if (cpu == smp_current())
        return -EDEADLK;
    if (call->is_awaited)
        return -EBUSY;
    if (timeout_ms >= 0)
        deadline_ns = clock_monotonic_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
    error = wait_for_end(call, deadline_ns);
    if (error)
        return error;
    if (result)
        *result = call->result;
    list_remove(&call->link);
    kfree(call);
    return 0;
}

unsigned aerostat_cpu_count(void)
{
    return smp_wanted();
}

unsigned aerostat_cpu_current(void)
{
    return smp_current();
}

int aerostat_cpu_run(unsigned cpu, int (*function)(void *argument), void *argument,
                     size_t stack_bytes)
{
    static bool is_registered; /* twice does no harm */
    struct call call = { .cpu = cpu, .function = function, .argument = argument };

    if (!stack_bytes)
        stack_bytes = AEROSTAT_CPU_STACK_BYTES;
    if (stack_bytes < AEROSTAT_CPU_STACK_MIN || stack_bytes > SIZE_MAX / 2)
        return (int)kernel_result(-EINVAL);
    if (!is_registered)
        atexit(app_exit_begins);
    is_registered = true;
    return (int)KERNEL_RESULT(run(&call, ALIGN_UP(stack_bytes, PAGE_SIZE)));
}

int aerostat_cpu_wait(unsigned cpu, int *result, int timeout_ms)
{
    return (int)KERNEL_RESULT(wait_on(cpu, result, timeout_ms));
}
