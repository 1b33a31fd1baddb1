/* SPDX-License-Identifier: MIT */
/*
 * kernel/page against a model. The allocator runs on a large sparse mapping
 * whose addresses serve as physical ones: nothing of 64 GiB is touched but the
 * records. It is included, not linked, so that each test starts from nothing.
 */
#include "kernel/page.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "tests/host/log.h"
#include "tests/host/panic.h"

#define ARENA       UINT64_C(0x200000000000)
#define ARENA_BYTES (66 * GIB)
#define PAGES(b)    ((b) / PAGE_SIZE)

static unsigned map_calls, map_tables, maps_refused;
static struct event *signalled;

bool page_section_map(phys_addr_t start, uint64_t bytes)
{
    unsigned i;

    assert_true(start >= ARENA && bytes > 0);
    map_calls++;
    if (maps_refused) {
        maps_refused--;
        return false;
    }
    for (i = 0; i < map_tables && !list_empty(&sections); i++)
        assert_true(page_alloc(0) != 0);
    return true;
}

void event_signal(struct event *event)
{
    signalled = event;
}

/* ---- what is out, for the audit */

#define MAX_OUT 8192

static struct {
    struct page_block block;
    enum page_place place;
} out[MAX_OUT];
static unsigned n_out;

static void tell_all(bool mapped, page_visitor *visit)
{
    for (unsigned i = 0; i < n_out; i++) {
        if ((out[i].place == PAGE_MAPPED) == mapped)
            visit(out[i].place, out[i].block.start, BIT(out[i].block.order));
    }
}

static void tell_out(page_visitor *visit)
{
    tell_all(false, visit);
}

static void tell_mapped(page_visitor *visit)
{
    tell_all(true, visit);
}

PAGE_HOLDER(out_holder) = { .tell = tell_out };
PAGE_HOLDER(mapped_holder) = { .tell = tell_mapped, .maps = true };

static void note_out(struct page_block block, enum page_place place)
{
    assert_true(n_out < MAX_OUT);
    out[n_out].block = block;
    out[n_out++].place = place;
}

static void note_back(phys_addr_t start, unsigned order)
{
    unsigned i = 0;

    while (i < n_out && out[i].block.start != start)
        i++;
    assert_true(i < n_out && out[i].block.order == order);
    out[i] = out[--n_out];
}

static phys_addr_t lend_top(unsigned max_order, unsigned *order)
{
    phys_addr_t start = page_alloc_top(max_order, order);

    if (start)
        note_out((struct page_block){ start, *order }, PAGE_BALLOONED);
    return start;
}

static void return_top(phys_addr_t start, unsigned order)
{
    note_back(start, order);
    page_free_top(start, order);
}

static unsigned lend_rested(struct page_block *blocks, unsigned max, uint64_t pages)
{
    unsigned n = page_take_rested(blocks, max, pages), i;

    for (i = 0; i < n; i++)
        note_out(blocks[i], PAGE_REPORTING);
    return n;
}

static void return_rested(const struct page_block *block, bool reported)
{
    note_back(block->start, block->order);
    page_put_rested(block, reported);
}

static int fresh(void **state)
{
    (void)state;
    memset(&pool, 0, sizeof(pool));
    notable_order = report_order = ORDER_NEVER;
    n_out = 0;
    list_init(&sections);
    map_calls = map_tables = maps_refused = 0;
    signalled = NULL;
    madvise((void *)ARENA, ARENA_BYTES, MADV_DONTNEED);
    return 0;
}

/* After each test. */
static int audit(void **state)
{
    (void)state;
    return page_audit() ? 0 : -1;
}

static struct page_stats stats_now(void)
{
    struct page_stats stats;

    page_get_stats(&stats);
    return stats;
}

/* Pages of the arena that somebody touched. */
static uint64_t touched_pages(uint64_t bytes)
{
    static unsigned char resident[65536];
    uint64_t done, step, i, touched = 0;

    for (done = 0; done < bytes; done += step) {
        step = MIN(bytes - done, sizeof(resident) * PAGE_SIZE);
        assert_int_equal(mincore((void *)(ARENA + done), step, resident), 0);
        for (i = 0; i < PAGES(step); i++)
            touched += resident[i] & 1;
    }
    return touched;
}

static void partial_pages_and_page_zero_are_left_out(void **state)
{
    (void)state;
    assert_int_equal(page_add_range(0, 10 * PAGE_SIZE), 0);
    assert_int_equal(pool.extents[0].start, PAGE_SIZE);
    assert_int_equal(page_exclude_range(0, 10 * PAGE_SIZE), 0);
    assert_int_equal(page_add_range(ARENA + 1, 3 * PAGE_SIZE), 0);
    assert_int_equal(page_add_range(ARENA + GIB, PAGE_SIZE - 1), 0);
    assert_int_equal(page_add_range(ARENA + GIB, 0), 0);
    assert_int_equal(page_add_range(UINT64_MAX - 5, UINT64_MAX), 0);
    assert_int_equal(pool.n_extents, 1);
    assert_int_equal(stats_now().total, 2);
}

static void ranges_that_overlap_count_once_in_any_order(void **state)
{
    (void)state;
    page_add_range(ARENA + 8 * MIB, 4 * MIB);
    page_add_range(ARENA + 1 * MIB, 1 * MIB);
    page_add_range(ARENA + 10 * MIB, 4 * MIB);
    page_add_range(ARENA, 32 * MIB);
    page_add_range(ARENA + 5 * MIB, 1 * MIB);
    assert_int_equal(pool.n_extents, 1); /* neighbours became one */
    assert_int_equal(stats_now().total, PAGES(32 * MIB));
}

static void a_piece_too_many_is_refused_and_stays_unused(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; i < MAX_EXTENTS; i++)
        assert_int_equal(page_add_range(ARENA + i * MIB, 4 * PAGE_SIZE), 0);
    assert_int_equal(page_add_range(ARENA + i * MIB, PAGE_SIZE), -ENOSPC);
    assert_int_equal(page_exclude_range(ARENA, 1), 0);
    assert_int_equal(stats_now().total, 4 * (MAX_EXTENTS - 1) + 3);
}

static void an_excluded_range_is_never_handed_out(void **state)
{
    phys_addr_t got;

    (void)state;
    page_add_range(ARENA, 4 * MIB);
    assert_int_equal(page_exclude_range(ARENA + MIB + 5, MIB), 0);
    assert_int_equal(page_exclude_range(ARENA - MIB, MIB + PAGE_SIZE), 0);
    assert_int_equal(page_exclude_range(ARENA + 4 * MIB - 1, UINT64_MAX), 0);
    assert_int_equal(stats_now().total, PAGES(3 * MIB) - 3);
    while ((got = page_alloc(0)) != 0) {
        assert_true(got > ARENA && got < ARENA + 4 * MIB - PAGE_SIZE);
        assert_true(got < ARENA + MIB || got > ARENA + 2 * MIB);
    }
    assert_int_equal(page_exclude_range(ARENA, 1), -EBUSY);
    assert_int_equal(page_add_range(ARENA + GIB, MIB), -EBUSY);
}

static void no_memory_at_all_gives_nothing(void **state)
{
    unsigned order;

    (void)state;
    assert_int_equal(page_alloc(0), 0);
    assert_int_equal(lend_top(PAGE_ORDER_MAX, &order), 0);
    assert_int_equal(page_promise(1), -ENOMEM);
    assert_int_equal(page_promise(0), 0);
    assert_int_equal(stats_now().largest_free, 0);
    assert_true(page_audit());
}

static void a_single_page_has_no_room_for_its_records(void **state)
{
    (void)state;
    page_add_range(ARENA, PAGE_SIZE);
    page_add_range(ARENA + GIB, 4 * PAGE_SIZE);
    assert_int_equal(page_alloc(2), 0);
    assert_int_not_equal(page_alloc(0), 0);
    assert_true(page_audit());
}

static void two_mib_cost_one_page_of_records(void **state)
{
    (void)state;
    page_add_range(ARENA, 2 * MIB);
    assert_int_not_equal(page_alloc(0), 0);
    assert_int_equal(stats_now().free, 510);
    assert_int_equal(touched_pages(2 * MIB), 1);
}

static void start_up_does_not_grow_with_ram(void **state)
{
    (void)state;
    page_add_range(ARENA + PAGE_SIZE, 64 * GIB);
    assert_int_not_equal(page_alloc(0), 0);
    assert_int_equal(map_calls, 1);
    assert_in_range(touched_pages(GIB), 1, 24); /* of 25 pages of records */
    assert_int_equal(touched_pages(64 * GIB), touched_pages(GIB));
    assert_true(page_audit());
    assert_int_equal(stats_now().largest_free, GIB);
}

static void every_page_is_handed_out_once(void **state)
{
    static unsigned char seen[PAGES(3 * GIB)];
    uint64_t n = 0, expected;
    phys_addr_t got;

    (void)state;
    memset(seen, 0, sizeof(seen));
    map_tables = 2;
    page_add_range(ARENA + 3 * PAGE_SIZE, 2 * GIB + 5 * PAGE_SIZE);
    expected = stats_now().total;
    while ((got = page_alloc(0)) != 0) {
        assert_int_equal(seen[(got - ARENA) / PAGE_SIZE]++, 0);
        n++;
    }
    /* 25 pages of records for each whole section, 1 for the crumb, and what mapping took. */
    assert_int_equal(n, expected - 25 - 25 - 1 - 4);
    assert_int_equal(stats_now().free, 0);
    assert_true(page_audit());
    for (got = ARENA; got < ARENA + 3 * GIB; got += PAGE_SIZE) {
        if (seen[(got - ARENA) / PAGE_SIZE])
            page_free(got, 0);
    }
    assert_int_equal(stats_now().free, n);
    assert_true(page_audit());
    assert_true(stats_now().largest_free >= 512 * MIB);
}

static void a_whole_gib_comes_in_one_block(void **state)
{
    phys_addr_t got;

    (void)state;
    page_add_range(ARENA, 3 * GIB);
    got = page_alloc(PAGE_ORDER_1G);
    assert_int_equal(got, ARENA + GIB);
    assert_int_equal(page_alloc(PAGE_ORDER_1G), ARENA + 2 * GIB);
    assert_int_equal(page_alloc(PAGE_ORDER_1G), 0);
    page_free(got, PAGE_ORDER_1G);
    assert_int_equal(page_alloc(PAGE_ORDER_1G), got);
    assert_true(page_audit());
}

static void wrong_frees_panic(void **state)
{
    phys_addr_t block, page;

    (void)state;
    page_add_range(ARENA, 16 * MIB);
    page_add_range(ARENA + 20 * MIB, 16 * MIB);
    block = page_alloc(4);
    page = page_alloc(0);
    assert_true(PANICS(page_free(block + PAGE_SIZE, 4)));          /* not aligned */
    assert_true(PANICS(page_free(ARENA + 18 * MIB, 0)));           /* a hole */
    assert_true(PANICS(page_free(ARENA + 5 * GIB, 0)));            /* no section */
    assert_true(PANICS(page_free(0, 0)));                          /* nothing */
    assert_true(PANICS(page_free(ARENA, PAGE_ORDER_1G)));          /* beyond the section */
    assert_true(PANICS(page_free(ARENA + 8 * MIB, 0)));            /* free as part of a block */
    assert_true(PANICS(page_free(ALIGN_DOWN(page, 8 * MIB), 11))); /* parts are free */
    page_free(page, 0);
    assert_true(PANICS(page_free(page, 0))); /* twice */
    page_free(block, 4);
    assert_true(PANICS(page_free(block + 3 * PAGE_SIZE, 0))); /* a part again */
    assert_true(page_audit());
}

static void only_what_is_out_comes_back_from_the_balloon(void **state)
{
    phys_addr_t block, used;
    unsigned order;

    (void)state;
    page_add_range(ARENA, 16 * MIB);
    block = lend_top(PAGE_ORDER_2M, &order);
    used = page_alloc(0);
    assert_int_equal(order, PAGE_ORDER_2M);
    assert_true(PANICS(page_free(block, order)));                 /* out, not allocated */
    assert_true(PANICS(page_free_top(used, 0)));                  /* allocated */
    assert_true(PANICS(page_free_top(used + PAGE_SIZE, 0)));      /* free */
    assert_true(PANICS(page_free_top(block - PAGE_SIZE, 0)));     /* free as part of a block */
    assert_true(PANICS(page_free_top(ARENA, PAGE_ORDER_2M)));     /* parts are free, parts in use */
    assert_true(PANICS(page_free_top(block + PAGE_SIZE, order))); /* not aligned */
    return_top(block, order);
    assert_true(PANICS(page_free_top(block, order))); /* twice */
}

/* ---- the audit itself */

static bool audit_says(const char *format, phys_addr_t page)
{
    char line[200];

    snprintf(line, sizeof(line), format, (unsigned long long)page);
    host_log_clear();
    return !page_audit() && strstr(host_log_text(), line);
}

static void the_audit_names_a_page_that_was_lost_or_is_in_two_places(void **state)
{
    phys_addr_t block, used;
    unsigned order;

    (void)state;
    page_add_range(ARENA, 16 * MIB);
    page_add_range(ARENA + 3 * GIB, 300 * MIB); /* of several windows */
    block = lend_top(PAGE_ORDER_2M, &order);
    used = page_alloc(0);
    assert_true(page_audit());

    n_out--;
    assert_true(audit_says("audit: page %#llx is in no place: nobody's\n", block));
    assert_true(audit_says("audit: 0 pages are in the balloon, the allocator counts 512\n", 0));
    n_out++;
    note_out((struct page_block){ block + 5 * PAGE_SIZE, 0 }, PAGE_BALLOONED);
    assert_true(audit_says("audit: page %#llx is in several places: "
                           "in the balloon and in the balloon\n",
                           block + 5 * PAGE_SIZE));
    out[1].block.start = used;
    assert_true(
        audit_says("audit: page %#llx is in several places: in use and in the balloon\n", used));
    out[1].block.start = used + 2 * PAGE_SIZE;
    out[1].place = PAGE_HINTED;
    assert_true(audit_says("audit: page %#llx is in several places: free and hinted\n",
                           used + 2 * PAGE_SIZE));
    n_out = 1;
    assert_true(page_audit());
    return_top(block, order);
}

static void the_audit_names_what_is_mapped_and_not_in_use(void **state)
{
    phys_addr_t used;

    (void)state;
    page_add_range(ARENA, 16 * MIB);
    used = page_alloc(2);
    note_out((struct page_block){ used, 1 }, PAGE_MAPPED);
    assert_true(page_audit());
    note_out((struct page_block){ used + PAGE_SIZE, 0 }, PAGE_MAPPED);
    assert_true(audit_says("audit: page %#llx is mapped and not the application's alone: "
                           "in use and mapped for the application and mapped for the application\n",
                           used + PAGE_SIZE));
    out[1].block.start = used + 9 * PAGE_SIZE;
    assert_true(audit_says("audit: page %#llx is mapped and not the application's alone: "
                           "free and mapped for the application\n",
                           used + 9 * PAGE_SIZE));
    n_out = 0;
}

static void the_audit_sees_records_that_do_not_agree(void **state)
{
    struct section *section;
    phys_addr_t used;

    (void)state;
    page_add_range(ARENA + 8 * PAGE_SIZE, 16 * MIB);
    used = page_alloc(0);
    section = section_find(used);
    map_clear(&section->allocated, (used - section->start) >> PAGE_SHIFT);
    assert_true(audit_says("audit: page %#llx is in no place: nobody's\n", used));
    map_set(&section->allocated, (used - section->start) >> PAGE_SHIFT);
    map_set(&section->allocated, 3); /* no RAM */
    assert_true(audit_says("audit: page %#llx is no RAM of ours: in use\n",
                           section->start + 3 * PAGE_SIZE));
    map_clear(&section->allocated, 3);
    section->free++;
    assert_true(audit_says("audit: the allocator's summaries and bitmaps differ\n", 0));
    section->free--;
    section->free_orders ^= BIT(9);
    assert_true(audit_says("audit: the allocator's summaries and bitmaps differ\n", 0));
    section->free_orders ^= BIT(9);
    pool.ballooned++;
    assert_true(audit_says("audit: 0 pages are in the balloon, the allocator counts 1\n", 0));
    pool.ballooned--;
}

static void a_block_may_come_back_in_pieces(void **state)
{
    uint64_t before;
    phys_addr_t block;

    (void)state;
    page_add_range(ARENA, 64 * MIB);
    page_free(page_alloc(0), 0);
    before = stats_now().largest_free;
    block = page_alloc(PAGE_ORDER_2M);
    page_free_run(block + 3 * PAGE_SIZE, 509);
    page_free(block + 2 * PAGE_SIZE, 0);
    page_free_run(block, 2);
    assert_int_equal(stats_now().largest_free, before);
    assert_true(page_audit());
    block = page_alloc_run(21);
    assert_int_equal(stats_now().free, PAGES(64 * MIB) - 2 - 21);
    page_free_run(block, 21);
    assert_int_equal(page_alloc_run(PAGES(2 * GIB)), 0);
    assert_true(page_audit());
}

static void the_balloon_takes_from_the_top_in_large_blocks(void **state)
{
    phys_addr_t got, last = ARENA + 4 * GIB;
    unsigned order, i;

    (void)state;
    page_add_range(ARENA, 4 * GIB);
    for (i = 0; i < 4 * 256 - 256; i++) {
        got = lend_top(10, &order);
        assert_int_equal(order, 10);
        assert_int_equal(got, last - 4 * MIB);
        last = got;
    }
    return_top(got, 10);
    assert_int_equal(lend_top(10, &order), got);
    assert_true(page_audit());
}

static void the_balloon_leaves_the_reserve_and_what_is_promised(void **state)
{
    unsigned order, orders[4096];
    phys_addr_t got, blocks[4096];
    uint64_t first_free, n = 0;

    (void)state;
    page_add_range(ARENA, 64 * MIB);
    page_free(page_alloc(0), 0);
    first_free = stats_now().free;
    assert_int_equal(page_promise(1000), 0);
    while ((got = lend_top(PAGE_ORDER_MAX, &order)) != 0) {
        blocks[n] = got;
        orders[n++] = order;
    }
    assert_int_equal(stats_now().free, 1000 + pool.reserve);
    assert_int_equal(stats_now().ballooned, first_free - 1000 - pool.reserve);
    assert_int_equal(page_promise(1), -ENOMEM);
    assert_int_not_equal(page_alloc(0), 0);
    assert_true(page_audit());
    while (page_available())
        assert_int_not_equal(page_alloc(0), 0);
    assert_int_equal(page_alloc(0), 0);
    for (order = 0; order < 1000; order++)
        assert_int_not_equal(page_alloc_promised(0), 0);
    assert_int_equal(stats_now().free, 0);
    assert_true(PANICS(page_alloc_promised(0)));
    assert_true(PANICS(page_unpromise(1)));
    while (n--)
        return_top(blocks[n], orders[n]);
    assert_int_equal(stats_now().free, first_free - 1000 - pool.reserve);
    assert_true(page_audit());
}

static void a_promise_can_be_kept_across_closed_sections(void **state)
{
    uint64_t promised;

    (void)state;
    map_tables = 2;
    page_add_range(ARENA, 3 * GIB);
    promised = page_available();
    promised -= pool.reserve;
    assert_int_equal(page_promise(promised + 1), -ENOMEM);
    assert_int_equal(page_promise(promised), 0);
    while (page_alloc(0)) /* the kernel takes all it may */
        ;
    while (promised--)
        assert_int_not_equal(page_alloc_promised(0), 0);
    assert_true(page_audit());
}

static void a_large_promised_block_may_be_refused_but_not_lost(void **state)
{
    phys_addr_t pages[1024];
    unsigned i;

    (void)state;
    page_add_range(ARENA, 4 * MIB);
    for (i = 0; (pages[i] = page_alloc(0)) != 0; i++)
        ;
    while (i--) {
        if (i % 2)
            page_free(pages[i], 0);
    }
    assert_int_equal(page_promise(300), 0);
    assert_int_equal(page_alloc_promised(3), 0);
    assert_int_equal(stats_now().promised, 300);
    assert_int_not_equal(page_alloc_promised(0), 0);
    assert_int_equal(stats_now().promised, 299);
    page_unpromise(299);
    assert_true(page_audit());
}

static void a_section_that_can_not_be_mapped_stays_unused(void **state)
{
    (void)state;
    page_add_range(ARENA, 3 * GIB);
    page_free(page_alloc(0), 0);
    maps_refused = 1;
    assert_int_equal(page_alloc(PAGE_ORDER_1G), ARENA + 2 * GIB);
    assert_int_equal(stats_now().total, PAGES(2 * GIB));
    assert_true(page_audit());
}

static void the_watcher_hears_once_when_there_is_enough_again(void **state)
{
    struct event event;
    phys_addr_t block;

    (void)state;
    page_add_range(ARENA, 4 * MIB);
    block = page_alloc(8);
    while (page_available())
        page_alloc(0);
    page_watch(100, &event);
    assert_null(signalled);
    page_free(block, 6);
    page_free(block + 64 * PAGE_SIZE, 6);
    assert_null(signalled); /* 128 less the reserve of 32 */
    page_free(block + 128 * PAGE_SIZE, 2);
    assert_ptr_equal(signalled, &event);
    signalled = NULL;
    page_free(block + 132 * PAGE_SIZE, 2);
    assert_null(signalled);
    page_watch(1, &event); /* it is here already */
    assert_ptr_equal(signalled, &event);
}

static void the_reserves_watcher_hears_once_when_half_of_it_is_gone(void **state)
{
    struct event event;
    phys_addr_t page = 0;

    (void)state;
    page_add_range(ARENA, 4 * MIB); /* of 1024 pages 32 are the reserve */
    signalled = NULL;
    while (page_available() > 32)
        page_alloc(0);
    assert_false(page_watch_reserve(&event));
    while (page_available() > 16)
        page = page_alloc(0);
    assert_null(signalled);
    assert_int_not_equal(page_alloc(0), 0);
    assert_ptr_equal(signalled, &event);
    signalled = NULL;
    assert_int_not_equal(page_alloc(0), 0);
    assert_null(signalled);
    assert_true(page_watch_reserve(&event)); /* it is low already */
    while (page_available())
        page_alloc(0);
    assert_int_equal(page_alloc(0), 0);
    assert_null(signalled);
    page_free_run(page - 31 * PAGE_SIZE, 32);
    assert_false(page_watch_reserve(&event));
    assert_int_equal(page_alloc(6), 0); /* more than there is: its want is heard of too */
    assert_ptr_equal(signalled, &event);
}

/* ---- reporting */

static struct event reporter;

/* As the driver does it, with a host that answers at once: pages reported until it has to wait. */
static uint64_t report_round(bool answered)
{
    struct page_block blocks[8];
    uint64_t pages = 0;
    unsigned n, i;

    while ((n = lend_rested(blocks, ARRAY_SIZE(blocks), UINT64_MAX)) != 0) {
        assert_true(page_audit());
        for (i = 0; i < n; i++) {
            assert_true(blocks[i].order >= PAGE_ORDER_2M);
            pages += BIT(blocks[i].order);
            return_rested(&blocks[i], answered);
        }
        if (!answered)
            break;
    }
    return pages;
}

/* Two rests, as the thread has them. */
static uint64_t report_all(void)
{
    page_let_rest();
    return report_round(true);
}

static void begin_reporting(uint64_t bytes, unsigned order)
{
    page_add_range(ARENA, bytes);
    page_free(page_alloc(0), 0);
    page_report_to(&reporter, order);
}

static void free_memory_is_reported_once_and_only_after_a_rest(void **state)
{
    (void)state;
    begin_reporting(256 * MIB, PAGE_ORDER_2M);
    assert_int_equal(report_round(true), 0);
    assert_true(page_let_rest());
    assert_int_equal(report_round(true), PAGES(254 * MIB)); /* the records lie in the first unit */
    assert_int_equal(stats_now().reported, PAGES(254 * MIB));
    assert_int_equal(stats_now().reporting, 0);
    assert_false(page_let_rest());
    assert_int_equal(report_round(true), 0);
    assert_true(page_audit());
}

static void a_reported_block_is_used_at_once_and_reported_again_after_it(void **state)
{
    phys_addr_t block, page;
    unsigned order;

    (void)state;
    begin_reporting(64 * MIB, PAGE_ORDER_2M);
    report_all();
    assert_int_equal(stats_now().reported, PAGES(62 * MIB));
    block = page_alloc(PAGE_ORDER_2M + 1);
    assert_int_not_equal(block, 0);
    assert_int_equal(stats_now().reported, PAGES(58 * MIB));
    page_free(block, PAGE_ORDER_2M + 1);
    assert_int_equal(stats_now().reported, PAGES(58 * MIB)); /* its neighbours are reported still */
    assert_int_equal(report_all(), PAGES(4 * MIB));
    page = lend_top(8, &order); /* a part: its whole unit counts no more */
    assert_int_equal(stats_now().reported, PAGES(60 * MIB));
    return_top(page, order);
    assert_int_equal(stats_now().reported, PAGES(60 * MIB));
    assert_int_equal(report_all(), PAGES(2 * MIB));
    assert_true(page_audit());
}

static void what_was_used_meanwhile_has_not_rested(void **state)
{
    phys_addr_t block;

    (void)state;
    begin_reporting(64 * MIB, PAGE_ORDER_2M);
    page_let_rest();
    block = page_alloc(PAGE_ORDER_2M);
    page_free(block, PAGE_ORDER_2M);
    assert_int_equal(report_round(true), PAGES(60 * MIB));
    assert_true(page_let_rest());
    assert_int_equal(report_round(true), PAGES(2 * MIB));
}

static void a_report_that_was_cut_off_is_begun_anew(void **state)
{
    (void)state;
    begin_reporting(64 * MIB, PAGE_ORDER_2M);
    page_let_rest();
    assert_in_range(report_round(false), PAGES(2 * MIB), PAGES(62 * MIB));
    assert_int_equal(stats_now().reported, 0);
    assert_int_equal(stats_now().reporting, 0);
    assert_true(page_let_rest());
    assert_int_equal(report_round(true), PAGES(62 * MIB));
}

static void a_report_takes_no_more_than_half_and_nothing_of_the_reserve(void **state)
{
    struct page_block blocks[64];
    uint64_t left, taken = 0;
    unsigned n, i;

    (void)state;
    begin_reporting(64 * MIB, PAGE_ORDER_2M);
    page_let_rest();
    left = page_available() - pool.reserve;
    n = lend_rested(blocks, 64, UINT64_MAX);
    for (i = 0; i < n; i++)
        taken += BIT(blocks[i].order);
    assert_in_range(taken, left / 4, left / 2);
    assert_int_equal(stats_now().reporting, taken);
    while (n--)
        return_rested(&blocks[n], true);
    assert_int_equal(page_promise(page_available() - pool.reserve), 0);
    page_let_rest();
    assert_int_equal(lend_rested(blocks, 64, UINT64_MAX), 0);
}

static void blocks_below_the_wanted_size_are_not_reported(void **state)
{
    phys_addr_t taken[32];
    unsigned order, n = 0;

    (void)state;
    begin_reporting(64 * MIB, PAGE_ORDER_2M + 1);
    while ((taken[n] = lend_top(PAGE_ORDER_2M, &order)) != 0 && order == PAGE_ORDER_2M)
        n++;
    for (order = 4; order < 16; order += 2)
        return_top(taken[order], PAGE_ORDER_2M); /* each alone */
    assert_int_equal(report_all(), 0);
    return_top(taken[5], PAGE_ORDER_2M); /* the lower half of a pair */
    assert_int_equal(report_all(), PAGES(4 * MIB));
}

static void the_reporter_is_woken_once_and_only_when_it_waits(void **state)
{
    phys_addr_t block, page;

    (void)state;
    begin_reporting(64 * MIB, PAGE_ORDER_2M);
    block = page_alloc(PAGE_ORDER_2M);
    page = page_alloc(0);
    page_free(block, PAGE_ORDER_2M);
    assert_null(signalled); /* it has not looked yet: it does not wait */
    report_all();
    while (page_let_rest())
        ;
    page_free(page, 0);
    assert_null(signalled); /* too small a piece */
    block = page_alloc(PAGE_ORDER_2M);
    page_free(block + PAGE_BYTES(8), 8);
    assert_null(signalled);
    page_free(block, 8);
    assert_ptr_equal(signalled, &reporter);
    signalled = NULL;
    block = page_alloc(PAGE_ORDER_2M);
    page_free(block, PAGE_ORDER_2M);
    assert_null(signalled);
}

static void another_reporter_begins_from_nothing(void **state)
{
    (void)state;
    begin_reporting(64 * MIB, PAGE_ORDER_2M);
    report_all();
    page_report_to(NULL, 0);
    assert_int_equal(stats_now().reported, 0);
    page_free(page_alloc(PAGE_ORDER_2M), PAGE_ORDER_2M);
    page_report_to(&reporter, PAGE_ORDER_2M);
    assert_int_equal(report_round(true), 0);
    assert_int_equal(report_all(), PAGES(62 * MIB));
}

/* ---- a thousand changes of the balloon's size, while others allocate and free */

#define BALLOON_BLOCKS 4096

static struct page_block in_balloon[BALLOON_BLOCKS];
static unsigned n_in_balloon;

static void set_balloon(uint64_t wanted, uint64_t *size)
{
    while (*size < wanted && n_in_balloon < BALLOON_BLOCKS) {
        struct page_block *block = &in_balloon[n_in_balloon];

        block->start = lend_top(MIN(highest_bit(wanted - *size), PAGE_ORDER_2M), &block->order);
        if (!block->start)
            break;
        *size += BIT(block->order);
        n_in_balloon++;
    }
    while (*size > wanted && n_in_balloon) {
        struct page_block *block = &in_balloon[n_in_balloon - 1];

        if (*size - BIT(block->order) < wanted)
            break;
        return_top(block->start, block->order);
        *size -= BIT(block->order);
        n_in_balloon--;
    }
}

static void traffic_step(phys_addr_t *blocks, unsigned char *orders, unsigned slots)
{
    unsigned i;

    for (i = 0; i < 64; i++) {
        unsigned slot = (unsigned)random() % slots;

        if (blocks[slot])
            page_free(blocks[slot], orders[slot]);
        orders[slot] = random() % 20 ? random() % 4 : random() % 10;
        blocks[slot] = page_alloc(orders[slot]);
    }
}

/* Pages that lie free together, the most. */
static uint64_t largest_run(uint64_t bytes)
{
    uint64_t page, run = 0, largest = 0;

    for (page = 0; page < PAGES(bytes); page++) {
        struct section *section = section_find(ARENA + page * PAGE_SIZE);
        unsigned order = 0;

        while (order <= section->span_order &&
               !block_is_free(section, order, (page & (BIT(18) - 1)) >> order))
            order++;
        run = order > section->span_order ? 0 : run + BIT(order);
        page += order > section->span_order ? 0 : BIT(order) - 1;
        largest = MAX(largest, run);
    }
    return largest;
}

static void a_thousand_balloon_changes_leave_large_blocks(void **state)
{
    static phys_addr_t blocks[2000];
    static unsigned char orders[2000];
    uint64_t size = 0, worst = 100, free, largest;
    unsigned i;

    (void)state;
    srandom(11);
    memset(blocks, 0, sizeof(blocks));
    n_in_balloon = 0;
    begin_reporting(512 * MIB, PAGE_ORDER_2M);
    for (i = 0; i < 1000; i++) {
        set_balloon((uint64_t)random() % PAGES(448 * MIB), &size);
        traffic_step(blocks, orders, ARRAY_SIZE(blocks));
        if (i % 3 == 0)
            report_all();
        if (i % 50 == 0)
            assert_true(page_audit());
        free = stats_now().free;
        if (free > PAGES(256 * MIB))
            worst = MIN(worst, largest_run(512 * MIB) * 100 / free);
    }
    set_balloon(0, &size);
    free = stats_now().free;
    largest = largest_run(512 * MIB) * 100 / free;
    print_message("of free memory %u %% are one block; %u %% at the worst while half was free\n",
                  (unsigned)largest, (unsigned)worst);
    assert_true(worst >= 85);
    assert_true(largest >= 90);
    for (i = 0; i < ARRAY_SIZE(blocks); i++) {
        if (blocks[i])
            page_free(blocks[i], orders[i]);
    }
    assert_int_equal(size, 0);
    assert_int_equal(stats_now().largest_free, 256 * MIB);
    assert_true(page_audit());
}

/* Random traffic against one byte a page. */

#define MODEL_BLOCKS 4096

static struct {
    phys_addr_t start;
    unsigned order;
    bool top;
} held[MODEL_BLOCKS];

static unsigned char owned[PAGES(4 * GIB)];

static void model_take(phys_addr_t start, unsigned order)
{
    uint64_t i, first = (start - ARENA) / PAGE_SIZE;

    assert_true(IS_ALIGNED(start, PAGE_BYTES(order)));
    for (i = 0; i < BIT(order); i++)
        assert_int_equal(owned[first + i]++, 0);
}

static void random_traffic(uint64_t bytes, unsigned max_order, unsigned rounds,
                           unsigned audit_every)
{
    unsigned n = 0, i, order;
    uint64_t first_free;

    srandom(rounds);
    memset(owned, 0, sizeof(owned));
    memset(held, 0, sizeof(held));
    page_add_range(ARENA + 7 * PAGE_SIZE, bytes / 2);
    page_add_range(ARENA + 11 * PAGE_SIZE + bytes / 2, bytes / 2); /* behind a hole */
    page_free(page_alloc(max_order), max_order);
    first_free = stats_now().free;
    for (i = 0; i < rounds; i++) {
        unsigned wanted = (unsigned)random() % (max_order + 1);
        bool grow = random() % 1000 < (i / 2000 % 2 ? 400 : 600);

        if (grow && n < MODEL_BLOCKS) {
            bool top = random() % 4 == 0;
            phys_addr_t got = top ? lend_top(wanted, &order) : page_alloc(order = wanted);

            if (got) {
                held[n].start = got;
                held[n].top = top;
                held[n++].order = order;
                model_take(got, order);
            }
        } else if (n) {
            unsigned victim = (unsigned)random() % n;
            uint64_t first = (held[victim].start - ARENA) / PAGE_SIZE;

            memset(&owned[first], 0, BIT(held[victim].order));
            if (held[victim].top)
                return_top(held[victim].start, held[victim].order);
            else
                page_free(held[victim].start, held[victim].order);
            held[victim] = held[--n];
        }
        if (i % audit_every == 0)
            assert_true(page_audit());
    }
    while (n--) {
        if (held[n].top)
            return_top(held[n].start, held[n].order);
        else
            page_free(held[n].start, held[n].order);
    }
    assert_true(page_audit());
    assert_true(first_free - stats_now().free <= 3 * 25);
}

static void random_traffic_in_a_small_section_keeps_the_records_true(void **state)
{
    (void)state;
    random_traffic(16 * MIB, 7, 20000, 1);
}

static void random_traffic_over_several_sections_keeps_the_records_true(void **state)
{
    (void)state;
    random_traffic(3 * GIB, 17, 20000, 101);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, fresh, audit)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(partial_pages_and_page_zero_are_left_out),
        FRESH(ranges_that_overlap_count_once_in_any_order),
        FRESH(a_piece_too_many_is_refused_and_stays_unused),
        FRESH(an_excluded_range_is_never_handed_out),
        FRESH(no_memory_at_all_gives_nothing),
        FRESH(a_single_page_has_no_room_for_its_records),
        FRESH(two_mib_cost_one_page_of_records),
        FRESH(start_up_does_not_grow_with_ram),
        FRESH(every_page_is_handed_out_once),
        FRESH(a_whole_gib_comes_in_one_block),
        FRESH(wrong_frees_panic),
        FRESH(only_what_is_out_comes_back_from_the_balloon),
        FRESH(the_audit_names_a_page_that_was_lost_or_is_in_two_places),
        FRESH(the_audit_names_what_is_mapped_and_not_in_use),
        FRESH(the_audit_sees_records_that_do_not_agree),
        FRESH(a_block_may_come_back_in_pieces),
        FRESH(the_balloon_takes_from_the_top_in_large_blocks),
        FRESH(the_balloon_leaves_the_reserve_and_what_is_promised),
        FRESH(a_promise_can_be_kept_across_closed_sections),
        FRESH(a_large_promised_block_may_be_refused_but_not_lost),
        FRESH(a_section_that_can_not_be_mapped_stays_unused),
        FRESH(the_watcher_hears_once_when_there_is_enough_again),
        FRESH(the_reserves_watcher_hears_once_when_half_of_it_is_gone),
        FRESH(free_memory_is_reported_once_and_only_after_a_rest),
        FRESH(a_reported_block_is_used_at_once_and_reported_again_after_it),
        FRESH(what_was_used_meanwhile_has_not_rested),
        FRESH(a_report_that_was_cut_off_is_begun_anew),
        FRESH(a_report_takes_no_more_than_half_and_nothing_of_the_reserve),
        FRESH(blocks_below_the_wanted_size_are_not_reported),
        FRESH(the_reporter_is_woken_once_and_only_when_it_waits),
        FRESH(another_reporter_begins_from_nothing),
        FRESH(a_thousand_balloon_changes_leave_large_blocks),
        FRESH(random_traffic_in_a_small_section_keeps_the_records_true),
        FRESH(random_traffic_over_several_sections_keeps_the_records_true),
    };

    mmap((void *)ARENA, ARENA_BYTES, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
