/* SPDX-License-Identifier: MIT */
/* kernel/alloc.h for hosted tests, on the C library, so that the sanitizer watches it. */
#include "kernel/alloc.h"

#include <stdlib.h>

#include "tests/host/alloc.h"

int host_allocs_until_failure = -1;
unsigned host_allocs_live;

bool host_alloc_allowed(void)
{
    if (host_allocs_until_failure < 0)
        return true;
    if (host_allocs_until_failure == 0)
        return false;
    host_allocs_until_failure--;
    return true;
}

void *kalloc(size_t bytes)
{
    void *object = host_alloc_allowed() ? calloc(1, bytes) : NULL;

    host_allocs_live += object != NULL;
    return object;
}

void kfree(void *object)
{
    host_allocs_live -= object != NULL;
    free(object);
}
