/* SPDX-License-Identifier: MIT */
/* The CPU's random number instructions. */
#ifndef ARCH_X86_64_CPU_RANDOM_H
#define ARCH_X86_64_CPU_RANDOM_H

#include "lib/base/types.h"

/* "RDSEED" or "RDRAND", the better that there is; NULL: neither. */
const char *cpu_random_name(void);

/* One number of it. false: none, or it does not deliver at the moment. */
bool cpu_random_read(uint64_t *value);

#endif
