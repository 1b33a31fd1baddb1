/* SPDX-License-Identifier: MIT */
/*
 * cli, sti and hlt for hosted tests of code that has them: a program must not, so that each
 * faults; the first two are passed by, for the third the test's function is called.
 * x86-64 Linux.
 */
#ifndef TESTS_HOST_HALT_H
#define TESTS_HOST_HALT_H

#define HOST_SIGNAL_STACK_BYTES 65536

/*
 * For all threads. In each test: cmocka takes the signal itself. A fault while halt() runs,
 * which may run other code under test, is met as well.
 */
void host_halt_by(void (*halt)(void));

/* The calling thread's faults are met on this stack, not on that of the code under test. */
void host_signal_stack(void *stack);

#endif
