/* SPDX-License-Identifier: MIT */
#include "tests/host/smp.h"

unsigned host_cpu, host_cpus = 1;

unsigned smp_current(void)
{
    return host_cpu;
}

unsigned smp_wanted(void)
{
    return host_cpus;
}

uint64_t vmem_pins; /* where there is no window of memory */
