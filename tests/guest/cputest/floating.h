/* SPDX-License-Identifier: MIT */
#ifndef TESTS_GUEST_CPUTEST_FLOATING_H
#define TESTS_GUEST_CPUTEST_FLOATING_H

#define MAX_CPUS 64

/* A CPU's part: 1 if the same sum is another one when it is taken again. */
int floating(unsigned cpu, int length);

/* How many of the first CPUs had other sums than this one. */
int floating_differs(int length);

#endif
