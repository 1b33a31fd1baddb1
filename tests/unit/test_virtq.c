/* SPDX-License-Identifier: MIT */
/*
 * The virtqueue against the fake device: every test runs for both formats,
 * with and without EVENT_IDX, INDIRECT_DESC and IN_ORDER, in all interesting sizes.
 * Device addresses are not pointers here: a mix-up faults.
 */
#include "drivers/virtio/virtq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include <cmocka.h>

#include "drivers/virtio/spec/ring.h"
#include "lib/base/errno.h"
#include "tests/host/fake_device.h"
#include "tests/host/proves.h"

#define DMA_OFFSET   UINT64_C(0x123000000000)
#define INDIRECT_MAX 16
#define MANY         300 /* more than most rings hold, few enough for all of a large ring's tests */

struct variant {
    enum virtq_format format;
    bool event_idx, indirect, in_order;
    uint16_t size;
    uint16_t ring_size; /* legacy: the device's, with a layout of its own; else 0 */
    char name[64];
};

/* A queue, its device, and the memory of both. */
struct rig {
    const struct variant *variant;
    struct virtq_config config;
    struct virtq_layout layout;
    struct virtq q;
    struct fake_queue device;
    void *block;
    unsigned rings; /* of the doorbell */
    uint32_t rung_with;
};

/* What buffers are made of: each element somewhere else, so that a wrong one shows. */
static uint8_t arena[VIRTQ_SIZE_MAX * 8];
static struct virtq_elem elems[VIRTQ_SIZE_MAX + 1];
static struct virtq_done done[VIRTQ_SIZE_MAX + 1];
static struct fake_chain *chains[VIRTQ_SIZE_MAX + 1];

static void *memory_of(uint64_t addr, uint64_t bytes)
{
    (void)bytes;
    return addr < DMA_OFFSET ? NULL : (void *)(uintptr_t)(addr - DMA_OFFSET);
}

static dma_addr_t address_of(const void *memory)
{
    return (uintptr_t)memory + DMA_OFFSET;
}

static void *cookie_of(uintptr_t number)
{
    return (void *)(number + 1);
}

static void ring_bell(void *argument, uint32_t value)
{
    struct rig *rig = argument;

    rig->rings++;
    rig->rung_with = value;
    fake_notified(&rig->device, value);
}

static void start(struct rig *rig)
{
    assert_int_equal(virtq_init(&rig->q, &rig->config), 0);
    fake_queue_start(&rig->device, &(struct fake_queue_config){
                                       .packed = rig->variant->format == VIRTQ_PACKED,
                                       .event_idx = rig->variant->event_idx,
                                       .indirect = rig->variant->indirect,
                                       .in_order = rig->variant->in_order,
                                       .notification_data = rig->config.notification_data,
                                       .size = rig->variant->ring_size ? rig->variant->ring_size
                                                                       : rig->variant->size,
                                       .desc_addr = rig->config.areas.descriptor_addr,
                                       .driver_addr = rig->config.areas.driver_addr,
                                       .device_addr = rig->config.areas.device_addr,
                                       .memory = memory_of,
                                   });
}

static int set_up(void **state)
{
    const struct variant *variant = *state;
    struct rig *rig = calloc(1, sizeof(*rig));
    uint16_t indirect_max = variant->indirect ? INDIRECT_MAX : 0;

    rig->variant = variant;
    rig->layout = variant->ring_size
                      ? virtq_legacy_layout(variant->ring_size, variant->size, indirect_max)
                      : virtq_layout(variant->format, variant->size, indirect_max);
    rig->block = aligned_alloc(64, ALIGN_UP(rig->layout.shared_bytes, 64));
    memset(rig->block, 0xa5, rig->layout.shared_bytes);
    rig->config = (struct virtq_config){
        .format = variant->format,
        .size = variant->size,
        .ring_size = variant->ring_size,
        .indirect_max = indirect_max,
        .event_idx = variant->event_idx,
        .in_order = variant->in_order,
        .areas = virtq_areas_in(&rig->layout, rig->block, address_of(rig->block)),
        .private_memory = malloc(rig->layout.private_bytes),
        .doorbell = { .kind = VIRTQ_DOORBELL_HOOK,
                      .value = 7,
                      .hook_argument = rig,
                      .hook = ring_bell },
    };
    memset(rig->config.private_memory, 0x5a, rig->layout.private_bytes);
    start(rig);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    const char *violation = rig->device.violation;

    if (violation)
        print_error("the driver broke a rule: %s\n", violation);
    fake_queue_stop(&rig->device);
    free(rig->config.private_memory);
    free(rig->block);
    free(rig);
    return violation ? -1 : 0;
}

/* A buffer of pieces of 1 to 8 bytes at places that depend on `from`. */
static struct virtq_buffer buffer_of(unsigned readable, unsigned writable, uintptr_t number)
{
    for (unsigned i = 0; i < readable + writable; i++) {
        unsigned at = (unsigned)(number + i) % VIRTQ_SIZE_MAX;

        elems[i] = (struct virtq_elem){ address_of(&arena[8 * at]), 1 + at % 8 };
    }
    return (struct virtq_buffer){ elems, (uint16_t)readable, (uint16_t)writable,
                                  cookie_of(number) };
}

static uint32_t bytes_of(unsigned from, unsigned n)
{
    uint32_t bytes = 0;

    while (n--)
        bytes += 1 + from++ % VIRTQ_SIZE_MAX % 8;
    return bytes;
}

static int add(struct rig *rig, unsigned readable, unsigned writable, uintptr_t number)
{
    struct virtq_buffer buffer = buffer_of(readable, writable, number);

    return virtq_add(&rig->q, &buffer, 1);
}

/* Lends n buffers of one writable element, numbered from `number` on. */
static void lend(struct rig *rig, unsigned n, uintptr_t number)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(add(rig, 0, 1, number + i), 1);
    virtq_publish(&rig->q);
}

/* The device takes all that is there; how many. */
static unsigned take(struct rig *rig)
{
    unsigned n = 0;

    while ((chains[n] = fake_pop(&rig->device)))
        n++;
    assert_null(rig->device.violation);
    return n;
}

static unsigned few(const struct rig *rig)
{
    return MIN(rig->variant->size, MANY);
}

/* n buffers all the way through, one by one. */
static void run_forward(struct rig *rig, unsigned n)
{
    struct virtq_elem elem = { address_of(arena), 1 };
    struct virtq_buffer buffer = { &elem, 0, 1, cookie_of(n) };

    while (n--) {
        assert_int_equal(virtq_add(&rig->q, &buffer, 1), 1);
        virtq_publish(&rig->q);
        fake_push(&rig->device, fake_pop(&rig->device), 1);
        assert_int_equal(virtq_get(&rig->q, done, 2), 1);
    }
    fake_interrupt_wanted(&rig->device);
}

static void check_pieces(const struct fake_chain *chain, unsigned readable, unsigned writable,
                         unsigned number)
{
    assert_int_equal(chain->n_readable, readable);
    assert_int_equal(chain->n_writable, writable);
    for (unsigned i = 0; i < readable + writable; i++) {
        unsigned at = (number + i) % VIRTQ_SIZE_MAX;

        assert_ptr_equal(chain->pieces[i].start, &arena[8 * at]);
        assert_int_equal(chain->pieces[i].bytes, 1 + at % 8);
    }
}

static void virtq_get_returns_buffers_in_the_order_of_use(void **state)
{
    struct rig *rig = *state;

    for (unsigned lap = 0; lap < 5; lap++) {
        unsigned n = 1 + (few(rig) - 1 + lap) % few(rig);

        lend(rig, n, lap);
        assert_int_equal(take(rig), n);
        for (unsigned i = 0; i < n; i++)
            fake_push(&rig->device, chains[i], bytes_of(lap + i, 1));
        assert_int_equal(virtq_in_flight(&rig->q), n);
        assert_int_equal(virtq_get(&rig->q, done, n + 1), n);
        for (unsigned i = 0; i < n; i++) {
            assert_ptr_equal(done[i].cookie, cookie_of(lap + i));
            assert_int_equal(done[i].len, bytes_of(lap + i, 1));
        }
        assert_int_equal(virtq_get(&rig->q, done, n), 0);
        assert_int_equal(virtq_in_flight(&rig->q), 0);
        assert_int_equal(virtq_free_count(&rig->q), rig->variant->size);
    }
}

static void virtq_get_returns_buffers_used_out_of_order(void **state)
{
    struct rig *rig = *state;

    if (rig->variant->in_order)
        return;
    for (unsigned lap = 0; lap < 5; lap++) {
        unsigned n = few(rig);

        lend(rig, n, lap);
        assert_int_equal(take(rig), n);
        for (unsigned i = 0; i < n; i++)
            fake_push(&rig->device, chains[n - 1 - i], 0);
        assert_int_equal(virtq_get(&rig->q, done, n), n);
        for (unsigned i = 0; i < n; i++)
            assert_ptr_equal(done[i].cookie, cookie_of(lap + n - 1 - i));
    }
}

static void virtq_get_takes_no_more_than_asked(void **state)
{
    struct rig *rig = *state;
    unsigned n = few(rig);

    lend(rig, n, 0);
    take(rig);
    for (unsigned i = 0; i < n; i++)
        fake_push(&rig->device, chains[i], 0);
    assert_int_equal(virtq_get(&rig->q, done, 0), 0);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(virtq_get(&rig->q, done, 1), 1);
        assert_ptr_equal(done[0].cookie, cookie_of(i));
    }
    assert_int_equal(virtq_get(&rig->q, done, 1), 0);
}

static void virtq_add_is_invisible_until_published(void **state)
{
    struct rig *rig = *state;
    unsigned n = few(rig);

    for (unsigned lap = 0; lap < 3; lap++) {
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(add(rig, 1, 0, i), 1);
            assert_null(fake_pop(&rig->device));
        }
        virtq_publish(&rig->q);
        assert_int_equal(take(rig), n);
        for (unsigned i = 0; i < n; i++)
            fake_push(&rig->device, chains[i], 0);
        assert_int_equal(virtq_get(&rig->q, done, n), n);
    }
}

static void virtq_add_takes_the_first_that_fit(void **state)
{
    struct rig *rig = *state;
    unsigned size = rig->variant->size;
    struct virtq_buffer *buffers = calloc(size + 1, sizeof(*buffers));
    struct virtq_elem elem = { address_of(arena), 1 };

    for (unsigned i = 0; i <= size; i++)
        buffers[i] = (struct virtq_buffer){ &elem, 1, 0, cookie_of(i) };
    assert_int_equal(virtq_add(&rig->q, buffers, 0), 0);
    assert_int_equal(virtq_add(&rig->q, buffers, size + 1), size);
    assert_int_equal(virtq_add(&rig->q, &buffers[size], 1), 0);
    assert_int_equal(virtq_free_count(&rig->q), 0);
    virtq_publish(&rig->q);
    fake_push(&rig->device, fake_pop(&rig->device), 0);
    assert_int_equal(virtq_add(&rig->q, &buffers[size], 1), 0);
    assert_int_equal(virtq_get(&rig->q, done, size), 1);
    assert_int_equal(virtq_add(&rig->q, &buffers[size], 1), 1);
    free(buffers);
}

/* Single elements and chains in one call, from every place of the ring (of the first 50). */
static void virtq_add_takes_batches_over_the_end_of_the_ring(void **state)
{
    PROVES("PACK-SG-06");
    struct rig *rig = *state;
    unsigned most = MIN(rig->variant->size, 50);

    run_forward(rig, rig->variant->size - most / 2);
    for (unsigned lap = 0; lap < 2 * most; lap++) {
        struct virtq_buffer buffers[50];
        unsigned n = 0, descriptors = 0;

        buffer_of(3, 0, 7);
        while (descriptors < most) {
            unsigned elements = (lap + n) % 4 ? 1 : MIN(3, most - descriptors);

            buffers[n] = (struct virtq_buffer){ elems, (uint16_t)elements, 0, cookie_of(n) };
            descriptors += elements;
            n++;
        }
        assert_int_equal(virtq_add(&rig->q, buffers, n), n);
        assert_null(fake_pop(&rig->device));
        virtq_publish(&rig->q);
        assert_int_equal(take(rig), n);
        for (unsigned i = 0; i < n; i++) {
            check_pieces(chains[i], buffers[i].n_readable, 0, 7);
            fake_push(&rig->device, chains[i], 0);
        }
        assert_int_equal(virtq_get(&rig->q, done, n + 1), n);
        for (unsigned i = 0; i < n; i++)
            assert_ptr_equal(done[i].cookie, cookie_of(i));
        run_forward(rig, 1);
    }
}

static void virtq_add_rejects_what_never_fits(void **state)
{
    PROVES("SPLIT-IND-03", "PACK-SG-01", "PACK-SG-02", "PACK-IND-03");
    struct rig *rig = *state;
    unsigned size = rig->variant->size;
    struct virtq_buffer two[2] = { buffer_of(1, 0, 0), { elems, 0, 0, NULL } };

    assert_int_equal(add(rig, 0, 0, 0), -EMSGSIZE);
    assert_int_equal(add(rig, size, 1, 0), -EMSGSIZE);
    assert_int_equal(virtq_add(&rig->q, two, 2), 1);
    assert_int_equal(virtq_add(&rig->q, &two[1], 1), -EMSGSIZE);
    two[1] = (struct virtq_buffer){ elems, UINT16_MAX, UINT16_MAX, NULL };
    assert_int_equal(virtq_add(&rig->q, &two[1], 1), -EMSGSIZE);
}

static void virtq_add_rejects_four_gibibytes(void **state)
{
    PROVES("SPLIT-DESC-01");
    struct rig *rig = *state;
    struct virtq_elem halves[2] = { { DMA_OFFSET, 0x80000000 }, { DMA_OFFSET, 0x80000000 } };
    struct virtq_buffer buffer = { halves, 1, 1, NULL };

    if (rig->variant->size < 2)
        return;
    assert_int_equal(virtq_add(&rig->q, &buffer, 1), -EMSGSIZE);
    halves[1].len--;
    assert_int_equal(virtq_add(&rig->q, &buffer, 1), 1);
}

static void virtq_add_lends_a_chain_as_long_as_the_queue(void **state)
{
    PROVES("SPLIT-FRM-01", "SPLIT-IND-01", "PACK-SG-03", "PACK-IND-01", "SPLIT-DESC-02");
    struct rig *rig = *state;
    unsigned size = rig->variant->size, readable = size / 3, writable = size - readable;

    for (unsigned lap = 0; lap < 4; lap++) {
        struct fake_chain *chain;

        assert_int_equal(add(rig, readable, writable, lap), 1);
        virtq_publish(&rig->q);
        chain = fake_pop(&rig->device);
        assert_non_null(chain);
        check_pieces(chain, readable, writable, lap);
        fake_push(&rig->device, chain, bytes_of(lap + readable, writable));
        assert_int_equal(virtq_get(&rig->q, done, 1), 1);
        assert_ptr_equal(done[0].cookie, cookie_of(lap));
        assert_int_equal(done[0].len, bytes_of(lap + readable, writable));
        run_forward(rig, 1); /* the next lap starts elsewhere in the ring */
    }
}

static void virtq_add_says_full_when_a_chain_finds_no_room(void **state)
{
    PROVES("PACK-SG-04", "PACK-SG-05");
    struct rig *rig = *state;
    unsigned size = rig->variant->size;

    if (size < 3 || size > 1000)
        return;
    lend(rig, size - 1, 0);
    assert_int_equal(virtq_free_count(&rig->q), 1);
    assert_int_equal(add(rig, 1, 1, size), rig->variant->indirect ? 1 : 0);
    virtq_publish(&rig->q);
    assert_int_equal(take(rig), size - 1 + rig->variant->indirect);
}

static void virtq_add_puts_chains_into_indirect_tables(void **state)
{
    PROVES("SPLIT-IND-02", "SPLIT-IND-04", "PACK-IND-02", "PACK-IND-04", "SPLIT-IND-05");
    struct rig *rig = *state;
    unsigned size = rig->variant->size, longest = MIN(INDIRECT_MAX, size);
    struct fake_chain *chain;

    if (!rig->variant->indirect || size < 2)
        return;
    for (unsigned n = 1; n <= longest; n++) {
        assert_int_equal(add(rig, n - 1, 1, n), 1);
        assert_int_equal(virtq_free_count(&rig->q), size - 1);
        virtq_publish(&rig->q);
        chain = fake_pop(&rig->device);
        assert_non_null(chain);
        assert_int_equal(chain->indirect, n > 1);
        check_pieces(chain, n - 1, 1, n);
        fake_push(&rig->device, chain, 0);
        assert_int_equal(virtq_get(&rig->q, done, 1), 1);
    }
    if (size <= INDIRECT_MAX)
        return;
    assert_int_equal(add(rig, longest, 1, 0), 1);
    assert_int_equal(virtq_free_count(&rig->q), size - longest - 1);
}

static void virtq_runs_over_every_wrap(void **state)
{
    struct rig *rig = *state;
    unsigned n = few(rig);

    run_forward(rig, 65534); /* the 16-bit indices */
    for (unsigned lap = 0; lap < 3; lap++) {
        lend(rig, n, lap);
        assert_int_equal(take(rig), n);
        for (unsigned i = 0; i < n; i++)
            fake_push(&rig->device, chains[rig->variant->in_order ? i : n - 1 - i], 0);
        assert_int_equal(virtq_get(&rig->q, done, n), n);
        for (unsigned i = 0; i < n; i++)
            assert_ptr_equal(done[i].cookie,
                             cookie_of(lap + (rig->variant->in_order ? i : n - 1 - i)));
    }
}

/* Lends n buffers, every third one a chain of two where that fits; how many were lent. */
static unsigned lend_mixed(struct rig *rig, unsigned n, unsigned number)
{
    unsigned lent = 0;

    while (lent < n && add(rig, lent % 3 == 2, 1, number + lent) == 1)
        lent++;
    virtq_publish(&rig->q);
    return lent;
}

static unsigned readable_of(unsigned lent)
{
    return lent % 3 == 2;
}

static void virtq_get_returns_a_batch_that_is_told_by_its_last_buffer(void **state)
{
    struct rig *rig = *state;

    if (!rig->variant->in_order)
        return;
    for (unsigned lap = 0; lap < 60; lap++) {
        unsigned n = lend_mixed(rig, 1 + lap % few(rig), lap), batch;

        assert_int_equal(take(rig), n);
        for (unsigned at = 0; at < n; at += batch) {
            batch = 1 + (lap + at) % (n - at);
            fake_push_batch(&rig->device, &chains[at], batch, lap % 2);
            /* piece by piece, and in the middle of a batch it is no time to sleep */
            for (unsigned i = 0; i < batch; i++) {
                unsigned number = lap + at + i, readable = readable_of(at + i);
                bool last = i + 1 == batch;

                assert_true(virtq_arm(&rig->q, 1));
                assert_int_equal(virtq_get(&rig->q, done, 1), 1);
                assert_ptr_equal(done[0].cookie, cookie_of(number));
                assert_int_equal(done[0].len, last ? lap % 2 : bytes_of(number + readable, 1));
            }
            assert_false(virtq_arm(&rig->q, 1));
            virtq_disarm(&rig->q);
        }
        assert_int_equal(virtq_in_flight(&rig->q), 0);
        assert_int_equal(virtq_free_count(&rig->q), rig->variant->size);
    }
}

static void virtq_publish_says_false_when_there_is_nothing_new(void **state)
{
    struct rig *rig = *state;

    fake_want_notification(&rig->device);
    assert_false(virtq_publish(&rig->q));
    assert_int_equal(add(rig, 1, 0, 0), 1);
    assert_true(virtq_publish(&rig->q));
    assert_false(virtq_publish(&rig->q));
}

static void virtq_publish_obeys_the_flags(void **state)
{
    PROVES("SPLIT-ANS-03", "SPLIT-ANS-04");
    struct rig *rig = *state;

    if (rig->variant->event_idx && rig->variant->format == VIRTQ_SPLIT)
        return;
    for (unsigned lap = 0; lap < 4; lap++) {
        if (lap % 2)
            fake_refuse_notification(&rig->device);
        else
            fake_want_notification(&rig->device);
        assert_int_equal(add(rig, 1, 0, 0), 1);
        assert_int_equal(virtq_publish(&rig->q), lap % 2 == 0);
        fake_push(&rig->device, fake_pop(&rig->device), 0);
        assert_int_equal(virtq_get(&rig->q, done, 1), 1);
    }
}

static void virtq_publish_notifies_when_the_event_was_not_negotiated(void **state)
{
    struct rig *rig = *state;

    if (rig->variant->event_idx || rig->variant->format == VIRTQ_SPLIT)
        return;
    fake_want_notification_at(&rig->device, rig->variant->size);
    assert_int_equal(add(rig, 1, 0, 0), 1);
    assert_true(virtq_publish(&rig->q));
}

/* For each place of the event in or behind a batch, from many places of the ring. */
static void virtq_publish_notifies_when_the_event_is_in_the_batch(void **state)
{
    PROVES("SPLIT-ANS-06", "SPLIT-ANS-07");
    struct rig *rig = *state;
    unsigned most = MIN(rig->variant->size, 5);

    if (!rig->variant->event_idx)
        return;
    for (unsigned lap = 0; lap < 300; lap++) {
        unsigned batch = 1 + lap % most, event = 1 + lap / 5 % (most + 1);

        if (event > rig->variant->size)
            continue; /* packed: the same place a lap later */
        fake_want_notification_at(&rig->device, (uint16_t)event);
        for (unsigned i = 0; i < batch; i++)
            assert_int_equal(add(rig, 1, 0, i), 1);
        assert_int_equal(virtq_publish(&rig->q), event <= batch);
        assert_int_equal(take(rig), batch);
        for (unsigned i = 0; i < batch; i++)
            fake_push(&rig->device, chains[i], 0);
        assert_int_equal(virtq_get(&rig->q, done, batch), batch);
    }
}

static void virtq_publish_does_not_notify_for_an_event_that_is_past(void **state)
{
    PROVES("SPLIT-ANS-07");
    struct rig *rig = *state;

    if (!rig->variant->event_idx)
        return;
    fake_want_notification(&rig->device);
    for (unsigned i = 0; i < rig->variant->size && i < MANY; i++) {
        assert_int_equal(add(rig, 1, 0, i), 1);
        assert_int_equal(virtq_publish(&rig->q), i == 0);
    }
}

static void virtq_notify_rings_the_doorbell(void **state)
{
    struct rig *rig = *state;
    uint32_t registers[2] = { 0xaaaaaaaa, 0xaaaaaaaa };

    virtq_notify(&rig->q);
    assert_int_equal(rig->rings, 1);
    assert_int_equal(rig->rung_with, 7);

    rig->config.doorbell =
        (struct virtq_doorbell){ .kind = VIRTQ_DOORBELL_MMIO16, .value = 3, .mmio = registers };
    assert_int_equal(virtq_init(&rig->q, &rig->config), 0);
    virtq_notify(&rig->q);
    assert_int_equal(registers[0], 0xaaaa0003);

    rig->config.doorbell.kind = VIRTQ_DOORBELL_MMIO32;
    rig->config.doorbell.value = 4;
    rig->config.notification_data = true;
    assert_int_equal(virtq_init(&rig->q, &rig->config), 0);
    virtq_notify(&rig->q);
    assert_int_equal(registers[0], rig->variant->format == VIRTQ_PACKED ? 0x80000004 : 4);
    registers[0] = 0xaaaaaaaa;

    rig->config.doorbell.kind = VIRTQ_DOORBELL_NONE;
    assert_int_equal(virtq_init(&rig->q, &rig->config), 0);
    virtq_notify(&rig->q);
    assert_int_equal(registers[0], 0xaaaaaaaa);
    assert_int_equal(registers[1], 0xaaaaaaaa);
    assert_int_equal(rig->rings, 1);
}

/* Across every wrap, and with buffers that were added but not published. */
static void virtq_notify_tells_where_the_ring_stands(void **state)
{
    PROVES("PACK-DESC-03", "PACK-DESC-04");
    struct rig *rig = *state;

    rig->config.notification_data = true;
    fake_queue_stop(&rig->device);
    start(rig);
    if (rig->variant->size <= 256)
        run_forward(rig, 32760); /* bit 15 of the split ring's index is about to change */
    for (unsigned lap = 0; lap < 20; lap++) {
        unsigned n = 1 + lap % few(rig), held;

        lend(rig, n, 0);
        virtq_notify(&rig->q);
        assert_int_equal(rig->rung_with & UINT16_MAX, 7);
        held = add(rig, 1, 0, n);
        virtq_notify(&rig->q);
        assert_null(rig->device.violation);
        virtq_publish(&rig->q);
        virtq_notify(&rig->q);
        assert_int_equal(take(rig), n + held);
        for (unsigned i = 0; i < n + held; i++)
            fake_push(&rig->device, chains[i], 0);
        assert_int_equal(virtq_get(&rig->q, done, n + 1), n + held);
    }
}

/* One buffer through; whether the device is to interrupt for it. */
static bool interrupted_by_one(struct rig *rig)
{
    bool wanted;

    lend(rig, 1, 0);
    fake_push(&rig->device, fake_pop(&rig->device), 0);
    wanted = fake_interrupt_wanted(&rig->device);
    assert_int_equal(virtq_get(&rig->q, done, 2), 1);
    return wanted;
}

static void virtq_interrupts_only_while_armed(void **state)
{
    PROVES("SPLIT-UNS-01", "SPLIT-UNS-02");
    struct rig *rig = *state;

    for (unsigned lap = 0; lap < 20; lap++) {
        assert_false(interrupted_by_one(rig));
        assert_false(virtq_arm(&rig->q, 1));
        assert_true(interrupted_by_one(rig));
        virtq_disarm(&rig->q);
        assert_false(interrupted_by_one(rig));
        virtq_disarm(&rig->q);
    }
}

static void virtq_arm_says_true_when_completions_are_here(void **state)
{
    struct rig *rig = *state;

    for (unsigned lap = 0; lap < 5; lap++) {
        lend(rig, 1, 0);
        assert_false(virtq_arm(&rig->q, 1));
        fake_push(&rig->device, fake_pop(&rig->device), 0);
        assert_true(virtq_arm(&rig->q, 1));
        assert_int_equal(virtq_get(&rig->q, done, 1), 1);
        assert_false(virtq_arm(&rig->q, 1));
    }
}

static void virtq_arm_waits_for_the_nth_buffer(void **state)
{
    PROVES("SPLIT-UNS-04");
    struct rig *rig = *state;
    unsigned n = MIN(rig->variant->size, 5);

    if (!rig->variant->event_idx)
        return;
    for (unsigned lap = 0; lap < 50; lap++) {
        unsigned at = 1 + lap % (n + 2); /* beyond what is lent counts as the last */

        lend(rig, n, 0);
        assert_false(virtq_arm(&rig->q, (uint16_t)at));
        assert_int_equal(take(rig), n);
        for (unsigned i = 1; i <= n; i++) {
            fake_push(&rig->device, chains[i - 1], 0);
            assert_int_equal(fake_interrupt_wanted(&rig->device), i == MIN(at, n));
        }
        assert_int_equal(virtq_get(&rig->q, done, n), n);
    }
}

/* The queue must be dead for good, and give back all of the numbered cookies, each once. */
static void check_broken(struct rig *rig, unsigned lent)
{
    void *cookies[3];
    uint8_t *seen = calloc(1, VIRTQ_SIZE_MAX + 1);
    unsigned returned = 0;
    int n;

    assert_non_null(virtq_broken_reason(&rig->q));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(add(rig, 1, 0, 0), -EIO);
        assert_false(virtq_publish(&rig->q));
        assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
        assert_true(virtq_arm(&rig->q, 1));
        virtq_disarm(&rig->q);
    }
    assert_int_equal(virtq_in_flight(&rig->q), lent);
    while ((n = virtq_drain(&rig->q, cookies, 3)) > 0) {
        while (n--) {
            uintptr_t number = (uintptr_t)cookies[n] - 1;

            assert_true(number <= VIRTQ_SIZE_MAX);
            assert_int_equal(seen[number]++, 0);
            returned++;
        }
    }
    assert_int_equal(n, 0);
    assert_int_equal(returned, lent);
    assert_int_equal(virtq_in_flight(&rig->q), 0);
    assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
    free(seen);
}

static void virtq_get_rejects_a_used_index_that_ran_ahead(void **state)
{
    struct rig *rig = *state;
    unsigned n = few(rig);

    if (rig->variant->format == VIRTQ_PACKED)
        return;
    lend(rig, n, 0);
    fake_lie_used_jump(&rig->device, (uint16_t)(n + 1));
    assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
    check_broken(rig, n);
}

static void virtq_get_rejects_a_used_index_that_ran_back(void **state)
{
    struct rig *rig = *state;

    if (rig->variant->format == VIRTQ_PACKED)
        return;
    fake_lie_used_jump(&rig->device, UINT16_MAX);
    assert_true(virtq_arm(&rig->q, 1));
    assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
    check_broken(rig, 0);
}

static void virtq_get_rejects_a_buffer_that_was_not_published(void **state)
{
    struct rig *rig = *state;

    if (rig->variant->format == VIRTQ_PACKED)
        return;
    assert_int_equal(add(rig, 0, 1, 0), 1);
    fake_lie_used(&rig->device, 0, 0, 1); /* a new queue lends slot 0 first */
    assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
    check_broken(rig, 1);
}

/* Each pair of AVAIL and USED that neither waits nor is used, on either lap. */
static void virtq_get_rejects_a_wrong_wrap_counter(void **state)
{
    struct rig *rig = *state;
    unsigned size = rig->variant->size;

    if (rig->variant->format == VIRTQ_SPLIT)
        return;
    for (unsigned i = 0; i < 8; i++) {
        struct pvirtq_desc *desc = rig->config.areas.descriptor;
        bool avail = i & 1, used = i & 2, lap = i & 4;

        fake_queue_stop(&rig->device);
        start(rig);
        run_forward(rig, lap ? size : 0);
        assert_int_equal(virtq_get(&rig->q, done, 8), 0); /* idle: whatever stands there is old */
        assert_int_equal(add(rig, 0, 1, 0), 1);
        assert_int_equal(virtq_get(&rig->q, done, 8), 0); /* and before it is published */
        virtq_publish(&rig->q);
        desc->flags = avail << 7 | used << 15;
        if (avail == used && used != lap) {
            assert_int_equal(virtq_get(&rig->q, done, 8), 1);
        } else if (avail != used && avail != lap) {
            assert_int_equal(virtq_get(&rig->q, done, 8), 0);
        } else {
            assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
            check_broken(rig, 1);
        }
    }
}

/* With others that are published, so that no index tells. */
static void virtq_get_rejects_the_id_of_a_buffer_that_was_not_published(void **state)
{
    struct rig *rig = *state;
    unsigned n = few(rig);

    for (unsigned held = 1; held < MIN(n, 5); held++) {
        lend(rig, n - held, 0);
        for (unsigned i = 0; i < held; i++)
            assert_int_equal(add(rig, 0, 1, n - held + i), 1);
        fake_lie_used(&rig->device, n - 1, 0, 1); /* a new queue lends its slots in their order */
        assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
        check_broken(rig, n);
        fake_queue_stop(&rig->device);
        start(rig);
    }
}

/* The unpublished buffer took the last slot; those added after it took what came free since. */
static void virtq_get_knows_unpublished_buffers_when_slots_ran_out_between(void **state)
{
    struct rig *rig = *state;
    unsigned n = rig->variant->size;
    uint16_t freed[2];

    if (n < 7 || n > 256 || rig->variant->in_order)
        return;
    for (unsigned wrong = 0; wrong < 2; wrong++) {
        lend(rig, n - 1, 0);
        assert_int_equal(add(rig, 0, 1, n - 1), 1);
        assert_int_equal(take(rig), n - 1);
        assert_int_equal(virtq_get(&rig->q, done, 8), 0);
        for (unsigned i = 0; i < 2; i++) {
            freed[i] = chains[2 + i]->id;
            fake_push(&rig->device, chains[2 + i], 0);
        }
        assert_int_equal(virtq_get(&rig->q, done, 8), 2);
        assert_int_equal(add(rig, 0, 1, n), 1);
        assert_int_equal(add(rig, 0, 1, n + 1), 1);
        fake_lie_used(&rig->device, freed[wrong], 0, 1);
        assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
        assert_string_equal(virtq_broken_reason(&rig->q),
                            "the device used a buffer that was not published");
        fake_queue_stop(&rig->device);
        start(rig);
    }
}

/* The entry names a later buffer than the index covers. */
static void virtq_get_rejects_a_batch_that_its_index_does_not_cover(void **state)
{
    struct rig *rig = *state;

    if (!rig->variant->in_order || rig->variant->format == VIRTQ_PACKED || rig->variant->size < 7)
        return;
    lend(rig, 5, 0);
    fake_lie_used(&rig->device, 2, 0, 1);
    assert_int_equal(virtq_get(&rig->q, done, 8), 1);
    assert_ptr_equal(done[0].cookie, cookie_of(0));
    check_broken(rig, 4);
}

/* What was used stays used: an id of before is idle by now. */
static void virtq_get_rejects_a_batch_that_ends_before_it_begins(void **state)
{
    struct rig *rig = *state;

    if (!rig->variant->in_order || rig->variant->size < 7)
        return;
    lend(rig, 5, 0);
    fake_lie_used(&rig->device, 1, 0, rig->variant->format == VIRTQ_PACKED ? 2 : 1);
    if (rig->variant->format == VIRTQ_SPLIT)
        fake_lie_used_jump(&rig->device, 1);
    assert_int_equal(virtq_get(&rig->q, done, 8), 2);
    fake_lie_used(&rig->device, 0, 0, 1);
    assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
    check_broken(rig, 3);
}

static void virtq_get_rejects_an_id_beyond_the_ring(void **state)
{
    struct rig *rig = *state;
    uint32_t wrong[] = { rig->variant->size, rig->variant->size + 1u,
                         UINT16_MAX,         0x10000,
                         0x7fffffff,         UINT32_MAX };

    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        if (rig->variant->format == VIRTQ_PACKED && wrong[i] > UINT16_MAX)
            continue;
        lend(rig, 1, 0);
        fake_lie_used(&rig->device, wrong[i], 0, 1);
        assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
        check_broken(rig, 1);
        fake_queue_stop(&rig->device);
        start(rig);
    }
}

static void virtq_get_rejects_an_id_that_is_idle(void **state)
{
    struct rig *rig = *state;
    uint16_t idle;

    if (rig->variant->size < 2)
        return;
    lend(rig, 1, 0);
    idle = (uint16_t)((fake_pop(&rig->device)->id + 1) % rig->variant->size);
    fake_lie_used(&rig->device, idle, 0, 1);
    assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
    check_broken(rig, 1);
}

static void virtq_get_rejects_any_completion_when_nothing_is_lent(void **state)
{
    struct rig *rig = *state;

    run_forward(rig, 1);
    fake_lie_used(&rig->device, 0, 0, 1);
    assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
    check_broken(rig, 0);
}

static void virtq_get_rejects_an_id_used_twice(void **state)
{
    struct rig *rig = *state;
    struct fake_chain *chain;
    uint16_t id;

    if (rig->variant->size < 2)
        return;
    lend(rig, 2, 0);
    chain = fake_pop(&rig->device);
    id = chain->id;
    fake_push(&rig->device, chain, 0);
    fake_lie_used(&rig->device, id, 0, 1);
    /* what is true comes first */
    assert_int_equal(virtq_get(&rig->q, done, 8), 1);
    assert_ptr_equal(done[0].cookie, cookie_of(0));
    check_broken(rig, 1);
}

static void virtq_get_rejects_a_descriptor_inside_a_chain_as_id(void **state)
{
    struct rig *rig = *state;
    struct fake_chain *chain;

    if (rig->variant->size < 2 || rig->variant->indirect || rig->variant->format == VIRTQ_PACKED)
        return;
    assert_int_equal(add(rig, 1, 1, 0), 1);
    virtq_publish(&rig->q);
    chain = fake_pop(&rig->device);
    fake_lie_used(&rig->device, ((struct virtq_desc *)rig->device.desc)[chain->id].next, 0, 1);
    assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
    check_broken(rig, 1);
}

static void virtq_get_rejects_a_length_beyond_what_was_lent(void **state)
{
    struct rig *rig = *state;
    unsigned size = rig->variant->size, readable = size > 1, writable = size > 2 ? 2 : 1;
    uint32_t most = bytes_of(5 + readable, writable);

    for (unsigned i = 0; i < 3; i++) {
        static const uint32_t beyond[] = { 0, 1, UINT32_MAX - 16 };

        assert_int_equal(add(rig, readable, writable, 5), 1);
        virtq_publish(&rig->q);
        fake_push(&rig->device, fake_pop(&rig->device), most + beyond[i]);
        assert_int_equal(virtq_get(&rig->q, done, 8), beyond[i] ? -EIO : 1);
        if (beyond[i] == 0)
            continue;
        check_broken(rig, 1);
        fake_queue_stop(&rig->device);
        start(rig);
    }
}

static void virtq_get_rejects_a_length_for_a_readable_buffer(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(add(rig, 1, 0, 0), 1);
    virtq_publish(&rig->q);
    fake_push(&rig->device, fake_pop(&rig->device), 1);
    assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
    check_broken(rig, 1);
}

/*
 * Packed: without WRITE the length of a used descriptor means nothing (§2.8.5).
 * DPDK leaves there what the driver had written; QEMU tells the length all the same.
 */
static void virtq_get_ignores_a_length_that_is_reserved(void **state)
{
    struct rig *rig = *state;
    struct pvirtq_desc *desc = rig->config.areas.descriptor;
    uint16_t at;

    if (rig->variant->format == VIRTQ_SPLIT)
        return;
    for (unsigned lap = 0; lap < 6; lap++) {
        unsigned writable = lap % 2, lent = bytes_of(5, 1);

        assert_int_equal(add(rig, !writable, writable, 5), 1);
        virtq_publish(&rig->q);
        at = rig->device.used_next;
        fake_push(&rig->device, fake_pop(&rig->device), lap < 4 ? 1500 : writable);
        desc[at].flags &= (uint16_t)~VIRTQ_DESC_F_WRITE;
        assert_int_equal(virtq_get(&rig->q, done, 8), 1);
        assert_true(lent < 1500);
        assert_int_equal(done[0].len, lap < 4 ? 0 : writable);
    }
    assert_int_equal(virtq_free_count(&rig->q), rig->variant->size);
}

static void virtq_drain_returns_what_was_added_but_not_published(void **state)
{
    struct rig *rig = *state;
    unsigned n = few(rig);

    if (n > 1)
        lend(rig, n - 1, 1);
    assert_int_equal(add(rig, 1, 0, 0), 1);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(virtq_drain(&rig->q, (void *[1]){ NULL }, 1), 1);
    assert_int_equal(virtq_drain(&rig->q, (void *[1]){ NULL }, 1), 0);
    check_broken(rig, 0);
}

static void virtq_init_begins_a_new_life_after_a_reset(void **state)
{
    struct rig *rig = *state;
    void *cookies[MANY];

    lend(rig, few(rig), 0);
    fake_lie_used(&rig->device, UINT16_MAX, 0, 1);
    assert_int_equal(virtq_get(&rig->q, done, 8), -EIO);
    fake_queue_stop(&rig->device);
    assert_int_equal(virtq_drain(&rig->q, cookies, MANY), few(rig));
    start(rig);
    assert_null(virtq_broken_reason(&rig->q));
    assert_int_equal(virtq_get(&rig->q, done, 8), 0);
    run_forward(rig, 3);
    virtq_get_returns_buffers_in_the_order_of_use(state);
}

static void virtq_init_rejects_a_size_that_may_not_be(void **state)
{
    struct rig *rig = *state;

    rig->config.size = 0;
    assert_int_equal(virtq_init(&rig->q, &rig->config), -EINVAL);
    rig->config.size = VIRTQ_SIZE_MAX + 1;
    assert_int_equal(virtq_init(&rig->q, &rig->config), -EINVAL);
    rig->config.size = 3;
    rig->config.format = VIRTQ_SPLIT;
    assert_int_equal(virtq_init(&rig->q, &rig->config), -EINVAL);
}

static void virtq_layout_keeps_the_areas_apart(void **state)
{
    PROVES("SPLIT-ALGN-01", "PACK-ALGN-01");
    struct rig *rig = *state;
    const struct virtq_layout *layout = &rig->layout;
    size_t size = rig->variant->size, ring_size = rig->variant->ring_size;
    size_t entries = ring_size ? ring_size : size;
    bool split = rig->variant->format == VIRTQ_SPLIT;

    assert_true(layout->driver_offset >= 16 * entries);
    assert_true(layout->device_offset >= layout->driver_offset + (split ? 6 + 2 * entries : 4));
    assert_true(layout->indirect_offset >= layout->device_offset + (split ? 6 + 8 * entries : 4));
    if (ring_size)
        assert_int_equal(layout->driver_offset, 16 * entries); /* not for us to choose */
    else
        assert_int_equal(layout->driver_offset % 64, 0);
    assert_int_equal(layout->device_offset % (ring_size ? 4096 : 64), 0);
    assert_int_equal(layout->indirect_offset % 64, 0);
    if (rig->variant->indirect && size > 1)
        assert_int_equal(layout->shared_bytes,
                         layout->indirect_offset + 16 * size * MIN(size, INDIRECT_MAX));
    else
        assert_int_equal(layout->shared_bytes, layout->indirect_offset);
}

/* Takes a cookie off the list of those that are lent: it must be there. */
static void give_back(uint8_t *lent, void *cookie)
{
    uintptr_t number = (uintptr_t)cookie - 1;

    assert_true(number < VIRTQ_SIZE_MAX);
    assert_int_equal(lent[number], 1);
    lent[number] = 0;
}

static void scribble(struct rig *rig, unsigned bytes)
{
    uint8_t *block = rig->block;

    while (bytes--) {
        size_t area = rand() % 2 ? rig->layout.device_offset : 0;
        size_t near = 64u << rand() % 8, most = rig->layout.indirect_offset - area;

        block[area + rand() % MIN(near, most)] = (uint8_t)(rand() % 4 ? rand() % 8 : rand());
    }
}

/* Each byte the device can reach may say anything at any time. */
static void virtq_survives_garbage_in_all_that_is_shared(void **state)
{
    struct rig *rig = *state;
    uint8_t *lent = calloc(1, VIRTQ_SIZE_MAX);
    unsigned believed = 0;

    for (unsigned round = 0; round < 300; round++) {
        void *cookies[2 * MANY];
        unsigned number, n = few(rig);
        int got;

        lend(rig, n, 0);
        memset(lent, 1, n);
        number = n;
        for (unsigned true_ones = round % 4; true_ones && true_ones < n; true_ones--)
            fake_push(&rig->device, fake_pop(&rig->device), 1);
        scribble(rig, round % 64);
        while ((got = virtq_get(&rig->q, done, 4)) > 0 && number < 2 * MANY) {
            for (int i = 0; i < got; i++) {
                assert_true(done[i].len <= 8);
                give_back(lent, done[i].cookie);
            }
            believed += got;
            if (add(rig, 0, 1, number) == 1)
                lent[number++] = 1;
            virtq_publish(&rig->q);
            virtq_arm(&rig->q, (uint16_t)rand());
            scribble(rig, 8);
        }
        assert_true(got == 0 || got == -EIO || number == 2 * MANY);
        assert_true((got == -EIO) <= (virtq_broken_reason(&rig->q) != NULL));
        n = virtq_in_flight(&rig->q);
        assert_int_equal(virtq_drain(&rig->q, cookies, 2 * MANY), n);
        while (n--)
            give_back(lent, cookies[n]);
        assert_null(memchr(lent, 1, VIRTQ_SIZE_MAX));
        fake_queue_stop(&rig->device);
        start(rig);
    }
    assert_true(believed > 0 || rig->variant->size == 1);
    free(lent);
}

/* The model: what is lent, as a plain array by number. */
struct lent {
    bool lent;
    unsigned readable, writable;
    uint32_t used_len;
};

struct model {
    struct lent *lent; /* by number */
    unsigned in_flight, descriptors, next_number;
    unsigned held; /* chains[0..held) are with the device */
    bool device_asleep, driver_asleep, notified, interrupted;
    unsigned unpublished;
};

#define NUMBERS 100000

static void model_add(struct rig *rig, struct model *model)
{
    unsigned elements = rand() % 3 ? 1 : 1 + rand() % (rand() % 4 ? 5 : 20);
    unsigned readable = rand() % (elements + 1), number = model->next_number;
    bool indirect = rig->variant->indirect && rig->variant->size > 1 && elements > 1 &&
                    elements <= MIN(INDIRECT_MAX, rig->variant->size);
    unsigned descriptors = indirect ? 1 : elements;
    int expected = 1;

    if (elements > rig->variant->size)
        expected = -EMSGSIZE;
    else if (model->descriptors + descriptors > rig->variant->size)
        expected = 0;
    assert_int_equal(add(rig, readable, elements - readable, number), expected);
    if (expected <= 0)
        return;
    model->lent[number] = (struct lent){ true, readable, elements - readable, 0 };
    model->next_number++;
    model->in_flight++;
    model->unpublished++;
    model->descriptors += descriptors;
}

static void model_publish(struct rig *rig, struct model *model)
{
    bool notify = virtq_publish(&rig->q);

    /* a device that sleeps since it saw nothing must be woken by the first that comes */
    if (model->device_asleep && model->unpublished)
        assert_true(notify || model->notified);
    model->notified |= notify;
    model->unpublished = 0;
}

static void model_take(struct rig *rig, struct model *model)
{
    struct fake_chain *chain;

    if (model->device_asleep && !model->notified)
        return;
    model->device_asleep = model->notified = false;
    fake_refuse_notification(&rig->device);
    for (unsigned n = rand() % 8; n; n--) {
        chain = fake_pop(&rig->device);
        assert_null(rig->device.violation);
        if (!chain) {
            fake_want_notification(&rig->device);
            model->device_asleep = !fake_available(&rig->device);
            return;
        }
        chains[model->held++] = chain;
    }
    fake_want_notification(&rig->device);
}

/* The buffer's number is found by where its first piece lies. */
static unsigned number_of(const struct model *model, const struct fake_chain *chain)
{
    unsigned at = (unsigned)(chain->pieces[0].start - arena) / 8;

    for (unsigned number = at; number < model->next_number; number += VIRTQ_SIZE_MAX) {
        if (model->lent[number].lent)
            return number;
    }
    fail_msg("the device has a buffer that is not lent");
    return 0;
}

/* n held chains from `which` on are used: one by one, or with IN_ORDER as a batch. */
static void model_push(struct rig *rig, struct model *model, unsigned which, unsigned n)
{
    uint32_t len = 0;

    for (unsigned i = 0; i < n; i++) {
        struct fake_chain *chain = chains[which + i];
        unsigned number = number_of(model, chain);
        struct lent *lent = &model->lent[number];

        check_pieces(chain, lent->readable, lent->writable, number);
        lent->used_len = (uint32_t)chain->writable_bytes;
        if (i + 1 == n && chain->writable_bytes)
            lent->used_len = len = number % chain->writable_bytes;
    }
    if (n == 1)
        fake_push(&rig->device, chains[which], len);
    else
        fake_push_batch(&rig->device, &chains[which], n, len);
    model->held -= n;
    memmove(&chains[which], &chains[which + n], (model->held - which) * sizeof(chains[0]));
}

static void model_use(struct rig *rig, struct model *model)
{
    for (unsigned n = rand() % 8; n && model->held; n--) {
        bool in_order = rig->variant->in_order;
        unsigned which = in_order || rand() % 2 ? 0 : rand() % model->held;

        model_push(rig, model, which, in_order && rand() % 2 ? 1 + rand() % model->held : 1);
        if (fake_interrupt_wanted(&rig->device))
            model->interrupted = true;
        /* a driver that sleeps since it saw nothing must be woken by the first that comes */
        if (model->driver_asleep)
            assert_true(model->interrupted);
    }
}

static void model_get(struct rig *rig, struct model *model)
{
    int n;

    if (model->driver_asleep && !model->interrupted)
        return;
    model->driver_asleep = model->interrupted = false;
    if (rand() % 2)
        virtq_disarm(&rig->q);
    n = virtq_get(&rig->q, done, rand() % 12);
    if (n < 0)
        fail_msg("%s", virtq_broken_reason(&rig->q));
    for (int i = 0; i < n; i++) {
        unsigned number = (unsigned)((uintptr_t)done[i].cookie - 1);
        struct lent *lent = &model->lent[number];
        unsigned elements = lent->readable + lent->writable;
        bool indirect = rig->variant->indirect && elements > 1 &&
                        elements <= MIN(INDIRECT_MAX, rig->variant->size);

        assert_true(number < model->next_number && lent->lent);
        assert_int_equal(done[i].len, lent->used_len);
        lent->lent = false;
        model->in_flight--;
        model->descriptors -= indirect ? 1 : elements;
    }
    if (rand() % 2)
        model->driver_asleep = !virtq_arm(&rig->q, 1);
}

static void run_model(struct rig *rig, unsigned steps)
{
    struct model model = { .lent = calloc(NUMBERS, sizeof(struct lent)) };

    for (unsigned step = 0; step < steps; step++) {
        switch (rand() % 6) {
        case 0:
        case 1:
            model_add(rig, &model);
            break;
        case 2:
            model_publish(rig, &model);
            break;
        case 3:
            model_take(rig, &model);
            break;
        case 4:
            model_use(rig, &model);
            break;
        case 5:
            model_get(rig, &model);
            break;
        }
        assert_int_equal(virtq_in_flight(&rig->q), model.in_flight);
        assert_int_equal(virtq_free_count(&rig->q), rig->variant->size - model.descriptors);
    }
    assert_true(model.next_number > steps / 100);
    free(model.lent);
}

/* From a new queue, from the 16-bit indices' end, and from either wrap counter. */
static void virtq_does_what_a_plain_array_does(void **state)
{
    PROVES("SPLIT-FRM-02");
    struct rig *rig = *state;
    const unsigned starts[] = { 0, 65534, rig->variant->size, rig->variant->size - 1u };

    for (unsigned i = 0; i < ARRAY_SIZE(starts); i++) {
        fake_queue_stop(&rig->device);
        start(rig);
        run_forward(rig, starts[i]);
        run_model(rig, 2500);
    }
}

/*
 * A driver and a device that really run at the same time, each going to sleep
 * as often as it finds nothing to do. A wake-up lost leaves both asleep.
 */
struct pair {
    struct rig *rig;
    sem_t bell, interrupt;
    unsigned buffers; /* to go through */
};

static void ring_pair(void *argument, uint32_t value)
{
    (void)value;
    sem_post(&((struct pair *)argument)->bell);
}

/* Sleeps, but looks for a while first: most races are there. */
static void wait_for(sem_t *semaphore)
{
    for (unsigned i = 0; i < 1000; i++) {
        if (sem_trywait(semaphore) == 0)
            return;
    }
    sem_wait(semaphore);
}

static void *device_thread(void *argument)
{
    struct pair *pair = argument;
    struct fake_queue *device = &pair->rig->device;

    for (unsigned used = 0; used < pair->buffers;) {
        struct fake_chain *chain;

        fake_refuse_notification(device);
        while ((chain = fake_pop(device))) {
            fake_push(device, chain, 0);
            used++;
            if (fake_interrupt_wanted(device))
                sem_post(&pair->interrupt);
        }
        fake_want_notification(device);
        if (used < pair->buffers && !fake_available(device))
            wait_for(&pair->bell);
    }
    return NULL;
}

static void virtq_loses_no_wakeup_between_two_threads(void **state)
{
    PROVES("CORE-RSV-08");
    struct rig *rig = *state;
    bool large = rig->variant->size == 256 && rig->variant->event_idx;
    struct pair pair = { .rig = rig, .buffers = large ? 1000000 : 50000 };
    struct virtq_buffer buffer = buffer_of(1, 0, 0);
    unsigned lent = 0, back = 0;
    pthread_t device;

    if (rig->variant->indirect || (rig->variant->size != 1 && rig->variant->size != 256))
        return;
    sem_init(&pair.bell, 0, 0);
    sem_init(&pair.interrupt, 0, 0);
    rig->config.doorbell.hook_argument = &pair;
    rig->config.doorbell.hook = ring_pair;
    rig->config.order_platform = rig->variant->in_order; /* either fence with every format */
    fake_queue_stop(&rig->device);
    start(rig);
    alarm(300); /* asleep for good: the program is killed */
    pthread_create(&device, NULL, device_thread, &pair);
    while (back < pair.buffers) {
        int n;

        for (unsigned batch = 1 + lent % 7; batch && lent < pair.buffers; batch--) {
            if (virtq_add(&rig->q, &buffer, 1) == 0)
                break;
            lent++;
        }
        if (virtq_publish(&rig->q))
            virtq_notify(&rig->q);
        n = virtq_get(&rig->q, done, MANY);
        assert_true(n >= 0);
        back += n;
        if (n == 0 && back < pair.buffers && !virtq_arm(&rig->q, 1))
            wait_for(&pair.interrupt);
        if (lent % 3 == 0)
            virtq_disarm(&rig->q);
    }
    pthread_join(device, NULL);
    alarm(0);
    sem_destroy(&pair.bell);
    sem_destroy(&pair.interrupt);
}

static void virtq_size_ok_knows_the_limits(void **state)
{
    static const uint32_t sizes[] = { 0,   1,     2,     3,     7,     255,
                                      256, 32767, 32768, 32769, 65536, 0x80000000 };
    static const bool split[] = { 0, 1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0 };
    static const bool packed[] = { 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_int_equal(virtq_size_ok(VIRTQ_SPLIT, sizes[i]), split[i]);
        assert_int_equal(virtq_size_ok(VIRTQ_PACKED, sizes[i]), packed[i]);
    }
}

#define TEST(function)      \
    {                       \
#function, function \
    }

static const struct {
    const char *name;
    CMUnitTestFunction function;
} tests[] = {
    TEST(virtq_get_returns_buffers_in_the_order_of_use),
    TEST(virtq_get_returns_buffers_used_out_of_order),
    TEST(virtq_get_takes_no_more_than_asked),
    TEST(virtq_add_is_invisible_until_published),
    TEST(virtq_add_takes_the_first_that_fit),
    TEST(virtq_add_takes_batches_over_the_end_of_the_ring),
    TEST(virtq_add_rejects_what_never_fits),
    TEST(virtq_add_rejects_four_gibibytes),
    TEST(virtq_add_lends_a_chain_as_long_as_the_queue),
    TEST(virtq_add_says_full_when_a_chain_finds_no_room),
    TEST(virtq_add_puts_chains_into_indirect_tables),
    TEST(virtq_runs_over_every_wrap),
    TEST(virtq_get_returns_a_batch_that_is_told_by_its_last_buffer),
    TEST(virtq_publish_says_false_when_there_is_nothing_new),
    TEST(virtq_publish_obeys_the_flags),
    TEST(virtq_publish_notifies_when_the_event_was_not_negotiated),
    TEST(virtq_publish_notifies_when_the_event_is_in_the_batch),
    TEST(virtq_publish_does_not_notify_for_an_event_that_is_past),
    TEST(virtq_notify_rings_the_doorbell),
    TEST(virtq_notify_tells_where_the_ring_stands),
    TEST(virtq_interrupts_only_while_armed),
    TEST(virtq_arm_says_true_when_completions_are_here),
    TEST(virtq_arm_waits_for_the_nth_buffer),
    TEST(virtq_get_rejects_a_used_index_that_ran_ahead),
    TEST(virtq_get_rejects_a_used_index_that_ran_back),
    TEST(virtq_get_rejects_a_buffer_that_was_not_published),
    TEST(virtq_get_rejects_a_wrong_wrap_counter),
    TEST(virtq_get_rejects_the_id_of_a_buffer_that_was_not_published),
    TEST(virtq_get_knows_unpublished_buffers_when_slots_ran_out_between),
    TEST(virtq_get_rejects_a_batch_that_its_index_does_not_cover),
    TEST(virtq_get_rejects_a_batch_that_ends_before_it_begins),
    TEST(virtq_get_rejects_an_id_beyond_the_ring),
    TEST(virtq_get_rejects_an_id_that_is_idle),
    TEST(virtq_get_rejects_any_completion_when_nothing_is_lent),
    TEST(virtq_get_rejects_an_id_used_twice),
    TEST(virtq_get_rejects_a_descriptor_inside_a_chain_as_id),
    TEST(virtq_get_rejects_a_length_beyond_what_was_lent),
    TEST(virtq_get_rejects_a_length_for_a_readable_buffer),
    TEST(virtq_get_ignores_a_length_that_is_reserved),
    TEST(virtq_drain_returns_what_was_added_but_not_published),
    TEST(virtq_init_begins_a_new_life_after_a_reset),
    TEST(virtq_init_rejects_a_size_that_may_not_be),
    TEST(virtq_layout_keeps_the_areas_apart),
    TEST(virtq_survives_garbage_in_all_that_is_shared),
    TEST(virtq_does_what_a_plain_array_does),
    TEST(virtq_loses_no_wakeup_between_two_threads),
    TEST(virtq_size_ok_knows_the_limits),
};

static int run(const struct variant *variant)
{
    struct CMUnitTest unit[ARRAY_SIZE(tests)];

    for (unsigned i = 0; i < ARRAY_SIZE(tests); i++)
        unit[i] = (struct CMUnitTest){ tests[i].name, tests[i].function, set_up, tear_down,
                                       (void *)variant };
    return _cmocka_run_group_tests(variant->name, unit, ARRAY_SIZE(tests), NULL, NULL);
}

/* Rings of which not all is used. */
static int run_legacy(void)
{
    static const uint16_t sizes[][2] = { { 1, 2 }, { 2, 1024 }, { 16, 32 }, { 256, 32768 } };
    int failed = 0;

    for (unsigned i = 0; i < 4 * ARRAY_SIZE(sizes); i++) {
        struct variant variant = { VIRTQ_SPLIT,     i & 1,           i & 2, false,
                                   sizes[i / 4][0], sizes[i / 4][1], "" };

        snprintf(variant.name, sizeof(variant.name), "legacy%s%s, %u of %u",
                 i & 1 ? ", event_idx" : "", i & 2 ? ", indirect" : "", variant.size,
                 variant.ring_size);
        failed += run(&variant);
    }
    return failed;
}

int main(void)
{
    static const uint16_t sizes[] = { 1, 2, 3, 7, 256, 32768 };
    int failed = 0;

    srand(1);
    for (unsigned i = 0; i < 16 * ARRAY_SIZE(sizes); i++) {
        struct variant variant = {
            i & 1 ? VIRTQ_PACKED : VIRTQ_SPLIT, i & 2, i & 4, i & 8, sizes[i / 16], 0, ""
        };

        if (!virtq_size_ok(variant.format, variant.size))
            continue;
        snprintf(variant.name, sizeof(variant.name), "%s%s%s%s, size %u",
                 i & 1 ? "packed" : "split", i & 2 ? ", event_idx" : "", i & 4 ? ", indirect" : "",
                 i & 8 ? ", in_order" : "", variant.size);
        failed += run(&variant);
    }
    return failed + run_legacy();
}
