/* SPDX-License-Identifier: MIT */
/* kernel/alloc above the real page allocator. */
#include "kernel/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/event.h"
#include "kernel/page.h"
#include "kernel/page_audit.h"
#include "tests/host/memory.h"
#include "tests/host/panic.h"

static uint64_t free_pages_at_start;

void event_signal(struct event *event)
{
    (void)event;
}

static uint64_t free_pages(void)
{
    struct page_stats stats;

    page_get_stats(&stats);
    return stats.free;
}

static struct kalloc_stats stats_now(void)
{
    struct kalloc_stats stats;

    kalloc_get_stats(&stats);
    return stats;
}

static int remember(void **state)
{
    (void)state;
    page_free(page_alloc(0), 0);
    free_pages_at_start = free_pages();
    return 0;
}

static int nothing_is_left(void **state)
{
    (void)state;
    assert_int_equal(free_pages(), free_pages_at_start);
    assert_int_equal(stats_now().used_bytes, 0);
    assert_int_equal(stats_now().held_bytes, 0);
    assert_true(page_audit());
    return 0;
}

static void every_size_is_zeroed_aligned_and_writable(void **state)
{
    static const size_t sizes[] = { 1,    15,   16,   17,   64,   100,  511,      512,    513,
                                    1024, 1025, 2048, 2049, 4096, 4097, 5 * 4096, 100000, 3 << 20 };
    size_t i, j, alignment;

    (void)state;
    for (i = 0; i < ARRAY_SIZE(sizes); i++) {
        unsigned char *first = kalloc(sizes[i]), *object;

        memset(first, 0xff, sizes[i]);
        kfree(first);
        object = kalloc(sizes[i]);
        for (alignment = 16; alignment < sizes[i] && alignment < 4096; alignment *= 2)
            ;
        assert_true(IS_ALIGNED((uintptr_t)object, alignment));
        for (j = 0; j < sizes[i]; j++)
            assert_int_equal(object[j], 0);
        memset(object, 0xff, sizes[i]);
        kfree(object);
    }
    kfree(NULL);
}

static void two_kib_objects_fill_their_pages(void **state)
{
    void *objects[64];
    unsigned i;

    (void)state;
    for (i = 0; i < 64; i++)
        objects[i] = kalloc(2048);
    assert_in_range(free_pages_at_start - free_pages(), 32, 33);
    for (i = 0; i < 64; i++)
        kfree(objects[i]);
}

static void odd_runs_give_their_tail_back(void **state)
{
    void *run = kalloc(5 * PAGE_SIZE);

    (void)state;
    assert_int_equal(free_pages_at_start - free_pages(), 6); /* and one for its header */
    kfree(run);
}

static void wrong_frees_panic(void **state)
{
    char *small = kalloc(64), *neighbour = kalloc(64), *big = kalloc(2048), *run = kalloc(8192);
    char *medium = kalloc(2048);
    static char foreign[8192];

    (void)state;
    assert_true(PANICS(kfree(small + 16)));
    assert_true(PANICS(kfree(small + 64 * 20))); /* never allocated */
    assert_true(PANICS(kfree((void *)ALIGN_DOWN((uintptr_t)small, PAGE_SIZE))));
    assert_true(PANICS(kfree((char *)ALIGN_DOWN((uintptr_t)small, PAGE_SIZE) + 16)));
    assert_true(PANICS(kfree(big + 1024)));
    assert_true(PANICS(kfree(run + PAGE_SIZE)));
    assert_true(PANICS(kfree(run + 1024)));
    assert_true(PANICS(kfree(foreign + 100)));
    kfree(small);
    assert_true(PANICS(kfree(small)));
    kfree(neighbour);
    kfree(big);
    assert_true(PANICS(kfree(big)));
    kfree(medium);
    kfree(run);
    assert_true(PANICS(kfree(run)));
}

static void too_much_is_refused_and_costs_nothing(void **state)
{
    (void)state;
    assert_null(kalloc(SIZE_MAX));
    assert_null(kalloc(SIZE_MAX - 4095));
    assert_null(kalloc(UINT64_C(1) << 40));
    assert_null(kalloc(32 * MIB));
    assert_true(PANICS(kalloc(0)));
}

static void memory_may_end_at_any_call(void **state)
{
    void *objects[3000];
    unsigned n = 0, round;

    (void)state;
    for (round = 0; round < 3; round++) {
        phys_addr_t pages[8192];
        unsigned taken = 0;

        while (free_pages() > round)
            pages[taken++] = page_alloc(0);
        while (n < 3000 && (objects[n] = kalloc(n % 2 ? 2048 : 24)) != NULL)
            n++;
        assert_null(kalloc(2048));
        while (taken--)
            page_free(pages[taken], 0);
        while (n--)
            kfree(objects[n]);
        n = 0;
    }
}

static void random_traffic_matches_the_model(void **state)
{
    static struct {
        unsigned char *at;
        size_t bytes;
        unsigned char fill;
    } held[2000];
    unsigned n = 0, i, j;

    (void)state;
    srandom(7);
    for (i = 0; i < 60000; i++) {
        if (random() % 2 && n < ARRAY_SIZE(held)) {
            size_t bytes = (size_t)1 << random() % 14;

            bytes += (size_t)random() % bytes;
            held[n].at = kalloc(bytes);
            if (!held[n].at)
                continue;
            for (j = 0; j < bytes; j++)
                assert_int_equal(held[n].at[j], 0);
            held[n].bytes = bytes;
            held[n].fill = (unsigned char)random();
            memset(held[n].at, held[n].fill, bytes);
            n++;
        } else if (n) {
            unsigned victim = (unsigned)random() % n;

            for (j = 0; j < held[victim].bytes; j++)
                assert_int_equal(held[victim].at[j], held[victim].fill);
            kfree(held[victim].at);
            held[victim] = held[--n];
        }
    }
    assert_true(stats_now().used_bytes <= stats_now().held_bytes);
    while (n--)
        kfree(held[n].at);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, remember, nothing_is_left)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_size_is_zeroed_aligned_and_writable),
        TEST(two_kib_objects_fill_their_pages),
        TEST(odd_runs_give_their_tail_back),
        TEST(wrong_frees_panic),
        TEST(too_much_is_refused_and_costs_nothing),
        TEST(memory_may_end_at_any_call),
        TEST(random_traffic_matches_the_model),
    };

    host_memory_init(24 * MIB);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
