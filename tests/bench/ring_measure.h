/* SPDX-License-Identifier: MIT */
/*
 * What the ring's benchmarks measure with: the time stamp counter, and the
 * number of instructions of this thread.
 *
 * Instructions are counted by single stepping: with the trap flag set, every
 * one raises SIGTRAP, whose handler counts. Slow (some microseconds each), but
 * exact, and the same on every machine and for every instruction set, where
 * performance counters are often missing in virtual machines and emulators know
 * no AVX-512. A repeated string instruction counts once for each repetition.
 */
#ifndef TESTS_BENCH_RING_MEASURE_H
#define TESTS_BENCH_RING_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t measure_tsc(void)
{
    uint32_t low, high;

    /* Neither before what precedes it has ended, nor after what follows has begun. */
    __asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

/* The time stamp counter's rate in Hz. */
double measure_tsc_hz(void);

/* Cycles of this core in a tick of the time stamp counter: by additions that wait for each other.
 */
double measure_core_cycles_per_tick(void);

/* Seconds of CLOCK_MONOTONIC. */
double measure_seconds(void);

/* Binds this thread to one CPU; ends the program if that cannot be. */
void measure_pin(unsigned cpu);

/* The stepped instructions lie between the two; nests not. Not in a thread that takes signals. */
void measure_steps_begin(void);
uint64_t measure_steps_end(void);

#endif
