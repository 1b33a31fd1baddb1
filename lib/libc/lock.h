/* SPDX-License-Identifier: MIT */
/* malloc's lock, of the same kind as newlib's. */
#ifndef LIB_LIBC_LOCK_H
#define LIB_LIBC_LOCK_H

#include <stdbool.h>

void malloc_lock(void);
bool malloc_try_lock(void); /* false: another has it */
void malloc_unlock(void);

#endif
