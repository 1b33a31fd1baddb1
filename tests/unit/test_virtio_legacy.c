/* SPDX-License-Identifier: MIT */
/* The device core with legacy devices (§2.2.3): what is different from all others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/device.h"
#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/net.h"
#include "kernel/irq.h"
#include "lib/base/errno.h"
#include "tests/host/alloc.h"
#include "tests/host/clock.h"
#include "tests/host/dma.h"
#include "tests/host/event.h"
#include "tests/host/fake_transport.h"
#include "tests/host/log.h"
#include "tests/host/proves.h"

#define ACKNOWLEDGE VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER_     VIRTIO_CONFIG_S_DRIVER
#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK

#define WANTED_SIZE 16

static struct fake_transport fake;
static struct virtio_queue queue;
static struct event event;
static uint16_t wanted_indirect;
static int setup_result;
static bool watch_config;

static int probe(struct virtio_device *dev)
{
    setup_result = virtio_queue_setup(dev, &queue, 0, WANTED_SIZE, wanted_indirect, &event);
    if (setup_result)
        return setup_result;
    if (watch_config)
        virtio_config_watch(dev, &event);
    return virtio_start(dev);
}

static const struct virtio_feature features[] = {
    VIRTIO_FEATURE(VIRTIO_NET_F_CSUM), VIRTIO_FEATURE(VIRTIO_NET_F_MAC),
    VIRTIO_FEATURE(VIRTIO_NET_F_RSS_CONTEXT), /* beyond bit 63 */
};

static const struct virtio_driver driver LINKER_SET(virtio_drivers) = {
    .name = "test-net",
    .type = VIRTIO_ID_NET,
    .features = features,
    .n_features = ARRAY_SIZE(features),
    .probe = probe,
};

/* Finishes all that it gets, with a length that is as wrong as it can be. */
static uint32_t told_length;

static void serve(struct fake_transport *transport, unsigned index)
{
    struct fake_queue *ring = &transport->queues[index].ring;
    struct fake_chain *chain;

    while ((chain = fake_pop(ring)))
        fake_push(ring, chain, told_length);
    fake_want_notification(ring);
    fake_transport_interrupt(transport, index);
}

static int set_up(void **state)
{
    (void)state;
    fake_transport_init(&fake, VIRTIO_ID_NET);
    fake_make_legacy(&fake);
    host_dma_low = true;
    fake_offer(&fake, VIRTIO_NET_F_CSUM);
    fake.queues[0].size_max = 64;
    fake.kicked = serve;
    event_init(&event);
    wanted_indirect = 0;
    told_length = 0;
    watch_config = false;
    irq_mode = IRQ_MODE_MSIX;
    host_log_clear();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    host_allocs_until_failure = -1;
    if (fake.device.link.next)
        virtio_remove(&fake.device);
    fake_transport_check(&fake);
    assert_int_equal(host_dma_live, 0);
    host_dma_low = false;
    return 0;
}

static void add(int result)
{
    assert_int_equal(virtio_add(&fake.device), result);
    fake_transport_check(&fake);
}

/* Lends n buffers of one element, one after the other, and takes each back when it interrupts. */
static void travel(unsigned n, bool writable)
{
    static uint8_t bytes[64];
    struct virtq_elem elem = { (uintptr_t)bytes, sizeof(bytes) };
    struct virtq_buffer buffer = { &elem, !writable, writable, bytes };
    struct virtq_done done;

    for (unsigned i = 0; i < n; i++) {
        unsigned before = fake.interrupts;
        bool wanted;

        assert_int_equal(virtq_add(&queue.ring, &buffer, 1), 1);
        wanted = virtq_publish(&queue.ring);
        assert_false(virtq_arm(&queue.ring, 1));
        assert_true(wanted);
        virtq_notify(&queue.ring);
        assert_int_equal(fake.interrupts, before + 1);
        assert_int_equal(virtq_get(&queue.ring, &done, 1), 1);
        assert_ptr_equal(done.cookie, bytes);
        assert_int_equal(done.len, writable ? sizeof(bytes) : 0);
    }
}

/* ---- status and features */

static void bring_up_leaves_out_features_ok(void **state)
{
    PROVES("CORE-LEGINIT-01", "CORE-LEG-02");
    const uint8_t expected[] = { 0, ACKNOWLEDGE, ACKNOWLEDGE | DRIVER_,
                                 ACKNOWLEDGE | DRIVER_ | DRIVER_OK };

    (void)state;
    add(0);
    assert_int_equal(fake.n_statuses, sizeof(expected));
    assert_memory_equal(fake.statuses, expected, sizeof(expected));
}

static void the_first_word_of_features_is_all_there_is(void **state)
{
    PROVES("CORE-LEGRSV-01", "CORE-LEGRSV-02");
    (void)state;
    fake_offer(&fake, VIRTIO_F_VERSION_1); /* nobody can see it */
    fake_offer(&fake, VIRTIO_F_RING_PACKED);
    fake_offer(&fake, VIRTIO_NET_F_RSS_CONTEXT);
    fake_offer(&fake, VIRTIO_F_NOTIFY_ON_EMPTY);
    add(0);
    assert_int_equal(fake.accepted.word[0], 1u << VIRTIO_NET_F_CSUM | 1u << VIRTIO_F_ANY_LAYOUT |
                                                1u << VIRTIO_F_INDIRECT_DESC |
                                                1u << VIRTIO_F_EVENT_IDX);
    for (unsigned i = 1; i < VIRTIO_FEATURE_WORDS; i++)
        assert_int_equal(
            fake.accepted.word[i] | fake.device.offered.word[i] | fake.device.accepted.word[i], 0);
}

static void any_layout_is_for_legacy_devices_only(void **state)
{
    (void)state;
    fake_transport_init(&fake, VIRTIO_ID_NET);
    fake_offer(&fake, VIRTIO_F_ANY_LAYOUT);
    fake.queues[0].size_max = 64;
    add(0);
    assert_false(virtio_has(&fake.device, VIRTIO_F_ANY_LAYOUT));
}

static void a_device_that_is_not_reached_as_legacy_still_needs_version_1(void **state)
{
    PROVES("CORE-LEG-01");
    (void)state;
    fake.device.legacy = false;
    assert_int_equal(virtio_add(&fake.device), -EPROTO);
    assert_non_null(strstr(host_log_text(), "does not offer VERSION_1"));
}

/* ---- configuration */

static void a_number_is_read_until_it_is_the_same_twice(void **state)
{
    PROVES("CORE-LEGCFG-01");
    uint64_t number = 0;

    (void)state;
    memcpy(fake.config, "\1\2\3\4\5\6\7\10", 8);
    add(0);
    fake.unsettled_reads = 5;
    assert_int_equal(virtio_config_read(&fake.device, 0, &number, sizeof(number)), 0);
    assert_int_equal(number, UINT64_C(0x0807060504030201));
}

static void an_array_is_read_until_it_is_the_same_twice(void **state)
{
    PROVES("CORE-LEGCFG-01");
    uint8_t mac[6];

    (void)state;
    memcpy(fake.config, "\2\3\4\5\6\7", 6);
    add(0);
    fake.unsettled_reads = 9;
    assert_int_equal(virtio_config_read(&fake.device, 0, mac, sizeof(mac)), 0);
    assert_memory_equal(mac, "\2\3\4\5\6\7", 6);
}

static void a_byte_is_read_once(void **state)
{
    uint8_t byte;

    (void)state;
    add(0);
    fake.config_reads = 0;
    assert_int_equal(virtio_config_read(&fake.device, 3, &byte, 1), 0);
    assert_int_equal(fake.config_reads, 1);
}

static void a_configuration_that_never_reads_the_same_twice_is_an_error(void **state)
{
    uint32_t number;

    (void)state;
    add(0);
    fake.never_settles = true;
    assert_int_equal(virtio_config_read(&fake.device, 0, &number, sizeof(number)), -EIO);
    assert_non_null(strstr(host_log_text(), "does not settle"));
}

static void a_look_for_changes_is_told_as_one_where_nothing_else_can_tell(void **state)
{
    static struct virtio_transport without_line;

    (void)state;
    without_line = *fake.device.transport;
    without_line.line_take = NULL;
    fake.device.transport = &without_line;
    irq_mode = IRQ_MODE_POLL;
    watch_config = true;
    add(0);
    host_clock_ns += NSEC_PER_SEC;
    assert_true(virtio_config_changed(&fake.device));
    assert_false(virtio_config_changed(&fake.device)); /* not before five milliseconds */
}

/* ---- queues */

static void a_queue_lies_where_the_device_computes_it(void **state)
{
    PROVES("SPLIT-LEG-01", "SPLIT-LEG-02", "SPLIT-LEG-03", "SPLIT-LEGEND-01");
    static const uint16_t sizes[] = { 1, 2, 4, 16, 64, 128, 256, 1024, 32768 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        const struct virtio_queue_setup *setup = &fake.queues[0].setup;
        uint64_t page;

        set_up(NULL);
        told_length = 64;
        fake.queues[0].size_max = sizes[i];
        wanted_indirect = 4;
        add(0);
        assert_int_equal(setup->size, sizes[i]);
        assert_int_equal(queue.size, MIN(sizes[i], WANTED_SIZE));
        page = setup->descriptor_addr;
        assert_int_equal(page % 4096, 0);
        assert_int_equal(setup->driver_addr, page + 16 * sizes[i]);
        assert_int_equal(setup->device_addr,
                         page + ALIGN_UP(16 * sizes[i] + 2 * (3 + sizes[i]), 4096));
        /* Behind the whole of what the standard counts to it, tables are our own. */
        assert_true(queue.areas.indirect_addr >=
                    setup->device_addr + ALIGN_UP(6 + 8 * sizes[i], 4096));
        assert_true(queue.shared_bytes <= queue.areas.indirect_addr - page + WANTED_SIZE * 4 * 16);
        travel(3 * sizes[i] + 7, true);
        virtio_remove(&fake.device);
        fake_transport_check(&fake);
    }
    fake.device.link.next = NULL;
}

static void a_long_ring_is_filled_no_further_than_was_asked_for(void **state)
{
    static uint8_t bytes[64];
    struct virtq_elem elem = { (uintptr_t)bytes, sizeof(bytes) };
    struct virtq_buffer buffers[WANTED_SIZE + 1];
    struct virtq_done done[WANTED_SIZE + 1];

    (void)state;
    for (unsigned i = 0; i <= WANTED_SIZE; i++)
        buffers[i] = (struct virtq_buffer){ &elem, 0, 1, &bytes[i] };
    fake.queues[0].size_max = 1024;
    add(0);
    for (unsigned lap = 0; lap < 200; lap++) {
        assert_int_equal(virtq_add(&queue.ring, buffers, WANTED_SIZE + 1), WANTED_SIZE);
        if (virtq_publish(&queue.ring))
            virtq_notify(&queue.ring);
        assert_int_equal(virtq_get(&queue.ring, done, WANTED_SIZE + 1), WANTED_SIZE);
    }
    assert_int_equal(queue.ring.free_count, WANTED_SIZE);
}

static void chains_and_tables_travel_on_a_long_ring(void **state)
{
    static uint8_t bytes[64];
    struct virtq_elem elem[3] = { { (uintptr_t)bytes, 8 },
                                  { (uintptr_t)bytes + 8, 16 },
                                  { (uintptr_t)bytes + 24, 1 } };
    struct virtq_buffer buffer = { elem, 1, 2, bytes };
    struct virtq_done done;

    (void)state;
    told_length = 17;
    fake.queues[0].size_max = 256;
    for (wanted_indirect = 0; wanted_indirect < 4; wanted_indirect += 3) {
        add(0);
        for (unsigned i = 0; i < 600; i++) {
            assert_int_equal(virtq_add(&queue.ring, &buffer, 1), 1);
            if (virtq_publish(&queue.ring))
                virtq_notify(&queue.ring);
            assert_int_equal(virtq_get(&queue.ring, &done, 1), 1);
            assert_int_equal(done.len, 17);
        }
        virtio_remove(&fake.device);
    }
    fake.device.link.next = NULL;
}

static void an_id_that_the_device_has_and_we_do_not_use_is_refused(void **state)
{
    struct virtq_done done;
    static uint8_t byte;
    struct virtq_elem elem = { (uintptr_t)&byte, 1 };
    struct virtq_buffer buffer = { &elem, 0, 1, &byte };

    (void)state;
    fake.kicked = NULL;
    fake.queues[0].size_max = 1024;
    add(0);
    assert_int_equal(virtq_add(&queue.ring, &buffer, 1), 1);
    virtq_publish(&queue.ring);
    fake_lie_used(&fake.queues[0].ring, WANTED_SIZE, 0, 1);
    assert_int_equal(virtq_get(&queue.ring, &done, 1), -EIO);
    assert_string_equal(virtq_broken_reason(&queue.ring), "the device used an id beyond the ring");
}

static void a_size_that_is_none_is_refused(void **state)
{
    static const uint32_t sizes[] = { 3, 100, 1023, 32769, 65535, 65536, 0x80000000 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        fake.queues[0].size_max = sizes[i];
        assert_int_equal(virtio_add(&fake.device), -EINVAL);
        assert_int_equal(setup_result, -EINVAL);
        virtio_remove(&fake.device);
    }
    fake.queues[0].size_max = 0;
    assert_int_equal(virtio_add(&fake.device), -ENOENT);
}

static void a_queue_that_lies_too_high_for_the_device_is_refused(void **state)
{
    (void)state;
    host_dma_low = false; /* addresses are pointers: beyond 16 TiB */
    assert_int_equal(virtio_add(&fake.device), -ERANGE);
    assert_non_null(strstr(host_log_text(), "16 TiB"));
}

static void memory_that_runs_out_leaves_nothing_behind(void **state)
{
    int result = -1;

    (void)state;
    fake.queues[0].size_max = 32768;
    for (int n = 0; result; n++) {
        host_allocs_until_failure = n;
        result = virtio_add(&fake.device);
        host_allocs_until_failure = -1;
        virtio_remove(&fake.device);
        assert_int_equal(host_dma_live, 0);
        assert_true(n < 10);
    }
    fake.device.link.next = NULL;
}

static void lengths_are_not_looked_at_where_that_was_asked_for(void **state)
{
    static const uint32_t lengths[] = { 0, 1, 65, UINT32_MAX };

    (void)state;
    add(0);
    virtio_queue_ignore_lengths(&queue);
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        told_length = lengths[i];
        travel(100, true);
        travel(100, false);
    }
    /* And after a reset. */
    assert_int_equal(virtio_reset(&fake.device), 0);
    assert_int_equal(virtq_drain(&queue.ring, NULL, 0), 0);
    assert_int_equal(virtio_reinit(&fake.device), 0);
    assert_int_equal(virtio_start(&fake.device), 0);
    travel(100, true);
}

static void lengths_of_other_devices_count_whatever_was_asked_for(void **state)
{
    static uint8_t byte;
    struct virtq_elem elem = { (uintptr_t)&byte, 1 };
    struct virtq_buffer buffer = { &elem, 0, 1, &byte };
    struct virtq_done done;

    (void)state;
    fake_transport_init(&fake, VIRTIO_ID_NET);
    fake.queues[0].size_max = 64;
    fake.kicked = serve;
    add(0);
    virtio_queue_ignore_lengths(&queue);
    told_length = 2;
    assert_int_equal(virtq_add(&queue.ring, &buffer, 1), 1);
    virtq_publish(&queue.ring);
    virtq_notify(&queue.ring);
    assert_int_equal(virtq_get(&queue.ring, &done, 1), -EIO);
}

static void a_queue_of_another_size_after_a_reset_fails_the_device(void **state)
{
    (void)state;
    add(0);
    assert_int_equal(virtio_reset(&fake.device), 0);
    fake.queues[0].size_max = 128; /* it would look for our areas elsewhere */
    assert_int_equal(virtio_reinit(&fake.device), -EINVAL);
    assert_non_null(fake.device.failure);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bring_up_leaves_out_features_ok),
        TEST(the_first_word_of_features_is_all_there_is),
        TEST(any_layout_is_for_legacy_devices_only),
        TEST(a_device_that_is_not_reached_as_legacy_still_needs_version_1),
        TEST(a_number_is_read_until_it_is_the_same_twice),
        TEST(an_array_is_read_until_it_is_the_same_twice),
        TEST(a_byte_is_read_once),
        TEST(a_configuration_that_never_reads_the_same_twice_is_an_error),
        TEST(a_look_for_changes_is_told_as_one_where_nothing_else_can_tell),
        TEST(a_queue_lies_where_the_device_computes_it),
        TEST(a_long_ring_is_filled_no_further_than_was_asked_for),
        TEST(chains_and_tables_travel_on_a_long_ring),
        TEST(an_id_that_the_device_has_and_we_do_not_use_is_refused),
        TEST(a_size_that_is_none_is_refused),
        TEST(a_queue_that_lies_too_high_for_the_device_is_refused),
        TEST(memory_that_runs_out_leaves_nothing_behind),
        TEST(lengths_are_not_looked_at_where_that_was_asked_for),
        TEST(lengths_of_other_devices_count_whatever_was_asked_for),
        TEST(a_queue_of_another_size_after_a_reset_fails_the_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
