/* SPDX-License-Identifier: MIT */
/*
 * The rest of the allocation functions of C and POSIX around mallocng's, and
 * the names by which newlib calls them. Application context.
 */
#include <errno.h>
#include <malloc.h>
#include <reent.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/footprint.h"
#include "kernel/thread.h"
#include "lib/libc/malloc_trim.h"
#include "lib/libc/memory.h"

/* mallocng's. */
int __malloc_is_zero(void *memory); /* fresh from vmem */
void *malloc_once(size_t bytes);
void free_once(void *memory);
void *realloc_once(void *memory, size_t bytes);
void *aligned_alloc_once(size_t alignment, size_t bytes);

/* The call, and again while something is given back. */
#define TRY_AGAIN(bytes, call)                                                            \
    ({                                                                                    \
        void *tried = (call);                                                             \
                                                                                          \
        for (unsigned attempt = 0; !tried && memory_relieve((bytes), attempt); attempt++) \
            tried = (call);                                                               \
        tried;                                                                            \
    })

void *malloc(size_t bytes)
{
    return TRY_AGAIN(bytes, malloc_once(bytes));
}

void *realloc(void *memory, size_t bytes)
{
    return TRY_AGAIN(bytes, realloc_once(memory, bytes));
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return TRY_AGAIN(bytes, aligned_alloc_once(alignment, bytes));
}

static __attribute__((cold, noinline)) void tell_of_free(void)
{
    kernel_enter();
    footprint_freed(malloc_trim_some);
    kernel_leave();
}

void free(void *memory)
{
    free_once(memory);
    if (!__atomic_load_n(&footprint_knows, __ATOMIC_RELAXED))
        tell_of_free();
}

void *calloc(size_t n, size_t bytes)
{
    void *memory;

    if (__builtin_mul_overflow(n, bytes, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    memory = malloc(bytes);
    if (!memory || __malloc_is_zero(memory))
        return memory;
    return memset(memory, 0, bytes);
}

void *memalign(size_t alignment, size_t bytes)
{
    return aligned_alloc(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    void *got;
    int old_errno = errno;

    if (alignment < sizeof(void *) || (alignment & (alignment - 1)))
        return EINVAL;
    got = aligned_alloc(alignment, bytes);
    errno = old_errno;
    if (!got)
        return ENOMEM;
    *memory = got;
    return 0;
}

void *_malloc_r(struct _reent *reent, size_t bytes)
{
    (void)reent;
    return malloc(bytes);
}

void _free_r(struct _reent *reent, void *memory)
{
    (void)reent;
    free(memory);
}

void *_realloc_r(struct _reent *reent, void *memory, size_t bytes)
{
    (void)reent;
    return realloc(memory, bytes);
}

void *_calloc_r(struct _reent *reent, size_t n, size_t bytes)
{
    (void)reent;
    return calloc(n, bytes);
}

void *_memalign_r(struct _reent *reent, size_t alignment, size_t bytes)
{
    (void)reent;
    return aligned_alloc(alignment, bytes);
}

size_t _malloc_usable_size_r(struct _reent *reent, void *memory)
{
    (void)reent;
    return malloc_usable_size(memory);
}
