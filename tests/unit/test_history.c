/* SPDX-License-Identifier: MIT */
/* The memory's history: what is kept, and what it reads as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/clock.h"
#include "kernel/page.h"
#include "lib/base/format.h"
#include "lib/net/history.h"
#include "tests/host/clock.h"

/* Starts each test from nothing. */
#include "lib/net/history.c"

static struct page_stats now;
static char written[65536];

void page_get_stats(struct page_stats *stats)
{
    *stats = now;
}

/* The thread runs until it has slept so often; each time the host stands still for a while. */
static unsigned sleeps_left;
static uint64_t stands_still_ns;
static bool no_memory;
static jmp_buf slept_enough;

struct thread *thread_create(const char *name, void (*entry)(void *argument), void *argument)
{
    (void)name;
    if (!no_memory && !setjmp(slept_enough))
        entry(argument);
    return no_memory ? NULL : (struct thread *)&now;
}

void thread_sleep_until(uint64_t deadline_ns)
{
    host_clock_ns = MAX(host_clock_ns, deadline_ns) + stands_still_ns;
    if (!--sleeps_left)
        longjmp(slept_enough, 1);
}

static int start_from_nothing(void **state)
{
    (void)state;
    taken = 0;
    memset(samples, 0xa5, sizeof(samples));
    now = (struct page_stats){ .total = 1000, .free = 900, .reported = 500 };
    host_clock_ns = NSEC_PER_SEC;
    no_memory = false;
    stands_still_ns = 0;
    return 0;
}

static const char *history(void)
{
    struct text text;

    text_init(&text, written, sizeof(written));
    history_write(&text);
    assert_false(text.truncated);
    return written;
}

static unsigned values_of(const char *name)
{
    const char *at = strstr(history(), name);
    unsigned commas = 0;

    assert_non_null(at);
    for (at += strlen(name); *at != ']'; at++)
        commas += *at == ',';
    return commas + 1;
}

static void an_empty_history_is_json_all_the_same(void **state)
{
    (void)state;
    assert_string_equal(history(),
                        "{\"interval_ns\":4000000000,\"uptime_ns\":[],\"total_bytes\":[],"
                        "\"used_bytes\":[],\"reported_bytes\":[],\"ballooned_bytes\":[]}\n");
}

static void a_sample_tells_what_was_when_it_was_taken(void **state)
{
    (void)state;
    history_sample();
    host_clock_ns += HISTORY_INTERVAL_NS;
    now = (struct page_stats){
        .total = 1000, .free = 600, .ballooned = 256, .hinted = 30, .reporting = 14
    };
    history_sample();
    now.free = 0;
    assert_string_equal(history(),
                        "{\"interval_ns\":4000000000,\"uptime_ns\":[1000000000,5000000000],"
                        "\"total_bytes\":[4096000,3047424],\"used_bytes\":[409600,409600],"
                        "\"reported_bytes\":[2048000,0],\"ballooned_bytes\":[0,1048576]}\n");
}

static void the_oldest_sample_goes_for_the_newest_and_the_order_stays(void **state)
{
    char last[64];

    (void)state;
    for (unsigned i = 0; i < HISTORY_SAMPLES; i++, host_clock_ns += HISTORY_INTERVAL_NS)
        history_sample();
    assert_int_equal(values_of("\"uptime_ns\":["), HISTORY_SAMPLES);
    assert_non_null(strstr(history(), "\"uptime_ns\":[1000000000,5000000000,"));
    history_sample();
    assert_int_equal(values_of("\"uptime_ns\":["), HISTORY_SAMPLES);
    assert_int_equal(values_of("\"ballooned_bytes\":["), HISTORY_SAMPLES);
    assert_non_null(strstr(history(), "\"uptime_ns\":[5000000000,9000000000,"));
    format(last, sizeof(last), ",%lu],\"total_bytes\"", host_clock_ns);
    assert_non_null(strstr(history(), last));
}

static void memory_beyond_4_gib_is_told_whole(void **state)
{
    (void)state;
    now.total = UINT64_C(1) << 31;
    history_sample();
    assert_non_null(strstr(history(), "\"total_bytes\":[8796093022208]"));
}

static void a_sample_is_taken_each_interval(void **state)
{
    (void)state;
    sleeps_left = 3;
    assert_int_equal(history_start(), 0);
    assert_non_null(strstr(history(), "\"uptime_ns\":[1000000000,5000000000,9000000000]"));
}

static void what_a_standing_host_made_us_miss_is_not_made_up_for(void **state)
{
    (void)state;
    sleeps_left = 3;
    stands_still_ns = 10 * HISTORY_INTERVAL_NS;
    assert_int_equal(history_start(), 0);
    assert_int_equal(taken, 3);
    assert_int_equal(samples[1].uptime_ns, NSEC_PER_SEC + 11 * HISTORY_INTERVAL_NS);
    assert_int_equal(samples[2].uptime_ns, NSEC_PER_SEC + 22 * HISTORY_INTERVAL_NS);
}

static void without_memory_for_its_thread_there_is_no_history(void **state)
{
    (void)state;
    no_memory = true;
    assert_int_equal(history_start(), -ENOMEM);
    assert_int_equal(taken, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_history_is_json_all_the_same, start_from_nothing),
        cmocka_unit_test_setup(a_sample_tells_what_was_when_it_was_taken, start_from_nothing),
        cmocka_unit_test_setup(the_oldest_sample_goes_for_the_newest_and_the_order_stays,
                               start_from_nothing),
        cmocka_unit_test_setup(memory_beyond_4_gib_is_told_whole, start_from_nothing),
        cmocka_unit_test_setup(a_sample_is_taken_each_interval, start_from_nothing),
        cmocka_unit_test_setup(what_a_standing_host_made_us_miss_is_not_made_up_for,
                               start_from_nothing),
        cmocka_unit_test_setup(without_memory_for_its_thread_there_is_no_history,
                               start_from_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
