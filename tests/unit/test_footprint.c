/* SPDX-License-Identifier: MIT */
/* When the footprint is looked after, and at what pace. Includes the file, to run single rounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernel/footprint.c" /* NOLINT(bugprone-suspicious-include) */
#include "tests/host/clock.h"
#include "tests/host/event.h"

#define WORK_NS (100 * NSEC_PER_USEC) /* one call of the allocator or the window */

/* ---- what it works on */

static uint64_t scattered, used, n_faults;
static unsigned n_trims, n_moves; /* calls */
static unsigned trims_left, moves_left;
static bool rests;

struct thread *thread_create(const char *name, void (*entry)(void *argument), void *argument)
{
    (void)name;
    (void)entry;
    (void)argument;
    return (struct thread *)&scattered;
}

uint64_t page_scattered(void)
{
    return scattered;
}

phys_addr_t page_dense_end(void)
{
    return 64 * MIB;
}

void page_get_stats(struct page_stats *pages)
{
    *pages = (struct page_stats){ .total = used };
}

void vmem_get_stats(struct vmem_stats *window)
{
    *window = (struct vmem_stats){ .faults = n_faults };
}

bool vmem_move_down(uintptr_t *at, phys_addr_t end, uint64_t *moved)
{
    assert_int_equal(end, 64 * MIB);
    assert_int_equal(*at, n_moves);
    ++*at;
    n_moves++;
    host_clock_ns += WORK_NS;
    if (!moves_left)
        return false;
    moves_left--;
    scattered -= 100;
    *moved += 32;
    return true;
}

static bool trim_some(uint64_t *pages, bool *waits)
{
    n_trims++;
    host_clock_ns += WORK_NS;
    *waits |= rests;
    if (!trims_left)
        return false;
    trims_left--;
    *pages += 10;
    return true;
}

static int begin(void **state)
{
    (void)state;
    thread = NULL;
    footprint_knows = true;
    scattered = n_faults = left_scattered = returned = faults_before = 0;
    used = 80000;
    n_trims = n_moves = trims_left = moves_left = 0;
    rests = false;
    rest_ns = REST_NS;
    assert_int_equal(footprint_start(), 0);
    return 0;
}

/* Something is freed; when the round that comes of it would begin. */
static uint64_t time_of_round(void)
{
    event.marked = false;
    footprint_freed(trim_some);
    return host_next_timer(UINT64_MAX) && event.marked ? host_clock_ns : 0;
}

/* As the thread does when it was woken. */
static bool wake_up(void)
{
    footprint_knows = false;
    return run_round();
}

/* ---- */

static void where_it_was_not_started_nobody_has_to_tell(void **state)
{
    (void)state;
    footprint_knows = true;
    footprint_freed(trim_some);
    assert_false(host_next_timer(UINT64_MAX));
}

static void a_round_follows_the_first_free_a_while_later_and_none_without_one(void **state)
{
    uint64_t now_ns = host_clock_ns;

    (void)state;
    assert_false(footprint_knows);
    assert_false(host_next_timer(UINT64_MAX)); /* no tick */
    assert_int_equal(time_of_round(), now_ns + NSEC_PER_SEC);
    footprint_freed(trim_some); /* it is known already */
    assert_false(host_next_timer(UINT64_MAX));
    assert_false(wake_up());
    assert_int_equal(n_trims, 1);
    assert_false(host_next_timer(UINT64_MAX));
    assert_int_not_equal(time_of_round(), 0);
}

static void what_rests_is_looked_at_again(void **state)
{
    (void)state;
    time_of_round();
    rests = true;
    assert_true(wake_up());
    rests = false;
    assert_false(wake_up());
}

static void what_is_wanted_back_at_once_is_given_back_more_rarely(void **state)
{
    uint64_t rest = 0;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        uint64_t began_ns = host_clock_ns;

        rest = time_of_round() - began_ns;
        trims_left = 10;
        wake_up();
        n_faults += 80; /* of 100 pages */
    }
    assert_int_equal(rest, 32 * NSEC_PER_SEC);
    n_faults -= 80;
    wake_up(); /* nothing came back */
    rest = host_clock_ns;
    assert_int_equal(time_of_round() - rest, NSEC_PER_SEC);
}

static void a_round_leaves_nine_tenths_of_the_time_to_others(void **state)
{
    uint64_t began_ns;

    (void)state;
    time_of_round();
    began_ns = host_clock_ns;
    trims_left = moves_left = 500;
    scattered = 60000;
    wake_up();
    assert_int_equal(n_trims + n_moves, 1002);
    assert_in_range(host_clock_ns - began_ns, 9 * 1002 * WORK_NS, 11 * 1002 * WORK_NS);
}

static void pages_move_only_where_much_lies_scattered_and_not_in_vain(void **state)
{
    (void)state;
    time_of_round();
    scattered = used / 8 + SCATTERED_PAGES;
    wake_up();
    assert_int_equal(n_moves, 0);
    scattered++;
    wake_up();
    assert_int_equal(n_moves, 1); /* it could not: so much is left */
    n_moves = 0;
    wake_up();
    assert_int_equal(n_moves, 0);
    scattered += used / 8 + SCATTERED_PAGES + 1;
    wake_up();
    assert_int_equal(n_moves, 1);
    n_moves = 0;
    scattered = 0;
    wake_up();
    scattered = used / 8 + SCATTERED_PAGES + 1;
    wake_up();
    assert_int_equal(n_moves, 1);
}

#define TEST(test) cmocka_unit_test_setup(test, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(where_it_was_not_started_nobody_has_to_tell),
        TEST(a_round_follows_the_first_free_a_while_later_and_none_without_one),
        TEST(what_rests_is_looked_at_again),
        TEST(what_is_wanted_back_at_once_is_given_back_more_rarely),
        TEST(a_round_leaves_nine_tenths_of_the_time_to_others),
        TEST(pages_move_only_where_much_lies_scattered_and_not_in_vain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
