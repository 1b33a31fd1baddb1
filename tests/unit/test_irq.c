/* SPDX-License-Identifier: MIT */
/* Vectors of several CPUs: kernel/irq.c, on CPUs that threads stand for. */
#include "kernel/irq.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/percpu.h"

static struct cpu *fake_cpu_current(void);

#define cpu_current fake_cpu_current

#include "arch/x86_64/cpus.c"
#include "kernel/irq.c"

#include "tests/host/alloc.h"

#define LONG_ID 300

static struct cpu machine[4];
static __thread struct cpu *running;
static unsigned ends;

static struct cpu *fake_cpu_current(void)
{
    return running ? running : &machine[0];
}

uint64_t apic_message_address(uint32_t id)
{
    return id > 254 ? 0 : 0xfee00000 | (uint64_t)id << 12;
}

void apic_eoi(void)
{
    ends++;
}

void trap_open_interrupt(unsigned vector)
{
    assert_in_range(vector, 32, 254);
}

void random_note_moment(void)
{
}

bool irq_save(void)
{
    return true;
}

void irq_restore(bool were_on)
{
    (void)were_on;
}

static struct {
    uint32_t gsi, apic_id;
    unsigned vector;
} routed;

int ioapic_route(uint32_t gsi, uint32_t apic_id, unsigned vector, bool level_triggered,
                 bool active_low)
{
    (void)level_triggered;
    (void)active_low;
    routed.gsi = gsi;
    routed.apic_id = apic_id;
    routed.vector = vector;
    return 0;
}

void ioapic_unroute(uint32_t gsi)
{
    (void)gsi;
}

static int begin(void **state)
{
    static const uint32_t ids[] = { 4, 9, LONG_ID, 2 };

    (void)state;
    memset(cpu_slots, 0, sizeof(cpu_slots));
    memset(machine, 0, sizeof(machine));
    memset(&of_first, 0, sizeof(of_first));
    memset(everywhere, 0, sizeof(everywhere));
    n_cpus = ends = 0;
    spin_several = false;
    for (unsigned i = 0; i < 4; i++) {
        machine[i].apic_id = ids[i];
        assert_true(cpu_add(&machine[i]));
    }
    running = NULL;
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        kfree(machine[i].vectors);
    return 0;
}

static unsigned calls[4];

/* Counts for whom it was called, and where. */
static void handle(void *argument)
{
    assert_ptr_equal(argument, fake_cpu_current());
    calls[fake_cpu_current()->number]++;
}

static void interrupt(unsigned cpu, unsigned vector)
{
    running = &machine[cpu];
    irq_entry(vector);
    running = NULL;
}

static void a_handle_names_cpu_and_vector_and_its_message_goes_there(void **state)
{
    int first = irq_alloc(handle, &machine[0], "a");
    int second = irq_alloc_on(1, handle, &machine[1], "b");

    (void)state;
    assert_true(first > 0 && second > 0 && first != second);
    assert_int_equal(irq_cpu(first), 0);
    assert_int_equal(irq_cpu(second), 1);
    assert_int_equal(irq_message(first).address, 0xfee04000);
    assert_int_equal(irq_message(second).address, 0xfee09000);
    assert_in_range(irq_message(second).data, 32, 254);
    assert_int_equal(irq_route(20, second, true, true), 0);
    assert_int_equal(routed.apic_id, 9);
    assert_int_equal(routed.vector, irq_message(second).data);
}

static void the_same_vector_leads_to_another_handler_on_another_cpu(void **state)
{
    unsigned first = irq_message(irq_alloc(handle, &machine[0], "a")).data;
    unsigned second = irq_message(irq_alloc_on(1, handle, &machine[1], "b")).data;

    (void)state;
    memset(calls, 0, sizeof(calls));
    assert_int_equal(first, second);
    interrupt(0, first);
    interrupt(1, second);
    interrupt(1, second);
    interrupt(3, second); /* where nobody has one */
    assert_int_equal(calls[0], 1);
    assert_int_equal(calls[1], 2);
    assert_int_equal(calls[3], 0);
    assert_int_equal(ends, 4);
}

static void handle_anywhere(void *argument)
{
    ((unsigned *)argument)[fake_cpu_current()->number]++;
}

static void a_vector_of_all_cpus_is_no_cpus_own(void **state)
{
    unsigned seen[4] = { 0 };
    int vector = irq_alloc_everywhere(handle_anywhere, seen, "timer");

    (void)state;
    memset(calls, 0, sizeof(calls));
    for (unsigned i = 0; i < N_OWN; i++) {
        int irq = irq_alloc_on(3, handle, &machine[3], "own");

        assert_true(irq > 0);
        assert_true(irq_message(irq).data != (unsigned)vector);
    }
    for (unsigned i = 0; i < 4; i++)
        interrupt(i, (unsigned)vector);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(calls[3], 0);
}

static void a_cpu_whose_vectors_are_taken_has_none_and_another_still_has(void **state)
{
    int last = 0;

    (void)state;
    for (unsigned i = 0; i < N_OWN; i++)
        last = irq_alloc_on(1, handle, &machine[1], "one of many");
    assert_true(last > 0);
    assert_int_equal(irq_alloc_on(1, handle, &machine[1], "one more"), -ENOSPC);
    assert_true(irq_alloc(handle, &machine[0], "elsewhere") > 0);
    irq_free(last);
    assert_int_equal(irq_alloc_on(1, handle, &machine[1], "again"), last);
}

static void the_vectors_of_all_cpus_come_to_an_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_EVERYWHERE; i++)
        assert_true(irq_alloc_everywhere(handle, NULL, "call") > 0);
    assert_int_equal(irq_alloc_everywhere(handle, NULL, "call"), -ENOSPC);
}

static void what_can_not_be_aimed_at_is_refused(void **state)
{
    (void)state;
    assert_int_equal(irq_alloc_on(4, handle, NULL, "beyond"), -ENODEV);
    assert_int_equal(irq_alloc_on(2, handle, NULL, "long id"), -ERANGE);
    host_allocs_until_failure = 0;
    assert_int_equal(irq_alloc_on(3, handle, NULL, "no memory"), -ENOMEM);
    host_allocs_until_failure = -1;
    assert_true(irq_alloc_on(3, handle, NULL, "memory again") > 0);
}

static void a_freed_vector_that_was_on_its_way_is_ended_and_calls_nobody(void **state)
{
    int irq = irq_alloc_on(1, handle, &machine[1], "short");

    (void)state;
    memset(calls, 0, sizeof(calls));
    irq_free(irq);
    interrupt(1, irq_message(irq).data);
    interrupt(0, TRAP_SPURIOUS);
    assert_int_equal(calls[1], 0);
    assert_int_equal(ends, 1);
}

static void a_report_tells_whose_vectors_are_and_how_often_they_came(void **state)
{
    int irq = irq_alloc_on(1, handle, &machine[1], "queue");
    struct irq_seen seen;
    unsigned i = 0;

    (void)state;
    interrupt(1, irq_message(irq).data);
    while (irq_seen(1, i, &seen) && !seen.name)
        i++;
    assert_string_equal(seen.name, "queue");
    assert_int_equal(seen.vector, irq_message(irq).data);
    assert_int_equal(seen.count, 1);
    for (i = 0; irq_seen(0, i, &seen); i++)
        assert_null(seen.name);
    assert_int_equal(i, N_OWN);
    assert_false(irq_seen(4, N_OWN, &seen));
}

/* ---- A handler that runs while its vector is freed */

static int freed_irq;
static bool entered, is_freed, ran_on_after;

static void run_slowly(void *argument)
{
    struct irq_vector *entry = argument;

    store_release(&entered, true);
    while (load_acquire(&entry->handler))
        sched_yield();
    for (unsigned i = 0; i < 2000; i++) {
        ran_on_after |= load_acquire(&is_freed);
        sched_yield();
    }
}

static void *be_interrupted(void *argument)
{
    (void)argument;
    interrupt(1, irq_message(freed_irq).data);
    return NULL;
}

static void who_frees_a_vector_waits_for_its_handler_on_another_cpu(void **state)
{
    pthread_t other;

    (void)state;
    entered = is_freed = ran_on_after = false;
    freed_irq = irq_alloc_on(1, run_slowly, NULL, "slow");
    machine[1].vectors->own[0].argument = &machine[1].vectors->own[0];
    assert_int_equal(pthread_create(&other, NULL, be_interrupted, NULL), 0);
    while (!load_acquire(&entered))
        sched_yield();
    irq_free(freed_irq);
    store_release(&is_freed, true);
    pthread_join(other, NULL);
    assert_false(ran_on_after);
}

static void free_itself(void *argument)
{
    irq_free(*(int *)argument);
    calls[1]++;
}

static void a_handler_may_free_its_own_vector(void **state)
{
    int irq = 0;

    (void)state;
    memset(calls, 0, sizeof(calls));
    irq = irq_alloc_on(1, free_itself, &irq, "once");
    interrupt(1, irq_message(irq).data);
    interrupt(1, irq_message(irq).data);
    assert_int_equal(calls[1], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_handle_names_cpu_and_vector_and_its_message_goes_there,
                                        begin, end),
        cmocka_unit_test_setup_teardown(the_same_vector_leads_to_another_handler_on_another_cpu,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_vector_of_all_cpus_is_no_cpus_own, begin, end),
        cmocka_unit_test_setup_teardown(
            a_cpu_whose_vectors_are_taken_has_none_and_another_still_has, begin, end),
        cmocka_unit_test_setup_teardown(the_vectors_of_all_cpus_come_to_an_end, begin, end),
        cmocka_unit_test_setup_teardown(what_can_not_be_aimed_at_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(
            a_freed_vector_that_was_on_its_way_is_ended_and_calls_nobody, begin, end),
        cmocka_unit_test_setup_teardown(a_report_tells_whose_vectors_are_and_how_often_they_came,
                                        begin, end),
        cmocka_unit_test_setup_teardown(who_frees_a_vector_waits_for_its_handler_on_another_cpu,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_handler_may_free_its_own_vector, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
