/* SPDX-License-Identifier: MIT */
/* The few C library functions that lwIP calls and lib/base does not have. Any context. */
#include "lib/net/port/libc/stdlib.h"
#include "lib/net/port/libc/string.h"

char *strncpy(char *restrict to, const char *restrict from, size_t max)
{
    size_t length = strnlen(from, max);

    memcpy(to, from, length);
    memset(to + length, 0, max - length);
    return to;
}

int atoi(const char *text)
{
    uint64_t value = 0;

    while (*text >= '0' && *text <= '9' && value <= INT32_MAX)
        value = value * 10 + (uint64_t)(*text++ - '0');
    return value <= INT32_MAX ? (int)value : 0;
}
