/* SPDX-License-Identifier: MIT */
/* The console as a file: what stdin, stdout and stderr are at the start. */
#ifndef LIB_LIBC_CONSOLE_H
#define LIB_LIBC_CONSOLE_H

#include "lib/libc/fd.h"

extern const struct fd_ops console_fd_ops;

#endif
