/* SPDX-License-Identifier: MIT */
/*
 * How the application's functions call the kernel: between brackets, and with -1
 * and errno in place of the kernel's negative numbers. For the files that see
 * the C library's headers.
 */
#ifndef LIB_LIBC_KERNEL_CALL_H
#define LIB_LIBC_KERNEL_CALL_H

#include <errno.h>

#include "kernel/thread.h"

/* A kernel result as the C library wants it: -1 and errno, or the value. */
static inline long kernel_result(long value)
{
    if (value >= 0)
        return value;
    errno = (int)-value;
    return -1;
}

/* The whole call between the brackets. */
#define KERNEL_CALL(type, call) \
    ({                          \
        type kernel_value;      \
                                \
        kernel_enter();         \
        kernel_value = (call);  \
        kernel_leave();         \
        kernel_value;           \
    })

#define KERNEL_RESULT(call) kernel_result(KERNEL_CALL(long, call))

#endif
