/* SPDX-License-Identifier: MIT */
/*
 * The clock on counters whose truth the test knows. Time passes by the readings
 * themselves and where a test lets it. Includes kernel/clock.c, to start each
 * test from nothing.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernel/clock.c"

#include "arch/x86_64/pvclock.h"
#include "drivers/acpi/acpi.h"
#include "drivers/clock/rtc.h"
#include "tests/host/log.h"

#define TSC_HZ UINT64_C(2449998123)
#define PIT_HZ 1193182
#define PM_HZ  3579545

static uint64_t truth_ns;    /* since the machine was switched on */
static uint64_t reading_ns;  /* what one reading of a counter costs */
static uint64_t hiccup_ns;   /* what one in 16 costs besides */
static uint64_t tsc_warm_ns; /* from here on, if not 0, the TSC is 30 ppm faster */
static uint64_t tsc_lead_ns; /* the TSC went on this long while all else stood */
static uint32_t seed = 1;

static uint32_t pseudo_random(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static uint64_t count_at(uint64_t ns, uint64_t hz)
{
    return (uint64_t)((unsigned __int128)ns * hz / NSEC_PER_SEC);
}

static void spend(void)
{
    truth_ns += reading_ns / 2 + pseudo_random() % (reading_ns + 1);
    if (hiccup_ns && pseudo_random() % 16 == 0)
        truth_ns += hiccup_ns;
}

static uint64_t read_tsc(void)
{
    uint64_t gained_ns = tsc_warm_ns ? (truth_ns - tsc_warm_ns) * 30 / 1000000 : 0;

    spend();
    return count_at(truth_ns + tsc_lead_ns + gained_ns, TSC_HZ) + 12345678901;
}

static uint64_t read_pit(void)
{
    spend();
    return (count_at(truth_ns, PIT_HZ) + 60000) & UINT16_MAX;
}

static uint64_t read_pm(void)
{
    spend();
    return (count_at(truth_ns, PM_HZ) + 0xfffff0) & 0xffffff;
}

static uint64_t read_ns_counter(void)
{
    spend();
    return truth_ns + 77;
}

static uint64_t read_standing(void)
{
    spend();
    return 42;
}

static int start_fails(void)
{
    return -ENODEV;
}

static const struct clock_source tsc_unknown = { "tsc",    CLOCK_RATING_TSC, NULL,
                                                 read_tsc, UINT64_MAX,       0,
                                                 true };
static const struct clock_source tsc_unstable = { "tsc", 0, NULL, read_tsc, UINT64_MAX, 0, true };
static const struct clock_source pit = { "pit",      CLOCK_RATING_PIT, NULL, read_pit,
                                         UINT16_MAX, PIT_HZ,           false };
static const struct clock_source pm = { "acpi_pm", CLOCK_RATING_PM, NULL, read_pm,
                                        0xffffff,  PM_HZ,           false };
static const struct clock_source kvm = { "kvm-clock", CLOCK_RATING_KVM, NULL, read_ns_counter,
                                         UINT64_MAX,  NSEC_PER_SEC,     false };
static const struct clock_source dead_hpet = { "hpet",     CLOCK_RATING_HPET, NULL, read_standing,
                                               UINT32_MAX, 100000000,         false };
static const struct clock_source absent_hpet = { "hpet",        CLOCK_RATING_HPET, start_fails,
                                                 read_standing, UINT32_MAX,        0,
                                                 false };

static int start_from_nothing(void **state)
{
    (void)state;
    memset(&line, 0, sizeof(line));
    memset(&measure, 0, sizeof(measure));
    memset(&realtime, 0, sizeof(realtime));
    memset(sources, 0, sizeof(sources));
    n_sources = 0;
    best_wall = NULL;
    last_ns = tsc_hz = 0;
    cpus_differ = spin_several = false;
    next_work_ns = CLOCK_NEVER;
    truth_ns = 5 * NSEC_PER_SEC;
    reading_ns = 400;
    hiccup_ns = tsc_lead_ns = tsc_warm_ns = 0;
    host_log_clear();
    return 0;
}

static int64_t apart(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b);
}

/* Runs for so long as the idle loop would, a little late each time; time must never go back. */
static void run(uint64_t for_ns, uint64_t looks_every_ns)
{
    uint64_t until_ns = truth_ns + for_ns, before_ns = clock_monotonic_ns();

    while (truth_ns < until_ns) {
        uint64_t next_ns = clock_work(), now_ns = clock_monotonic_ns();
        uint64_t sleep_ns = looks_every_ns;

        assert_true(now_ns >= before_ns);
        before_ns = now_ns;
        if (next_ns != CLOCK_NEVER && next_ns > now_ns)
            sleep_ns = MIN(sleep_ns, next_ns - now_ns);
        truth_ns += sleep_ns + pseudo_random() % 50000;
    }
}

/* Starts, and checks after each of the times how far the clock is from the truth since then. */
static void starts_and_drifts_less_than(uint64_t max_ns)
{
    uint64_t zero_ns = truth_ns;

    assert_int_equal(clock_start(NULL), 0);
    run(2 * NSEC_PER_SEC, 20 * NSEC_PER_MSEC);
    zero_ns = truth_ns - clock_monotonic_ns();
    run(60 * NSEC_PER_SEC, NSEC_PER_SEC);
    assert_in_range(apart(truth_ns - clock_monotonic_ns(), zero_ns) + (int64_t)max_ns, 0,
                    2 * max_ns);
    run(4000 * NSEC_PER_SEC, 100 * NSEC_PER_SEC);
    assert_in_range(apart(truth_ns - clock_monotonic_ns(), zero_ns) + (int64_t)max_ns, 0,
                    2 * max_ns);
}

static void before_the_start_it_is_zero_and_nothing_is_known(void **state)
{
    (void)state;
    assert_int_equal(clock_monotonic_ns(), 0);
    assert_int_equal(clock_realtime_ns(), 0);
    assert_int_equal(clock_tsc_hz(), 0);
    assert_string_equal(clock_source_name(), "none");
    assert_string_equal(clock_realtime_name(), "none");
    assert_true(clock_work() == CLOCK_NEVER);
    assert_int_equal(clock_start(NULL), -ENODEV);
}

static void the_best_source_is_taken_and_needs_no_work(void **state)
{
    uint64_t start_ns;

    (void)state;
    clock_register(&pit);
    clock_register(&kvm);
    clock_register(&pm);
    clock_register(&tsc_unknown);
    start_ns = truth_ns;
    assert_int_equal(clock_start("auto"), 0);
    assert_string_equal(clock_source_name(), "kvm-clock");
    assert_true(clock_work() == CLOCK_NEVER);
    truth_ns += 3600 * NSEC_PER_SEC;
    assert_in_range(truth_ns - start_ns - clock_monotonic_ns(), 0, 1100 * reading_ns);
}

static void a_source_asked_for_by_word_is_kept(void **state)
{
    (void)state;
    clock_register(&pit);
    clock_register(&pm);
    clock_register(&tsc_unknown);
    assert_int_equal(clock_start("kvm"), -ENODEV);
    assert_int_equal(clock_start("sundial"), -ENODEV);
    assert_int_equal(clock_start(""), -ENODEV);
    assert_int_equal(clock_start("pm"), 0);
    run(30 * NSEC_PER_SEC, NSEC_PER_SEC);
    assert_string_equal(clock_source_name(), "acpi_pm");
    assert_in_range(clock_monotonic_ns(), 30 * NSEC_PER_SEC - NSEC_PER_MSEC, 31 * NSEC_PER_SEC);
}

static void the_pit_alone_keeps_time_over_many_wraps(void **state)
{
    uint64_t start_ns;

    (void)state;
    clock_register(&pit);
    start_ns = truth_ns;
    assert_int_equal(clock_start("pit"), 0);
    run(20 * NSEC_PER_SEC, NSEC_PER_SEC);
    assert_in_range(truth_ns - start_ns - clock_monotonic_ns(), 0, NSEC_PER_MSEC);
}

static void a_wrap_that_nobody_saw_makes_time_stand_not_go_back(void **state)
{
    uint64_t before_ns;

    (void)state;
    clock_register(&pit);
    assert_int_equal(clock_start("pit"), 0);
    truth_ns += 50 * NSEC_PER_MSEC;
    before_ns = clock_monotonic_ns();
    assert_in_range(before_ns, 49 * NSEC_PER_MSEC, 51 * NSEC_PER_MSEC);
    truth_ns += 20 * NSEC_PER_MSEC; /* 15 ms into the next lap */
    assert_true(clock_monotonic_ns() == before_ns);
}

static void the_tsc_takes_over_from_the_pit_and_stays_true(void **state)
{
    (void)state;
    clock_register(&pit);
    clock_register(&tsc_unknown);
    starts_and_drifts_less_than(50 * NSEC_PER_USEC);
    assert_string_equal(clock_source_name(), "tsc");
    assert_in_range(clock_tsc_hz(), TSC_HZ - TSC_HZ / 1000000, TSC_HZ + TSC_HZ / 1000000);
    assert_non_null(strstr(host_log_text(), "clocksource: switched to tsc"));
    assert_non_null(strstr(host_log_text(), "tsc: 2449.9"));
}

static void the_tsc_takes_over_from_a_24_bit_pm_timer(void **state)
{
    (void)state;
    clock_register(&pm);
    clock_register(&tsc_unknown);
    starts_and_drifts_less_than(50 * NSEC_PER_USEC);
    assert_string_equal(clock_source_name(), "tsc");
}

/* A host that takes the CPU away for 3 ms at every 16th reading: 100 ppm of a minute still hold. */
static void a_busy_host_spoils_neither_the_order_nor_the_rate(void **state)
{
    (void)state;
    clock_register(&pm);
    clock_register(&tsc_unknown);
    hiccup_ns = 3 * NSEC_PER_MSEC;
    starts_and_drifts_less_than(6 * NSEC_PER_MSEC);
    assert_string_equal(clock_source_name(), "tsc");
}

static void the_hand_over_and_every_change_of_rate_keep_time_in_order(void **state)
{
    uint64_t before_ns = 0;

    (void)state;
    clock_register(&pit);
    clock_register(&tsc_unknown);
    reading_ns = 3000;
    hiccup_ns = 100 * NSEC_PER_USEC;
    assert_int_equal(clock_start(NULL), 0);
    for (unsigned i = 0; i < 400000; i++) {
        uint64_t now_ns;

        clock_work();
        now_ns = clock_monotonic_ns();
        assert_true(now_ns >= before_ns);
        assert_true(now_ns - before_ns < NSEC_PER_MSEC); /* nor does it jump */
        before_ns = now_ns;
    }
    assert_string_equal(clock_source_name(), "tsc");
}

/* The first look comes 200 ms late: four laps of the PIT are lost, the rate must not be. */
static void wraps_missed_before_the_first_look_do_not_spoil_the_rate(void **state)
{
    (void)state;
    clock_register(&pit);
    clock_register(&tsc_unknown);
    assert_int_equal(clock_start(NULL), 0);
    truth_ns += 200 * NSEC_PER_MSEC;
    run(2 * NSEC_PER_SEC, NSEC_PER_SEC);
    assert_string_equal(clock_source_name(), "tsc");
    assert_in_range(clock_tsc_hz(), TSC_HZ - TSC_HZ / 20000, TSC_HZ + TSC_HZ / 20000);
}

static void looks_that_come_late_now_and_then_do_not_spoil_the_rate(void **state)
{
    (void)state;
    clock_register(&pit);
    clock_register(&tsc_unknown);
    assert_int_equal(clock_start(NULL), 0);
    for (unsigned i = 0; i < 40; i++) {
        clock_work();
        truth_ns += (i % 5 == 2 ? 150 : 14) * NSEC_PER_MSEC;
    }
    run(2 * NSEC_PER_SEC, NSEC_PER_SEC);
    assert_string_equal(clock_source_name(), "tsc");
    assert_in_range(clock_tsc_hz(), TSC_HZ - TSC_HZ / 20000, TSC_HZ + TSC_HZ / 20000);
}

static void a_tsc_whose_rate_changes_slowly_is_led_back(void **state)
{
    uint64_t zero_ns;

    (void)state;
    clock_register(&pm);
    clock_register(&tsc_unknown);
    assert_int_equal(clock_start(NULL), 0);
    run(200 * NSEC_PER_SEC, NSEC_PER_SEC);
    zero_ns = truth_ns - clock_monotonic_ns();
    tsc_warm_ns = truth_ns;
    run(20000 * NSEC_PER_SEC, 10 * NSEC_PER_SEC);
    assert_in_range(apart(truth_ns - clock_monotonic_ns(), zero_ns) + 3000000, 0, 6000000);
}

/* A machine that is stopped and continued: the TSC ran on, the timer did not. */
static void a_tsc_that_ran_on_alone_is_measured_anew(void **state)
{
    uint64_t before_ns;

    (void)state;
    clock_register(&pm);
    clock_register(&tsc_unknown);
    assert_int_equal(clock_start(NULL), 0);
    run(30 * NSEC_PER_SEC, NSEC_PER_SEC);
    before_ns = clock_monotonic_ns();
    tsc_lead_ns += 1000 * NSEC_PER_SEC;
    run(300 * NSEC_PER_SEC, NSEC_PER_SEC);
    assert_in_range(clock_tsc_hz(), TSC_HZ - TSC_HZ / 100000, TSC_HZ + TSC_HZ / 100000);
    assert_in_range(clock_monotonic_ns() - before_ns, 1299 * NSEC_PER_SEC, 1302 * NSEC_PER_SEC);
}

static void a_tsc_that_is_not_constant_is_used_only_when_asked_for(void **state)
{
    (void)state;
    clock_register(&pm);
    clock_register(&tsc_unstable);
    assert_int_equal(clock_start(NULL), 0);
    run(NSEC_PER_SEC, NSEC_PER_SEC);
    assert_string_equal(clock_source_name(), "acpi_pm");
    assert_int_equal(clock_tsc_hz(), 0);
    start_from_nothing(state);
    clock_register(&pm);
    clock_register(&tsc_unstable);
    assert_int_equal(clock_start("tsc"), 0);
    run(NSEC_PER_SEC, NSEC_PER_SEC);
    assert_string_equal(clock_source_name(), "tsc");
}

static void the_tsc_alone_without_a_rate_is_no_clock(void **state)
{
    (void)state;
    clock_register(&tsc_unknown);
    assert_int_equal(clock_start(NULL), -ENODEV);
    assert_int_equal(clock_start("tsc"), -ENODEV);
}

static void sources_that_stand_still_or_are_not_there_are_passed_over(void **state)
{
    (void)state;
    clock_register(&dead_hpet);
    clock_register(&pit);
    assert_int_equal(clock_start(NULL), 0);
    assert_string_equal(clock_source_name(), "pit");
    assert_non_null(strstr(host_log_text(), "hpet does not count"));
    start_from_nothing(state);
    clock_register(&pit);
    clock_register(&absent_hpet);
    assert_int_equal(clock_start("hpet"), -ENODEV);
    assert_int_equal(clock_start(NULL), 0);
    assert_string_equal(clock_source_name(), "pit");
}

static void a_counter_that_is_set_back_stands_until_it_has_come_by(void **state)
{
    uint64_t before_ns;

    (void)state;
    clock_register(&kvm);
    assert_int_equal(clock_start(NULL), 0);
    truth_ns -= 2 * NSEC_PER_SEC;
    before_ns = clock_monotonic_ns();
    truth_ns += NSEC_PER_SEC;
    assert_true(clock_monotonic_ns() == before_ns);
}

static uint64_t behind; /* this CPU's counter, by so much */

static uint64_t read_differing(void)
{
    return count_at(truth_ns, TSC_HZ) - behind;
}

static void cpus_whose_tscs_differ_see_no_time_before_what_another_saw(void **state)
{
    static const struct clock_source differing = { "tsc",          CLOCK_RATING_TSC, NULL,
                                                   read_differing, UINT64_MAX,       TSC_HZ,
                                                   false };
    uint64_t seen_ns;

    (void)state;
    behind = 0;
    run_on(&differing);
    clock_cpus_differ();
    truth_ns += NSEC_PER_SEC;
    seen_ns = clock_monotonic_ns();
    behind = 5000;
    assert_int_equal(clock_monotonic_ns(), seen_ns);
    truth_ns += 10000;
    assert_true(clock_monotonic_ns() > seen_ns);
}

/* In its place among the loads before and behind, which are not the clock's to see to. */
static uint64_t real_tsc(void)
{
    uint64_t count;

    barrier_loads();
    count = __builtin_ia32_rdtsc();
    barrier_loads();
    return count;
}

static uint64_t latest_of_all;
static unsigned n_backwards;
static bool is_over;

static void *read_and_compare(void *argument)
{
    (void)argument;
    while (!load_acquire(&is_over)) {
        uint64_t before_ns = __atomic_load_n(&latest_of_all, __ATOMIC_SEQ_CST);
        uint64_t now_ns = clock_monotonic_ns();

        if (now_ns < before_ns)
            __atomic_add_fetch(&n_backwards, 1, __ATOMIC_SEQ_CST);
        latest(&latest_of_all, now_ns);
    }
    return NULL;
}

/* Each change is for a moment that has passed when it is made, as a measurement's is. */
static void other_cpus_see_no_time_go_back_when_the_rate_changes(void **state)
{
    static const struct clock_source tsc = { "tsc",      CLOCK_RATING_TSC, NULL, real_tsc,
                                             UINT64_MAX, 2 * NSEC_PER_SEC, false };
    pthread_t others[2];

    (void)state;
    spin_several = true;
    is_over = false;
    latest_of_all = n_backwards = 0;
    run_on(&tsc);
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        assert_int_equal(pthread_create(&others[i], NULL, read_and_compare, NULL), 0);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t count = real_tsc(), mul = mul_of_hz(2 * NSEC_PER_SEC);

        while (real_tsc() - count < 20000)
            ;
        set_line(&tsc, count, time_at(count), i & 1 ? mul + mul / 8 : mul - mul / 8);
    }
    store_release(&is_over, true);
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        pthread_join(others[i], NULL);
    assert_int_equal(n_backwards, 0);
    assert_true(latest_of_all > 0);
}

static void more_sources_than_fit_are_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MAX_SOURCES + 1; i++)
        clock_register(&pit);
    assert_non_null(strstr(host_log_text(), "no room for pit"));
    assert_int_equal(clock_start(NULL), 0);
}

static uint64_t wall_2026(void)
{
    truth_ns += NSEC_PER_MSEC;
    return UINT64_C(1790000000) * NSEC_PER_SEC;
}

static uint64_t wall_unknown(void)
{
    return 0;
}

static void the_best_wall_clock_sets_the_date(void **state)
{
    static const struct clock_wall good = { "kvm-clock", 2, wall_2026 },
                                   bad = { "rtc", 1, wall_unknown };
    uint64_t now_ns;

    (void)state;
    clock_register(&kvm);
    clock_register_wall(&good);
    clock_register_wall(&bad);
    assert_int_equal(clock_start(NULL), 0);
    assert_string_equal(clock_realtime_name(), "kvm-clock");
    now_ns = clock_realtime_ns();
    assert_in_range(now_ns, UINT64_C(1790000000) * NSEC_PER_SEC,
                    UINT64_C(1790000000) * NSEC_PER_SEC + NSEC_PER_MSEC);
    truth_ns += NSEC_PER_SEC;
    assert_in_range(clock_realtime_ns() - now_ns, NSEC_PER_SEC, NSEC_PER_SEC + NSEC_PER_MSEC);
    clock_set_realtime(7 * NSEC_PER_SEC, clock_monotonic_ns(), "sntp");
    assert_in_range(clock_realtime_ns(), 7 * NSEC_PER_SEC, 7 * NSEC_PER_SEC + NSEC_PER_MSEC);
    assert_string_equal(clock_realtime_name(), "sntp");
}

static void without_a_usable_wall_clock_there_is_no_date(void **state)
{
    static const struct clock_wall bad = { "rtc", 1, wall_unknown };

    (void)state;
    clock_register(&kvm);
    clock_register_wall(&bad);
    assert_int_equal(clock_start(NULL), 0);
    assert_int_equal(clock_realtime_ns(), 0);
    assert_string_equal(clock_realtime_name(), "none");
}

/* ---- kvm_clock's page */

static uint64_t pv_tsc;

static uint64_t read_pv_tsc(void)
{
    return pv_tsc;
}

static void pvclock_scales_like_96_bit_arithmetic(void **state)
{
    static const int8_t shifts[] = { -31, -5, -1, 0, 1, 5, 30 };
    static const uint64_t ticks[] = { 0, 1, UINT32_MAX, UINT64_C(1) << 33,
                                      UINT64_C(123456789012345) };
    static const uint32_t muls[] = { 0, 1, 0x80000000, 0xd0a5b123, UINT32_MAX };

    (void)state;
    for (size_t s = 0; s < ARRAY_SIZE(shifts); s++)
        for (size_t t = 0; t < ARRAY_SIZE(ticks); t++)
            for (size_t m = 0; m < ARRAY_SIZE(muls); m++) {
                uint64_t shifted = shifts[s] < 0 ? ticks[t] >> -shifts[s] : ticks[t] << shifts[s];
                unsigned __int128 wide = (unsigned __int128)shifted * muls[m];

                assert_true(pvclock_scale(ticks[t], muls[m], shifts[s]) == (uint64_t)(wide >> 32));
            }
}

static void pvclock_survives_shifts_that_can_not_be(void **state)
{
    (void)state;
    for (int shift = -128; shift < 128; shift++) {
        pvclock_scale(UINT64_MAX, UINT32_MAX, (int8_t)shift);
        pvclock_tsc_hz(UINT32_MAX, (int8_t)shift);
    }
    assert_int_equal(pvclock_tsc_hz(0, 0), 0);
}

static void pvclock_tells_the_rate_of_the_tsc(void **state)
{
    (void)state;
    /* 2.5 GHz: 0.4 ns a tick; halved ticks of 0.8. */
    assert_in_range(pvclock_tsc_hz((uint32_t)(0.8 * 4294967296.0), -1), 2499999999, 2500000001);
    assert_in_range(pvclock_tsc_hz(0x80000000, 1), 1000000000, 1000000000);
}

static void pvclock_reads_time_and_flags(void **state)
{
    struct pvclock_vcpu_time_info page = { .version = 2,
                                           .tsc_timestamp = 1000,
                                           .system_time = 5000,
                                           .tsc_to_system_mul = 0x80000000,
                                           .tsc_shift = 1,
                                           .flags = PVCLOCK_TSC_STABLE };
    uint8_t flags = 0;

    (void)state;
    pv_tsc = 1700;
    assert_int_equal(pvclock_read(&page, read_pv_tsc, &flags), 5700);
    assert_int_equal(flags, PVCLOCK_TSC_STABLE);
    pv_tsc = 999; /* before the page was written: no time has passed since */
    assert_int_equal(pvclock_read(&page, read_pv_tsc, &flags), 5000);
}

static struct pvclock_vcpu_time_info changing;
static unsigned changes_left;

/* The host updates the page in the middle of a reading. */
static uint64_t read_tsc_while_it_changes(void)
{
    if (changes_left) {
        changes_left--;
        changing.version += changes_left % 2 ? 1 : 2; /* also seen half done */
        changing.system_time += 1000000;
        changing.tsc_timestamp += 500;
        if (!changes_left && changing.version % 2)
            changing.version++;
    }
    return changing.tsc_timestamp + 8;
}

static void pvclock_reads_again_when_the_page_changed_meanwhile(void **state)
{
    uint8_t flags;

    (void)state;
    for (unsigned changes = 1; changes < 6; changes++) {
        changing = (struct pvclock_vcpu_time_info){ .version = 4, .tsc_to_system_mul = 0x80000000 };
        changes_left = changes;
        assert_int_equal(pvclock_read(&changing, read_tsc_while_it_changes, &flags),
                         changes * 1000000 + 4);
        assert_int_equal(changes_left, 0);
    }
}

static void pvclock_does_not_wait_for_ever_for_an_even_version(void **state)
{
    struct pvclock_vcpu_time_info page = { .version = 3, .system_time = 9 };
    uint8_t flags;

    (void)state;
    assert_int_equal(pvclock_read(&page, read_pv_tsc, &flags), 9);
}

static void a_wall_clock_that_kvm_did_not_fill_is_not_believed(void **state)
{
    struct pvclock_wall_clock wall = { 0, 5, 6 };

    (void)state;
    assert_int_equal(pvclock_wall_ns(&wall), 0);
    wall.version = 3;
    assert_int_equal(pvclock_wall_ns(&wall), 0);
    wall.version = 2;
    assert_true(pvclock_wall_ns(&wall) == 5 * NSEC_PER_SEC + 6);
    wall.sec = UINT32_MAX;
    assert_true(pvclock_wall_ns(&wall) == UINT32_MAX * NSEC_PER_SEC + 6);
}

/* ---- The date */

const struct acpi_fadt *acpi_fadt(void)
{
    return NULL;
}

static uint64_t decoded(struct rtc_time time)
{
    uint64_t seconds = 0;

    assert_true(rtc_decode(&time, &seconds));
    return seconds;
}

static bool refused(struct rtc_time time)
{
    uint64_t seconds;

    return !rtc_decode(&time, &seconds);
}

#define BCD    RTC_B_24_HOURS
#define BINARY (RTC_B_24_HOURS | RTC_B_BINARY)

static void dates_in_every_coding_are_the_same_second(void **state)
{
    (void)state;
    /* 2026-11-21 16:05:52 UTC */
    assert_int_equal(
        decoded((struct rtc_time){ 0x52, 0x05, 0x16, 0x21, 0x11, 0x26, 0x20, BCD, true }),
        1795277152);
    assert_int_equal(decoded((struct rtc_time){ 52, 5, 16, 21, 11, 26, 20, BINARY, true }),
                     1795277152);
    assert_int_equal(decoded((struct rtc_time){ 52, 5, 16, 21, 11, 26, 0, BINARY, false }),
                     1795277152);
    assert_int_equal(
        decoded((struct rtc_time){ 0x52, 0x05, 0x84, 0x21, 0x11, 0x26, 0x20, 0, true }),
        1795277152);
    assert_int_equal(decoded((struct rtc_time){ 52, 5, 0x84, 21, 11, 26, 20, RTC_B_BINARY, true }),
                     1795277152);
}

static void twelve_hours_begin_with_twelve(void **state)
{
    const struct rtc_time midnight = { 0, 0, 0x12, 1, 1, 0x70, 0x19, 0, true };
    const struct rtc_time noon = { 0, 0, 0x92, 1, 1, 0x70, 0x19, 0, true };

    (void)state;
    assert_int_equal(decoded(midnight), 0);
    assert_int_equal(decoded(noon), 12 * 3600);
}

static void leap_years_and_ends_of_months_and_centuries(void **state)
{
    (void)state;
    assert_int_equal(decoded((struct rtc_time){ 0, 0, 0, 1, 1, 70, 19, BINARY, true }), 0);
    assert_int_equal(decoded((struct rtc_time){ 0, 0, 0, 29, 2, 0, 20, BINARY, true }), 951782400);
    assert_int_equal(decoded((struct rtc_time){ 59, 59, 23, 31, 12, 99, 19, BINARY, true }),
                     946684799);
    assert_int_equal(decoded((struct rtc_time){ 0, 0, 0, 1, 3, 0, 21, BINARY, true }), 4107542400);
    assert_true(refused((struct rtc_time){ 0, 0, 0, 29, 2, 0, 21, BINARY, true }));
    assert_true(refused((struct rtc_time){ 0, 0, 0, 29, 2, 25, 20, BINARY, true }));
    assert_true(refused((struct rtc_time){ 0, 0, 0, 31, 4, 25, 20, BINARY, true }));
}

static void dates_that_can_not_be_are_refused(void **state)
{
    const struct rtc_time good = { 1, 1, 1, 1, 1, 26, 20, BINARY, true };
    static const struct {
        size_t field;
        uint8_t value;
    } bad[] = {
        { offsetof(struct rtc_time, seconds), 60 }, { offsetof(struct rtc_time, minutes), 60 },
        { offsetof(struct rtc_time, hours), 24 },   { offsetof(struct rtc_time, day), 0 },
        { offsetof(struct rtc_time, day), 32 },     { offsetof(struct rtc_time, month), 0 },
        { offsetof(struct rtc_time, month), 13 },   { offsetof(struct rtc_time, year), 100 },
        { offsetof(struct rtc_time, century), 18 }, { offsetof(struct rtc_time, month), 255 },
    };
    struct rtc_time time;

    (void)state;
    decoded(good);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        time = good;
        ((uint8_t *)&time)[bad[i].field] = bad[i].value;
        assert_true(refused(time));
    }
    memset(&time, 0xff, sizeof(time));
    time.has_century = true;
    assert_true(refused(time));
    time = (struct rtc_time){ 0x5a, 1, 1, 1, 1, 0x26, 0x20, BCD, true }; /* not decimal */
    assert_true(refused(time));
    time = (struct rtc_time){ 0, 0, 0, 1, 1, 0x26, 0x20, 0, true }; /* hour 0 of 12 */
    assert_true(refused(time));
}

static uint8_t cmos[128];
static unsigned cmos_reads;
static unsigned tick_at; /* the reading at which the second changes */
static bool always_updating;

/* From 00:00:59 to 00:01:00, with the flag up for a few readings before. */
static uint8_t read_fake_cmos(uint8_t index)
{
    cmos_reads++;
    if (index == RTC_STATUS_A)
        return always_updating || (cmos_reads + 3 > tick_at && cmos_reads < tick_at)
                   ? RTC_A_UPDATING
                   : 0;
    if (index == RTC_SECONDS)
        return cmos_reads < tick_at ? 59 : 0;
    if (index == RTC_MINUTES)
        return cmos_reads < tick_at ? 0 : 1;
    return cmos[index];
}

static void a_date_read_across_an_update_is_consistent(void **state)
{
    struct rtc_time time;

    (void)state;
    for (tick_at = 1; tick_at < 40; tick_at++) {
        cmos_reads = 0;
        assert_true(rtc_read(read_fake_cmos, 0x32, &time));
        assert_true((time.seconds == 59 && time.minutes == 0) ||
                    (time.seconds == 0 && time.minutes == 1));
    }
}

static uint8_t read_empty_port(uint8_t index)
{
    (void)index;
    cmos_reads++;
    return 0xff;
}

static void a_clock_that_is_not_there_costs_one_reading(void **state)
{
    struct rtc_time time;

    (void)state;
    cmos_reads = 0;
    assert_false(rtc_read(read_empty_port, 0x32, &time));
    assert_int_equal(cmos_reads, 1);
}

static void a_clock_that_always_updates_is_given_up(void **state)
{
    struct rtc_time time;

    (void)state;
    always_updating = true;
    assert_false(rtc_read(read_fake_cmos, 0, &time));
    always_updating = false;
}

#define TEST(name) cmocka_unit_test_setup(name, start_from_nothing)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(before_the_start_it_is_zero_and_nothing_is_known),
        TEST(the_best_source_is_taken_and_needs_no_work),
        TEST(a_source_asked_for_by_word_is_kept),
        TEST(the_pit_alone_keeps_time_over_many_wraps),
        TEST(a_wrap_that_nobody_saw_makes_time_stand_not_go_back),
        TEST(the_tsc_takes_over_from_the_pit_and_stays_true),
        TEST(the_tsc_takes_over_from_a_24_bit_pm_timer),
        TEST(a_busy_host_spoils_neither_the_order_nor_the_rate),
        TEST(the_hand_over_and_every_change_of_rate_keep_time_in_order),
        TEST(wraps_missed_before_the_first_look_do_not_spoil_the_rate),
        TEST(looks_that_come_late_now_and_then_do_not_spoil_the_rate),
        TEST(a_tsc_whose_rate_changes_slowly_is_led_back),
        TEST(a_tsc_that_ran_on_alone_is_measured_anew),
        TEST(a_tsc_that_is_not_constant_is_used_only_when_asked_for),
        TEST(the_tsc_alone_without_a_rate_is_no_clock),
        TEST(sources_that_stand_still_or_are_not_there_are_passed_over),
        TEST(a_counter_that_is_set_back_stands_until_it_has_come_by),
        TEST(cpus_whose_tscs_differ_see_no_time_before_what_another_saw),
        TEST(other_cpus_see_no_time_go_back_when_the_rate_changes),
        TEST(more_sources_than_fit_are_refused),
        TEST(the_best_wall_clock_sets_the_date),
        TEST(without_a_usable_wall_clock_there_is_no_date),
        TEST(pvclock_scales_like_96_bit_arithmetic),
        TEST(pvclock_survives_shifts_that_can_not_be),
        TEST(pvclock_tells_the_rate_of_the_tsc),
        TEST(pvclock_reads_time_and_flags),
        TEST(pvclock_reads_again_when_the_page_changed_meanwhile),
        TEST(pvclock_does_not_wait_for_ever_for_an_even_version),
        TEST(a_wall_clock_that_kvm_did_not_fill_is_not_believed),
        TEST(dates_in_every_coding_are_the_same_second),
        TEST(twelve_hours_begin_with_twelve),
        TEST(leap_years_and_ends_of_months_and_centuries),
        TEST(dates_that_can_not_be_are_refused),
        TEST(a_date_read_across_an_update_is_consistent),
        TEST(a_clock_that_is_not_there_costs_one_reading),
        TEST(a_clock_that_always_updates_is_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
