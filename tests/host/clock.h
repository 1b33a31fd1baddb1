/* SPDX-License-Identifier: MIT */
/* What time it is, for the code under test. */
#ifndef TESTS_HOST_CLOCK_H
#define TESTS_HOST_CLOCK_H

#include <stdint.h>

extern uint64_t host_clock_ns; /* starts at one second */

#endif
