/* SPDX-License-Identifier: MIT */
/* What newlib's header of this name asks lib/libc/lock.c for: its own cannot lie beside Linux's. */
#ifndef TESTS_HOST_NEWLIB_SYS_LOCK_H
#define TESTS_HOST_NEWLIB_SYS_LOCK_H

typedef struct __lock *_LOCK_T;

void __retarget_lock_init(_LOCK_T *lock);
void __retarget_lock_init_recursive(_LOCK_T *lock);
void __retarget_lock_close(_LOCK_T lock);
void __retarget_lock_close_recursive(_LOCK_T lock);
void __retarget_lock_acquire(_LOCK_T lock);
void __retarget_lock_acquire_recursive(_LOCK_T lock);
int __retarget_lock_try_acquire(_LOCK_T lock);
int __retarget_lock_try_acquire_recursive(_LOCK_T lock);
void __retarget_lock_release(_LOCK_T lock);
void __retarget_lock_release_recursive(_LOCK_T lock);

#endif
