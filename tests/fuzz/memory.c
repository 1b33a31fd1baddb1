/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/memory.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/alloc.h"
#include "kernel/dma.h"
#include "kernel/page.h"
#include "lib/base/types.h"
#include "tests/fuzz/input.h"
#include "tests/host/alloc.h"

#define LEFT_MAX 256

static struct {
    void *start;
    bool dma;
} left[LEFT_MAX];
static unsigned n_left;

int host_allocs_until_failure = -1;

bool host_alloc_allowed(void)
{
    if (host_allocs_until_failure > 0)
        host_allocs_until_failure--;
    else if (host_allocs_until_failure == 0)
        return false;
    return true;
}

static void *remember(void *start, bool dma)
{
    expect(n_left < LEFT_MAX, "so few objects are in use at once");
    left[n_left].start = start;
    left[n_left++].dma = dma;
    return start;
}

/* In front of an object, so that each byte behind it is seen. */
struct head {
    _Alignas(16) bool owned; /* by a driver, also after the input's end */
};

static struct head *head_of(const void *object)
{
    return (struct head *)(uintptr_t)object - 1;
}

static void release(void *start, bool dma)
{
    free(dma ? start : head_of(start));
}

static void forget(void *start, bool dma)
{
    unsigned i = 0;

    while (i < n_left && left[i].start != start)
        i++;
    expect(i < n_left && left[i].dma == dma, "what is freed was allocated, in the same way");
    left[i] = left[--n_left];
    release(start, dma);
}

void *kalloc(size_t bytes)
{
    struct head *head = host_alloc_allowed() ? calloc(1, sizeof(*head) + bytes) : NULL;

    return head ? remember(head + 1, false) : NULL;
}

void kfree(void *object)
{
    if (object && head_of(object)->owned)
        release(object, false);
    else if (object)
        forget(object, false);
}

bool dma_is_translated;

uint64_t fuzz_dma_mask = UINT64_MAX;

/* Whole pages as far as alignment goes, but exactly as large as it was asked for, so that each byte
 * behind it is seen. */
void *dma_alloc(size_t bytes, dma_addr_t *addr)
{
    void *memory = NULL;

    if (!host_alloc_allowed() || posix_memalign(&memory, PAGE_SIZE, bytes))
        return NULL;
    memset(memory, 0, bytes);
    *addr = (uintptr_t)memory & fuzz_dma_mask;
    return remember(memory, true);
}

void dma_free(void *memory, size_t bytes)
{
    (void)bytes;
    if (memory)
        forget(memory, true);
}

size_t dma_translate(const void *memory, size_t bytes, dma_addr_t *addr)
{
    *addr = (uintptr_t)memory;
    return bytes;
}

dma_addr_t dma_address(const void *memory)
{
    return (uintptr_t)memory;
}

struct fuzz_memory fuzz_memory_left(void)
{
    struct fuzz_memory count = { 0, 0 };

    for (unsigned i = 0; i < n_left; i++)
        *(left[i].dma ? &count.dma : &count.objects) += 1;
    return count;
}

void fuzz_memory_drop(void)
{
    for (unsigned i = 0; i < n_left; i++)
        release(left[i].start, left[i].dma);
    n_left = 0;
}

void fuzz_memory_leave(const void *object)
{
    for (unsigned i = 0; i < n_left; i++) {
        if (left[i].start == object) {
            head_of(object)->owned = true;
            left[i] = left[--n_left];
            return;
        }
    }
}
