# SPDX-License-Identifier: MIT
# The system below newlib. These see newlib's headers and the kernel's.
LIBC_SRCS := lib/libc/console.c lib/libc/cpu.c lib/libc/fd.c lib/libc/lock.c lib/libc/memory.c lib/libc/port.c lib/libc/report.c \
             lib/libc/start.c lib/libc/syscalls.c

# What newlib declares only for systems that say they have it: ours has clocks and nanosleep().
LIBC_DEFINES := -D_POSIX_TIMERS=1 -D_POSIX_MONOTONIC_CLOCK=200112L

# An application without floating point: the compiler refuses what has any, and newlib prints and reads by its functions for
# integers, which are half as large as those for all.
float_LEFT_OUT_FLAGS := -mgeneral-regs-only
float_LEFT_OUT_LINK  := $(foreach name,vfprintf _vfprintf_r _svfprintf_r vfwprintf _vfwprintf_r _svfwprintf_r \
                                       vfscanf _vfscanf_r __svfscanf __svfscanf_r __ssvfscanf_r \
                                       vfwscanf _vfwscanf_r __svfwscanf __svfwscanf_r __ssvfwscanf_r, \
                                       --defsym=$(name)=$(subst vf,vfi,$(name)))
