/* SPDX-License-Identifier: MIT */
/* kernel/timer.c above a timer that the test expires. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "arch/x86_64/apic.h"
#include "kernel/clock.h"
#include "kernel/irq.h"
#include "kernel/timer.h"
#include "lib/base/errno.h"
#include "tests/host/clock.h"
#include "tests/host/irq.h"
#include "tests/host/percpu.h"

#define START NSEC_PER_SEC

static uint64_t hardware_ns; /* what it is set to; CLOCK_NEVER: not set */
static unsigned hardware_vector, n_settings;

void apic_timer_init(unsigned vector)
{
    hardware_vector = vector;
}

void apic_timer_set(uint64_t deadline_ns)
{
    hardware_ns = deadline_ns;
    n_settings++;
}

struct named {
    struct timer timer;
    unsigned number;
    uint64_t again_ns; /* not 0: starts itself again, so much later */
};

static unsigned expired[16], n_expired;

static void note(struct timer *timer)
{
    struct named *named = CONTAINER_OF(timer, struct named, timer);

    expired[n_expired++ % 16] = named->number;
    if (named->again_ns)
        timer_start(timer, host_clock_ns + named->again_ns);
}

static struct named timers[4];

static int begin(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(timers); i++) {
        timer_cancel(&timers[i].timer);
        timer_init(&timers[i].timer, note);
        timers[i].number = i;
        timers[i].again_ns = 0;
    }
    n_expired = n_settings = 0;
    hardware_ns = CLOCK_NEVER;
    host_clock_ns = START;
    return 0;
}

/* The hardware's interrupt, at its time. */
static void pass_until(uint64_t ns)
{
    host_clock_ns = ns;
    hardware_ns = CLOCK_NEVER;
    assert_true(host_irq_send(irq_message((int)hardware_vector)));
}

/* First of all tests: the hardware is not there yet. */
static void a_timer_started_before_the_hardware_is_not_forgotten(void **state)
{
    unsigned vectors = host_irqs_free;

    (void)state;
    timer_start(&timers[0].timer, START + 5);
    assert_int_equal(n_settings, 0);
    host_irqs_free = 0;
    assert_int_equal(timer_start_hardware(), -ENOSPC);
    assert_int_equal(n_settings, 0);
    host_irqs_free = vectors;
    assert_int_equal(timer_start_hardware(), 0);
    assert_int_equal(hardware_ns, START + 5);
    pass_until(START + 5);
    assert_int_equal(n_expired, 1);
}

static void timers_expire_in_the_order_of_their_deadlines(void **state)
{
    (void)state;
    timer_start(&timers[0].timer, START + 30);
    timer_start(&timers[1].timer, START + 10);
    timer_start(&timers[2].timer, START + 20);
    timer_start(&timers[3].timer, START + 10); /* equal ones as they were started */
    assert_int_equal(hardware_ns, START + 10);
    pass_until(START + 25);
    assert_int_equal(n_expired, 3);
    assert_int_equal(expired[0], 1);
    assert_int_equal(expired[1], 3);
    assert_int_equal(expired[2], 2);
    assert_int_equal(hardware_ns, START + 30);
    pass_until(START + 30);
    assert_int_equal(expired[3], 0);
}

static void the_hardware_is_set_only_for_a_new_earliest_timer(void **state)
{
    (void)state;
    timer_start(&timers[0].timer, START + 10);
    timer_start(&timers[1].timer, START + 20);
    assert_int_equal(n_settings, 1);
    timer_start(&timers[2].timer, START + 5);
    assert_int_equal(n_settings, 2);
    assert_int_equal(hardware_ns, START + 5);
}

static void an_interrupt_that_comes_early_expires_nothing_and_sets_it_again(void **state)
{
    (void)state;
    timer_start(&timers[0].timer, START + 10);
    pass_until(START + 9);
    assert_int_equal(n_expired, 0);
    assert_int_equal(hardware_ns, START + 10);
    pass_until(START + 10);
    assert_int_equal(n_expired, 1);
    assert_int_equal(hardware_ns, CLOCK_NEVER);
}

static void a_deadline_that_has_passed_expires_at_the_next_chance(void **state)
{
    (void)state;
    timer_start(&timers[0].timer, START - 1);
    timer_start(&timers[1].timer, 0);
    assert_int_equal(n_expired, 0);
    assert_int_equal(hardware_ns, 0);
    timer_run();
    assert_int_equal(n_expired, 2);
    assert_int_equal(expired[0], 1);
}

static void a_timer_without_end_is_harmless(void **state)
{
    (void)state;
    timer_start(&timers[0].timer, CLOCK_NEVER);
    timer_start(&timers[1].timer, CLOCK_NEVER - 1);
    timer_start(&timers[2].timer, START + 1);
    pass_until(START + 1);
    assert_int_equal(n_expired, 1);
    assert_int_equal(hardware_ns, CLOCK_NEVER - 1);
}

static void a_started_timer_moves_when_started_again(void **state)
{
    (void)state;
    timer_start(&timers[0].timer, START + 10);
    timer_start(&timers[1].timer, START + 20);
    timer_start(&timers[0].timer, START + 30);
    pass_until(START + 25);
    assert_int_equal(n_expired, 1);
    assert_int_equal(expired[0], 1);
    pass_until(START + 30);
    assert_int_equal(n_expired, 2);
}

static void a_cancelled_timer_never_expires(void **state)
{
    (void)state;
    timer_cancel(&timers[0].timer); /* never started */
    timer_start(&timers[0].timer, START + 10);
    timer_start(&timers[1].timer, START + 10);
    timer_cancel(&timers[0].timer);
    timer_cancel(&timers[0].timer);
    pass_until(START + 100);
    assert_int_equal(n_expired, 1);
    assert_int_equal(expired[0], 1);
}

static void a_timer_may_start_itself_again(void **state)
{
    (void)state;
    timers[0].again_ns = 10;
    timer_start(&timers[0].timer, START + 10);
    timer_start(&timers[1].timer, START + 15);
    pass_until(START + 10);
    assert_int_equal(hardware_ns, START + 15);
    pass_until(START + 15);
    assert_int_equal(hardware_ns, START + 20);
    pass_until(START + 20);
    assert_int_equal(n_expired, 3);
}

static struct timer *victim;

static void cancel_victim(struct timer *timer)
{
    (void)timer;
    timer_cancel(victim);
}

static void a_timer_may_cancel_one_that_is_due_as_well(void **state)
{
    struct timer canceller;

    (void)state;
    timer_init(&canceller, cancel_victim);
    victim = &timers[0].timer;
    timer_start(&canceller, START + 1);
    timer_start(victim, START + 2);
    pass_until(START + 10);
    assert_int_equal(n_expired, 0);
}

/* ---- the second CPU, which the test is for a moment */

static struct cpu second;

static void be_second(bool is)
{
    host_be_cpu(is ? &second : cpu_numbered(0));
}

static void a_timer_expires_on_the_cpu_that_started_it(void **state)
{
    (void)state;
    be_second(true);
    timer_start(&timers[0].timer, START + 10);
    be_second(false);
    timer_start(&timers[1].timer, START + 20);
    pass_until(START + 30);
    assert_int_equal(n_expired, 1);
    assert_int_equal(expired[0], 1);
    be_second(true);
    timer_run();
    be_second(false);
    assert_int_equal(n_expired, 2);
    assert_int_equal(expired[1], 0);
}

static void another_cpu_may_cancel_it_or_take_it_over(void **state)
{
    (void)state;
    timer_start(&timers[0].timer, START + 10);
    timer_start(&timers[1].timer, START + 10);
    be_second(true);
    timer_cancel(&timers[0].timer);
    timer_start(&timers[1].timer, START + 20);
    be_second(false);
    pass_until(START + 30);
    assert_int_equal(n_expired, 0);
    be_second(true);
    timer_run();
    assert_int_equal(n_expired, 1);
    assert_int_equal(expired[0], 1);
    be_second(false);
}

static bool cancelled;
static pthread_t canceller;

static void *cancel_by_second(void *timer)
{
    be_second(true);
    timer_cancel(timer);
    __atomic_store_n(&cancelled, true, __ATOMIC_SEQ_CST);
    return NULL;
}

static void be_cancelled_meanwhile(struct timer *timer)
{
    assert_int_equal(pthread_create(&canceller, NULL, cancel_by_second, timer), 0);
    usleep(20000);
    assert_false(__atomic_load_n(&cancelled, __ATOMIC_SEQ_CST));
}

static void who_cancels_it_on_another_cpu_waits_for_its_end(void **state)
{
    (void)state;
    spin_several = true;
    timer_init(&timers[1].timer, be_cancelled_meanwhile);
    timer_start(&timers[1].timer, START);
    timer_run();
    pthread_join(canceller, NULL);
    assert_true(cancelled);
    spin_several = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_timer_started_before_the_hardware_is_not_forgotten, begin),
        cmocka_unit_test_setup(timers_expire_in_the_order_of_their_deadlines, begin),
        cmocka_unit_test_setup(the_hardware_is_set_only_for_a_new_earliest_timer, begin),
        cmocka_unit_test_setup(an_interrupt_that_comes_early_expires_nothing_and_sets_it_again,
                               begin),
        cmocka_unit_test_setup(a_deadline_that_has_passed_expires_at_the_next_chance, begin),
        cmocka_unit_test_setup(a_timer_without_end_is_harmless, begin),
        cmocka_unit_test_setup(a_started_timer_moves_when_started_again, begin),
        cmocka_unit_test_setup(a_cancelled_timer_never_expires, begin),
        cmocka_unit_test_setup(a_timer_may_start_itself_again, begin),
        cmocka_unit_test_setup(a_timer_may_cancel_one_that_is_due_as_well, begin),
        cmocka_unit_test_setup(a_timer_expires_on_the_cpu_that_started_it, begin),
        cmocka_unit_test_setup(another_cpu_may_cancel_it_or_take_it_over, begin),
        cmocka_unit_test_setup(who_cancels_it_on_another_cpu_waits_for_its_end, begin),
    };

    for (unsigned i = 0; i < ARRAY_SIZE(timers); i++)
        timer_init(&timers[i].timer, note);

    host_add_cpu(&second, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
