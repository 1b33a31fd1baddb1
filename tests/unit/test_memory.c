/* SPDX-License-Identifier: MIT */
/* What malloc does before it fails: the host first, then shrinkers, and an end to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "aerostat/memory.h"
#include "kernel/page.h"
#include "kernel/page_audit.h"
#include "kernel/pressure.h"
#include "kernel/thread.h"
#include "lib/libc/memory.h"
#include "tests/host/clock.h"
#include "tests/host/event.h"
#include "tests/host/memory.h"

#define MEMORY (64 * MIB)

static int depth;

void kernel_enter(void)
{
    depth++;
}

void kernel_leave(void)
{
    assert_true(depth-- > 0);
}

static struct thread *self = (struct thread *)&depth; /* who the test is */

struct thread *thread_current(void)
{
    return self;
}

/* ---- the host, which was lent blocks of 2 MiB */

static phys_addr_t lent[32];
static unsigned n_lent;
static unsigned n_asked_host;
static uint64_t n_needed; /* pages, still */
static bool host_keeps;   /* it promises, and does nothing */

static void lend(unsigned n)
{
    while (n--)
        lent[n_lent++] = page_alloc(PAGE_ORDER_2M);
}

static bool give(uint64_t pages)
{
    if (pages > n_lent * 512)
        return false;
    n_needed = pages;
    n_asked_host += pages != 0;
    return pages != 0;
}

/* Its thread, while others wait. */
static void give_back_some(void)
{
    if (!n_needed || host_keeps)
        return;
    page_free(lent[--n_lent], PAGE_ORDER_2M);
    pressure_given();
}

/* ---- an application with caches of such blocks */

struct cache {
    struct aerostat_shrinker shrinker;
    phys_addr_t blocks[16];
    unsigned n, n_asked;
};

static struct cache first, second;
static bool nested;

static size_t drop(struct aerostat_shrinker *shrinker, size_t bytes)
{
    struct cache *cache = (struct cache *)shrinker;
    size_t dropped = 0;

    assert_int_equal(depth, 0); /* it may call malloc() and free() */
    nested |= memory_relieve(MIB, 0);
    cache->n_asked++;
    while (cache->n && dropped < bytes) {
        page_free(cache->blocks[--cache->n], PAGE_ORDER_2M);
        dropped += 2 * MIB;
    }
    shrinker->held_bytes -= dropped;
    return dropped;
}

static void fill(struct cache *cache, unsigned n)
{
    *cache = (struct cache){ .shrinker.shrink = drop };
    while (cache->n < n)
        cache->blocks[cache->n++] = page_alloc(PAGE_ORDER_2M);
    cache->shrinker.held_bytes = n * 2 * MIB;
    aerostat_shrinker_add(&cache->shrinker);
}

/* All that is left but so many blocks is somebody's. */
static phys_addr_t taken[64];
static unsigned n_taken;

static void leave(unsigned blocks)
{
    while (page_available() > 512 * blocks + 600)
        taken[n_taken++] = page_alloc(PAGE_ORDER_2M);
}

static int begin(void **state)
{
    (void)state;
    pressure_ask(give);
    host_idle = give_back_some;
    n_asked_host = 0;
    host_keeps = nested = false;
    first.n = second.n = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    assert_int_equal(n_needed, 0);
    aerostat_shrinker_remove(&first.shrinker);
    aerostat_shrinker_remove(&second.shrinker);
    drop(&first.shrinker, SIZE_MAX);
    drop(&second.shrinker, SIZE_MAX);
    while (n_lent)
        page_free(lent[--n_lent], PAGE_ORDER_2M);
    while (n_taken)
        page_free(taken[--n_taken], PAGE_ORDER_2M);
    assert_true(page_audit());
    return 0;
}

static bool other_tries_again;
static uint64_t other_waited_ns;

/* Another CPU's thread finds no memory while ours drops caches. */
static size_t be_another_one(struct aerostat_shrinker *shrinker, size_t bytes)
{
    struct thread *was = self;
    uint64_t before_ns = host_clock_ns;

    self = (struct thread *)&other_tries_again;
    other_tries_again = memory_relieve(MIB, 0);
    other_waited_ns = host_clock_ns - before_ns;
    self = was;
    return drop(shrinker, bytes);
}

static void shrinkers_are_called_by_one_cpu_at_a_time_and_others_try_again(void **state)
{
    (void)state;
    fill(&first, 8);
    first.shrinker.shrink = be_another_one;
    leave(0);
    other_tries_again = false;
    assert_true(memory_relieve(2 * MIB, 0));
    assert_int_equal(first.n_asked, 1);
    assert_true(other_tries_again);
    assert_true(other_waited_ns > 0);
}

static void the_host_is_asked_before_caches_are_dropped(void **state)
{
    (void)state;
    lend(8);
    fill(&first, 4);
    leave(0);
    assert_true(memory_relieve(8 * MIB, 0));
    assert_int_equal(page_missing(8 * MIB / PAGE_SIZE), 0);
    assert_in_range(n_lent, 2, 5);
    assert_int_equal(first.n_asked, 0);
    assert_int_equal(pressure_stalls(), 1);
}

static void caches_are_dropped_in_turn_and_no_more_than_is_needed(void **state)
{
    (void)state;
    fill(&first, 4);
    fill(&second, 6);
    leave(0);
    assert_int_equal(pressure_count_caches(), 20 * MIB);
    assert_true(memory_relieve(10 * MIB, 0));
    assert_int_equal(first.n, 0);
    assert_int_equal(second.n, 4); /* 10 MiB and what malloc takes beside */
    assert_int_equal(pressure_count_caches(), 8 * MIB);
    assert_false(nested); /* a shrinker's own malloc asks nobody */
    aerostat_shrinker_remove(&first.shrinker);
    assert_true(memory_relieve(2 * MIB, 1));
    assert_int_equal(first.n_asked, 1);
    assert_int_equal(second.n_asked, 2);
}

static void it_fails_when_there_is_nothing_more(void **state)
{
    (void)state;
    fill(&first, 1);
    lend(1);
    leave(0);
    assert_true(memory_relieve(20 * MIB, 0)); /* the cache: the host has too little */
    assert_int_equal(n_lent, 1);
    assert_int_equal(first.n, 0);
    assert_false(memory_relieve(20 * MIB, 1));
}

static void what_can_never_fit_costs_no_cache(void **state)
{
    (void)state;
    fill(&first, 2);
    lend(4);
    assert_false(memory_relieve(MEMORY, 0));
    assert_false(memory_relieve(SIZE_MAX, 0));
    assert_int_equal(first.n_asked, 0);
    assert_int_equal(n_asked_host, 0);
}

static size_t pretend(struct aerostat_shrinker *shrinker, size_t bytes)
{
    ((struct cache *)shrinker)->n_asked++;
    return bytes;
}

static void a_cache_that_only_pretends_does_not_hold_malloc_for_ever(void **state)
{
    unsigned attempt = 0;

    (void)state;
    fill(&first, 0);
    first.shrinker.shrink = pretend;
    leave(0);
    while (memory_relieve(8 * MIB, attempt))
        assert_in_range(++attempt, 0, 100);
    assert_in_range(first.n_asked, 2, 20);
}

static void a_host_that_keeps_what_it_was_lent_is_waited_for_a_while_only(void **state)
{
    uint64_t began_ns = host_clock_ns;

    (void)state;
    lend(8);
    host_keeps = true;
    leave(0);
    assert_false(memory_relieve(8 * MIB, 0));
    assert_true(n_asked_host > 1);
    assert_in_range(host_clock_ns - began_ns, 0, 10 * NSEC_PER_SEC);
}

static void an_application_is_told_of_a_new_target(void **state)
{
    struct aerostat_memory memory;
    uint64_t began_ns = host_clock_ns;

    (void)state;
    pressure_tell_wish(0);
    aerostat_memory_get(&memory);
    assert_int_equal(memory.target_bytes, memory.total_bytes);
    assert_true(memory.largest_free_bytes <= memory.free_bytes);
    assert_int_equal(aerostat_memory_wait(memory.target_bytes, 250), 0);
    assert_int_equal(host_clock_ns - began_ns, 250 * NSEC_PER_MSEC);
    pressure_tell_wish(4096);
    assert_int_equal(aerostat_memory_wait(memory.target_bytes, -1), 1);
    aerostat_memory_get(&memory);
    assert_int_equal(memory.target_bytes, memory.total_bytes - 16 * MIB);
    pressure_tell_wish(UINT32_MAX);
    aerostat_memory_get(&memory);
    assert_int_equal(memory.target_bytes, 0);
    assert_int_equal(depth, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_host_is_asked_before_caches_are_dropped),
        TEST(caches_are_dropped_in_turn_and_no_more_than_is_needed),
        TEST(shrinkers_are_called_by_one_cpu_at_a_time_and_others_try_again),
        TEST(it_fails_when_there_is_nothing_more),
        TEST(what_can_never_fit_costs_no_cache),
        TEST(a_cache_that_only_pretends_does_not_hold_malloc_for_ever),
        TEST(a_host_that_keeps_what_it_was_lent_is_waited_for_a_while_only),
        TEST(an_application_is_told_of_a_new_target),
    };

    host_memory_init(MEMORY);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
