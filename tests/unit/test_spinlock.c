/* SPDX-License-Identifier: MIT */
/* The locks, and the memory behind them, among threads that stand for CPUs. */
#include "kernel/spinlock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/alloc.h"
#include "kernel/event.h"
#include "kernel/memory_lock.h"
#include "kernel/page.h"
#include "kernel/page_audit.h"
#include "kernel/vmem.h"
#include "tests/host/memory.h"
#include "tests/host/panic.h"

#define CPUS   4
#define ROUNDS 300000 /* some tenths of a second: threads meet */

static unsigned wrong; /* atomically */

void event_signal(struct event *event)
{
    (void)event;
}

static void on_all_cpus(void *(*run)(void *))
{
    pthread_t threads[CPUS];

    for (uintptr_t i = 0; i < CPUS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, (void *)i), 0);
    for (unsigned i = 0; i < CPUS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(wrong, 0);
}

static struct spinlock lock;
static volatile unsigned long count;

static void *count_up(void *cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < ROUNDS; i++) {
        SPIN_SCOPE(&lock);
        count++;
    }
    return NULL;
}

static void one_cpu_at_a_time_is_behind_a_lock(void **state)
{
    (void)state;
    count = 0;
    on_all_cpus(count_up);
    assert_int_equal(count, CPUS * ROUNDS);
    assert_null(lock.holder);
}

static void *count_up_twice(void *cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < ROUNDS; i++) {
        SPIN_SCOPE(&lock);
        count_up(NULL);
        i += ROUNDS / 4;
        count++;
    }
    return NULL;
}

static void the_holder_may_take_it_again_and_keeps_it_until_the_last_end(void **state)
{
    (void)state;
    count = 0;
    on_all_cpus(count_up_twice);
    assert_int_equal(count, CPUS * 4 * (ROUNDS + 1));
    assert_int_equal(lock.depth, 0);
    assert_null(lock.holder);
}

static void giving_what_another_holds_is_a_panic(void **state)
{
    (void)state;
    lock.holder = &wrong;
    lock.depth = 1;
    host_panic_expected = true;
    if (!setjmp(host_panic_jump)) {
        spin_give(&lock);
        fail();
    }
    lock = (struct spinlock){ 0 };
}

/* Blocks with what each CPU writes into its own; a block that two were given shows. */
static void *take_and_give(void *cpu)
{
    uint64_t *blocks[16] = { NULL };
    uint64_t mark = (uintptr_t)cpu + 1;
    unsigned orders[16] = { 0 };
    unsigned random = (unsigned)mark;

    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned at;

        random = random * 1103515245 + 12345;
        at = random >> 16 & 15;
        if (blocks[at]) {
            if (blocks[at][0] != mark || blocks[at][1] != at)
                __atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
            if (at & 1)
                kfree(blocks[at]);
            else
                page_free((uintptr_t)blocks[at], orders[at]);
            blocks[at] = NULL;
            continue;
        }
        orders[at] = random >> 20 & 3;
        blocks[at] = at & 1 ? kalloc(16u << (random >> 20 & 7))
                            : (uint64_t *)(uintptr_t)page_alloc(orders[at]);
        if (!blocks[at])
            continue;
        blocks[at][0] = mark;
        blocks[at][1] = at;
    }
    for (unsigned at = 0; at < 16; at++) {
        if (blocks[at] && at & 1)
            kfree(blocks[at]);
        else if (blocks[at])
            page_free((uintptr_t)blocks[at], orders[at]);
    }
    return NULL;
}

static void memory_that_all_cpus_take_and_give_is_theirs_alone_and_comes_back_whole(void **state)
{
    struct page_stats before, after;
    struct kalloc_stats objects;

    (void)state;
    page_get_stats(&before);
    on_all_cpus(take_and_give);
    page_get_stats(&after);
    kalloc_get_stats(&objects);
    assert_int_equal(objects.used_bytes, 0);
    assert_int_equal(objects.held_bytes, 0);
    assert_int_equal(after.free, before.free);
    assert_true(page_audit());
}

/* Ranges of the window, large and small: their tables are pages lent for a moment. */
static void *use_the_window(void *cpu)
{
    for (unsigned i = 0; i < ROUNDS / 300; i++) {
        size_t bytes = (i % 7 + 1) * 16384;
        uintptr_t *range = vmem_alloc(bytes);

        if (!range)
            continue;
        vmem_fault((uintptr_t)range);
        vmem_fault((uintptr_t)range + bytes - 1);
        range[0] = (uintptr_t)cpu;
        if (range[0] != (uintptr_t)cpu)
            __atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
        range = vmem_resize(range, 2 * bytes);
        vmem_free(range);
    }
    return NULL;
}

static void the_window_serves_all_cpus_and_gives_all_promises_back(void **state)
{
    struct page_stats before, after;
    struct vmem_stats window;

    (void)state;
    page_get_stats(&before);
    on_all_cpus(use_the_window);
    page_get_stats(&after);
    vmem_get_stats(&window);
    assert_int_equal(window.ranges, 0);
    assert_int_equal(window.resident_bytes, 0);
    assert_int_equal(after.promised, before.promised);
    assert_true(page_audit());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_cpu_at_a_time_is_behind_a_lock),
        cmocka_unit_test(the_holder_may_take_it_again_and_keeps_it_until_the_last_end),
        cmocka_unit_test(giving_what_another_holds_is_a_panic),
        cmocka_unit_test(memory_that_all_cpus_take_and_give_is_theirs_alone_and_comes_back_whole),
        cmocka_unit_test(the_window_serves_all_cpus_and_gives_all_promises_back),
    };

    host_memory_init(64 * MIB);
    spin_several = true;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
