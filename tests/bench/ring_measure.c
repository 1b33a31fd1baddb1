/* SPDX-License-Identifier: MIT */
/* See ring_measure.h. */
#define _GNU_SOURCE
#include "tests/bench/ring_measure.h"

#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CALIBRATION_SECONDS 0.05
#define ADDITIONS           (1u << 22)

static volatile uint64_t steps;

double measure_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double measure_tsc_hz(void)
{
    double start = measure_seconds(), seconds;
    uint64_t ticks = measure_tsc();

    do
        seconds = measure_seconds() - start;
    while (seconds < CALIBRATION_SECONDS);
    return (double)(measure_tsc() - ticks) / seconds;
}

double measure_core_cycles_per_tick(void)
{
    uint64_t least = UINT64_MAX;

    for (int run = 0; run < 5; run++) {
        uint64_t start = measure_tsc(), ticks, sum = 0;

        for (unsigned i = 0; i < ADDITIONS / 16; i++)
            __asm__ volatile(".rept 16\n\tadd $1, %0\n\t.endr" : "+r"(sum));
        ticks = measure_tsc() - start;
        if (ticks < least)
            least = ticks;
    }
    return (double)ADDITIONS / (double)least;
}

void measure_pin(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set))
        errx(1, "cannot run on CPU %u", cpu);
}

static void count_step(int signal)
{
    (void)signal;
    steps = steps + 1;
}

/* The red zone belongs to the function around the assembly. */
#define SET_TRAP_FLAG \
    "lea -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp"
#define CLEAR_TRAP_FLAG \
    "lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp"

static uint64_t steps_of_nothing;

static uint64_t raw_end(void)
{
    __asm__ volatile(CLEAR_TRAP_FLAG ::: "memory", "cc");
    return steps;
}

static void raw_begin(void)
{
    steps = 0;
    __asm__ volatile(SET_TRAP_FLAG ::: "memory", "cc");
}

void measure_steps_begin(void)
{
    if (!steps_of_nothing) {
        struct sigaction action = { .sa_handler = count_step };

        if (sigaction(SIGTRAP, &action, NULL))
            err(1, "SIGTRAP");
        raw_begin();
        steps_of_nothing = raw_end();
        if (!steps_of_nothing)
            errx(1, "the trap flag does nothing here");
    }
    raw_begin();
}

uint64_t measure_steps_end(void)
{
    return raw_end() - steps_of_nothing;
}
