/* SPDX-License-Identifier: MIT */
/* What arch/ asks the scheduler at the end of an interrupt. Interrupts are off. */
#ifndef KERNEL_THREAD_ENTRY_H
#define KERNEL_THREAD_ENTRY_H

#include "lib/base/types.h"

/* Application code was interrupted while a kernel thread is ready. */
bool thread_should_preempt(void);

/* Called on the application thread's own stack: the kernel threads run first. */
void thread_preempt(void);

/* Threads that other CPUs have made ready line up here. */
void thread_take_arrivals(void);

#endif
