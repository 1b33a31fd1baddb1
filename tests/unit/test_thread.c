/* SPDX-License-Identifier: MIT */
/*
 * kernel/thread.c, included here, on kernel/timer.c, with the image's own thread_switch() and
 * guard pages below the stacks. The test runs as the boot thread. cli, sti and
 * hlt, which Linux forbids, are carried out by the handler of the signal that
 * they raise: while the CPU halts, time passes to the next timer and its
 * interrupt comes. Preemption itself is shown in a guest.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/thread.c"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/paging.h"
#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/page.h"
#include "kernel/smp.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "kernel/thread_entry.h"
#include "kernel/timer.h"
#include "kernel/vmem.h"
#include "lib/base/errno.h"
#include "tests/host/alloc.h"
#include "tests/host/clock.h"
#include "tests/host/halt.h"
#include "tests/host/irq.h"
#include "tests/host/page.h"
#include "tests/host/percpu.h"

#define STACK_BYTES 65536

/* What entry.asm and thread.c stand on. */

static uint64_t hardware_ns = CLOCK_NEVER;
static unsigned hardware_vector, halts, stacks_in_window;
static void (*while_halted)(void);

void trap_exception(void);
void trap_exception(void)
{
    abort();
}

void trap_interrupt(void);
void trap_interrupt(void)
{
    abort();
}

void apic_timer_init(unsigned vector)
{
    hardware_vector = vector;
}

void apic_timer_set(uint64_t deadline_ns)
{
    hardware_ns = deadline_ns;
}

/* Another CPU is told that there are arrivals, and may be as fast as it likes. */
static unsigned told[2];
static struct event *dies_when_told;

void smp_wake(const struct cpu *cpu)
{
    told[cpu->number]++;
    if (dies_when_told)
        memset(dies_when_told, 0x55, sizeof(*dies_when_told));
}

int paging_unmap_4k(uintptr_t virtual)
{
    return host_alloc_allowed() ? mprotect((void *)virtual, PAGE_SIZE, PROT_NONE) : -ENOMEM;
}

int paging_map(uintptr_t virtual, phys_addr_t physical, uint64_t bytes, unsigned flags)
{
    assert_int_equal(virtual, physical);
    assert_int_equal(flags, PAGING_WRITE);
    return mprotect((void *)virtual, bytes, PROT_READ | PROT_WRITE);
}

void *vmem_alloc(size_t bytes)
{
    void *range = host_alloc_allowed() ? aligned_alloc(PAGE_SIZE, bytes) : NULL;

    stacks_in_window += range != NULL;
    return range;
}

void vmem_free(void *range)
{
    stacks_in_window -= range != NULL;
    free(range);
}

static unsigned tls_blocks;

uintptr_t tls_new(void)
{
    if (!host_alloc_allowed())
        return 0;
    return ++tls_blocks;
}

void tls_free(uintptr_t tls)
{
    tls_blocks -= tls != 0;
}

void tls_load(uintptr_t tls)
{
    assert_int_not_equal(tls, 0);
}

static void halt(void)
{
    if (while_halted)
        while_halted();
    if (hardware_ns == CLOCK_NEVER) {
        fprintf(stderr, "halted for ever\n");
        _exit(1);
    }
    halts++;
    if (host_clock_ns < hardware_ns)
        host_clock_ns = hardware_ns;
    hardware_ns = CLOCK_NEVER;
    host_irq_send(irq_message((int)hardware_vector));
}

/* Threads that note what they do. */

static char notes[64];

static void note(char what)
{
    size_t length = strlen(notes);

    assert_true(length + 1 < sizeof(notes));
    notes[length] = what;
}

static struct event first_event = EVENT_INIT(first_event);
static struct event second_event = EVENT_INIT(second_event);

/* In each function that cmocka calls. */
static void catch_halts(void)
{
    static uint8_t signal_stack[HOST_SIGNAL_STACK_BYTES];

    host_signal_stack(signal_stack);
    host_halt_by(halt);
}

static int begin(void **state)
{
    (void)state;
    memset(notes, 0, sizeof(notes));
    event_init(&first_event);
    event_init(&second_event);
    halts = 0;
    while_halted = NULL;
    memset(told, 0, sizeof(told));
    dies_when_told = NULL;
    return 0;
}

/* Every thread of the test has ended, and given back what it had. */
static int end(void **state)
{
    (void)state;
    catch_halts();
    thread_yield();
    return host_pages_taken || stacks_in_window || tls_blocks;
}

static uint64_t in_ms(unsigned ms)
{
    return host_clock_ns + ms * NSEC_PER_MSEC;
}

static void note_twice(void *argument)
{
    note(*(char *)argument);
    thread_yield();
    note(*(char *)argument);
}

static void threads_take_turns_as_they_yield(void **state)
{
    (void)state;
    thread_create("a", note_twice, "a");
    thread_create("b", note_twice, "b");
    thread_create("c", note_twice, "c");
    assert_string_equal(notes, ""); /* cooperative: none runs before we give way */
    thread_yield();
    assert_string_equal(notes, "abc");
    thread_yield();
    assert_string_equal(notes, "abcabc");
    thread_yield();
    assert_string_equal(notes, "abcabc");
}

static void end_early(void *argument)
{
    note(*(char *)argument);
    thread_exit();
}

static void a_thread_ends_and_its_memory_comes_back(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        thread_create("a", end_early, "a");
        assert_int_equal(host_pages_taken, 4);
        thread_yield();
        assert_int_equal(host_pages_taken, 0);
        notes[0] = '\0';
    }
}

static void check_itself(void *argument)
{
    uintptr_t local = (uintptr_t)&argument;

    assert_string_equal(thread_name(thread_current()), "me");
    assert_ptr_equal(argument, &first_event);
    assert_null(*thread_local_slot());
    *thread_local_slot() = argument;
    thread_yield();
    assert_ptr_equal(*thread_local_slot(), &first_event);
    assert_true(local != 0);
    note('k');
}

static void a_thread_knows_its_name_argument_and_slot(void **state)
{
    (void)state;
    thread_create("me", check_itself, &first_event);
    thread_yield();
    assert_string_equal(thread_name(thread_current()), "boot");
    thread_yield();
    assert_string_equal(notes, "k");
}

static bool stack_is_aligned;

/* 16-byte moves of the stack are the ABI's right. */
static void look_at_stack(void *argument)
{
    uintptr_t frame;

    (void)argument;
    __asm__ volatile("mov %%rbp, %0" : "=r"(frame));
    stack_is_aligned = frame % 16 == 0;
}

static void a_thread_starts_with_an_aligned_stack(void **state)
{
    (void)state;
    thread_create("aligned", look_at_stack, NULL);
    thread_yield();
    assert_true(stack_is_aligned);
    stack_is_aligned = false;
    thread_create_application(0, "main", look_at_stack, NULL, STACK_BYTES);
    thread_yield();
    thread_sleep_until(in_ms(1));
    assert_true(stack_is_aligned);
}

static void without_memory_there_is_no_thread(void **state)
{
    (void)state;
    for (int allowed = 0; allowed < 3; allowed++) { /* stack, record, guard page */
        host_allocs_until_failure = allowed;
        assert_null(thread_create("none", end_early, "n"));
        assert_int_equal(host_pages_taken, 0);
    }
    for (int allowed = 0; allowed < 3; allowed++) { /* stack, variables, record */
        host_allocs_until_failure = allowed;
        assert_null(thread_create_application(0, "none", end_early, "n", STACK_BYTES));
        assert_int_equal(stacks_in_window, 0);
    }
    host_allocs_until_failure = -1;
    thread_yield();
    assert_string_equal(notes, "");
}

static void a_mark_is_kept_once(void **state)
{
    (void)state;
    event_signal(&first_event);
    event_signal(&first_event);
    assert_int_equal(event_wait(&first_event, in_ms(5)), 0);
    assert_int_equal(event_wait(&first_event, in_ms(5)), -ETIMEDOUT);
    assert_int_equal(event_wait(&first_event, 0), -ETIMEDOUT);
}

static void a_mark_is_taken_even_behind_the_deadline(void **state)
{
    (void)state;
    event_signal(&first_event);
    assert_int_equal(event_wait(&first_event, host_clock_ns - 1), 0);
}

static void wait_and_note(void *argument)
{
    assert_int_equal(event_wait(&first_event, CLOCK_NEVER), 0);
    note(*(char *)argument);
}

static void a_signal_wakes_the_longest_waiting_thread_and_only_it(void **state)
{
    (void)state;
    thread_create("a", wait_and_note, "a");
    thread_create("b", wait_and_note, "b");
    thread_create("c", wait_and_note, "c");
    thread_yield();
    event_signal(&first_event);
    assert_string_equal(notes, "");
    thread_yield();
    assert_string_equal(notes, "a");
    event_signal(&first_event);
    event_signal(&first_event);
    thread_yield();
    assert_string_equal(notes, "abc");
    assert_false(first_event.marked);
}

static void a_wait_times_out_at_its_deadline_and_not_before(void **state)
{
    uint64_t deadline = in_ms(7);

    (void)state;
    assert_int_equal(event_wait(&first_event, deadline), -ETIMEDOUT);
    assert_int_equal(host_clock_ns, deadline);
    assert_true(list_empty(&first_event.waiters));
    event_signal(&first_event); /* late: kept for the next */
    assert_int_equal(event_wait(&first_event, CLOCK_NEVER), 0);
}

static int result;

static void wait_a_little(void *argument)
{
    result = event_wait(&first_event, *(uint64_t *)argument);
    note('w');
}

/* Both happen before the thread runs again; what came first counts. */
static void a_signal_beats_the_time_out_that_comes_before_the_thread_runs(void **state)
{
    uint64_t deadline = in_ms(5);

    (void)state;
    thread_create("waiter", wait_a_little, &deadline);
    thread_yield();
    event_signal(&first_event);
    host_clock_ns = deadline + 1;
    timer_run();
    thread_yield();
    assert_string_equal(notes, "w");
    assert_int_equal(result, 0);
    assert_false(first_event.marked);
}

static void a_signal_behind_the_time_out_is_kept(void **state)
{
    uint64_t deadline = in_ms(5);

    (void)state;
    thread_create("waiter", wait_a_little, &deadline);
    thread_yield();
    host_clock_ns = deadline;
    timer_run();
    event_signal(&first_event);
    thread_yield();
    assert_string_equal(notes, "w");
    assert_int_equal(result, -ETIMEDOUT);
    assert_true(first_event.marked);
}

static void a_time_out_leaves_the_other_waiters_in_line(void **state)
{
    uint64_t deadline = in_ms(5);

    (void)state;
    thread_create("a", wait_and_note, "a");
    thread_create("waiter", wait_a_little, &deadline);
    thread_create("b", wait_and_note, "b");
    thread_yield();
    thread_sleep_until(in_ms(10));
    assert_string_equal(notes, "w");
    event_signal(&first_event);
    event_signal(&first_event);
    thread_yield();
    assert_string_equal(notes, "wab");
}

struct sleeper {
    uint64_t until_ns;
    char name;
};

static void sleep_and_note(void *argument)
{
    struct sleeper *sleeper = argument;

    thread_sleep_until(sleeper->until_ns);
    assert_true(host_clock_ns >= sleeper->until_ns);
    note(sleeper->name);
}

static void threads_wake_in_the_order_of_their_deadlines(void **state)
{
    struct sleeper sleepers[] = {
        { in_ms(30), 'c' }, { in_ms(10), 'a' }, { in_ms(20), 'b' },
        { in_ms(40), 'e' }, { in_ms(30), 'd' }, { host_clock_ns - 1, '0' }
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
        thread_create("sleeper", sleep_and_note, &sleepers[i]);
    thread_sleep_until(in_ms(50));
    assert_string_equal(notes, "0abcde");
    assert_true(halts >= 4);
}

static void signal_first(struct timer *timer)
{
    (void)timer;
    event_signal(&first_event);
}

static void an_interrupt_while_the_cpu_idles_wakes_a_thread(void **state)
{
    struct timer timer;

    (void)state;
    timer_init(&timer, signal_first);
    timer_start(&timer, in_ms(3));
    assert_int_equal(event_wait(&first_event, in_ms(1000)), 0);
    assert_int_equal(halts, 1);
}

static void use_brackets(void *argument)
{
    (void)argument;
    note('A');
    assert_false(thread_should_preempt());
    kernel_enter();
    kernel_enter();
    event_signal(&first_event); /* the kernel thread is ready now */
    note('B');
    assert_false(thread_should_preempt());
    kernel_leave();
    note('C');
    assert_false(thread_should_preempt());
    kernel_leave(); /* it runs here */
    note('D');
    event_signal(&first_event);
    assert_true(thread_should_preempt());
    thread_preempt(); /* as the end of an interrupt does */
    note('E');
    assert_false(thread_should_preempt());
}

static void wait_twice(void *argument)
{
    wait_and_note(argument);
    wait_and_note(argument);
}

static void kernel_threads_go_first_but_not_into_the_kernel(void **state)
{
    (void)state;
    thread_create("kernel", wait_twice, "k");
    thread_create_application(0, "main", use_brackets, NULL, STACK_BYTES);
    thread_sleep_until(in_ms(1));
    assert_string_equal(notes, "ABCkDkE");
}

/* It was preempted once more there, and then ran on a stack that had been freed. */
static void expect_no_preemption(void)
{
    event_signal(&second_event);
    assert_false(thread_should_preempt());
    note('h');
}

static void wait_second(void *argument)
{
    (void)argument;
    event_wait(&second_event, CLOCK_NEVER);
}

static void an_application_thread_that_ended_is_not_preempted_while_the_cpu_idles(void **state)
{
    (void)state;
    thread_create("kernel", wait_second, NULL);
    thread_create_application(0, "main", end_early, "x", STACK_BYTES);
    while_halted = expect_no_preemption;
    event_wait(&first_event, in_ms(1));
    while_halted = NULL;
    assert_int_equal(strncmp(notes, "xh", 2), 0);
}

static void a_polled_event_is_marked_whenever_nothing_else_is_to_be_done(void **state)
{
    (void)state;
    event_poll(&first_event);
    for (int i = 0; i < 3; i++)
        assert_int_equal(event_wait(&first_event, CLOCK_NEVER), 0);
    event_unpoll(&first_event);
    event_unpoll(&first_event);
    assert_int_equal(halts, 0);
    event_init(&first_event);
    assert_int_equal(event_wait(&first_event, in_ms(10)), -ETIMEDOUT);
}

static void a_polled_event_is_marked_every_millisecond_while_an_application_computes(void **state)
{
    (void)state;
    event_poll(&first_event);
    for (int i = 0; i < 3; i++) {
        first_event.marked = false;
        host_clock_ns = hardware_ns;
        timer_run();
        assert_true(first_event.marked);
        assert_int_equal(hardware_ns, in_ms(1));
    }
    event_unpoll(&first_event);
    thread_sleep_until(in_ms(5));
}

/* The poll timer was initialised while it ran, and its list had no end any more. */
static void polling_may_stop_and_start_again_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        event_poll(&first_event);
        event_unpoll(&first_event);
        event_poll(&first_event);
        event_poll(&first_event);
        event_poll(&second_event);
        host_clock_ns = hardware_ns;
        timer_run();
        assert_true(first_event.marked && second_event.marked);
        event_unpoll(&first_event);
        event_unpoll(&second_event);
        event_init(&first_event);
        event_init(&second_event);
    }
    assert_int_equal(event_wait(&first_event, in_ms(10)), -ETIMEDOUT);
}

/* ---- the second CPU, which the test is for a moment; it has nothing to run */

static struct cpu second;

static void be_second(bool is)
{
    host_be_cpu(is ? &second : cpu_numbered(0));
}

static void signal_by_second(struct event *event)
{
    be_second(true);
    event_signal(event);
    be_second(false);
}

static void arrive(void)
{
    thread_take_arrivals(); /* as the interrupt does */
}

static void arrive_and_yield(void)
{
    arrive();
    thread_yield();
}

static void threads_that_another_cpu_wakes_arrive_in_order_and_are_told_of_once(void **state)
{
    (void)state;
    thread_create("a", wait_and_note, "a");
    thread_create("b", wait_and_note, "b");
    thread_create("c", wait_and_note, "c");
    thread_yield();
    signal_by_second(&first_event);
    signal_by_second(&first_event);
    assert_int_equal(told[0], 1);
    assert_true(list_empty(&own()->ready_kernel));
    arrive_and_yield();
    assert_string_equal(notes, "ab");
    signal_by_second(&first_event);
    assert_int_equal(told[0], 2);
    arrive_and_yield();
    assert_string_equal(notes, "abc");
}

static void signal_by_second_and_arrive(void)
{
    if (told[0])
        return;
    signal_by_second(&first_event);
    arrive();
}

static void an_arrival_ends_the_halt_of_an_idle_cpu(void **state)
{
    (void)state;
    while_halted = signal_by_second_and_arrive;
    assert_int_equal(event_wait(&first_event, in_ms(50)), 0);
    assert_int_equal(told[0], 1);
}

static void an_application_gives_way_to_what_another_cpu_woke(void *argument)
{
    (void)argument;
    note('A');
    signal_by_second(&first_event);
    assert_false(thread_should_preempt());
    arrive();
    assert_true(thread_should_preempt());
    thread_preempt();
    note('B');
}

static void what_another_cpu_woke_preempts_the_application_once_it_has_arrived(void **state)
{
    (void)state;
    thread_create("kernel", wait_and_note, "k");
    thread_create_application(0, "main", an_application_gives_way_to_what_another_cpu_woke, NULL,
                              STACK_BYTES);
    thread_sleep_until(in_ms(1));
    assert_string_equal(notes, "AkB");
}

static void a_signal_of_another_cpu_beats_the_time_out_that_comes_before_the_arrival(void **state)
{
    uint64_t deadline = in_ms(5);

    (void)state;
    thread_create("waiter", wait_a_little, &deadline);
    thread_yield();
    signal_by_second(&first_event);
    host_clock_ns = deadline + 1;
    timer_run();
    assert_true(list_empty(&own()->ready_kernel));
    arrive_and_yield();
    assert_string_equal(notes, "w");
    assert_int_equal(result, 0);
    assert_false(first_event.marked);
}

static void a_signal_of_another_cpu_behind_the_time_out_is_kept(void **state)
{
    uint64_t deadline = in_ms(5);

    (void)state;
    thread_create("waiter", wait_a_little, &deadline);
    thread_yield();
    host_clock_ns = deadline;
    timer_run();
    signal_by_second(&first_event);
    assert_int_equal(told[0], 0);
    thread_yield();
    assert_int_equal(result, -ETIMEDOUT);
    assert_true(first_event.marked);
}

/* It wakes there, returns and its event is gone, before the signal has returned here. */
static void an_event_may_die_as_soon_as_its_waiter_may_run(void **state)
{
    struct event dead;

    (void)state;
    memset(&dead, 0x55, sizeof(dead));
    thread_create("waiter", wait_and_note, "w");
    thread_yield();
    dies_when_told = &first_event;
    signal_by_second(&first_event);
    assert_int_equal(told[0], 1);
    assert_memory_equal(&first_event, &dead, sizeof(dead));
    event_init(&first_event);
    arrive_and_yield();
    assert_string_equal(notes, "w");
}

static void a_thread_for_another_cpu_is_told_there_and_does_not_run_here(void **state)
{
    struct thread *thread;

    (void)state;
    spin_several = false;
    thread = thread_create_parallel(1, "there", end_early, "t");
    assert_non_null(thread);
    assert_true(spin_several);
    assert_int_equal(told[1], 1);
    thread_sleep_until(in_ms(5));
    assert_string_equal(notes, "");
    assert_ptr_equal(second.scheduler->arrivals, thread);
    assert_null(thread_create_on(7, "nowhere", end_early, "n"));
    second.scheduler->arrivals = NULL; /* it never runs */
    mprotect((void *)thread->stack, PAGE_SIZE, PROT_READ | PROT_WRITE);
    page_free(thread->stack, KERNEL_STACK_ORDER);
    kfree(thread);
    spin_several = false;
}

static void a_polled_event_is_left_to_the_cpu_whose_thread_waits(void **state)
{
    (void)state;
    thread_create("kernel", wait_and_note, "k");
    thread_yield();
    event_poll(&first_event);
    event_poll(&second_event);
    be_second(true);
    assert_false(poll(own()));
    be_second(false);
    assert_false(second_event.marked);
    assert_true(poll(own()));
    assert_true(second_event.marked);
    thread_yield();
    assert_string_equal(notes, "k");
    event_unpoll(&first_event);
    event_unpoll(&second_event);
    assert_false(poll(own()));
    thread_sleep_until(in_ms(5));
}

static void polled_events_that_are_being_changed_are_looked_at_later(void **state)
{
    (void)state;
    event_poll(&first_event);
    polled_change = true;
    assert_true(poll(own()));
    assert_true(signal_polled(own()));
    assert_false(first_event.marked);
    assert_false(own()->looks);
    polled_change = false;
    assert_true(poll(own()));
    assert_true(first_event.marked);
    event_unpoll(&first_event);
    thread_sleep_until(in_ms(5));
}

/* Once the first in line had been served nobody polled it, till a millisecond was over. */
static void a_polled_event_is_polled_by_each_cpu_of_which_a_thread_waits(void **state)
{
    struct thread *behind;

    (void)state;
    thread_create("a", wait_and_note, "a");
    behind = thread_create("b", wait_and_note, "b");
    behind->home = second.scheduler; /* it runs here all the same */
    thread_yield();
    event_poll(&first_event);
    be_second(true);
    assert_true(poll(own()));
    be_second(false);
    behind->home = own();
    event_unpoll(&first_event);
    event_signal(&first_event);
    arrive_and_yield();
    assert_string_equal(notes, "ba");
    thread_sleep_until(in_ms(5));
}

static void run(void **test)
{
    catch_halts();
    ((void (*)(void **)) * test)(NULL);
}

int main(void)
{
#define TEST(name)                           \
    {                                        \
#name, run, begin, end, (void *)name \
    }
    const struct CMUnitTest tests[] = {
        TEST(threads_take_turns_as_they_yield),
        TEST(a_thread_ends_and_its_memory_comes_back),
        TEST(a_thread_knows_its_name_argument_and_slot),
        TEST(a_thread_starts_with_an_aligned_stack),
        TEST(without_memory_there_is_no_thread),
        TEST(a_mark_is_kept_once),
        TEST(a_mark_is_taken_even_behind_the_deadline),
        TEST(a_signal_wakes_the_longest_waiting_thread_and_only_it),
        TEST(a_wait_times_out_at_its_deadline_and_not_before),
        TEST(a_signal_beats_the_time_out_that_comes_before_the_thread_runs),
        TEST(a_signal_behind_the_time_out_is_kept),
        TEST(a_time_out_leaves_the_other_waiters_in_line),
        TEST(threads_wake_in_the_order_of_their_deadlines),
        TEST(an_interrupt_while_the_cpu_idles_wakes_a_thread),
        TEST(kernel_threads_go_first_but_not_into_the_kernel),
        TEST(an_application_thread_that_ended_is_not_preempted_while_the_cpu_idles),
        TEST(a_polled_event_is_marked_whenever_nothing_else_is_to_be_done),
        TEST(a_polled_event_is_marked_every_millisecond_while_an_application_computes),
        TEST(polling_may_stop_and_start_again_at_once),
        TEST(threads_that_another_cpu_wakes_arrive_in_order_and_are_told_of_once),
        TEST(an_arrival_ends_the_halt_of_an_idle_cpu),
        TEST(what_another_cpu_woke_preempts_the_application_once_it_has_arrived),
        TEST(a_signal_of_another_cpu_beats_the_time_out_that_comes_before_the_arrival),
        TEST(a_signal_of_another_cpu_behind_the_time_out_is_kept),
        TEST(an_event_may_die_as_soon_as_its_waiter_may_run),
        TEST(a_thread_for_another_cpu_is_told_there_and_does_not_run_here),
        TEST(a_polled_event_is_left_to_the_cpu_whose_thread_waits),
        TEST(a_polled_event_is_polled_by_each_cpu_of_which_a_thread_waits),
        TEST(polled_events_that_are_being_changed_are_looked_at_later),
    };

    host_add_cpu(&second, 1);
    if (thread_prepare(&second))
        return 1;
    thread_init();
    timer_start_hardware();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
