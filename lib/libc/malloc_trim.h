/* SPDX-License-Identifier: MIT */
/* The C library's part in a small footprint. */
#ifndef LIB_LIBC_MALLOC_TRIM_H
#define LIB_LIBC_MALLOC_TRIM_H

#include <stdbool.h>
#include <stdint.h>

/* A footprint_trim. */
bool malloc_trim_some(uint64_t *pages, bool *waits);

#endif
