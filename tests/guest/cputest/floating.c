/* SPDX-License-Identifier: MIT */
/* Each computes with numbers that have a fraction, interrupted or not. */
#include "tests/guest/cputest/floating.h"

#include <math.h>
#include <string.h>

#include "aerostat/cpu.h"

static double series(unsigned cpu, int length)
{
    double sum = cpu;

    for (int i = 1; i < length; i++)
        sum += sqrt((double)i) / (i + cpu) - sin((double)i) / i;
    return sum;
}

static double results[MAX_CPUS];

int floating(unsigned cpu, int length)
{
    results[cpu] = series(cpu, length);
    return series(cpu, length) != results[cpu];
}

int floating_differs(int length)
{
    int wrong = 0;

    for (unsigned cpu = 0; cpu < aerostat_cpu_count() && cpu < 4; cpu++)
        wrong += results[cpu] != series(cpu, length);
    return wrong;
}
