/* SPDX-License-Identifier: MIT */
/* What malloc does before it fails. */
#ifndef LIB_LIBC_MEMORY_H
#define LIB_LIBC_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * An allocation of so many bytes failed, for the attempt-th time from 0. true: something
 * was given back, another try is worth it. Application context.
 */
bool memory_relieve(size_t bytes, unsigned attempt);

#endif
