/* SPDX-License-Identifier: MIT */
/* The entropy driver against devices that answer late, briefly, never, or with lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/spec/ids.h"
#include "kernel/random.h"
#include "kernel/thread.h"
#include "tests/host/fake_transport.h"
#include "tests/host/lies.h"
#include "tests/host/log.h"
#include "tests/host/proves.h"

#define ASKED 64

static struct fake_transport fake;
static struct random_supplier *supplier; /* NULL: the driver has not joined */
static uint8_t added[4096];
static size_t n_added;
static unsigned added_bits, n_adds;
static uint8_t next_byte;

/* ---- kernel/random.h */

void random_join(struct random_supplier *joining)
{
    assert_null(supplier);
    supplier = joining;
    supplier->ask(supplier);
}

void random_part(struct random_supplier *parting)
{
    assert_ptr_equal(supplier, parting);
    supplier = NULL;
}

void random_add(const void *from, size_t bytes, unsigned entropy_bits, const char *source)
{
    assert_string_equal(source, "virtio-rng");
    assert_true(n_added + bytes <= sizeof(added));
    memcpy(added + n_added, from, bytes);
    n_added += bytes;
    added_bits += entropy_bits;
    n_adds++;
}

/* ---- the thread that resets: runs when the test says so */

static void (*thread_entry)(void *);
static void *thread_argument;

struct thread *thread_create(const char *name, void (*entry)(void *argument), void *argument)
{
    (void)name;
    assert_null(thread_entry);
    thread_entry = entry;
    thread_argument = argument;
    return (struct thread *)&fake;
}

static void run_thread(void)
{
    void (*entry)(void *) = thread_entry;

    thread_entry = NULL;
    if (entry)
        entry(thread_argument);
}

/* ---- the device */

static struct fake_chain *pop(void)
{
    return fake.queues[0].live ? fake_pop(&fake.queues[0].ring) : NULL;
}

/* Writes so many fresh bytes and says that it wrote `told`. */
static void push(struct fake_chain *chain, size_t bytes, uint32_t told)
{
    uint8_t fresh[ASKED];

    assert_non_null(chain);
    for (size_t i = 0; i < bytes; i++)
        fresh[i] = next_byte += 7;
    assert_int_equal(fake_write(chain, 0, fresh, bytes), bytes);
    fake_push(&fake.queues[0].ring, chain, told);
}

static void answer(size_t bytes)
{
    push(pop(), bytes, (uint32_t)bytes);
}

static void honest(struct fake_transport *transport, unsigned queue, struct fake_chain *chain)
{
    (void)transport;
    (void)queue;
    push(chain, ASKED, ASKED);
}

/* Random numbers are wanted: as kernel/random does it. */
static void look(void)
{
    if (supplier && supplier->awaited)
        supplier->look(supplier);
    run_thread();
}

static void want_fresh(void)
{
    if (supplier)
        supplier->ask(supplier);
    run_thread();
}

static void make_device(void)
{
    fake_transport_init(&fake, VIRTIO_ID_RNG);
    fake.queues[0].size_max = 8;
}

static int plug_in(void **state)
{
    (void)state;
    n_added = n_adds = added_bits = 0;
    thread_entry = NULL;
    supplier = NULL;
    host_log_clear();
    make_device();
    return 0;
}

static int pull_out(void **state)
{
    (void)state;
    virtio_remove(&fake.device);
    fake_transport_check(&fake);
    run_thread();
    assert_null(supplier);
    return 0;
}

static void add(void)
{
    assert_int_equal(virtio_add(&fake.device), 0);
}

/* ---- tests */

static void it_asks_at_the_start_and_does_not_wait(void **state)
{
    struct fake_chain *chain;

    PROVES("RNG-OP-01");
    (void)state;
    add();
    assert_int_equal(n_added, 0);
    assert_int_equal(fake.queues[0].kicks, 1);
    chain = pop();
    assert_non_null(chain);
    assert_int_equal(chain->n_readable, 0);
    assert_int_equal(chain->writable_bytes, ASKED);
    assert_null(pop());
    push(chain, ASKED, ASKED);
    look();
    assert_int_equal(n_added, ASKED);
    assert_int_equal(added_bits, 8 * ASKED);
    assert_false(supplier->awaited);
    assert_null(pop()); /* not again before more is wanted */
    want_fresh();
    answer(ASKED);
    look();
    assert_int_equal(n_adds, 2);
}

static void it_costs_no_interrupt(void **state)
{
    (void)state;
    add();
    assert_int_equal(fake.queues[0].vector, VIRTIO_NO_VECTOR);
    answer(ASKED);
    assert_false(fake_transport_interrupt(&fake, 0));
}

static void the_length_tells_how_much_is_random(void **state)
{
    static const uint32_t lengths[] = { 1, 2, 3, 31, 32, 63, 64 };

    PROVES("RNG-OP-02");
    (void)state;
    add();
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        n_added = added_bits = 0;
        answer(lengths[i]);
        look();
        assert_int_equal(n_added, lengths[i]);
        assert_int_equal(added_bits, 8 * lengths[i]);
        want_fresh();
    }
}

static void an_empty_answer_adds_nothing_and_is_asked_again(void **state)
{
    (void)state;
    add();
    for (unsigned i = 0; i < 100; i++) {
        answer(0);
        look();
        assert_int_equal(n_adds, 0);
        assert_false(supplier->awaited); /* until more is wanted: no loop */
        want_fresh();
    }
    answer(32);
    look();
    assert_int_equal(n_added, 32);
    assert_int_equal(fake.resets, 1);
}

static void a_device_that_never_answers_is_left_alone(void **state)
{
    (void)state;
    add();
    for (unsigned i = 0; i < 1000; i++) {
        look();
        want_fresh();
    }
    assert_int_equal(fake.queues[0].kicks, 1);
    assert_int_equal(fake.queues[0].ring.popped, 0);
    assert_int_equal(n_adds, 0);
    answer(ASKED); /* and then it does */
    look();
    assert_int_equal(n_added, ASKED);
}

static void an_answer_is_taken_where_more_is_wanted_before_it_was_looked_for(void **state)
{
    (void)state;
    add();
    answer(ASKED);
    want_fresh();
    assert_int_equal(n_added, ASKED);
    answer(ASKED);
}

static void a_device_that_repeats_itself_counts_for_nothing(void **state)
{
    uint8_t same[ASKED];
    struct fake_chain *chain;

    (void)state;
    add();
    memset(same, 0x5a, sizeof(same));
    chain = pop();
    fake_write(chain, 0, same, sizeof(same));
    fake_push(&fake.queues[0].ring, chain, ASKED);
    look();
    assert_int_equal(n_adds, 0);
    assert_non_null(strstr(host_log_text(), "repeats itself"));
    for (unsigned i = 0; i < 2; i++) { /* the same block once more */
        want_fresh();
        next_byte = 0;
        answer(ASKED);
        look();
        assert_int_equal(n_adds, 1);
    }
}

static void a_device_that_asks_for_a_reset_gets_it(void **state)
{
    (void)state;
    add();
    fake_transport_ask_for_reset(&fake);
    want_fresh();
    assert_int_equal(fake.resets, 2);
    assert_int_equal(fake.device.recoveries, 1);
    answer(ASKED);
    look();
    assert_int_equal(n_added, ASKED);
}

static void a_device_that_lies_for_ever_is_given_up(void **state)
{
    (void)state;
    add();
    for (unsigned i = 0; i < 20 && supplier; i++) {
        push(pop(), ASKED, ASKED + 1);
        look();
    }
    assert_null(supplier);
    assert_non_null(fake.device.failure);
    assert_int_equal(n_adds, 0);
}

static void removed_before_its_reset_it_is_not_touched_again(void **state)
{
    (void)state;
    add();
    push(pop(), ASKED, ASKED + 1);
    supplier->look(supplier);
    assert_non_null(thread_entry);
}

/* ---- lies, each with each aftermath */

static void tell_one(const struct lie *lie, const struct aftermath *aftermath, bool packed)
{
    struct host_left before;

    make_device();
    if (packed)
        fake_offer(&fake, VIRTIO_F_RING_PACKED);
    add();
    virtio_remove(&fake.device); /* what a driver keeps from one device to the next is there now */
    before = host_left();
    plug_in(NULL);
    if (packed)
        fake_offer(&fake, VIRTIO_F_RING_PACKED);
    add();
    host_honest = honest;
    host_arrange(&fake, aftermath, lie, 0);
    host_tell(&fake, lie, 0);
    for (unsigned i = 0; i < 40; i++) {
        look();
        want_fresh();
    }
    if (aftermath->survives && !aftermath->lies_again) {
        assert_null(fake.device.failure);
        n_added = 0;
        if (supplier->awaited)
            answer(ASKED);
        look();
        assert_int_equal(n_added, ASKED);
    }
    virtio_remove(&fake.device);
    host_take_away(&fake);
    assert_null(thread_entry);
    if (!aftermath->stuck)
        host_assert_nothing_left(before, 0);
}

static void no_lie_does_any_harm(void **state)
{
    PROVES("RNG-OP-02");
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++)
        for (unsigned i = 0; i < host_n_lies; i++)
            for (unsigned k = 0; k < host_n_aftermaths; k++)
                if (host_lie_fits(&host_lies[i], packed) && !(host_lies[i].two_entries && packed))
                    tell_one(&host_lies[i], &host_aftermaths[k], packed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, pull_out)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_asks_at_the_start_and_does_not_wait),
        TEST(it_costs_no_interrupt),
        TEST(the_length_tells_how_much_is_random),
        TEST(an_empty_answer_adds_nothing_and_is_asked_again),
        TEST(a_device_that_never_answers_is_left_alone),
        TEST(an_answer_is_taken_where_more_is_wanted_before_it_was_looked_for),
        TEST(a_device_that_repeats_itself_counts_for_nothing),
        TEST(a_device_that_asks_for_a_reset_gets_it),
        TEST(a_device_that_lies_for_ever_is_given_up),
        TEST(removed_before_its_reset_it_is_not_touched_again),
        cmocka_unit_test_setup(no_lie_does_any_harm, plug_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
