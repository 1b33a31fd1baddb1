/* SPDX-License-Identifier: MIT */
/* Clocks as an application reads them. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cases.h"

static unsigned long long now_ns(clockid_t clock)
{
    struct timespec now;

    if (clock_gettime(clock, &now))
        report(false, "clock_gettime(%d)", (int)clock);
    return (unsigned long long)now.tv_sec * 1000000000 + (unsigned long long)now.tv_nsec;
}

static void print_clocks(void)
{
    unsigned long long realtime = now_ns(CLOCK_REALTIME), monotonic = now_ns(CLOCK_MONOTONIC);

    printf("clock realtime %llu monotonic %llu\n", realtime, monotonic);
}

/* Without arguments: an answer to each line that comes in, until "end". */
int run_clock(int argc, char **argv)
{
    unsigned long n = number(argc, argv, 1, 0), interval_ms = number(argc, argv, 2, 1000);
    char line[80];

    if (argc > 1) {
        for (unsigned long i = 0; i < n; i++) {
            print_clocks();
            usleep((useconds_t)interval_ms * 1000);
        }
        return 0;
    }
    printf("ready\n");
    while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n"))
        print_clocks();
    return 0;
}

int run_monotonic(int argc, char **argv)
{
    unsigned long long start = now_ns(CLOCK_MONOTONIC), last = start, readings = 0;
    unsigned long long end = start + number(argc, argv, 1, 1000) * 1000000ULL;
    bool backwards = false;

    while (last < end && !backwards) {
        unsigned long long now = now_ns(CLOCK_MONOTONIC);

        backwards = now < last;
        if (backwards)
            printf("%llu after %llu\n", now, last);
        last = now;
        readings++;
    }
    report(!backwards, "CLOCK_MONOTONIC never went backwards in %llu readings", readings);
    return reported();
}

int run_sleep(int argc, char **argv)
{
    unsigned long wanted_ms = number(argc, argv, 1, 100);
    unsigned long long start = now_ns(CLOCK_MONOTONIC), slept_us;

    usleep((useconds_t)wanted_ms * 1000);
    slept_us = (now_ns(CLOCK_MONOTONIC) - start) / 1000;
    report(slept_us >= wanted_ms * 1000, "slept %llu us of %lu ms", slept_us, wanted_ms);
    return reported();
}
