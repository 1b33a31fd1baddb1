/* SPDX-License-Identifier: MIT */
/*
 * Kernel threads, which no public header offers: the test declares the few
 * functions of the kernel that it needs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cases.h"

#define N_SLEEPERS 8
#define STEP_NS    20000000ULL

struct thread;
extern struct thread *thread_create(const char *name, void (*entry)(void *), void *argument);
extern void thread_sleep_until(uint64_t deadline_ns);
extern uint64_t clock_monotonic_ns(void);
extern void kernel_enter(void);
extern void kernel_leave(void);

static uint64_t start_ns;
static volatile unsigned order[N_SLEEPERS], n_awake, early, n_ended;

static void sleeper(void *argument)
{
    unsigned number = (unsigned)(uintptr_t)argument;
    uint64_t deadline_ns = start_ns + (number + 1) * STEP_NS;

    thread_sleep_until(deadline_ns);
    early += clock_monotonic_ns() < deadline_ns;
    order[n_awake++] = number;
}

/* Created last first; the application spins meanwhile, so each wake-up preempts it. */
static void check_sleepers(void)
{
    bool in_order = true;

    kernel_enter();
    start_ns = clock_monotonic_ns();
    for (unsigned i = N_SLEEPERS; i-- > 0;)
        thread_create("sleeper", sleeper, (void *)(uintptr_t)i);
    kernel_leave();
    while (n_awake < N_SLEEPERS)
        ;
    for (unsigned i = 0; i < N_SLEEPERS; i++)
        in_order &= order[i] == i;
    report(in_order, "threads wake in the order of their deadlines");
    report(!early, "none wakes early");
}

static void end_at_once(void *argument)
{
    (void)argument;
    n_ended++;
}

/* Their stacks and records come back, or 16 MiB would not last. */
static void check_many(void)
{
    unsigned created = 0;

    for (unsigned i = 0; i < 5000; i++) {
        kernel_enter();
        created += thread_create("short", end_at_once, NULL) != NULL;
        kernel_leave();
    }
    report(created == 5000 && n_ended == created, "%u threads, one after the other", n_ended);
}

int run_threads(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    check_sleepers();
    check_many();
    return reported();
}

static volatile unsigned depth = UINT32_MAX;

__attribute__((noinline)) static int overflow_kernel_stack(unsigned levels)
{
    volatile char frame[256];

    frame[0] = (char)levels;
    return levels ? overflow_kernel_stack(levels - 1) + frame[0] : 0;
}

static void too_deep(void *argument)
{
    (void)argument;
    depth = (unsigned)overflow_kernel_stack(depth);
}

int run_thread_overflow(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    kernel_enter();
    thread_create("deep", too_deep, NULL);
    kernel_leave();
    report(false, "still running");
    return reported();
}
