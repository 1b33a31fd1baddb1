/* SPDX-License-Identifier: MIT */
/* Which CPU of how many a hosted test runs as: kernel/smp.h. */
#ifndef TESTS_HOST_SMP_H
#define TESTS_HOST_SMP_H

#include "kernel/smp.h"

extern unsigned host_cpu, host_cpus; /* 0 of 1 at first */

#endif
