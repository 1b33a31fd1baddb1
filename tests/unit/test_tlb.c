/* SPDX-License-Identifier: MIT */
/*
 * How CPUs are made to forget what they remember of the page tables: arch/x86_64/tlb.c
 * on CPUs that the test moves step by step, and then on threads that really race.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/percpu.h"

static struct cpu *fake_cpu_current(void);
static void fake_forget_page(uintptr_t address);
static void fake_forget_all(uint64_t tables);
static void fake_pause(void);

#define cpu_current      fake_cpu_current
#define tlb_flush_page   fake_forget_page
#define cr3_read()       UINT64_C(0)
#define cr3_write(value) fake_forget_all(value)
#define cpu_pause        fake_pause

#include "arch/x86_64/cpus.c"
#include "arch/x86_64/tlb.c"
#include "kernel/spinlock.c"

#define CPUS   4
#define PAGES  64
#define VECTOR 250
#define BASE   UINT64_C(0x400000000000)

static struct cpu machine[CPUS];
static __thread struct cpu *running;

/* What each has for each page of a window: the value that the table had when it looked; 0: nothing.
 */
static unsigned remembered[CPUS][PAGES];
static unsigned forgotten_pages[CPUS], forgotten_all[CPUS];
static struct cpu_set asked;
static unsigned times_asked;
static void (*when_asked)(void), (*while_waiting)(void);
static unsigned pauses;

static struct cpu *fake_cpu_current(void)
{
    return running;
}

const void *spin_self(void)
{
    return running;
}

static void fake_forget_page(uintptr_t address)
{
    remembered[running->number][(address - BASE) / PAGE_SIZE] = 0;
    forgotten_pages[running->number]++;
}

static void fake_forget_all(uint64_t tables)
{
    (void)tables;
    memset(remembered[running->number], 0, sizeof(remembered[0]));
    forgotten_all[running->number]++;
}

static void fake_pause(void)
{
    if (++pauses > 1000 && while_waiting) /* nobody will come */
        fail();
    if (while_waiting)
        while_waiting();
    else
        sched_yield();
}

void panic(const char *format, ...)
{
    (void)format;
    abort();
}

bool irq_save(void)
{
    return true;
}

void irq_restore(bool were_on)
{
    (void)were_on;
}

int irq_alloc_everywhere(irq_handler handler, void *argument, const char *name)
{
    (void)argument;
    (void)name;
    assert_ptr_equal(handler, on_interrupt);
    return VECTOR;
}

static bool interrupted[CPUS];

void apic_send_to_set(const struct cpu_set *set, unsigned others, unsigned by_vector)
{
    assert_int_equal(by_vector, VECTOR);
    assert_int_equal(others, n_others);
    asked = *set;
    times_asked += set->n > 0;
    for (unsigned i = 0; i < CPUS; i++)
        if (cpu_set_has(set, i))
            __atomic_store_n(&interrupted[i], true, __ATOMIC_SEQ_CST);
    if (when_asked)
        when_asked();
}

static void as(unsigned number, void (*function)(void))
{
    struct cpu *was = running;

    running = &machine[number];
    function();
    running = was;
}

static int begin(void **state)
{
    (void)state;
    memset(cpu_slots, 0, sizeof(cpu_slots));
    memset(machine, 0, sizeof(machine));
    memset(&request, 0, sizeof(request));
    memset(forgotten_pages, 0, sizeof(forgotten_pages));
    memset(forgotten_all, 0, sizeof(forgotten_all));
    memset(interrupted, 0, sizeof(interrupted));
    n_cpus = n_others = times_asked = pauses = 0;
    when_asked = while_waiting = NULL;
    asked = (struct cpu_set){ 0 };
    spin_several = true;
    for (unsigned i = 0; i < CPUS; i++) {
        machine[i].apic_id = i;
        assert_true(cpu_add(&machine[i]));
    }
    running = &machine[0];
    assert_int_equal(tlb_start(), 0);
    for (unsigned i = 1; i < CPUS; i++)
        as(i, tlb_arrive);
    for (unsigned i = 0; i < CPUS; i++)
        for (unsigned page = 0; page < PAGES; page++)
            remembered[i][page] = 1;
    memset(forgotten_all, 0, sizeof(forgotten_all));
    return 0;
}

static bool remembers(unsigned cpu, unsigned first, unsigned n)
{
    for (unsigned page = first; page < first + n; page++)
        if (remembered[cpu][page])
            return true;
    return false;
}

static void serve_one_by_one(void)
{
    static unsigned next;

    next = next % CPUS + 1;
    if (next < CPUS)
        as(next, tlb_serve);
}

static void all_in_use_have_forgotten_when_it_returns_and_nothing_else(void **state)
{
    (void)state;
    while_waiting = serve_one_by_one;
    tlb_forget(BASE + 3 * PAGE_SIZE, 2 * PAGE_SIZE, false);
    for (unsigned i = 1; i < CPUS; i++) {
        assert_false(remembers(i, 3, 2));
        assert_true(remembers(i, 2, 1) && remembers(i, 5, 1));
        assert_int_equal(forgotten_pages[i], 2);
        assert_int_equal(forgotten_all[i], 0);
    }
    assert_int_equal(asked.n, 3);
    assert_false(cpu_set_has(&asked, 0));
    assert_int_equal(times_asked, 1);
}

static void much_is_forgotten_altogether(void **state)
{
    (void)state;
    while_waiting = serve_one_by_one;
    tlb_forget(BASE, MOST_BYTES, false);
    assert_int_equal(forgotten_all[1], 0);
    tlb_forget(BASE, MOST_BYTES + PAGE_SIZE, false);
    assert_int_equal(forgotten_all[1], 1);
    assert_false(remembers(1, 0, PAGES));
}

static void who_is_asked_twice_for_the_same_forgets_it_once(void **state)
{
    (void)state;
    while_waiting = serve_one_by_one;
    tlb_forget(BASE, PAGE_SIZE, false);
    as(1, tlb_serve);
    as(1, tlb_serve);
    assert_int_equal(forgotten_pages[1], 1);
}

static void who_is_idle_is_not_asked_and_forgets_all_before_it_goes_on(void **state)
{
    (void)state;
    for (unsigned i = 1; i < CPUS; i++)
        as(i, tlb_leave);
    tlb_forget(BASE, PAGE_SIZE, false);
    tlb_forget(BASE + PAGE_SIZE, PAGE_SIZE, false);
    assert_int_equal(times_asked, 0);
    as(2, tlb_join);
    assert_false(remembers(2, 0, PAGES));
    as(2, tlb_leave);
    as(2, tlb_join); /* nothing was asked meanwhile */
    assert_int_equal(forgotten_all[2], 1);
}

/* Its interrupt may be one that was on its way, or another's. */
static void an_idle_one_that_lacks_several_requests_forgets_all(void **state)
{
    (void)state;
    for (unsigned i = 1; i < CPUS; i++)
        as(i, tlb_leave);
    tlb_forget(BASE, PAGE_SIZE, false);
    tlb_forget(BASE + 9 * PAGE_SIZE, PAGE_SIZE, false);
    as(3, tlb_serve);
    assert_false(remembers(3, 0, 1) || remembers(3, 9, 1));
}

/* What the request says may be another one's already. */
static void an_idle_one_that_is_interrupted_forgets_all(void **state)
{
    (void)state;
    as(3, tlb_leave);
    while_waiting = serve_one_by_one;
    tlb_forget(BASE, PAGE_SIZE, false);
    as(3, tlb_serve);
    assert_int_equal(forgotten_all[3], 1);
}

static void what_was_not_asked_while_one_ran_alone_is_made_up_for(void **state)
{
    (void)state;
    spin_several = false;
    tlb_forget(BASE, PAGE_SIZE, false);
    tlb_forget(BASE + PAGE_SIZE, PAGE_SIZE, false);
    spin_several = true;
    while_waiting = serve_one_by_one;
    tlb_forget(BASE + 2 * PAGE_SIZE, PAGE_SIZE, false);
    assert_false(remembers(1, 0, 3));
}

static void idle_ones_are_asked_where_tables_go(void **state)
{
    (void)state;
    for (unsigned i = 1; i < CPUS; i++)
        as(i, tlb_leave);
    while_waiting = serve_one_by_one;
    tlb_forget(BASE, PAGE_SIZE, true);
    assert_int_equal(asked.n, 3);
    for (unsigned i = 1; i < CPUS; i++)
        assert_int_equal(forgotten_all[i], 1);
}

static void join_third(void)
{
    as(3, tlb_join);
}

static void one_that_joins_just_after_the_look_forgets_by_itself(void **state)
{
    (void)state;
    as(3, tlb_leave);
    when_asked = join_third;
    while_waiting = serve_one_by_one;
    tlb_forget(BASE, PAGE_SIZE, false);
    assert_int_equal(asked.n, 2);
    assert_false(remembers(3, 0, 1));
}

static void leave_all(void)
{
    for (unsigned i = 1; i < CPUS; i++)
        as(i, tlb_leave);
}

static void one_that_goes_idle_while_asked_is_not_waited_for(void **state)
{
    (void)state;
    while_waiting = leave_all;
    tlb_forget(BASE, PAGE_SIZE, false);
    assert_true(remembers(1, 0, 1)); /* it does not look there */
    as(1, tlb_join);
    assert_false(remembers(1, 0, 1));
}

static void part_all(void)
{
    for (unsigned i = 1; i < CPUS; i++)
        as(i, tlb_part);
}

static void one_that_halts_for_good_is_never_waited_for(void **state)
{
    (void)state;
    while_waiting = part_all;
    tlb_forget(BASE, PAGE_SIZE, true);
    times_asked = 0;
    tlb_forget(BASE, PAGE_SIZE, true);
    assert_int_equal(times_asked, 0);
}

static void alone_nobody_is_asked(void **state)
{
    (void)state;
    n_others = 0;
    tlb_forget(BASE, PAGE_SIZE, true);
    assert_int_equal(times_asked, 0);
    assert_int_equal(request.number, 0);
}

static void before_others_run_anything_they_are_asked_for_tables_only(void **state)
{
    (void)state;
    spin_several = false;
    while_waiting = serve_one_by_one;
    tlb_forget(BASE, PAGE_SIZE, false);
    assert_int_equal(times_asked, 0);
    tlb_forget(BASE, PAGE_SIZE, true);
    assert_int_equal(times_asked, 1);
    tlb_forget(BASE + PAGE_SIZE, PAGE_SIZE, false);
    spin_several = true;
    as(1, tlb_join); /* as each does before it goes on */
    assert_false(remembers(1, 1, 1));
}

static void any_cpu_may_ask(void **state)
{
    (void)state;
    running = &machine[2];
    machine[1].tlb.state = machine[3].tlb.state = TLB_IDLE;
    while_waiting = serve_one_by_one;
    machine[0].tlb.state = TLB_IDLE;
    tlb_forget(BASE, PAGE_SIZE, false);
    assert_int_equal(asked.n, 0);
    running = &machine[0];
    tlb_join();
    assert_false(remembers(0, 0, 1));
}

/* ---- Threads */

static struct spinlock lock;
static bool is_over;

/* Interrupts are off, so that nothing comes but by the loop that waits for the lock. */
static void *take_the_lock(void *cpu)
{
    running = cpu;
    __atomic_store_n(&is_over, true, __ATOMIC_SEQ_CST); /* it is about to wait */
    spin_take(&lock);
    spin_give(&lock);
    return NULL;
}

static void who_waits_for_a_lock_with_interrupts_off_serves_its_holder(void **state)
{
    pthread_t waiting;

    (void)state;
    is_over = false;
    machine[2].tlb.state = machine[3].tlb.state = TLB_IDLE;
    alarm(120);
    spin_take(&lock);
    assert_int_equal(pthread_create(&waiting, NULL, take_the_lock, &machine[1]), 0);
    while (!__atomic_load_n(&is_over, __ATOMIC_SEQ_CST))
        sched_yield();
    tlb_forget(BASE, PAGE_SIZE, false);
    assert_false(remembers(1, 0, 1));
    spin_give(&lock);
    pthread_join(waiting, NULL);
    alarm(0);
}

/* The tables: what is read of a page. A value that was given back must be read no more. */
static unsigned table[PAGES], given_back[PAGES], stale;
static unsigned reads;

static void *be_a_cpu(void *cpu)
{
    uint32_t random = 1;

    running = cpu;
    while (!__atomic_load_n(&is_over, __ATOMIC_SEQ_CST)) {
        unsigned given;

        random = random * 1664525 + 1013904223 + running->number;
        for (unsigned i = 0; i < random >> 28; i++) {
            unsigned page = (random >> 8) % PAGES, before;

            before = __atomic_load_n(&given_back[page], __ATOMIC_SEQ_CST);
            if (!remembered[running->number][page])
                remembered[running->number][page] = __atomic_load_n(&table[page], __ATOMIC_SEQ_CST);
            given = remembered[running->number][page];
            if (given <= before)
                __atomic_add_fetch(&stale, 1, __ATOMIC_SEQ_CST);
            __atomic_add_fetch(&reads, 1, __ATOMIC_RELAXED);
        }
        if (__atomic_exchange_n(&interrupted[running->number], false, __ATOMIC_SEQ_CST))
            on_interrupt(NULL);
        if (random >> 20 & 1) {
            tlb_leave();
            sched_yield();
            tlb_join();
        }
    }
    tlb_leave();
    return NULL;
}

static void threads_never_read_what_was_given_back(void **state)
{
    pthread_t others[CPUS - 1];
    uint32_t random = 7;

    (void)state;
    memset(remembered, 0, sizeof(remembered));
    memset(given_back, 0, sizeof(given_back));
    stale = reads = 0;
    is_over = false;
    for (unsigned page = 0; page < PAGES; page++)
        table[page] = 1;
    alarm(120);
    for (unsigned i = 1; i < CPUS; i++)
        assert_int_equal(pthread_create(&others[i - 1], NULL, be_a_cpu, &machine[i]), 0);
    for (unsigned round = 0; round < 20000; round++) {
        unsigned first, n, page;

        random = random * 1664525 + 1013904223;
        first = (random >> 8) % PAGES;
        n = MIN(1 + (random >> 20) % 40, PAGES - first);
        for (page = first; page < first + n; page++)
            __atomic_add_fetch(&table[page], 1, __ATOMIC_SEQ_CST);
        tlb_forget(BASE + first * PAGE_SIZE, n * PAGE_SIZE, random >> 30 == 0);
        for (page = first; page < first + n; page++)
            __atomic_store_n(&given_back[page], table[page] - 1, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&is_over, true, __ATOMIC_SEQ_CST);
    for (unsigned i = 1; i < CPUS; i++)
        pthread_join(others[i - 1], NULL);
    alarm(0);
    assert_int_equal(stale, 0);
    assert_true(reads > 1000);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_in_use_have_forgotten_when_it_returns_and_nothing_else),
        TEST(much_is_forgotten_altogether),
        TEST(who_is_asked_twice_for_the_same_forgets_it_once),
        TEST(who_is_idle_is_not_asked_and_forgets_all_before_it_goes_on),
        TEST(an_idle_one_that_lacks_several_requests_forgets_all),
        TEST(an_idle_one_that_is_interrupted_forgets_all),
        TEST(what_was_not_asked_while_one_ran_alone_is_made_up_for),
        TEST(idle_ones_are_asked_where_tables_go),
        TEST(one_that_joins_just_after_the_look_forgets_by_itself),
        TEST(one_that_goes_idle_while_asked_is_not_waited_for),
        TEST(one_that_halts_for_good_is_never_waited_for),
        TEST(alone_nobody_is_asked),
        TEST(before_others_run_anything_they_are_asked_for_tables_only),
        TEST(any_cpu_may_ask),
        TEST(who_waits_for_a_lock_with_interrupts_off_serves_its_holder),
        TEST(threads_never_read_what_was_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
