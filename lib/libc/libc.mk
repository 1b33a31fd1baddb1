# SPDX-License-Identifier: MIT
# The system below newlib. These see newlib's headers and the kernel's.
LIBC_SRCS := lib/libc/console.c lib/libc/cpu.c lib/libc/fd.c lib/libc/lock.c lib/libc/port.c lib/libc/report.c \
             lib/libc/start.c lib/libc/syscalls.c

# What newlib declares only for systems that say they have it: ours has clocks and nanosleep().
LIBC_DEFINES := -D_POSIX_TIMERS=1 -D_POSIX_MONOTONIC_CLOCK=200112L
