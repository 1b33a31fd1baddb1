/* SPDX-License-Identifier: MIT */
/*
 * Numbers from text that comes from outside: the command line, addresses,
 * sizes. Nothing is skipped or guessed; what overflows is refused.
 */
#ifndef LIB_BASE_PARSE_H
#define LIB_BASE_PARSE_H

#include "lib/base/types.h"

/*
 * Reads an unsigned number at *at, decimal or 0x..., and moves *at behind it.
 * -EINVAL: no digit there; -ERANGE: above max. On an error *at and *value stay.
 */
int parse_number(const char **at, uint64_t max, uint64_t *value);

/* The same with an optional binary suffix, as in "64M": K, M, G or T, upper or lower case. */
int parse_size(const char **at, uint64_t max, uint64_t *value);

/* The whole text is one number: "80". -EINVAL also where anything follows it. */
int parse_whole_number(const char *text, uint64_t max, uint64_t *value);

/* The whole text is one size: "512", "4K", "0x1000". */
int parse_whole_size(const char *text, uint64_t max, uint64_t *value);

#endif
