/* SPDX-License-Identifier: MIT */
/* malloc's lock, of the same kind as newlib's. */
#ifndef LIB_LIBC_LOCK_H
#define LIB_LIBC_LOCK_H

void malloc_lock(void);
void malloc_unlock(void);

#endif
