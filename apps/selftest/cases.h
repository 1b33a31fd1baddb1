/* SPDX-License-Identifier: MIT */
/*
 * The cases, one function each: argv[0] is the case's name. They return the
 * exit status: 0, or 1 when a report failed.
 */
#ifndef APPS_SELFTEST_CASES_H
#define APPS_SELFTEST_CASES_H

#include <stdbool.h>

int run_args(int argc, char **argv);
int run_exit(int argc, char **argv);
int run_echo(int argc, char **argv);
int run_spin(int argc, char **argv);

int run_fault(int argc, char **argv);

int run_libc(int argc, char **argv);
int run_float(int argc, char **argv);

int run_memory(int argc, char **argv);

int run_pressure(int argc, char **argv);

int run_churn(int argc, char **argv);
int run_holes(int argc, char **argv);

int run_registers(int argc, char **argv);
int run_stack(int argc, char **argv);

int run_threads(int argc, char **argv);
int run_thread_overflow(int argc, char **argv);

int run_clock(int argc, char **argv);
int run_monotonic(int argc, char **argv);
int run_sleep(int argc, char **argv);

int run_random(int argc, char **argv);
int run_chatter(int argc, char **argv);

int run_port_list(int argc, char **argv);
int run_port_echo(int argc, char **argv);
int run_port_source(int argc, char **argv);
int run_port_late(int argc, char **argv);

int run_disk_list(int argc, char **argv);
int run_disk_hash(int argc, char **argv);
int run_disk_pattern(int argc, char **argv);
int run_disk_errors(int argc, char **argv);
int run_disk_come(int argc, char **argv);
int run_disk_crowd(int argc, char **argv);
int run_disk_leave(int argc, char **argv);

int run_endure(int argc, char **argv);

/* Prints "PASS: what" or "FAIL: what"; main() then returns 1. */
void report(bool passed, const char *what, ...) __attribute__((format(printf, 2, 3)));

/* 0, or 1 when a report has failed. */
int reported(void);

/* Until a line was typed, or the input ended. */
void wait_for_a_line(void);

/* argv[index] as a number, or otherwise when it is not given. */
unsigned long number(int argc, char **argv, int index, unsigned long otherwise);

#endif
