/* SPDX-License-Identifier: MIT */
/* kernel/clock.h for hosted tests: time passes when the test or a wait lets it. */
#include "tests/host/clock.h"

#include "kernel/clock.h"

uint64_t host_clock_ns = NSEC_PER_SEC;

uint64_t clock_monotonic_ns(void)
{
    return host_clock_ns;
}
