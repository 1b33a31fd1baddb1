/* SPDX-License-Identifier: MIT */
/* Which CPU the test is. At the start it is the first, alone. */
#ifndef TESTS_HOST_PERCPU_H
#define TESTS_HOST_PERCPU_H

#include "arch/x86_64/percpu.h"

#define HOST_CPUS 8

/* Makes it known by a number; it starts zeroed. */
void host_add_cpu(struct cpu *cpu, unsigned number);

/* The calling thread is this one from now on. */
void host_be_cpu(struct cpu *cpu);

#endif
