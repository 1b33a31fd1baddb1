/* SPDX-License-Identifier: MIT */
/*
 * More CPUs than the one that main() runs on. Each of the others runs one function of
 * the application at a time, from its beginning to its end:
 *
 *     static int hash(void *part) { ... return 0; }
 *
 *     for (unsigned cpu = 1; cpu < aerostat_cpu_count(); cpu++)
 *         aerostat_cpu_run(cpu, hash, &parts[cpu], 0);
 *     hash(&parts[0]);
 *     for (unsigned cpu = 1; cpu < aerostat_cpu_count(); cpu++)
 *         aerostat_cpu_wait(cpu, &result, -1);
 *
 * Such a function may do all that main() may: call the C library, which has an errno and
 * thread-local variables for each CPU, and everything of aerostat/. It computes beside the
 * others, and shares memory with them: what two of them write wants atomic operations
 * or an order of its own. Calls of the system (files, sockets, disks, sleep) are made one
 * at a time on all CPUs, but for clocks; who waits in one lets the others go on. stdout and
 * stderr are buffered for each CPU alone, line by line, so lines stay whole, and what is
 * left is written when the function ends.
 *
 * exit(), from any CPU, ends all of them wherever they are: it writes what the caller and
 * main() have left in their buffers. A CPU without a function halts.
 *
 * Errors: -1 and errno. For any thread of the application, not for signal handlers.
 */
#ifndef AEROSTAT_CPU_H
#define AEROSTAT_CPU_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many there are, 1 at least; they are numbered from 0, which is main()'s. Does not fail. */
unsigned aerostat_cpu_count(void);

/* The number of the one that this runs on; it is the same until the function ends. */
unsigned aerostat_cpu_current(void);

#define AEROSTAT_CPU_STACK_BYTES 65536 /* where nothing else is asked for */
#define AEROSTAT_CPU_STACK_MIN   16384

/*
 * Runs function(argument) there, with a stack of that many bytes (0: the usual; rounded up
 * to pages), which lies above a page that is never mapped. Soon after the start of the
 * guest it may wait until the CPU is up. -1: EINVAL, the stack is too small; ENODEV, no
 * CPU has that number, or it has not come up; EBUSY, it is main()'s, or what it ran has
 * not been waited for; ENOMEM.
 */
int aerostat_cpu_run(unsigned cpu, int (*function)(void *argument), void *argument,
                     size_t stack_bytes);

/*
 * Waits until the function there has ended, at most timeout_ms milliseconds (negative:
 * without end), and sets *result, unless that is NULL, to what it returned. What it wrote
 * is seen then. -1: ECHILD, nothing was run there since the last wait; EDEADLK, it would
 * wait for itself; EBUSY, another thread waits for it; ETIMEDOUT: it still runs.
 */
int aerostat_cpu_wait(unsigned cpu, int *result, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
