/* SPDX-License-Identifier: MIT */
/*
 * Small kernel objects in slabs of one page. A free object is a bit, never a
 * link in freed memory, so that a double free is seen and a write after free
 * harms nobody else. Slabs of up to 512-byte objects begin with their header;
 * for 1 and 2 KiB objects a header would cost a quarter or half of the page, so
 * theirs lies apart, as do those of whole page runs, and is found by a hash of
 * the page. Which of the two it is, an object's alignment tells.
 *
 * Concurrency: kernel context of any CPU.
 */
#include "kernel/alloc.h"

#include "kernel/memory_lock.h"
#include "kernel/page.h"
#include "kernel/panic.h"
#include "lib/base/list.h"
#include "lib/base/string.h"

#define SHIFT_MIN     4  /* 16 bytes */
#define SHIFT_MAX     11 /* 2 KiB */
#define SHIFT_IN_PAGE 9  /* the largest objects whose slab holds its own header */
#define SHIFT_PAGES   0  /* not a class: a run of whole pages */
#define LARGE_ALIGN   (UINT64_C(1) << (SHIFT_IN_PAGE + 1))
#define FREE_WORDS    (PAGE_SIZE >> SHIFT_MIN >> 6)
#define BUCKETS       64

struct slab {
    struct list link;     /* in partial[] while objects are free */
    struct slab *next;    /* in its bucket, when the header lies apart */
    uintptr_t start;      /* of the page or run */
    uint32_t pages;       /* of a run; 1 for a slab */
    uint16_t shift;       /* log2 of an object's size, or SHIFT_PAGES */
    uint16_t used;        /* objects */
    uint64_t free_bits[]; /* bit n: the n-th object of the page is free; one word when apart */
};

#define SLAB_APART_BYTES (sizeof(struct slab) + sizeof(uint64_t))
#define SLAB_BYTES       (sizeof(struct slab) + FREE_WORDS * sizeof(uint64_t))

static struct list partial[SHIFT_MAX + 1]; /* by shift; slabs with free objects */
static struct slab *apart[BUCKETS];
static struct kalloc_stats stats;

static struct slab **bucket_of(uintptr_t start)
{
    return &apart[start / PAGE_SIZE % BUCKETS];
}

static struct slab *find_apart(uintptr_t start)
{
    struct slab *slab = *bucket_of(start);

    while (slab && slab->start != start)
        slab = slab->next;
    return slab;
}

/* A header of its own for the run; NULL: no memory. */
static struct slab *header_apart(uintptr_t start, uint64_t pages, unsigned shift)
{
    struct slab *slab = kalloc(SLAB_APART_BYTES);
    struct slab **bucket = bucket_of(start);

    if (!slab)
        return NULL;
    list_init(&slab->link);
    slab->start = start;
    slab->pages = (uint32_t)pages;
    slab->shift = (uint16_t)shift;
    slab->next = *bucket;
    *bucket = slab;
    return slab;
}

static struct slab *header_in_page(uintptr_t start, unsigned shift)
{
    struct slab *slab = (struct slab *)start;

    memset(slab, 0, SLAB_BYTES);
    list_init(&slab->link);
    slab->start = start;
    slab->pages = 1;
    slab->shift = (uint16_t)shift;
    return slab;
}

static void forget_apart(struct slab *slab)
{
    struct slab **at = bucket_of(slab->start);

    while (*at != slab)
        at = &(*at)->next;
    *at = slab->next;
    kfree(slab);
}

/* The objects [first, end), a word of bits at a time. */
static void set_free(struct slab *slab, unsigned first, unsigned end)
{
    while (first < end) {
        unsigned word = first / 64, n = MIN(end, 64 * (word + 1)) - first;

        slab->free_bits[word] |= UINT64_MAX >> (64 - n) << first % 64;
        first += n;
    }
}

static struct slab *new_slab(unsigned shift)
{
    bool in_page = shift <= SHIFT_IN_PAGE;
    uintptr_t start = page_alloc(0);
    unsigned n = (unsigned)(PAGE_SIZE >> shift), first = 0;
    struct slab *slab;

    if (!start)
        return NULL;
    slab = in_page ? header_in_page(start, shift) : header_apart(start, 1, shift);
    if (!slab) {
        page_free(start, 0);
        return NULL;
    }
    if (in_page)
        first = (unsigned)((SLAB_BYTES - 1) >> shift) + 1;
    set_free(slab, first, n);
    list_append(&partial[shift], &slab->link);
    stats.held_bytes += PAGE_SIZE;
    return slab;
}

static struct slab *slab_with_room(unsigned shift)
{
    struct list *head = &partial[shift];

    if (!head->next)
        list_init(head);
    return list_empty(head) ? new_slab(shift) : CONTAINER_OF(head->next, struct slab, link);
}

static unsigned free_words(const struct slab *slab)
{
    return slab->shift <= SHIFT_IN_PAGE ? FREE_WORDS : 1;
}

static bool slab_is_full(const struct slab *slab)
{
    uint64_t any = 0;
    unsigned i;

    for (i = 0; i < free_words(slab); i++)
        any |= slab->free_bits[i];
    return !any;
}

static void *take_object(struct slab *slab)
{
    uint64_t *word = slab->free_bits;
    unsigned n;

    while (!*word)
        word++;
    n = (unsigned)(word - slab->free_bits) * 64 + (unsigned)__builtin_ctzll(*word);
    *word &= *word - 1;
    slab->used++;
    if (slab_is_full(slab))
        list_remove(&slab->link);
    return (void *)(slab->start + ((uintptr_t)n << slab->shift));
}

static void *alloc_pages(size_t bytes)
{
    uint64_t pages = (bytes - 1) / PAGE_SIZE + 1;
    phys_addr_t start = page_alloc_run(pages);

    if (!start)
        return NULL;
    if (!header_apart(start, pages, SHIFT_PAGES)) {
        page_free_run(start, pages);
        return NULL;
    }
    stats.used_bytes += pages * PAGE_SIZE;
    stats.held_bytes += pages * PAGE_SIZE;
    return memset((void *)(uintptr_t)start, 0, pages * PAGE_SIZE);
}

static unsigned shift_for(size_t bytes)
{
    return bytes <= 1 << SHIFT_MIN ? SHIFT_MIN : 64 - (unsigned)__builtin_clzll(bytes - 1);
}

void *kalloc(size_t bytes)
{
    SPIN_SCOPE(&memory_lock);
    unsigned shift;
    struct slab *slab;

    assert(bytes > 0);
    if (bytes > 1 << SHIFT_MAX)
        return alloc_pages(bytes);
    shift = shift_for(bytes);
    slab = slab_with_room(shift);
    if (!slab)
        return NULL;
    stats.used_bytes += UINT64_C(1) << shift;
    return memset(take_object(slab), 0, (size_t)1 << shift);
}

static void free_pages(struct slab *slab)
{
    uintptr_t start = slab->start;
    uint64_t pages = slab->pages;

    stats.used_bytes -= pages * PAGE_SIZE;
    stats.held_bytes -= pages * PAGE_SIZE;
    forget_apart(slab);
    page_free_run(start, pages);
}

static void free_slab(struct slab *slab)
{
    uintptr_t start = slab->start;

    list_remove(&slab->link);
    stats.held_bytes -= PAGE_SIZE;
    if (slab->shift > SHIFT_IN_PAGE)
        forget_apart(slab);
    else
        slab->start = 0; /* a late kfree() in this page finds nothing of ours */
    page_free(start, 0);
}

static void put_object(struct slab *slab, uintptr_t object)
{
    uintptr_t n = (object - slab->start) >> slab->shift;
    uint64_t bit = UINT64_C(1) << n % 64;

    if (!IS_ALIGNED(object, UINT64_C(1) << slab->shift) || slab->free_bits[n / 64] & bit)
        panic("kfree: %#llx is free", (unsigned long long)object);
    if (slab_is_full(slab))
        list_append(&partial[slab->shift], &slab->link);
    slab->free_bits[n / 64] |= bit;
    stats.used_bytes -= UINT64_C(1) << slab->shift;
    if (--slab->used == 0)
        free_slab(slab);
}

/* The header of the object's page; NULL: no object of ours can be there. */
static struct slab *slab_of(uintptr_t object)
{
    uintptr_t start = ALIGN_DOWN(object, PAGE_SIZE);
    struct slab *slab = IS_ALIGNED(object, LARGE_ALIGN) ? find_apart(start) : NULL;

    if (slab)
        return slab->shift == SHIFT_PAGES && object != start ? NULL : slab;
    slab = (struct slab *)start;
    return object >= start + SLAB_BYTES && slab->start == start ? slab : NULL;
}

void kfree(void *object)
{
    SPIN_SCOPE(&memory_lock);
    struct slab *slab;

    if (!object)
        return;
    slab = slab_of((uintptr_t)object);
    if (!slab)
        panic("kfree: %#llx was never ours", (unsigned long long)(uintptr_t)object);
    if (slab->shift == SHIFT_PAGES)
        free_pages(slab);
    else
        put_object(slab, (uintptr_t)object);
}

void kalloc_get_stats(struct kalloc_stats *to)
{
    SPIN_SCOPE(&memory_lock);
    *to = stats;
}
