/* SPDX-License-Identifier: MIT */
/*
 * Ordering between CPUs, and between the CPU and a device that reads and
 * writes the same memory. The only file with barriers; callers say at each use
 * which access of the other side they pair with.
 *
 * x86 keeps loads with loads and stores with stores in order, so acquire and
 * release cost nothing; only a store followed by a load of another place needs
 * a fence.
 */
#ifndef LIB_BASE_BARRIER_H
#define LIB_BASE_BARRIER_H

#include "lib/base/types.h"

/* One load or store of the named object, never split, repeated or invented. */
#define load_once(pointer)         (*(const volatile __typeof__(*(pointer)) *)(pointer))
#define store_once(pointer, value) ((void)(*(volatile __typeof__(*(pointer)) *)(pointer) = (value)))

#define load_acquire(pointer)         __atomic_load_n((pointer), __ATOMIC_ACQUIRE)
#define store_release(pointer, value) __atomic_store_n((pointer), (value), __ATOMIC_RELEASE)

/* The compiler may not move memory accesses across. */
static inline void barrier_compiler(void)
{
    __asm__ volatile("" ::: "memory");
}

/* Earlier loads are made before any later instruction, so before the TSC is read. */
static inline void barrier_loads(void)
{
    __asm__ volatile("lfence" ::: "memory");
}

/* Earlier stores are visible before later loads are made. */
static inline void barrier_full(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* The same where a device may see memory other than through the caches (ORDER_PLATFORM, §6). */
static inline void barrier_platform(void)
{
    __asm__ volatile("mfence" ::: "memory");
}

#endif
