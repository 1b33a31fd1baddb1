/* SPDX-License-Identifier: MIT */
/*
 * Physical memory: a buddy allocator with orders from 4 KiB to 1 GiB.
 *
 * Shaped for a guest that lends memory back to its host: free memory is
 * recorded in bitmaps apart from it (one bit a block and order, with summaries
 * above), so that no free page is ever touched by us; allocation takes the
 * lowest fitting block, the balloon the highest and largest, so that what
 * remains stays in large blocks. Records are made for 1 GiB sections when they
 * are first opened, and no larger than the RAM in them needs: memory nobody
 * asked for costs neither time nor space, and start-up does not grow with RAM.
 *
 * Physical memory is mapped at its own address (see arch/x86_64/paging.h): the
 * address of a page is also the pointer to it.
 *
 * Concurrency: kernel context of any CPU, never from an interrupt handler.
 */
#ifndef KERNEL_PAGE_H
#define KERNEL_PAGE_H

#include "lib/base/types.h"

struct event;

#define PAGE_SHIFT     12
#define PAGE_SIZE      (UINT64_C(1) << PAGE_SHIFT)
#define PAGE_ORDER_2M  9
#define PAGE_ORDER_1G  18
#define PAGE_ORDER_MAX PAGE_ORDER_1G

/* Bytes of the block of an order. */
#define PAGE_BYTES(order) (PAGE_SIZE << (order))

/*
 * Hands [start, start + bytes) to the allocator, at start-up. Partial pages at
 * the ends and page 0 are left out. Ranges may come in any order; what
 * overlaps an earlier range is ignored. -ENOSPC: more pieces than the
 * allocator has records for; they stay unused. -EBUSY: allocation has begun.
 */
int page_add_range(phys_addr_t start, uint64_t bytes);

/*
 * Takes [start, start + bytes), widened to whole pages, out again: the kernel's
 * image, boot records. -ENOSPC: no record for the second half; it stays unused
 * too. -EBUSY: allocation has begun.
 */
int page_exclude_range(phys_addr_t start, uint64_t bytes);

/*
 * Makes RAM reachable at its own address before a section above the first GiB
 * is used; the architecture provides it. It may call page_alloc(0) for its
 * tables. false: it can not; that RAM then stays unused.
 */
bool page_section_map(phys_addr_t start, uint64_t bytes);

/*
 * The lowest block of 2^order pages that fits best, aligned to its size;
 * contents are undefined. 0: there is none that is not promised (page 0 is
 * never handed out).
 */
phys_addr_t page_alloc(unsigned order);

/* The same, filled with zeros. */
phys_addr_t page_alloc_zeroed(unsigned order);

/*
 * Returns a block, or a part of one: any aligned piece of what was allocated.
 * Freeing what is free, or what was never ours, is our own mistake: panics.
 */
void page_free(phys_addr_t start, unsigned order);

/* Contiguous pages, any number of them, aligned to a page; given back whole or in parts. */
phys_addr_t page_alloc_run(uint64_t pages);
void page_free_run(phys_addr_t start, uint64_t pages);

/*
 * For the balloon: the highest of the largest free blocks of at most
 * max_order; its order in *order. Stops above a reserve that the kernel keeps
 * for itself. 0: nothing above the reserve is free.
 */
phys_addr_t page_alloc_top(unsigned max_order, unsigned *order);

/* Takes back what page_alloc_top() gave, or a part of it. */
void page_free_top(phys_addr_t start, unsigned order);

/* The same for what is only hinted to the host, in blocks of at least PAGE_ORDER_2M. */
phys_addr_t page_alloc_hint(unsigned max_order, unsigned *order);
void page_free_hint(phys_addr_t start, unsigned order);

/*
 * Signals the event once, when page_alloc_top() can take `pages` pages again.
 * There is one such wish at a time, the balloon's.
 */
void page_watch(uint64_t pages, struct event *event);

/*
 * Signals the event once, when less than half of the kernel's reserve is left. true: so it
 * is already, and nobody is told of anything. There is one such wish at a time.
 */
bool page_watch_reserve(struct event *event);

/*
 * Telling the host of free memory, which it then need not keep. There is one who does,
 * the reporter. Free memory rests first, so that what is soon used again is not reported:
 *
 *     page_report_to(&event, PAGE_ORDER_2M);
 *     for (;;) {
 *         while ((n = page_take_rested(blocks, max, pages)) != 0) {
 *             ...                                              tell the host, wait for its answer
 *             page_put_rested(&blocks[i], true);               each: free again, and reported
 *         }
 *         if (page_let_rest())
 *             ...                                              wait a while
 *         else
 *             ...                                              wait for the event
 *     }
 *
 * A reported block is free like any other. It counts as reported until somebody has used it.
 */
struct page_block {
    phys_addr_t start;
    unsigned order;
};

/*
 * The event is signalled when a block of at least min_order (not less than PAGE_ORDER_2M)
 * becomes free after a page_let_rest() that found nothing new; first with NULL before
 * another one may report. What is out with page_take_rested() stays so.
 */
void page_report_to(struct event *event, unsigned min_order);

/*
 * Takes out of the free memory what rested and was not reported: at most `max` blocks with
 * `pages` pages, and never more than half of what is above the kernel's reserve. How many
 * blocks; 0: none. Until they are put back they are in use.
 */
unsigned page_take_rested(struct page_block *blocks, unsigned max, uint64_t pages);
void page_put_rested(const struct page_block *block, bool reported);

/* What is free now has rested if it still is at the next call. true: there was something new. */
bool page_let_rest(void);

/* Whether the event was signalled since, or there was something new. */
bool page_freed_since_rest(void);

/*
 * Making free memory whole again, by moving pages that somebody can move (kernel/vmem.h).
 * page_scattered(): free pages that lie in no free block of PAGE_ORDER_2M. page_dense_end():
 * below it all that is in use would fit, with some room; what lies in the balloon is not
 * counted. page_alloc_below(): the lowest free page in the smallest block below `end`, as
 * page_alloc(0), but it leaves the kernel's reserve; 0: none.
 */
uint64_t page_scattered(void);
phys_addr_t page_dense_end(void);
phys_addr_t page_alloc_below(phys_addr_t end);

/*
 * Promises: pages that will be mapped later (application memory is mapped when
 * it is first touched) are promised when it is asked for, so that touching it
 * never fails. page_promise: 0 or -ENOMEM; it leaves the kernel's reserve. A
 * promised page is then taken with page_alloc_promised(), which never fails
 * for a single page; for a larger block 0 means that there is none in one
 * piece, and the promise stands.
 */
int page_promise(uint64_t pages);
void page_unpromise(uint64_t pages);
phys_addr_t page_alloc_promised(unsigned order);

/* Frees a block, or a part of one, and promises its pages again. */
void page_free_promised(phys_addr_t start, unsigned order);

/*
 * Lets page_alloc(0) take up to `pages` promised pages, until the next call;
 * returns how many of the last loan were left, promised still. For page tables,
 * which are allocated where nobody knows of promises.
 */
uint64_t page_lend_promised(uint64_t pages);

struct page_stats {
    uint64_t total;        /* pages handed to us */
    uint64_t free;         /* pages not allocated, promised ones among them */
    uint64_t promised;     /* of those, pages that are spoken for */
    uint64_t ballooned;    /* not free: pages lent to the host by way of page_alloc_top() */
    uint64_t hinted;       /* not free: pages taken by page_alloc_hint() */
    uint64_t reporting;    /* not free: pages that page_take_rested() has out */
    uint64_t reported;     /* of the free ones: those that the host was told of */
    uint64_t largest_free; /* bytes of the largest free block */
};

void page_get_stats(struct page_stats *stats);

/* Pages that somebody here holds. What the host is being told of is free as well. */
static inline uint64_t page_stats_used(const struct page_stats *stats)
{
    return stats->total - stats->ballooned - stats->free - stats->hinted - stats->reporting;
}

/* What is missing to promise so many pages; 0: nothing. */
uint64_t page_missing(uint64_t pages);

/*
 * From now on what becomes free is filled with that byte; at start-up. page_poison() fills
 * a block in the same way, also one that was never used; without the byte it does nothing.
 */
void page_poison_with(uint8_t byte);
void page_poison(phys_addr_t start, unsigned order);

/* Pages that page_alloc() may still give: free and not promised. */
uint64_t page_available(void);

#endif
