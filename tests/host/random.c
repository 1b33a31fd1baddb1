/* SPDX-License-Identifier: MIT */
/* kernel/random.h for hosted tests: the same numbers every time. */
#include "kernel/random.h"

void random_bytes(void *to, size_t bytes)
{
    static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
    uint8_t *at = to;

    while (bytes-- > 0) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        *at++ = (uint8_t)(state >> 56);
    }
}
