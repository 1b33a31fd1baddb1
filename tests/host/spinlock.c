/* SPDX-License-Identifier: MIT */
/* kernel/spinlock.c for hosted tests: each thread stands for a CPU. */
#include "kernel/spinlock.h"

const void *spin_self(void)
{
    static __thread char self;

    return &self;
}
