/* SPDX-License-Identifier: MIT */
/*
 * What musl's mallocng asks of a system, on kernel/vmem; takes the place of its
 * glue.h. Its lock is one that other CPUs do not need the kernel for.
 */
#ifndef LIB_LIBC_MALLOC_GLUE_H
#define LIB_LIBC_MALLOC_GLUE_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "kernel/panic.h"
#include "kernel/random.h"
#include "kernel/thread.h"
#include "kernel/vmem.h"
#include "lib/libc/lock.h"

#define size_classes __malloc_size_classes
#define ctx          __malloc_context
#define alloc_meta   __malloc_alloc_meta
#define is_allzero   __malloc_is_zero

#define PAGESIZE              4096
#define DISABLE_ALIGNED_ALLOC 0
#define MT                    1
#define RDLOCK_IS_EXCLUSIVE   1
#define LOCK_OBJ_DEF          extern int malloc_needs_no_lock_object
#define a_crash()             panic("malloc: the heap is corrupt, or free() was given a wrong address")

#undef assert
#define assert(condition) ((condition) ? (void)0 : a_crash())

static inline void rdlock(void)
{
    malloc_lock();
}

static inline void wrlock(void)
{
    malloc_lock();
}

static inline void upgradelock(void)
{
}

static inline void unlock(void)
{
    malloc_unlock();
}

static inline uint64_t get_random_secret(void)
{
    uint64_t secret;

    kernel_enter();
    random_bytes(&secret, sizeof(secret));
    kernel_leave();
    return secret;
}

/* free() uses these without the lock. */

static inline int a_cas(volatile int *word, int expected, int desired)
{
    return __sync_val_compare_and_swap(word, expected, desired);
}

static inline void a_or(volatile int *word, int bits)
{
    __sync_fetch_and_or(word, bits);
}

static inline int a_ctz_32(uint32_t word)
{
    return __builtin_ctz(word);
}

static inline int a_clz_32(uint32_t word)
{
    return __builtin_clz(word);
}

/* Memory. Of the system calls' arguments only those count that mallocng varies. */

/* A hosted test has its system's own, of which only PROT_NONE counts. */
#ifndef PROT_NONE
#define PROT_NONE      0
#define PROT_READ      1
#define PROT_WRITE     2
#define MAP_PRIVATE    0
#define MAP_ANON       0
#define MAP_FIXED      0
#define MAP_FAILED     ((void *)-1)
#define MREMAP_MAYMOVE 0
#define MADV_FREE      0
#endif

#define mmap(address, bytes, protection, flags, file, offset) malloc_map(bytes, protection)
#define munmap(address, bytes)                                malloc_unmap(address)
#define mremap(address, old_bytes, bytes, flags)              malloc_remap(address, bytes)
#define mprotect(address, bytes, protection)                  0
#define brk(address)                                          ((uintptr_t)-1) /* there is none */

/*
 * Free slots between used ones: their pages would stay promised, so giving them
 * back would help nobody and cost a page fault each when they are used again.
 */
#define madvise(address, bytes, advice) ((void)(address), (void)(bytes), 0)

static inline void *malloc_checked(void *range)
{
    if (range)
        return range;
    errno = ENOMEM;
    return MAP_FAILED;
}

/* Without access is asked for only where the first page is to be a guard, which vmem gives anyway.
 */
static inline void *malloc_map(size_t bytes, int protection)
{
    size_t guard = protection == PROT_NONE ? PAGESIZE : 0;
    char *range;

    kernel_enter();
    range = vmem_alloc(bytes - guard);
    if (range)
        vmem_allow_moves(range);
    kernel_leave();
    return malloc_checked(range ? range - guard : NULL);
}

static inline void malloc_unmap(void *range)
{
    kernel_enter();
    vmem_free(range);
    kernel_leave();
}

static inline void *malloc_remap(void *range, size_t bytes)
{
    kernel_enter();
    range = vmem_resize(range, bytes);
    kernel_leave();
    return malloc_checked(range);
}

#endif
