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

int __malloc_is_zero(void *memory); /* mallocng: fresh from vmem */

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
