/* SPDX-License-Identifier: MIT */
/*
 * Rules of the standard on what a driver may write into a virtqueue, and what
 * it may heed of it, checked in the memory of the ring itself: after every
 * operation of a random play, and for every value that a device could show.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/spec/ring.h"
#include "drivers/virtio/virtq.h"
#include "lib/base/errno.h"
#include "tests/host/fake_device.h"
#include "tests/host/proves.h"

#define SIZE  8
#define STEPS 20000

enum { PACKED = 1, EVENT_IDX = 2 };

static struct virtq q;
static struct virtq_config config;
static struct fake_queue device;
static bool packed, event_idx;
static void *block;
static uint8_t memory[64];

/* Ring entries of buffers that the device has and has not used: as they were when it got them. */
static struct {
    bool lent;
    struct virtq_words_seen {
        uint64_t first, second;
    } entry;
} lent_entries[SIZE];

static struct held {
    struct fake_chain *chain;
    uint16_t entry[SIZE];
} held[SIZE];
static unsigned n_held;

static int set_up(void **state)
{
    uintptr_t variant = (uintptr_t)*state;
    struct virtq_layout layout;

    packed = variant & PACKED;
    event_idx = variant & EVENT_IDX;
    layout = virtq_layout(packed ? VIRTQ_PACKED : VIRTQ_SPLIT, SIZE, 0);
    block = aligned_alloc(64, ALIGN_UP(layout.shared_bytes, 64));
    memset(block, 0xa5, layout.shared_bytes);
    config = (struct virtq_config){
        .format = packed ? VIRTQ_PACKED : VIRTQ_SPLIT,
        .size = SIZE,
        .event_idx = event_idx,
        .areas = virtq_areas_in(&layout, block, (uintptr_t)block),
        .private_memory = malloc(layout.private_bytes),
        .doorbell = { .kind = VIRTQ_DOORBELL_NONE },
    };
    assert_int_equal(virtq_init(&q, &config), 0);
    fake_queue_start(&device, &(struct fake_queue_config){
                                  .packed = packed,
                                  .event_idx = event_idx,
                                  .size = SIZE,
                                  .desc_addr = config.areas.descriptor_addr,
                                  .driver_addr = config.areas.driver_addr,
                                  .device_addr = config.areas.device_addr,
                              });
    memset(lent_entries, 0, sizeof(lent_entries));
    n_held = 0;
    srand(1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_null(device.violation);
    fake_queue_stop(&device);
    free(config.private_memory);
    free(block);
    return 0;
}

static struct virtq_avail *avail(void)
{
    return device.driver;
}

static struct virtq_used *used(void)
{
    return device.device;
}

static struct virtq_words_seen entry_now(uint16_t entry)
{
    struct virtq_words_seen words;

    memcpy(&words, (uint8_t *)device.desc + sizeof(words) * entry, sizeof(words));
    return words;
}

/* ---- a random play of both sides */

static void add(void)
{
    struct virtq_elem elems[3];
    unsigned n = 1 + rand() % 3, readable = rand() % (n + 1);
    struct virtq_buffer buffer = { elems, (uint16_t)readable, (uint16_t)(n - readable), memory };

    for (unsigned i = 0; i < n; i++)
        elems[i] = (struct virtq_elem){ (uintptr_t)memory + i, 1 + i };
    assert_true(virtq_add(&q, &buffer, 1) >= 0);
}

/* The device takes a buffer, and remembers the entries it was told in. */
static bool take(void)
{
    uint16_t at = device.avail_next;
    struct fake_chain *chain = fake_pop(&device);

    if (!chain)
        return false;
    held[n_held].chain = chain;
    at = packed ? at : chain->id;
    for (unsigned i = 0; i < chain->descriptors; i++) {
        held[n_held].entry[i] = at;
        assert_false(lent_entries[at].lent);
        lent_entries[at].lent = true;
        lent_entries[at].entry = entry_now(at);
        at = packed ? (at + 1) % SIZE : ((struct virtq_desc *)device.desc)[at].next;
    }
    n_held++;
    return true;
}

/* Packed: in order, for a used entry lies where the oldest buffer did. */
static void use(void)
{
    unsigned which = packed ? 0 : rand() % n_held;
    struct held one = held[which];

    memmove(&held[which], &held[which + 1], (n_held - which - 1) * sizeof(held[0]));
    n_held--;
    for (unsigned i = 0; i < one.chain->descriptors; i++)
        lent_entries[one.entry[i]].lent = false;
    fake_push(&device, one.chain, 0);
}

static void step(void)
{
    struct virtq_done done[SIZE];

    switch (rand() % 7) {
    case 0:
    case 1:
        add();
        break;
    case 2:
        virtq_publish(&q);
        break;
    case 3:
        if (n_held)
            use();
        break;
    case 4:
        assert_true(virtq_get(&q, done, rand() % (SIZE + 1)) >= 0);
        break;
    case 5:
        virtq_arm(&q, 1 + rand() % 3);
        break;
    case 6:
        virtq_disarm(&q);
        break;
    }
    while (take())
        ;
    assert_null(device.violation);
}

static void entries_are_left_alone_while_the_device_has_them(void **state)
{
    unsigned seen = 0;

    PROVES("CORE-CLEAN-01", "PACK-DESC-01", "PACK-DESC-02");
    (void)state;
    for (unsigned i = 0; i < STEPS; i++) {
        step();
        for (uint16_t entry = 0; entry < SIZE; entry++) {
            struct virtq_words_seen now = entry_now(entry);

            if (!lent_entries[entry].lent)
                continue;
            seen++;
            assert_memory_equal(&lent_entries[entry].entry, &now, sizeof(now));
        }
    }
    assert_true(seen > STEPS);
}

static void the_available_index_only_moves_forward(void **state)
{
    uint16_t before = 0;
    void *cookies[SIZE];

    PROVES("SPLIT-AVL-01");
    (void)state;
    assert_int_equal(avail()->idx, 0);
    for (unsigned i = 0; i < STEPS; i++) {
        step();
        assert_in_range((uint16_t)(avail()->idx - before), 0, SIZE);
        before = avail()->idx;
    }
    assert_true(device.popped > 1000);
    assert_int_equal((uint16_t)device.popped, before);
    add();
    virtq_drain(&q, cookies, SIZE);
    virtq_publish(&q);
    assert_int_equal(avail()->idx, before);
}

static void the_drivers_flags_are_what_event_idx_allows(void **state)
{
    bool seen[2] = { false };

    PROVES("SPLIT-UNS-01", "SPLIT-UNS-03");
    (void)state;
    for (unsigned i = 0; i < STEPS; i++) {
        step();
        assert_in_range(avail()->flags, 0, event_idx ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT);
        seen[avail()->flags] = true;
    }
    assert_int_equal(seen[1], !event_idx);
}

/* ---- notifications */

static void the_devices_flags_are_zero_on_a_new_ring(void **state)
{
    PROVES("SPLIT-ANS-01");
    (void)state;
    assert_int_equal(used()->flags, 0);
}

static bool publish_one(void)
{
    struct virtq_done done;
    struct virtq_elem elem = { (uintptr_t)memory, 1 };
    struct virtq_buffer buffer = { &elem, 1, 0, memory };
    bool notify;

    assert_int_equal(virtq_add(&q, &buffer, 1), 1);
    notify = virtq_publish(&q);
    fake_push(&device, fake_pop(&device), 0);
    assert_int_equal(virtq_get(&q, &done, 1), 1);
    return notify;
}

static void set_avail_event(uint16_t event)
{
    memcpy(&used()->ring[SIZE], &event, sizeof(event));
}

static void without_event_idx_avail_event_is_not_heeded(void **state)
{
    PROVES("SPLIT-ANS-02", "SPLIT-ANS-03", "SPLIT-ANS-04");
    (void)state;
    for (unsigned event = 0; event <= UINT16_MAX; event++) {
        set_avail_event((uint16_t)event);
        used()->flags = event % 2 ? VIRTQ_USED_F_NO_NOTIFY : 0;
        assert_int_equal(publish_one(), event % 2 == 0);
    }
}

static void with_event_idx_the_devices_flag_is_not_heeded(void **state)
{
    PROVES("SPLIT-ANS-05", "SPLIT-ANS-06", "SPLIT-ANS-07");
    (void)state;
    for (unsigned i = 0; i <= UINT16_MAX; i++) {
        used()->flags = i % 2 ? VIRTQ_USED_F_NO_NOTIFY : 0;
        set_avail_event((uint16_t)(avail()->idx + i % 3));
        assert_int_equal(publish_one(), i % 3 == 0);
    }
}

#define VARIANT(test, what, flags)                                    \
    {                                                                 \
#test " (" what ")", test, set_up, tear_down, (void *)(flags) \
    }
#define PLAIN(test)      VARIANT(test, "split", 0)
#define WITH_EVENT(test) VARIANT(test, "split, event_idx", EVENT_IDX)
#define SPLIT(test)      PLAIN(test), WITH_EVENT(test)
#define ALL(test)                                 \
    SPLIT(test), VARIANT(test, "packed", PACKED), \
        VARIANT(test, "packed, event_idx", PACKED | EVENT_IDX)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALL(entries_are_left_alone_while_the_device_has_them),
        SPLIT(the_available_index_only_moves_forward),
        SPLIT(the_drivers_flags_are_what_event_idx_allows),
        SPLIT(the_devices_flags_are_zero_on_a_new_ring),
        PLAIN(without_event_idx_avail_event_is_not_heeded),
        WITH_EVENT(with_event_idx_the_devices_flag_is_not_heeded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
