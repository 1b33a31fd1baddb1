/* SPDX-License-Identifier: MIT */
/*
 * Several threads lack memory at once, on as many CPUs, under the thread sanitizer. The
 * kernel lock is a mutex here; pages are only counted. The clock stands still unless a test
 * lets time pass, so that no look around in vain hides a wake-up that was lost.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/page.h"
#include "kernel/pressure.h"
#include "lib/base/errno.h"

#define CPUS       4
#define ROUNDS     2000
#define RESERVE    10
#define MANY       100000
#define DEADLINE_S 60 /* who hangs is killed */

static pthread_mutex_t kernel = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static uint64_t now_ns;
static bool time_passes;
static unsigned n_waiting;

static void enter(void)
{
    pthread_mutex_lock(&kernel);
}

static void leave(void)
{
    pthread_mutex_unlock(&kernel);
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
    n_waiting++;
    pthread_cond_broadcast(&news);
    while (!event->marked && !(time_passes && deadline_ns != CLOCK_NEVER))
        pthread_cond_wait(&news, &kernel);
    n_waiting--;
    if (!event->marked) {
        now_ns = MAX(now_ns, deadline_ns);
        leave(); /* others have their turn */
        enter();
    }
    if (!event->marked)
        return -ETIMEDOUT;
    event->marked = false;
    return 0;
}

uint64_t clock_monotonic_ns(void)
{
    return now_ns;
}

/* ---- pages: free ones, some of them promised; used; and lent */

static uint64_t n_free, n_promised, n_lent, n_needed;
static bool host_answers;
static unsigned n_looks; /* of the thread that gives */
static struct event giver, *reserve_watcher;

uint64_t page_missing(uint64_t pages)
{
    uint64_t wanted = pages + RESERVE, left = n_free - n_promised;

    return wanted > left ? wanted - left : 0;
}

int page_promise(uint64_t pages)
{
    if (page_missing(pages))
        return -ENOMEM;
    n_promised += pages;
    return 0;
}

void page_unpromise(uint64_t pages)
{
    assert_true(pages <= n_promised);
    n_promised -= pages;
}

bool page_watch_reserve(struct event *event)
{
    bool is_low = n_free - n_promised < RESERVE / 2;

    reserve_watcher = is_low ? NULL : event;
    return is_low;
}

static bool give(uint64_t pages)
{
    if (pages > n_lent)
        return false;
    n_needed = pages;
    if (pages)
        event_signal(&giver);
    return pages != 0;
}

/* What is lent to a host that answers, or does not. */
static void lend(uint64_t pages, bool answers)
{
    enter();
    n_lent = pages;
    host_answers = answers;
    leave();
}

/* So many come back. */
static void come_back(uint64_t pages)
{
    n_lent -= pages;
    n_free += pages;
    pressure_given();
}

static bool ends;

/* The thread that gives, a few pages at a time. */
static void *be_the_balloon(void *unused)
{
    enter();
    while (!ends) {
        pressure_keep_reserve(&giver);
        n_looks++;
        pthread_cond_broadcast(&news);
        if (host_answers && n_needed)
            come_back(MIN(n_needed, 7));
        else
            event_wait(&giver, CLOCK_NEVER);
        leave();
        enter();
    }
    leave();
    return unused;
}

static pthread_t balloon;

static int begin(void **state)
{
    (void)state;
    alarm(DEADLINE_S);
    enter();
    event_init(&giver);
    n_free = RESERVE;
    n_promised = n_needed = 0;
    host_answers = true;
    time_passes = ends = false;
    pressure_ask(give);
    leave();
    return pthread_create(&balloon, NULL, be_the_balloon, NULL);
}

static int end(void **state)
{
    (void)state;
    enter();
    assert_int_equal(n_promised, 0);
    assert_int_equal(n_needed, 0); /* nobody lacks anything any more */
    ends = true;
    event_signal(&giver);
    leave();
    return pthread_join(balloon, NULL);
}

/* ---- those who lack memory */

struct want {
    pthread_t thread;
    uint64_t pages;
    bool came, has_ended;
};

static void *want(void *argument)
{
    struct want *self = argument;

    enter();
    self->came = pressure_relieve(self->pages);
    if (self->came) {
        assert_int_equal(page_missing(self->pages), 0);
        n_free -= self->pages;
    }
    self->has_ended = true;
    pthread_cond_broadcast(&news);
    leave();
    return NULL;
}

static void begin_to_want(struct want *self, uint64_t pages)
{
    *self = (struct want){ .pages = pages };
    assert_int_equal(pthread_create(&self->thread, NULL, want, self), 0);
}

static void wait_until_waiting(unsigned n)
{
    enter();
    while (n_waiting < n)
        pthread_cond_wait(&news, &kernel);
    leave();
}

static bool outcome(struct want *self)
{
    pthread_join(self->thread, NULL);
    return self->came;
}

static void *want_often(void *argument)
{
    unsigned seed = *(unsigned *)argument;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t pages = 1 + (unsigned)rand_r(&seed) % 300;

        enter();
        assert_true(pressure_relieve(pages));
        assert_int_equal(page_missing(pages), 0);
        n_free -= pages;
        leave();
        enter();
        n_lent += pages;
        leave();
    }
    return NULL;
}

static void many_wait_at_once_and_each_gets_what_it_lacks(void **state)
{
    unsigned seeds[CPUS];
    pthread_t threads[CPUS];

    (void)state;
    lend(CPUS * 300, true);
    for (unsigned i = 0; i < CPUS; i++) {
        seeds[i] = i;
        pthread_create(&threads[i], NULL, want_often, &seeds[i]);
    }
    for (unsigned i = 0; i < CPUS; i++)
        pthread_join(threads[i], NULL);
    assert_true(pressure_stalls() > CPUS);
    assert_int_equal(n_free + n_lent, RESERVE + CPUS * 300);
}

static void who_is_one_too_many_is_told_at_once_and_the_others_are_served(void **state)
{
    struct want first, second, third;

    (void)state;
    lend(100, false);
    begin_to_want(&first, 60);
    wait_until_waiting(2); /* the balloon too */
    begin_to_want(&second, 60);
    assert_false(outcome(&second));
    begin_to_want(&third, 40);
    wait_until_waiting(3);
    enter();
    assert_int_equal(n_needed, 100); /* of both together */
    come_back(59);
    assert_false(first.has_ended);
    come_back(1);
    leave();
    assert_true(outcome(&first));
    assert_false(third.has_ended);
    enter();
    assert_int_equal(n_needed, 40);
    come_back(40);
    leave();
    assert_true(outcome(&third));
    assert_int_equal(n_lent, 0);
}

static void a_small_one_that_comes_later_does_not_take_what_came_for_a_large_one(void **state)
{
    struct want large, small;

    (void)state;
    lend(120, false);
    begin_to_want(&large, 100);
    wait_until_waiting(2);
    begin_to_want(&small, 20);
    wait_until_waiting(3);
    enter();
    come_back(99);
    assert_false(small.has_ended);
    come_back(1); /* promised to the large one from here on, whoever runs first */
    assert_int_equal(page_missing(0), 0);
    assert_int_not_equal(page_promise(1), 0);
    come_back(20);
    leave();
    assert_true(outcome(&large));
    assert_true(outcome(&small));
}

static void when_what_is_lent_is_gone_those_who_wait_are_told(void **state)
{
    struct want first, second, third;

    (void)state;
    lend(100, false);
    begin_to_want(&first, 50);
    wait_until_waiting(2);
    begin_to_want(&second, 30);
    wait_until_waiting(3);
    begin_to_want(&third, 20);
    wait_until_waiting(4);
    enter();
    assert_int_equal(n_needed, 100);
    n_lent = 80; /* as where one of two devices was removed */
    pressure_given();
    leave();
    assert_false(outcome(&third));
    enter();
    assert_int_equal(n_needed, 80);
    come_back(80);
    leave();
    assert_true(outcome(&first));
    assert_true(outcome(&second));
}

static void nobody_waits_for_ever_for_a_host_that_does_not_answer(void **state)
{
    struct want wants[CPUS];

    (void)state;
    lend(MANY, false);
    enter();
    time_passes = true;
    leave();
    for (unsigned i = 0; i < CPUS; i++)
        begin_to_want(&wants[i], 100);
    for (unsigned i = 0; i < CPUS; i++)
        assert_false(outcome(&wants[i]));
    assert_int_equal(n_lent, MANY);
}

static void what_became_free_elsewhere_ends_the_waiting_too(void **state)
{
    struct want wanting;

    (void)state;
    lend(MANY, false);
    begin_to_want(&wanting, 100);
    wait_until_waiting(2);
    enter();
    n_free += 100;
    time_passes = true;
    pthread_cond_broadcast(&news);
    leave();
    assert_true(outcome(&wanting));
    assert_int_equal(n_lent, MANY);
}

static void without_anything_lent_nobody_waits(void **state)
{
    uint64_t stalls = pressure_stalls();

    (void)state;
    lend(0, true);
    enter();
    assert_false(pressure_relieve(1));
    pressure_ask(NULL);
    assert_false(pressure_relieve(1));
    leave();
    assert_int_equal(pressure_stalls(), stalls);
}

/* Takes pages as one who cannot wait. */
static void take(uint64_t pages)
{
    assert_true(n_free - n_promised >= pages);
    n_free -= pages;
    if (reserve_watcher && n_free - n_promised < RESERVE / 2) {
        event_signal(reserve_watcher);
        reserve_watcher = NULL;
    }
}

static void the_reserve_is_filled_up_without_anybody_waiting(void **state)
{
    (void)state;
    lend(50, true);
    wait_until_waiting(1);
    enter();
    take(3);
    assert_int_equal(n_needed, 0); /* not for so little */
    take(4);
    while (n_free < RESERVE)
        pthread_cond_wait(&news, &kernel);
    assert_int_equal(n_lent, 43);
    leave();
    wait_until_waiting(1);
    enter();
    assert_non_null(reserve_watcher);
    leave();
}

static void what_is_lent_is_left_alone_if_it_cannot_fill_the_reserve(void **state)
{
    unsigned looks;

    (void)state;
    lend(5, true);
    wait_until_waiting(1);
    enter();
    take(8);
    looks = n_looks;
    while (n_looks == looks)
        pthread_cond_wait(&news, &kernel);
    assert_int_equal(n_lent, 5);
    assert_int_equal(n_needed, 0);
    n_free += 8;
    leave();
}

/* ---- wishes */

static void *wait_for_wish(void *argument)
{
    uint64_t old = *(uint64_t *)argument;

    enter();
    while (pressure_wish() == old)
        pressure_wait_for_wish(CLOCK_NEVER);
    leave();
    return NULL;
}

static void all_who_wait_learn_of_a_new_wish(void **state)
{
    uint64_t old = 0;
    pthread_t threads[CPUS];

    (void)state;
    lend(0, true);
    enter();
    pressure_tell_wish(0);
    leave();
    for (unsigned i = 0; i < CPUS; i++)
        pthread_create(&threads[i], NULL, wait_for_wish, &old);
    wait_until_waiting(CPUS + 1);
    enter();
    pressure_tell_wish(5);
    leave();
    for (unsigned i = 0; i < CPUS; i++)
        pthread_join(threads[i], NULL);
}

static void who_waits_for_a_wish_in_vain_leaves_nothing_behind(void **state)
{
    (void)state;
    lend(0, true);
    enter();
    time_passes = true;
    pressure_wait_for_wish(now_ns + 5);
    pressure_tell_wish(6); /* its stack is another's now */
    leave();
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_wait_at_once_and_each_gets_what_it_lacks),
        TEST(who_is_one_too_many_is_told_at_once_and_the_others_are_served),
        TEST(a_small_one_that_comes_later_does_not_take_what_came_for_a_large_one),
        TEST(when_what_is_lent_is_gone_those_who_wait_are_told),
        TEST(nobody_waits_for_ever_for_a_host_that_does_not_answer),
        TEST(what_became_free_elsewhere_ends_the_waiting_too),
        TEST(without_anything_lent_nobody_waits),
        TEST(the_reserve_is_filled_up_without_anybody_waiting),
        TEST(what_is_lent_is_left_alone_if_it_cannot_fill_the_reserve),
        TEST(all_who_wait_learn_of_a_new_wish),
        TEST(who_waits_for_a_wish_in_vain_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
