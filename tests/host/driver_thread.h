/* SPDX-License-Identifier: MIT */
/*
 * thread_create() for tests of a driver that has one thread: it runs in the test's
 * own, from its beginning, whenever the test says so.
 */
#ifndef TESTS_HOST_DRIVER_THREAD_H
#define TESTS_HOST_DRIVER_THREAD_H

#include <stdnoreturn.h>

/* Nothing, if there is none. idle() is called again and again while it waits, until it leaves. */
void host_thread_run(void (*idle)(void));

noreturn void host_thread_leave(void);

#endif
