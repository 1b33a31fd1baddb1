/* SPDX-License-Identifier: MIT */
/*
 * The locks of the C library among threads that stand for CPUs, under the thread
 * sanitizer. The kernel lock is a mutex here, and who waits for an event sleeps on it.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/lock.h>

#include <cmocka.h>

#include "kernel/alloc.h"
#include "kernel/event.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "lib/libc/lock.h"

#define CPUS   4
#define ROUNDS 20000

bool spin_several;

static pthread_mutex_t kernel;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static __thread unsigned depth;
static unsigned waits; /* under the kernel lock */
static bool without_memory;

void kernel_enter(void)
{
    if (depth++ == 0)
        pthread_mutex_lock(&kernel);
}

void kernel_leave(void)
{
    if (--depth == 0)
        pthread_mutex_unlock(&kernel);
}

struct thread *thread_current(void)
{
    static __thread char self;

    return (struct thread *)&self;
}

void event_init(struct event *event)
{
    event->marked = false;
}

void event_signal(struct event *event)
{
    event->marked = true;
    pthread_cond_broadcast(&news);
}

int event_wait(struct event *event, uint64_t deadline_ns)
{
    (void)deadline_ns;
    waits++;
    while (!event->marked)
        pthread_cond_wait(&news, &kernel);
    event->marked = false;
    return 0;
}

void *kalloc(size_t bytes)
{
    return without_memory ? NULL : calloc(1, bytes);
}

static void on_all_cpus(void *(*run)(void *))
{
    pthread_t threads[CPUS];

    for (uintptr_t i = 0; i < CPUS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, (void *)i), 0);
    for (unsigned i = 0; i < CPUS; i++)
        pthread_join(threads[i], NULL);
}

static unsigned long counted; /* nothing but the lock under test keeps others away */
static _LOCK_T lock;

static void *count_up(void *cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < ROUNDS; i++) {
        __retarget_lock_acquire_recursive(lock);
        __retarget_lock_acquire_recursive(lock);
        counted++;
        for (volatile unsigned j = 0; i % 64 == 0 && j < 20000;
             j++) /* till others have lost patience */
            ;
        __retarget_lock_release_recursive(lock);
        counted++;
        __retarget_lock_release_recursive(lock);
    }
    return NULL;
}

static void one_thread_at_a_time_is_behind_a_lock_and_all_get_it(void **state)
{
    (void)state;
    counted = waits = 0;
    __retarget_lock_init_recursive(&lock);
    on_all_cpus(count_up);
    assert_int_equal(counted, 2 * CPUS * ROUNDS);
    assert_true(waits > 0);
    __retarget_lock_close_recursive(lock);
}

static void *count_up_by_malloc(void *cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < ROUNDS; i++) {
        malloc_lock();
        counted++;
        malloc_unlock();
    }
    return NULL;
}

static void mallocs_lock_is_one(void **state)
{
    (void)state;
    counted = 0;
    on_all_cpus(count_up_by_malloc);
    assert_int_equal(counted, CPUS * ROUNDS);
}

static int tried;

static void *try_it(void *cpu)
{
    (void)cpu;
    tried = __retarget_lock_try_acquire(lock);
    return NULL;
}

static int try_elsewhere(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, try_it, NULL);
    pthread_join(thread, NULL);
    return tried;
}

static void a_lock_is_tried_without_waiting(void **state)
{
    (void)state;
    __retarget_lock_init(&lock);
    assert_true(__retarget_lock_try_acquire(lock));
    assert_true(__retarget_lock_try_acquire(lock));
    assert_false(try_elsewhere());
    __retarget_lock_release(lock);
    assert_false(try_elsewhere());
    __retarget_lock_release(lock);
    assert_true(try_elsewhere());
}

/*
 * Each closes a lock as soon as it has it for itself, which is when the other has given it
 * but may still be looking for those who wait.
 */
static struct {
    _LOCK_T lock;
    unsigned users;
} shared; /* under the kernel lock */

static void *use_and_close(void *cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < ROUNDS; i++) {
        _LOCK_T mine;
        bool is_last;

        kernel_enter();
        if (__atomic_fetch_add(&shared.users, 1, __ATOMIC_RELAXED) == 0)
            __retarget_lock_init_recursive(&shared.lock);
        mine = shared.lock;
        kernel_leave();
        __retarget_lock_acquire_recursive(mine);
        for (unsigned j = 0; j < 2000 && __atomic_load_n(&shared.users, __ATOMIC_RELAXED) < 2; j++)
            ; /* till another one wants it */
        kernel_enter();
        is_last = __atomic_sub_fetch(&shared.users, 1, __ATOMIC_RELAXED) == 0;
        kernel_leave();
        __retarget_lock_release_recursive(mine);
        if (is_last)
            __retarget_lock_close_recursive(mine);
    }
    return NULL;
}

static void a_lock_may_be_closed_as_soon_as_it_is_had(void **state)
{
    (void)state;
    on_all_cpus(use_and_close);
    assert_int_equal(shared.users, 0);
}

static void a_lock_that_was_closed_serves_as_another(void **state)
{
    _LOCK_T first, second;

    (void)state;
    __retarget_lock_init_recursive(&first);
    __retarget_lock_acquire_recursive(first);
    __retarget_lock_release_recursive(first);
    __retarget_lock_close_recursive(first);
    __retarget_lock_init_recursive(&second);
    assert_ptr_equal(first, second);
    assert_true(__retarget_lock_try_acquire(second));
    __retarget_lock_release(second);
    __retarget_lock_close_recursive(second);
}

static void without_memory_there_is_no_lock_and_everything_goes_on(void **state)
{
    _LOCK_T taken[8], none;

    (void)state;
    for (unsigned i = 0; i < 8; i++) /* those that were closed */
        __retarget_lock_init(&taken[i]);
    without_memory = true;
    __retarget_lock_init(&none);
    assert_null(none);
    __retarget_lock_acquire(none);
    assert_true(__retarget_lock_try_acquire(none));
    __retarget_lock_release(none);
    __retarget_lock_close(none);
    without_memory = false;
    for (unsigned i = 0; i < 8; i++)
        __retarget_lock_close(taken[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_at_a_time_is_behind_a_lock_and_all_get_it),
        cmocka_unit_test(mallocs_lock_is_one),
        cmocka_unit_test(a_lock_is_tried_without_waiting),
        cmocka_unit_test(a_lock_may_be_closed_as_soon_as_it_is_had),
        cmocka_unit_test(a_lock_that_was_closed_serves_as_another),
        cmocka_unit_test(without_memory_there_is_no_lock_and_everything_goes_on),
    };

    pthread_mutex_init(&kernel, NULL);
    spin_several = true;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
