/* SPDX-License-Identifier: MIT */
/*
 * Threads, each on one CPU for good. Kernel threads (drivers, network, balloon) are
 * cooperative: they run until they wait, and one at a time on all CPUs, so what they
 * share needs no lock except against interrupt handlers. Application code is preempted
 * by ready kernel threads of its CPU at the end of any interrupt; kernel code never is:
 * each public call brackets itself with kernel_enter() and kernel_leave().
 *
 * For that, who runs kernel code holds the kernel lock, and gives it up while waiting.
 * Handlers never take it.
 */
#ifndef KERNEL_THREAD_H
#define KERNEL_THREAD_H

#include "lib/base/types.h"

struct thread;

/*
 * A kernel thread, ready to run; entry may return, which ends it. The name is
 * kept, not copied. Its stack has 12 KiB above a guard page. NULL: no memory.
 */
struct thread *thread_create(const char *name, void (*entry)(void *argument), void *argument);

/*
 * The same on another CPU than the first, by its number below cpu_wanted(). One that is
 * not up yet takes it up when it comes. NULL: no memory, or no such CPU.
 */
struct thread *thread_create_on(unsigned cpu, const char *name, void (*entry)(void *argument),
                                void *argument);

/*
 * The same without the kernel lock. It may use only what has locks of its own: events,
 * timers, memory, log, irq, clock, dma, random; and what no other thread touches.
 */
struct thread *thread_create_parallel(unsigned cpu, const char *name, void (*entry)(void *argument),
                                      void *argument);

/*
 * A thread that application code runs in, with a stack of `stack_bytes` in the
 * application's window, and thread-local variables. NULL: no memory, or no such CPU.
 * There is one such thread on a CPU: its floating-point registers are never saved,
 * because the kernel has no use for them.
 */
struct thread *thread_create_application(unsigned cpu, const char *name,
                                         void (*entry)(void *argument), void *argument,
                                         size_t stack_bytes);

struct cpu;

/* Makes the caller, which runs on the boot stack, the first kernel thread. Once, before all else
 * here. */
void thread_init(void);

/* So that threads can be created on a CPU that has yet to come. -ENOMEM. */
int thread_prepare(struct cpu *cpu);

/* A further CPU's part, once it is up: runs its threads, on the stack that it started with. */
_Noreturn void thread_run(void);

/* Ends the running thread. */
_Noreturn void thread_exit(void);

/* The running thread. */
struct thread *thread_current(void);
const char *thread_name(const struct thread *thread);

/* Whether the running thread was made by thread_create_parallel(), and so never holds the kernel
 * lock. */
bool thread_is_parallel(void);

/* A pointer of the thread's own, for the C library; NULL at first. */
void **thread_local_slot(void);

/* Lets every other ready kernel thread run once. */
void thread_yield(void);

/* Sleeps until the deadline (monotonic ns). */
void thread_sleep_until(uint64_t deadline_ns);

/*
 * Brackets of kernel code that application code has called. They nest. Between
 * them the thread is not preempted; the last kernel_leave() lets kernel threads
 * run that became ready meanwhile.
 */
void kernel_enter(void);
void kernel_leave(void);

#endif
