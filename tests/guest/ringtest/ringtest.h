/* SPDX-License-Identifier: MIT */
/* The cases, one function each, as in apps/selftest: argv[0] is the case's name. */
#ifndef TESTS_GUEST_RINGTEST_RINGTEST_H
#define TESTS_GUEST_RINGTEST_RINGTEST_H

/* What main() returns besides 0 (all well) and 1 (a mistake, a device that lies). */
#define EXIT_USAGE             2
#define EXIT_LOST_NOTIFICATION 3
#define EXIT_LOST_INTERRUPT    4

int run_race(int argc, char **argv);
int run_cost(int argc, char **argv);

#endif
