/* SPDX-License-Identifier: MIT */
/* The device core against a transport that behaves, and one that does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/device.h"
#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/net.h"
#include "kernel/clock.h"
#include "kernel/dma.h"
#include "kernel/irq.h"
#include "lib/base/errno.h"
#include "tests/host/alloc.h"
#include "tests/host/clock.h"
#include "tests/host/cmdline.h"
#include "tests/host/event.h"
#include "tests/host/fake_transport.h"
#include "tests/host/irq.h"
#include "tests/host/log.h"
#include "tests/host/proves.h"

#define ACKNOWLEDGE VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER_     VIRTIO_CONFIG_S_DRIVER
#define FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK
#define FAILED      VIRTIO_CONFIG_S_FAILED

static struct fake_transport fake;
static struct virtio_queue queues[3];
static struct event events[3], config_event;

/* ---- a driver with a network card's features and as many queues as a test wants */

static unsigned wanted_queues, wanted_size, wanted_indirect;
static bool watch_config, share_event;
static int probe_result, setup_result;

static int probe(struct virtio_device *dev)
{
    for (unsigned i = 0; i < wanted_queues; i++) {
        setup_result =
            virtio_queue_setup(dev, &queues[i], (uint16_t)i, (uint16_t)wanted_size,
                               (uint16_t)wanted_indirect, share_event ? &events[0] : &events[i]);
        if (setup_result)
            return setup_result;
    }
    if (watch_config)
        virtio_config_watch(dev, &config_event);
    return probe_result ? probe_result : virtio_start(dev);
}

static const struct virtio_feature features[] = {
    VIRTIO_FEATURE_NEEDS_ANY(VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6),
    VIRTIO_FEATURE_NEEDS(VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_CSUM),
    VIRTIO_FEATURE_NEEDS(VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_CSUM),
    VIRTIO_FEATURE(VIRTIO_NET_F_CSUM),
    VIRTIO_FEATURE(VIRTIO_NET_F_MAC),
    VIRTIO_FEATURE(VIRTIO_NET_F_RSS_CONTEXT), /* beyond bit 63 */
};

static const struct virtio_driver net_driver LINKER_SET(virtio_drivers) = {
    .name = "test-net",
    .type = VIRTIO_ID_NET,
    .features = features,
    .n_features = ARRAY_SIZE(features),
    .probe = probe,
};

static const struct virtio_feature picky_features[] = { VIRTIO_FEATURE_REQUIRED(5) };

static const struct virtio_driver picky_driver LINKER_SET(virtio_drivers) = {
    .name = "test-picky",
    .type = VIRTIO_ID_SOUND,
    .features = picky_features,
    .n_features = 1,
    .probe = probe,
};

static int set_up(void **state)
{
    (void)state;
    fake_transport_init(&fake, VIRTIO_ID_NET);
    for (unsigned i = 0; i < 3; i++) {
        fake.queues[i].size_max = 64;
        event_init(&events[i]);
    }
    event_init(&config_event);
    wanted_queues = 1;
    wanted_size = 16;
    wanted_indirect = 0;
    watch_config = share_event = false;
    probe_result = 0;
    dma_is_translated = false;
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
    assert_null(virtio_next(NULL));
    assert_int_equal(host_irqs_free, HOST_IRQS);
    assert_false(host_next_timer(CLOCK_NEVER));
    fake_transport_check(&fake);
    return 0;
}

static void add(int result)
{
    assert_int_equal(virtio_add(&fake.device), result);
    fake_transport_check(&fake);
}

static bool logged(const char *text)
{
    return strstr(host_log_text(), text) != NULL;
}

/* ---- status */

static void bring_up_goes_through_the_states_in_order(void **state)
{
    PROVES("CORE-STAT-01", "CORE-STAT-02", "CORE-INIT-02", "CORE-INIT-03", "CORE-INIT-04",
           "CORE-INIT-06", "CORE-INIT-09");
    const uint8_t expected[] = { 0, ACKNOWLEDGE, ACKNOWLEDGE | DRIVER_,
                                 ACKNOWLEDGE | DRIVER_ | FEATURES_OK,
                                 ACKNOWLEDGE | DRIVER_ | FEATURES_OK | DRIVER_OK };

    (void)state;
    add(0);
    assert_int_equal(fake.n_statuses, sizeof(expected));
    assert_memory_equal(fake.statuses, expected, sizeof(expected));
    assert_true(fake.device.started);
    assert_null(fake.device.failure);
}

static void a_reset_that_takes_its_time_is_waited_for(void **state)
{
    PROVES("CORE-RST-01");
    uint64_t start_ns = host_clock_ns;

    (void)state;
    fake.reset_polls = 100;
    add(0);
    assert_true(host_clock_ns > start_ns);
    assert_true(host_clock_ns < start_ns + NSEC_PER_SEC);
}

static void a_reset_that_never_ends_fails_after_a_second(void **state)
{
    uint64_t start_ns = host_clock_ns;

    (void)state;
    fake.reset_never_ends = true;
    fake.status = DRIVER_OK;
    add(-ETIMEDOUT);
    assert_true(host_clock_ns - start_ns < 2 * NSEC_PER_SEC);
    assert_true(logged("virtio") && logged("does not answer a reset"));
    assert_true(fake.cut_off);
    fake.reset_never_ends = false;
}

static void a_device_without_a_driver_is_reset_and_listed(void **state)
{
    (void)state;
    fake.device.type = VIRTIO_ID_CAMERA;
    add(-ENODEV);
    assert_ptr_equal(virtio_next(NULL), &fake.device);
    assert_int_equal(fake.n_statuses, 1);
    assert_true(virtio_features_have(&fake.device.offered, VIRTIO_F_VERSION_1));
    assert_null(fake.device.failure);
}

static void a_device_that_refuses_the_features_is_failed(void **state)
{
    PROVES("CORE-INIT-07");
    (void)state;
    fake.refuse_features_ok = true;
    add(-EPROTO);
    assert_int_equal(fake.status & (FAILED | DRIVER_OK), FAILED);
    assert_non_null(fake.device.failure);
    assert_null(fake.device.driver);
    assert_true(logged("refuses the features"));
}

static void a_probe_that_fails_sets_failed_and_frees_its_queues(void **state)
{
    (void)state;
    wanted_queues = 3;
    watch_config = true;
    probe_result = -EIO;
    add(-EIO);
    assert_true(list_empty(&fake.device.queues));
    assert_int_equal(host_irqs_free, HOST_IRQS);
    assert_int_equal(fake.resets, 2);
    assert_true(fake.status & FAILED);
    assert_true(logged("its driver could not start it (error 5)"));
}

static void start_tells_when_the_device_asks_for_a_reset_at_once(void **state)
{
    (void)state;
    probe_result = -EBUSY;
    add(-EBUSY);
    fake.needs_reset = true;
    assert_int_equal(virtio_start(&fake.device), -EIO);
    assert_false(fake.device.started);
    fake.needs_reset = false;
    fake.violation = NULL; /* DRIVER_OK without FEATURES_OK was this test's own doing */
}

static void two_devices_live_beside_one_that_fails(void **state)
{
    static struct fake_transport others[2];
    static const uint32_t types[2] = { VIRTIO_ID_SOUND, VIRTIO_ID_CAMERA };

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        fake_transport_init(&others[i], types[i]);
        assert_true(virtio_add(&others[i].device) < 0);
    }
    add(0);
    assert_ptr_equal(virtio_next(NULL), &others[0].device);
    assert_ptr_equal(virtio_next(&others[1].device), &fake.device);
    assert_true(fake.device.started);
    virtio_remove(&others[0].device);
    virtio_remove(&others[1].device);
}

/* ---- features */

static void only_what_is_offered_and_known_is_accepted(void **state)
{
    PROVES("CORE-FEAT-04", "CORE-FEAT-05", "CORE-FEAT-08", "CORE-LEGRSV-02", "CORE-RSV-10");
    (void)state;
    for (unsigned bit = 0; bit < VIRTIO_FEATURE_BITS; bit++)
        fake_offer(&fake, bit);
    add(0);
    for (unsigned bit = 0; bit < VIRTIO_FEATURE_BITS; bit++) {
        bool known = bit == VIRTIO_F_VERSION_1 || bit == VIRTIO_F_EVENT_IDX ||
                     bit == VIRTIO_F_INDIRECT_DESC || bit == VIRTIO_F_RING_PACKED ||
                     bit == VIRTIO_F_ACCESS_PLATFORM || bit == VIRTIO_F_IN_ORDER ||
                     bit == VIRTIO_F_ORDER_PLATFORM || bit == VIRTIO_F_NOTIFICATION_DATA ||
                     bit == VIRTIO_F_NOTIF_CONFIG_DATA || bit == VIRTIO_F_RING_RESET ||
                     bit == VIRTIO_NET_F_CSUM || bit == VIRTIO_NET_F_MAC ||
                     bit == VIRTIO_NET_F_HOST_TSO4 || bit == VIRTIO_NET_F_HOST_TSO6 ||
                     bit == VIRTIO_NET_F_HOST_ECN || bit == VIRTIO_NET_F_RSS_CONTEXT;
        struct virtio_features refused = virtio_refused(&fake.device);

        assert_int_equal(virtio_features_have(&fake.accepted, bit), known);
        assert_int_equal(virtio_has(&fake.device, bit), known);
        assert_int_equal(virtio_features_have(&refused, bit), !known);
    }
}

static void what_the_transport_cannot_do_is_refused(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < VIRTIO_FEATURE_BITS; bit++)
        fake_offer(&fake, bit);
    fake.device.transport_features = (struct virtio_features){ 0 };
    add(0);
    assert_false(virtio_has(&fake.device, VIRTIO_F_NOTIFICATION_DATA));
    assert_false(virtio_has(&fake.device, VIRTIO_F_NOTIF_CONFIG_DATA));
    assert_false(virtio_has(&fake.device, VIRTIO_F_RING_RESET));
    assert_true(virtio_has(&fake.device, VIRTIO_F_IN_ORDER));
}

static void nothing_is_accepted_that_is_not_offered(void **state)
{
    PROVES("CORE-FEAT-01", "CORE-RSV-01");
    (void)state;
    add(0);
    assert_memory_equal(&fake.accepted, &fake.offered, sizeof(fake.offered));
}

static void a_feature_without_its_prerequisite_is_refused(void **state)
{
    PROVES("CORE-FEAT-02", "CORE-FEAT-03");
    (void)state;
    fake_offer(&fake, VIRTIO_NET_F_HOST_TSO4);
    fake_offer(&fake, VIRTIO_NET_F_HOST_ECN);
    add(0);
    assert_false(virtio_has(&fake.device, VIRTIO_NET_F_HOST_TSO4));
    assert_false(virtio_has(&fake.device, VIRTIO_NET_F_HOST_ECN));
}

static void one_of_two_alternative_prerequisites_is_enough(void **state)
{
    PROVES("CORE-FEAT-02");
    (void)state;
    fake_offer(&fake, VIRTIO_NET_F_CSUM);
    fake_offer(&fake, VIRTIO_NET_F_HOST_TSO6);
    fake_offer(&fake, VIRTIO_NET_F_HOST_ECN);
    add(0);
    assert_true(virtio_has(&fake.device, VIRTIO_NET_F_HOST_ECN));
}

static void a_device_without_version_1_is_failed(void **state)
{
    PROVES("CORE-FEAT-03", "CORE-FEAT-07", "CORE-LEG-01", "CORE-RSV-02");
    (void)state;
    fake_withdraw(&fake, VIRTIO_F_VERSION_1);
    add(-EPROTO);
    assert_true(logged("does not offer VERSION_1"));
    assert_true(fake.status & FAILED);
}

static void a_device_behind_an_iommu_that_stays_on_is_failed(void **state)
{
    PROVES("CORE-RSV-04");
    (void)state;
    dma_is_translated = true;
    fake_offer(&fake, VIRTIO_F_ACCESS_PLATFORM);
    add(-EPROTO);
    assert_true(logged("an IOMMU that cannot be turned off"));
    assert_true(fake.status & FAILED);
}

static void a_device_that_goes_past_the_iommu_works(void **state)
{
    (void)state;
    dma_is_translated = true;
    add(0);
    assert_true(fake.device.started);
}

static void a_device_that_lacks_a_required_feature_is_failed(void **state)
{
    PROVES("CORE-FEAT-03", "CORE-FEAT-07");
    (void)state;
    fake.device.type = VIRTIO_ID_SOUND;
    add(-EPROTO);
    assert_true(logged("lacks a feature"));
    assert_int_equal(fake.status & (FAILED | DRIVER_OK), FAILED);
}

static void features_beyond_128_are_none(void **state)
{
    const struct virtio_features all = { { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX } };

    (void)state;
    assert_true(virtio_features_have(&all, 127));
    assert_false(virtio_features_have(&all, 128));
    assert_false(virtio_features_have(&all, UINT32_MAX));
}

/* ---- configuration */

static void a_field_is_read_in_its_own_width(void **state)
{
    static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
    uint64_t u64;
    uint32_t u32;
    uint16_t u16;
    uint8_t mac[6];

    (void)state;
    memcpy(fake.config, bytes, sizeof(bytes));
    fake.device.config_bytes = sizeof(bytes);
    add(0);
    assert_int_equal(virtio_config_read(&fake.device, 8, &u64, 8), 0);
    assert_int_equal(u64, UINT64_C(0x100f0e0d0c0b0a09));
    assert_int_equal(virtio_config_read(&fake.device, 4, &u32, 4), 0);
    assert_int_equal(u32, 0x08070605);
    assert_int_equal(virtio_config_read(&fake.device, 2, &u16, 2), 0);
    assert_int_equal(u16, 0x0403);
    assert_int_equal(virtio_config_read(&fake.device, 1, mac, 6), 0);
    assert_memory_equal(mac, bytes + 1, 6);
}

static void a_field_beyond_the_configuration_is_refused(void **state)
{
    PROVES("CORE-CFG-05");
    uint64_t value;

    (void)state;
    fake.device.config_bytes = 8;
    add(0);
    assert_int_equal(virtio_config_read(&fake.device, 0, &value, 8), 0);
    assert_int_equal(virtio_config_read(&fake.device, 4, &value, 8), -ERANGE);
    assert_int_equal(virtio_config_read(&fake.device, 8, &value, 1), -ERANGE);
    assert_int_equal(virtio_config_read(&fake.device, UINT32_MAX, &value, 1), -ERANGE);
    assert_int_equal(virtio_config_read(&fake.device, 0, &value, 0), -ERANGE);
    assert_int_equal(virtio_config_write(&fake.device, 8, 0, 1), -ERANGE);
    assert_int_equal(virtio_config_write(&fake.device, 4, 0x55667788, 4), 0);
    assert_int_equal(fake.config[7], 0x55);
}

static void a_configuration_that_changes_meanwhile_is_read_again(void **state)
{
    PROVES("CORE-CFG-02");
    uint32_t value;

    (void)state;
    add(0);
    fake.unsettled_reads = 5;
    assert_int_equal(virtio_config_read(&fake.device, 0, &value, 4), 0);
    assert_int_equal(fake.unsettled_reads, 0);
}

static void a_configuration_that_never_settles_is_an_error(void **state)
{
    uint32_t value;

    (void)state;
    add(0);
    fake.never_settles = true;
    assert_int_equal(virtio_config_read(&fake.device, 0, &value, 4), -EIO);
    assert_true(fake.generation <= 200);
    assert_true(logged("does not settle"));
}

/* ---- queues */

static void a_split_queue_gets_the_largest_power_of_two_both_sides_can(void **state)
{
    PROVES("PCI-CC-03");
    static const struct {
        uint32_t theirs;
        unsigned ours, size;
    } cases[] = { { 64, 16, 16 }, { 16, 64, 16 },          { 100, 100, 64 },
                  { 1, 256, 1 },  { 65535, 40000, 32768 }, { UINT32_MAX, 256, 256 } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        fake_transport_init(&fake, VIRTIO_ID_NET);
        fake.queues[0].size_max = cases[i].theirs;
        wanted_size = cases[i].ours;
        add(0);
        assert_int_equal(queues[0].size, cases[i].size);
        assert_int_equal(fake.queues[0].size, cases[i].size);
        virtio_remove(&fake.device);
    }
    fake.device.link.next = NULL;
}

static void a_packed_queue_may_have_any_size(void **state)
{
    PROVES("CORE-RSV-06");
    (void)state;
    fake_offer(&fake, VIRTIO_F_RING_PACKED);
    fake.queues[0].size_max = 100;
    wanted_size = 256;
    add(0);
    assert_int_equal(queues[0].size, 100);
    assert_string_equal(virtio_ring_text(&fake.device), "packed");
}

static void a_queue_that_is_not_there_is_told(void **state)
{
    (void)state;
    fake.queues[0].size_max = 0;
    add(-ENOENT);
}

static void a_queue_of_no_size_is_our_own_mistake(void **state)
{
    (void)state;
    wanted_size = 0;
    add(-EINVAL);
}

static void a_queue_is_set_up_once(void **state)
{
    static struct virtio_queue again;

    (void)state;
    probe_result = 0;
    add(0);
    assert_int_equal(virtio_queue_setup(&fake.device, &again, 0, 16, 0, NULL), -EBUSY);
}

static void indirect_tables_are_had_only_where_both_sides_want_them(void **state)
{
    PROVES("SPLIT-IND-01", "PACK-IND-01");
    (void)state;
    wanted_indirect = 8;
    fake_withdraw(&fake, VIRTIO_F_INDIRECT_DESC);
    add(0);
    assert_int_equal(queues[0].indirect_max, 0);
}

static void memory_that_runs_out_at_any_place_leaves_nothing_behind(void **state)
{
    (void)state;
    wanted_queues = 3;
    watch_config = true;
    for (int i = 0;; i++) {
        int error;

        fake_transport_init(&fake, VIRTIO_ID_NET);
        for (unsigned q = 0; q < 3; q++)
            fake.queues[q].size_max = 64;
        host_allocs_until_failure = i;
        error = virtio_add(&fake.device);
        host_allocs_until_failure = -1;
        virtio_remove(&fake.device);
        assert_int_equal(host_irqs_free, HOST_IRQS);
        if (error == 0)
            break;
        assert_int_equal(error, -ENOMEM);
        assert_true(i < 20);
    }
    fake.device.link.next = NULL;
}

static void serve(struct fake_transport *of, unsigned queue)
{
    struct fake_chain *chain;

    while ((chain = fake_pop(&of->queues[queue].ring))) {
        fake_write(chain, 0, "done", 4);
        fake_push(&of->queues[queue].ring, chain, 4);
    }
    fake_want_notification(&of->queues[queue].ring);
    fake_transport_interrupt(of, queue);
}

static void run_a_request(void)
{
    static char buffer[8];
    struct virtq_elem elem = { (uintptr_t)buffer, sizeof(buffer) };
    struct virtq_buffer lent = { &elem, 0, 1, buffer };
    struct virtq_done done;

    memset(buffer, 0, sizeof(buffer));
    fake.kicked = serve;
    assert_false(virtq_arm(&queues[0].ring, 1));
    assert_int_equal(virtq_add(&queues[0].ring, &lent, 1), 1);
    if (virtq_publish(&queues[0].ring))
        virtq_notify(&queues[0].ring);
    assert_int_equal(event_wait(&events[0], CLOCK_NEVER), 0);
    assert_int_equal(virtq_get(&queues[0].ring, &done, 1), 1);
    assert_ptr_equal(done.cookie, buffer);
    assert_int_equal(done.len, 4);
    assert_string_equal(buffer, "done");
    fake_transport_check(&fake);
}

static void a_request_travels_on_either_ring_and_by_any_interrupt(void **state)
{
    static const enum irq_mode modes[] = { IRQ_MODE_MSIX, IRQ_MODE_POLL };

    (void)state;
    for (unsigned packed = 0; packed < 2; packed++)
        for (unsigned mode = 0; mode < 2; mode++) {
            fake_transport_init(&fake, VIRTIO_ID_NET);
            fake.queues[0].size_max = 4;
            if (packed)
                fake_offer(&fake, VIRTIO_F_RING_PACKED);
            irq_mode = modes[mode];
            add(0);
            for (unsigned i = 0; i < 10; i++)
                run_a_request();
            assert_int_equal(host_event_is_polled(&events[0]), modes[mode] == IRQ_MODE_POLL);
            virtio_remove(&fake.device);
            assert_false(host_event_is_polled(&events[0]));
        }
    fake.device.link.next = NULL;
}

/* The fake device checks what the features promise it. */
static void a_request_travels_with_every_feature_of_the_ring(void **state)
{
    static const unsigned bits[] = { VIRTIO_F_RING_PACKED,       VIRTIO_F_IN_ORDER,
                                     VIRTIO_F_ORDER_PLATFORM,    VIRTIO_F_NOTIFICATION_DATA,
                                     VIRTIO_F_NOTIF_CONFIG_DATA, VIRTIO_F_RING_RESET };

    PROVES("CORE-RSV-07", "CORE-RSV-13");
    (void)state;
    for (unsigned set = 0; set < 1u << ARRAY_SIZE(bits); set++) {
        fake_transport_init(&fake, VIRTIO_ID_NET);
        fake.queues[0].size_max = 4;
        fake.notif_config_data = 0x7f00;
        for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
            if (set & 1u << i)
                fake_offer(&fake, bits[i]);
        add(0);
        assert_memory_equal(&fake.accepted, &fake.offered, sizeof(fake.offered));
        for (unsigned i = 0; i < 10; i++)
            run_a_request();
        virtio_remove(&fake.device);
    }
    fake.device.link.next = NULL;
}

/* ---- interrupts */

static void each_queue_has_a_vector_of_its_own_where_there_are_enough(void **state)
{
    (void)state;
    wanted_queues = 3;
    watch_config = true;
    add(0);
    assert_int_equal(fake.config_vector, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(fake.queues[i].vector, i + 1);
    assert_int_equal(fake.device.interrupts, VIRTIO_INTERRUPTS_MSIX);
    fake_transport_interrupt_always(&fake, 1);
    assert_true(events[1].marked);
    assert_false(events[0].marked || events[2].marked || config_event.marked);
}

static void queues_share_vectors_where_there_are_fewer(void **state)
{
    PROVES("PCI-MSIX-04");
    (void)state;
    fake.n_vectors = 2;
    wanted_queues = 3;
    watch_config = true;
    add(0);
    assert_int_equal(fake.config_vector, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(fake.queues[i].vector, 1);
    fake_transport_interrupt_always(&fake, 2);
    assert_true(events[0].marked && events[1].marked && events[2].marked);
    assert_false(config_event.marked);
}

static void one_vector_serves_everything(void **state)
{
    PROVES("PCI-CFGI-01");
    (void)state;
    fake.n_vectors = 1;
    wanted_queues = 2;
    watch_config = true;
    add(0);
    assert_int_equal(fake.queues[1].vector, 0);
    fake_transport_interrupt_always(&fake, 0);
    assert_true(events[0].marked && events[1].marked && config_event.marked);
    assert_false(virtio_config_changed(&fake.device)); /* only a queue's */
    fake_transport_config_changed(&fake);
    assert_true(virtio_config_changed(&fake.device));
    assert_false(virtio_config_changed(&fake.device));
}

static void a_vector_that_the_device_refuses_is_replaced_by_the_first(void **state)
{
    PROVES("PCI-MSIX-06");
    (void)state;
    fake.vectors_refused_from = 1;
    wanted_queues = 2;
    add(0);
    assert_int_equal(fake.queues[0].vector, 0);
    assert_int_equal(fake.queues[1].vector, 0);
    run_a_request();
}

static void cpu_vectors_that_run_out_are_shared(void **state)
{
    (void)state;
    host_irqs_free = 2;
    wanted_queues = 3;
    watch_config = true;
    /* The first two queues take both. */
    add(0);
    assert_int_equal(fake.queues[0].vector, 1);
    assert_int_equal(fake.queues[1].vector, 2);
    assert_int_equal(fake.queues[2].vector, 1);
    assert_int_equal(fake.config_vector, 1);
    assert_false(queues[2].polled || fake.device.config_polled);
    fake_transport_config_changed(&fake);
    assert_true(virtio_config_changed(&fake.device));
    virtio_remove(&fake.device);
    fake.device.link.next = NULL;
    host_irqs_free = HOST_IRQS;
}

static void a_device_without_vectors_is_looked_after_by_a_timer(void **state)
{
    uint64_t start_ns;

    (void)state;
    fake.n_vectors = 0;
    watch_config = true;
    add(0);
    assert_int_equal(fake.device.interrupts, VIRTIO_INTERRUPTS_POLL);
    assert_false(host_event_is_polled(&events[0])); /* the CPU may halt */
    start_ns = host_clock_ns;
    run_a_request();
    assert_true(host_clock_ns - start_ns <= 20 * NSEC_PER_MSEC);
    fake_transport_config_changed(&fake);
    assert_int_equal(event_wait(&config_event, CLOCK_NEVER), 0);
    assert_true(virtio_config_changed(&fake.device));
}

/* Looks at an idle device in so much time. */
static unsigned looks_in(uint64_t ns)
{
    uint64_t end_ns = host_clock_ns + ns;
    unsigned looks = 0;

    while (host_next_timer(end_ns))
        looks++;
    host_clock_ns = end_ns;
    return looks;
}

/* A vhost-user back end of QEMU's dies of an interrupt that has nowhere to go. */
static void a_device_without_vectors_is_not_asked_to_interrupt(void **state)
{
    (void)state;
    for (unsigned vectors = 0; vectors < 2; vectors++) {
        struct virtq_elem elem = { (uintptr_t)&fake, 8 };
        struct virtq_buffer lent = { &elem, 0, 1, &fake };

        fake_transport_init(&fake, VIRTIO_ID_NET);
        fake.queues[0].size_max = 4;
        fake.n_vectors = vectors;
        add(0);
        assert_int_equal(virtq_add(&queues[0].ring, &lent, 1), 1);
        virtq_publish(&queues[0].ring);
        assert_false(virtq_arm(&queues[0].ring, 1));
        fake_push(&fake.queues[0].ring, fake_pop(&fake.queues[0].ring), 0);
        assert_int_equal(fake_interrupt_wanted(&fake.queues[0].ring), vectors);
        assert_true(virtq_arm(&queues[0].ring, 1));
        virtio_remove(&fake.device);
    }
    fake.device.link.next = NULL;
}

static void a_device_without_vectors_is_looked_after_rarely_while_nothing_moves(void **state)
{
    struct virtio_driver patient;

    (void)state;
    fake.n_vectors = 0;
    watch_config = true;
    add(0);
    looks_in(NSEC_PER_SEC);
    assert_in_range(looks_in(NSEC_PER_SEC), 100, 130);
    virtio_remove(&fake.device);
    assert_int_equal(looks_in(NSEC_PER_SEC), 0);

    fake_transport_init(&fake, VIRTIO_ID_NET);
    fake.queues[0].size_max = 4;
    fake.n_vectors = 0;
    add(0);
    patient = net_driver;
    patient.patient = true;
    fake.device.driver = &patient;
    looks_in(NSEC_PER_SEC);
    assert_in_range(looks_in(10 * NSEC_PER_SEC), 70, 80);
    fake_transport_config_changed(&fake);
    assert_int_equal(looks_in(130 * NSEC_PER_MSEC), 1);
    assert_true(virtio_config_changed(&fake.device));
    assert_in_range(looks_in(130 * NSEC_PER_MSEC), 7, 8); /* 1, 2, 4 ... ms */
    run_a_request();
    assert_true(host_next_timer(CLOCK_NEVER)); /* sees that something moves */
    assert_int_equal(looks_in(10 * NSEC_PER_MSEC), 3);
    fake.device.driver = &net_driver;
}

static void a_queue_without_an_event_has_no_interrupt(void **state)
{
    static struct virtio_queue silent;

    (void)state;
    wanted_queues = 0;
    probe_result = -EBUSY; /* the device stays before DRIVER_OK */
    add(-EBUSY);
    probe_result = 0;
    virtio_reset(&fake.device);
    fake.device.driver = &net_driver;
    assert_int_equal(virtio_reinit(&fake.device), 0);
    assert_int_equal(virtio_queue_setup(&fake.device, &silent, 0, 4, 0, NULL), 0);
    assert_int_equal(fake.queues[0].vector, VIRTIO_NO_VECTOR);
    assert_false(silent.polled);
}

static void an_event_that_two_devices_share_is_polled_until_both_are_gone(void **state)
{
    static struct fake_transport other;
    static struct virtio_queue theirs;

    (void)state;
    irq_mode = IRQ_MODE_POLL;
    share_event = true;
    wanted_queues = 2;
    add(0);
    fake_transport_init(&other, VIRTIO_ID_NET);
    wanted_queues = 0;
    other.queues[0].size_max = 4;
    probe_result = 0;
    assert_int_equal(virtio_add(&other.device), 0);
    virtio_reset(&other.device);
    assert_int_equal(virtio_reinit(&other.device), 0);
    assert_int_equal(virtio_queue_setup(&other.device, &theirs, 0, 4, 0, &events[0]), 0);
    virtio_remove(&other.device);
    assert_true(host_event_is_polled(&events[0]));
}

/* ---- changes, needs reset, recovery */

static void a_change_of_the_configuration_is_told_once(void **state)
{
    (void)state;
    watch_config = true;
    add(0);
    assert_false(virtio_config_changed(&fake.device));
    fake_transport_config_changed(&fake);
    assert_true(config_event.marked);
    assert_true(virtio_config_changed(&fake.device));
    assert_false(virtio_config_changed(&fake.device));
}

static void polling_looks_for_changes_at_most_200_times_a_second(void **state)
{
    unsigned told = 0;

    (void)state;
    irq_mode = IRQ_MODE_POLL;
    watch_config = true;
    add(0);
    host_clock_ns += NSEC_PER_SEC;
    for (unsigned i = 0; i < 1000; i++) {
        fake_transport_config_changed(&fake);
        told += virtio_config_changed(&fake.device);
        host_clock_ns += NSEC_PER_MSEC;
    }
    assert_in_range(told, 190, 201);
}

static void a_device_that_asks_for_a_reset_is_noticed_in_every_mode(void **state)
{
    static const enum irq_mode modes[] = { IRQ_MODE_MSIX, IRQ_MODE_POLL };

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        fake_transport_init(&fake, VIRTIO_ID_NET);
        fake.queues[0].size_max = 4;
        irq_mode = modes[i];
        watch_config = true;
        add(0);
        host_clock_ns += NSEC_PER_SEC;
        assert_false(virtio_needs_reset(&fake.device));
        fake_transport_ask_for_reset(&fake);
        assert_true(virtio_config_changed(&fake.device));
        assert_true(virtio_needs_reset(&fake.device));
        virtio_remove(&fake.device);
    }
    fake.device.link.next = NULL;
}

static void a_device_comes_back_after_a_reset_with_all_that_was_lent(void **state)
{
    static char buffer[8];
    struct virtq_elem elem = { (uintptr_t)buffer, sizeof(buffer) };
    struct virtq_buffer lent = { &elem, 0, 1, buffer };
    void *cookies[4];

    (void)state;
    watch_config = true;
    wanted_queues = 2;
    add(0);
    run_a_request();
    fake.kicked = NULL;
    assert_int_equal(virtq_add(&queues[0].ring, &lent, 1), 1);
    virtq_publish(&queues[0].ring);
    fake_transport_ask_for_reset(&fake);

    assert_int_equal(virtio_reset(&fake.device), 0);
    assert_int_equal(virtq_drain(&queues[0].ring, cookies, 4), 1);
    assert_ptr_equal(cookies[0], buffer);
    assert_int_equal(virtio_reinit(&fake.device), 0);
    assert_int_equal(virtio_start(&fake.device), 0);
    assert_false(virtio_needs_reset(&fake.device));
    assert_int_equal(fake.queues[0].vector, 1);
    assert_int_equal(fake.config_vector, 0);
    events[0].marked = false;
    run_a_request();
}

/* Lends one buffer that the device keeps. */
static void lend_one(unsigned queue, void *cookie)
{
    struct virtq_elem elem = { (uintptr_t)cookie, 8 };
    struct virtq_buffer lent = { &elem, 0, 1, cookie };

    assert_int_equal(virtq_add(&queues[queue].ring, &lent, 1), 1);
    virtq_publish(&queues[queue].ring);
}

static void one_queue_is_reset_while_the_others_work_on(void **state)
{
    static char kept[8], other[8];
    void *cookies[4];

    PROVES("CORE-VQR-01", "CORE-VQR-02", "CORE-VQE-01", "PCI-CC-08");
    (void)state;
    wanted_queues = 2;
    fake_offer(&fake, VIRTIO_F_RING_RESET);
    add(0);
    lend_one(1, other);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t start_ns = host_clock_ns;

        fake.kicked = NULL;
        fake.reset_polls = 100 * round; /* takes its time */
        lend_one(0, kept);
        assert_int_equal(virtio_queue_reset(&queues[0]), 0);
        assert_int_equal(host_clock_ns > start_ns, round > 0);
        assert_false(fake.queues[0].live);
        assert_int_equal(virtq_drain(&queues[0].ring, cookies, 4), 1);
        assert_ptr_equal(cookies[0], kept);
        assert_int_equal(virtio_queue_restart(&queues[0]), 0);
        assert_int_equal(fake.queues[0].vector, queues[0].vector);
        events[0].marked = false;
        run_a_request();
    }
    assert_int_equal(virtq_in_flight(&queues[1].ring), 1);
    assert_non_null(fake_pop(&fake.queues[1].ring));
    assert_int_equal(fake.resets, 1);
}

static void a_queue_reset_that_never_ends_is_told_after_a_second(void **state)
{
    static char kept[8];
    uint64_t start_ns;

    PROVES("CORE-VQR-01");
    (void)state;
    fake_offer(&fake, VIRTIO_F_RING_RESET);
    fake.queue_reset_never_ends = true;
    add(0);
    lend_one(0, kept);
    start_ns = host_clock_ns;
    assert_int_equal(virtio_queue_reset(&queues[0]), -ETIMEDOUT);
    assert_in_range(host_clock_ns - start_ns, NSEC_PER_SEC, NSEC_PER_SEC * 11 / 10);
    assert_int_equal(virtq_in_flight(&queues[0].ring), 1);
    assert_int_equal(virtio_reset(&fake.device), 0);
}

static void no_queue_is_reset_alone_where_that_was_not_agreed_on(void **state)
{
    (void)state;
    add(0);
    assert_int_equal(virtio_queue_reset(&queues[0]), -EOPNOTSUPP);
    assert_true(fake.queues[0].live);
}

static void a_queue_that_shrinks_in_its_reset_is_not_used(void **state)
{
    (void)state;
    fake_offer(&fake, VIRTIO_F_RING_RESET);
    add(0);
    assert_int_equal(virtio_queue_reset(&queues[0]), 0);
    fake.queues[0].size_max = 8;
    assert_int_equal(virtio_queue_restart(&queues[0]), -EINVAL);
    assert_false(fake.queues[0].live);
}

/* ---- lines */

static bool claims_nothing(void *argument)
{
    (void)argument;
    return false;
}

static void is_lost(void *argument)
{
    (void)argument;
}

static void have_a_line(struct fake_transport *device, bool level_triggered)
{
    device->n_vectors = 0;
    device->has_line = true;
    device->line = (struct irq_line){ .gsi = 20, .level_triggered = level_triggered };
}

static void a_device_without_vectors_interrupts_by_its_line(void **state)
{
    (void)state;
    have_a_line(&fake, true);
    watch_config = true;
    add(0);
    assert_int_equal(fake.device.interrupts, VIRTIO_INTERRUPTS_LINE);
    assert_true(host_lines[20].level_triggered && !host_lines[20].active_low);
    assert_false(fake.device.line_heard);
    run_a_request();
    assert_true(fake.device.line_heard);
    assert_int_equal(fake.interrupts, 1);
    assert_false(host_next_timer(CLOCK_NEVER)); /* nothing looks after it any more */
    assert_false(virtio_config_changed(&fake.device));
    fake_transport_config_changed(&fake);
    assert_true(config_event.marked);
    assert_false(events[0].marked);
    assert_true(virtio_config_changed(&fake.device));
    assert_false(virtio_config_changed(&fake.device));
}

static void lines_are_used_where_the_user_wants_no_vectors(void **state)
{
    (void)state;
    have_a_line(&fake, true);
    fake.n_vectors = 4;
    irq_mode = IRQ_MODE_INTX;
    add(0);
    assert_int_equal(fake.device.interrupts, VIRTIO_INTERRUPTS_LINE);
    assert_int_equal(fake.queues[0].vector, VIRTIO_NO_VECTOR);
    run_a_request();
}

static void polling_leaves_the_line_alone(void **state)
{
    (void)state;
    have_a_line(&fake, true);
    irq_mode = IRQ_MODE_POLL;
    add(0);
    assert_int_equal(fake.device.interrupts, VIRTIO_INTERRUPTS_POLL);
    assert_int_equal(host_lines[20].vector, 0);
}

static void a_line_asks_for_nothing_while_its_queue_is_disarmed(void **state)
{
    (void)state;
    have_a_line(&fake, true);
    add(0);
    run_a_request();
    virtq_disarm(&queues[0].ring);
    assert_false(fake_transport_interrupt(&fake, 0));
    assert_int_equal(fake.interrupts, 1);
}

static void a_dead_line_leaves_its_device_to_a_timer(void **state)
{
    uint64_t start_ns;

    (void)state;
    have_a_line(&fake, true);
    fake.line_is_dead = true;
    watch_config = true;
    add(0);
    start_ns = host_clock_ns;
    run_a_request();
    assert_true(host_clock_ns - start_ns <= 20 * NSEC_PER_MSEC);
    assert_false(fake.device.line_heard);
    fake_transport_config_changed(&fake);
    assert_int_equal(event_wait(&config_event, CLOCK_NEVER), 0);
    assert_true(virtio_config_changed(&fake.device));
}

static void a_line_that_no_controller_has_leaves_its_device_to_a_timer(void **state)
{
    (void)state;
    have_a_line(&fake, true);
    host_lines[20].absent = true;
    add(0);
    host_lines[20].absent = false;
    assert_int_equal(fake.device.interrupts, VIRTIO_INTERRUPTS_POLL);
    run_a_request();
}

static void two_devices_share_a_line_of_either_trigger(void **state)
{
    static struct fake_transport other;

    (void)state;
    for (unsigned level = 0; level < 2; level++) {
        have_a_line(&fake, level);
        add(0);
        fake_transport_init(&other, VIRTIO_ID_NET);
        have_a_line(&other, level);
        other.queues[0].size_max = 64;
        wanted_queues = 0;
        watch_config = true;
        assert_int_equal(virtio_add(&other.device), 0);
        wanted_queues = 1;
        assert_int_equal(host_irqs_free, HOST_IRQS - 1); /* one vector for both */

        fake_transport_config_changed(&other);
        assert_true(other.device.line_heard && !fake.device.line_heard);
        assert_true(virtio_config_changed(&other.device));
        run_a_request();
        assert_true(fake.device.line_heard);

        virtio_remove(&fake.device);
        fake_transport_config_changed(&other);
        assert_true(virtio_config_changed(&other.device)); /* it is heard alone too */
        virtio_remove(&other.device);
        assert_int_equal(host_lines[20].vector, 0);
        watch_config = false;
        set_up(state);
    }
}

static void a_line_that_storms_is_silenced_until_its_device_is_reset(void **state)
{
    (void)state;
    have_a_line(&fake, true);
    watch_config = true;
    add(0);
    run_a_request();
    fake.line_stays_up = true;
    fake_transport_interrupt_always(&fake, 0);
    assert_in_range(fake.interrupts, 1024, 1024 + 64 + 256 + 16);
    assert_int_equal(host_lines[20].vector, 0); /* masked, for nobody claimed it any more */
    assert_true(logged("nobody claims"));
    assert_true(virtio_needs_reset(&fake.device));

    fake.line_stays_up = false;
    assert_int_equal(virtio_reset(&fake.device), 0);
    assert_int_equal(virtio_reinit(&fake.device), 0);
    assert_int_equal(virtio_start(&fake.device), 0);
    assert_true(host_lines[20].vector);
    events[0].marked = false;
    run_a_request();
    assert_true(fake.device.line_heard);
    assert_false(virtio_needs_reset(&fake.device));
}

static void a_device_that_gets_no_vector_of_the_cpu_takes_its_line(void **state)
{
    static struct irq_listener listener;
    struct irq_line line = { .gsi = 20, .level_triggered = true };

    (void)state;
    have_a_line(&fake, true);
    fake.n_vectors = 4;
    listener = (struct irq_listener){ .handler = claims_nothing, .lost = is_lost };
    assert_int_equal(irq_line_attach(&line, &listener), 0);
    host_irqs_free = 0;
    add(0);
    assert_int_equal(fake.device.interrupts, VIRTIO_INTERRUPTS_LINE);
    assert_true(logged("no vector of the CPU is left"));
    run_a_request();
    assert_true(fake.device.line_heard);
    virtio_remove(&fake.device);
    fake.device.link.next = NULL;
    irq_line_detach(&listener);
    host_irqs_free = HOST_IRQS;
}

static void a_storm_of_interrupts_is_silenced_until_the_device_is_reset(void **state)
{
    unsigned got;

    (void)state;
    watch_config = true;
    add(0);
    for (unsigned i = 0; i < 5000; i++)
        fake_transport_interrupt_always(&fake, 0);
    got = fake.interrupts;
    assert_in_range(got, 1024, 1200);
    assert_true(virtio_config_changed(&fake.device));
    assert_true(virtio_needs_reset(&fake.device));

    assert_int_equal(virtio_reset(&fake.device), 0);
    assert_int_equal(virtio_reinit(&fake.device), 0);
    assert_int_equal(virtio_start(&fake.device), 0);
    assert_false(virtio_needs_reset(&fake.device));
    assert_false(virtio_config_changed(&fake.device));
    events[0].marked = false;
    run_a_request();
    assert_int_equal(fake.interrupts, got + 1);
    for (unsigned i = 0; i < 5000; i++)
        fake_transport_interrupt_always(&fake, 0);
    assert_true(virtio_needs_reset(&fake.device));
}

static void interrupts_that_its_driver_looks_after_are_no_storm(void **state)
{
    PROVES("SPLIT-UNS-05");
    (void)state;
    watch_config = true;
    add(0);
    for (unsigned i = 0; i < 100000; i++) {
        fake_transport_interrupt_always(&fake, 0);
        if (i % 1000 == 0)
            assert_false(virtio_config_changed(&fake.device));
    }
    assert_int_equal(fake.interrupts, 100000);
    assert_false(virtio_needs_reset(&fake.device));
    events[0].marked = false;
    run_a_request();
}

/* Also by a driver that never asks for changes of the configuration. */
static void an_interrupt_for_each_buffer_is_no_storm(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        fake_transport_init(&fake, VIRTIO_ID_NET);
        fake.queues[0].size_max = 4;
        if (packed)
            fake_offer(&fake, VIRTIO_F_RING_PACKED);
        add(0);
        for (unsigned i = 0; i < 100000; i++)
            run_a_request();
        assert_int_equal(fake.interrupts, 100000);
        assert_false(virtio_needs_reset(&fake.device));
        virtio_remove(&fake.device);
    }
    fake.device.link.next = NULL;
}

static void a_device_that_offers_less_after_a_reset_is_failed(void **state)
{
    (void)state;
    add(0);
    assert_int_equal(virtio_reset(&fake.device), 0);
    fake_withdraw(&fake, VIRTIO_F_EVENT_IDX);
    assert_int_equal(virtio_reinit(&fake.device), -EPROTO);
    assert_true(fake.status & FAILED);
    assert_non_null(fake.device.failure);
}

static void a_queue_that_shrinks_in_a_reset_fails_the_device(void **state)
{
    (void)state;
    add(0);
    assert_int_equal(virtio_reset(&fake.device), 0);
    fake.queues[0].size_max = 8;
    assert_int_equal(virtio_reinit(&fake.device), -EINVAL);
    assert_true(fake.status & FAILED);
}

static void fail_sets_failed_and_keeps_the_reason(void **state)
{
    (void)state;
    add(0);
    virtio_fail(&fake.device, "it smells");
    assert_true(fake.status & FAILED);
    assert_string_equal(fake.device.failure, "it smells");
    assert_false(fake.device.started);
    assert_true(logged("it smells"));
}

/* ---- rules of the standard that only a watched device shows */

static const struct virtio_transport *behind;
static struct virtio_transport watched;
static char steps[64]; /* one letter a step, repetitions left out */

static void note(char step)
{
    size_t n = strlen(steps);

    if ((n == 0 || steps[n - 1] != step) && n + 1 < sizeof(steps))
        steps[n] = step;
}

/* What else than the status passes between the two is seen by the functions that a test replaces.
 */
static void watch(void)
{
    behind = fake.device.transport;
    watched = *behind;
    fake.device.transport = &watched;
    memset(steps, 0, sizeof(steps));
}

static void note_status(struct virtio_device *dev, uint8_t status)
{
    note(status == 0            ? '0'
         : status & DRIVER_OK   ? 'W'
         : status & FEATURES_OK ? 'F'
         : status & DRIVER_     ? 'D'
                                : 'A');
    behind->set_status(dev, status);
}

static uint32_t note_offer(struct virtio_device *dev, unsigned word)
{
    note('o');
    return behind->get_features(dev, word);
}

static void note_choice(struct virtio_device *dev, unsigned word, uint32_t chosen)
{
    note('c');
    behind->set_features(dev, word, chosen);
}

static uint32_t note_read(struct virtio_device *dev, uint32_t offset, unsigned bytes)
{
    note('r');
    return behind->config_read(dev, offset, bytes);
}

static void note_write(struct virtio_device *dev, uint32_t offset, unsigned bytes, uint32_t value)
{
    note('w');
    behind->config_write(dev, offset, bytes, value);
}

static int note_queue(struct virtio_device *dev, const struct virtio_queue_setup *setup)
{
    note('q');
    return behind->queue_start(dev, setup);
}

static int probe_thoroughly(struct virtio_device *dev)
{
    uint32_t value;

    assert_int_equal(virtio_config_read(dev, 0, &value, 4), 0);
    assert_int_equal(virtio_config_write(dev, 4, value, 4), 0);
    return probe(dev);
}

static const struct virtio_driver thorough_driver LINKER_SET(virtio_drivers) = {
    .name = "test-thorough", .type = VIRTIO_ID_RNG, .probe = probe_thoroughly
};

static void each_step_of_bring_up_follows_the_one_before(void **state)
{
    PROVES("CORE-INIT-01", "CORE-INIT-05", "CORE-INIT-08", "CORE-INIT-11", "CORE-INIT-12");
    (void)state;
    watch();
    watched.set_status = note_status;
    watched.get_features = note_offer;
    watched.set_features = note_choice;
    watched.config_read = note_read;
    watched.config_write = note_write;
    watched.queue_start = note_queue;
    fake.device.type = VIRTIO_ID_RNG;
    add(0);
    assert_string_equal(steps, "0ADocFrwqW");
}

static void a_device_works_without_any_feature_that_may_be_missing(void **state)
{
    static const unsigned bits[] = { VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX,
                                     VIRTIO_F_RING_PACKED,   VIRTIO_NET_F_CSUM,
                                     VIRTIO_NET_F_MAC,       VIRTIO_NET_F_HOST_TSO4 };

    PROVES("CORE-FEAT-01", "CORE-FEAT-06");
    for (unsigned missing = 0; missing < ARRAY_SIZE(bits); missing++) {
        set_up(state);
        wanted_indirect = 8;
        for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
            fake_offer(&fake, bits[i]);
        fake_withdraw(&fake, bits[missing]);
        add(0);
        assert_false(virtio_features_have(&fake.accepted, bits[missing]));
        run_a_request();
        virtio_remove(&fake.device);
    }
    fake.device.link.next = NULL;
}

/* The device counts on, once, between the two halves of a 64-bit number. */
static uint32_t count_on(struct virtio_device *dev, uint32_t offset, unsigned bytes)
{
    uint32_t value = behind->config_read(dev, offset, bytes);
    uint64_t number;

    memcpy(&number, fake.config, sizeof(number));
    if (number == UINT32_MAX) {
        number++;
        memcpy(fake.config, &number, sizeof(number));
        fake.generation++;
    }
    return value;
}

static void a_number_that_changes_between_its_halves_is_not_torn(void **state)
{
    uint64_t number = UINT32_MAX;

    PROVES("CORE-CFG-01", "CORE-CFG-02");
    (void)state;
    watch();
    watched.config_read = count_on;
    add(0);
    memcpy(fake.config, &number, sizeof(number));
    assert_int_equal(virtio_config_read(&fake.device, 0, &number, 8), 0);
    assert_int_equal(number, UINT64_C(0x100000000));
}

static uint32_t note_width(struct virtio_device *dev, uint32_t offset, unsigned bytes)
{
    size_t n = strlen(steps);

    assert_true(n + 1 < sizeof(steps));
    steps[n] = (char)('0' + bytes);
    return behind->config_read(dev, offset, bytes);
}

static void numbers_are_read_in_one_access_and_64_bits_in_two(void **state)
{
    uint8_t bytes[8];

    PROVES("PCI-ACC-01", "PCI-ACC-02");
    (void)state;
    watch();
    watched.config_read = note_width;
    add(0);
    assert_int_equal(virtio_config_read(&fake.device, 0, bytes, 1), 0);
    assert_int_equal(virtio_config_read(&fake.device, 2, bytes, 2), 0);
    assert_int_equal(virtio_config_read(&fake.device, 4, bytes, 4), 0);
    assert_int_equal(virtio_config_read(&fake.device, 8, bytes, 8), 0);
    assert_int_equal(virtio_config_read(&fake.device, 16, bytes, 6), 0); /* an array of bytes */
    assert_string_equal(steps, "12444111111");
}

static void spoil_the_offer(void)
{
    fake_withdraw(&fake, VIRTIO_F_VERSION_1);
}

static void spoil_the_choice(void)
{
    fake.refuse_features_ok = true;
}

static void spoil_a_queue(void)
{
    fake.queues[1].size_max = 0;
}

static void spoil_the_probe(void)
{
    probe_result = -EIO;
}

static void spoil_memory(void)
{
    host_allocs_until_failure = 3;
}

static void whatever_fails_ends_in_failed_and_nothing_more_is_tried(void **state)
{
    static void (*const spoil[])(void) = { spoil_the_offer, spoil_the_choice, spoil_a_queue,
                                           spoil_the_probe, spoil_memory };

    PROVES("CORE-INIT-13", "CORE-INIT-14", "CORE-FEAT-07");
    for (unsigned i = 0; i < ARRAY_SIZE(spoil); i++) {
        bool failed = false;

        set_up(state);
        wanted_queues = 2;
        spoil[i]();
        assert_true(virtio_add(&fake.device) < 0);
        host_allocs_until_failure = -1;
        fake_transport_check(&fake);
        for (unsigned k = 0; k < fake.n_statuses; k++) {
            uint8_t status = fake.statuses[k];

            assert_false(status & DRIVER_OK);
            if (failed) /* only to take the queues back */
                assert_true(status == 0 || status & FAILED);
            failed |= status & FAILED;
        }
        assert_true(fake.status & FAILED);
        virtio_remove(&fake.device);
    }
    fake.device.link.next = NULL;
}

static void a_device_that_failed_is_reset_before_it_is_tried_again(void **state)
{
    unsigned at = 0;

    PROVES("CORE-STAT-03");
    (void)state;
    fake.refuse_features_ok = true;
    add(-EPROTO);
    virtio_remove(&fake.device);
    fake.refuse_features_ok = false;
    add(0);
    while (!(fake.statuses[at] & FAILED))
        at++;
    assert_int_equal(fake.statuses[at + 1], 0);
    assert_int_equal(fake.statuses[fake.n_statuses - 1],
                     ACKNOWLEDGE | DRIVER_ | FEATURES_OK | DRIVER_OK);
}

static void interrupts_without_a_cause_do_no_harm(void **state)
{
    struct virtq_done done;

    PROVES("SPLIT-UNS-05");
    (void)state;
    wanted_queues = 3;
    watch_config = true;
    add(0);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned times = 0; times < 100; times++)
            fake_transport_interrupt_always(&fake, i);
        assert_int_equal(virtq_get(&queues[i].ring, &done, 1), 0);
        assert_null(virtq_broken_reason(&queues[i].ring));
    }
    assert_true(host_irq_send(fake.messages[fake.config_vector]));
    assert_false(virtio_needs_reset(&fake.device));
    events[0].marked = false;
    run_a_request();
}

static unsigned queues_told;

static int count_a_queue(struct virtio_device *dev, const struct virtio_queue_setup *setup)
{
    queues_told++;
    assert_true(setup->size > 0);
    return behind->queue_start(dev, setup);
}

static void a_queue_of_no_size_is_never_told_to_the_device(void **state)
{
    static const struct {
        uint32_t theirs;
        unsigned ours;
    } sizes[] = { { 0, 16 }, { 16, 0 }, { 1, 1 }, { 65535, 3 } };

    PROVES("PCI-CC-02");
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        bool possible = sizes[i].theirs && sizes[i].ours;

        set_up(state);
        fake_offer(&fake, VIRTIO_F_RING_PACKED);
        fake.queues[0].size_max = sizes[i].theirs;
        wanted_size = sizes[i].ours;
        queues_told = 0;
        watch();
        watched.queue_start = count_a_queue;
        assert_int_equal(virtio_add(&fake.device) == 0, possible);
        assert_int_equal(queues_told, possible);
        virtio_remove(&fake.device);
    }
    fake.device.link.next = NULL;
}

/* As long as its reset goes on, a device may use what it was lent: memory given back by then is
 * found by the address sanitizer. */
static uint8_t use_what_was_lent(struct virtio_device *dev)
{
    struct fake_queue *ring = &fake.queues[0].ring;

    if (fake.resetting && fake.queues[0].live && ring->held) {
        fake_write(ring->held, 0, "late", 4);
        fake_push(ring, ring->held, 4);
    }
    return behind->get_status(dev);
}

static void rings_are_given_back_only_when_the_reset_has_ended(void **state)
{
    static char buffer[4];
    struct virtq_elem elem = { (uintptr_t)buffer, sizeof(buffer) };
    struct virtq_buffer lent = { &elem, 0, 1, buffer };

    PROVES("CORE-CLEAN-02");
    (void)state;
    watch();
    watched.get_status = use_what_was_lent;
    add(0);
    assert_int_equal(virtq_add(&queues[0].ring, &lent, 1), 1);
    virtq_publish(&queues[0].ring);
    assert_non_null(fake_pop(&fake.queues[0].ring));
    fake.reset_polls = 3;
    virtio_remove(&fake.device);
    assert_memory_equal(buffer, "late", 4);
    assert_false(fake.resetting);
    fake.device.link.next = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(bring_up_goes_through_the_states_in_order),
        TEST(a_reset_that_takes_its_time_is_waited_for),
        TEST(a_reset_that_never_ends_fails_after_a_second),
        TEST(a_device_without_a_driver_is_reset_and_listed),
        TEST(a_device_that_refuses_the_features_is_failed),
        TEST(a_probe_that_fails_sets_failed_and_frees_its_queues),
        TEST(start_tells_when_the_device_asks_for_a_reset_at_once),
        TEST(two_devices_live_beside_one_that_fails),
        TEST(only_what_is_offered_and_known_is_accepted),
        TEST(what_the_transport_cannot_do_is_refused),
        TEST(nothing_is_accepted_that_is_not_offered),
        TEST(a_feature_without_its_prerequisite_is_refused),
        TEST(one_of_two_alternative_prerequisites_is_enough),
        TEST(a_device_without_version_1_is_failed),
        TEST(a_device_behind_an_iommu_that_stays_on_is_failed),
        TEST(a_device_that_goes_past_the_iommu_works),
        TEST(a_device_that_lacks_a_required_feature_is_failed),
        TEST(features_beyond_128_are_none),
        TEST(a_field_is_read_in_its_own_width),
        TEST(a_field_beyond_the_configuration_is_refused),
        TEST(a_configuration_that_changes_meanwhile_is_read_again),
        TEST(a_configuration_that_never_settles_is_an_error),
        TEST(a_split_queue_gets_the_largest_power_of_two_both_sides_can),
        TEST(a_packed_queue_may_have_any_size),
        TEST(a_queue_that_is_not_there_is_told),
        TEST(a_queue_of_no_size_is_our_own_mistake),
        TEST(a_queue_is_set_up_once),
        TEST(indirect_tables_are_had_only_where_both_sides_want_them),
        TEST(memory_that_runs_out_at_any_place_leaves_nothing_behind),
        TEST(a_request_travels_on_either_ring_and_by_any_interrupt),
        TEST(a_request_travels_with_every_feature_of_the_ring),
        TEST(each_queue_has_a_vector_of_its_own_where_there_are_enough),
        TEST(queues_share_vectors_where_there_are_fewer),
        TEST(one_vector_serves_everything),
        TEST(a_vector_that_the_device_refuses_is_replaced_by_the_first),
        TEST(cpu_vectors_that_run_out_are_shared),
        TEST(a_device_without_vectors_is_looked_after_by_a_timer),
        TEST(a_device_without_vectors_interrupts_by_its_line),
        TEST(lines_are_used_where_the_user_wants_no_vectors),
        TEST(polling_leaves_the_line_alone),
        TEST(a_line_asks_for_nothing_while_its_queue_is_disarmed),
        TEST(a_dead_line_leaves_its_device_to_a_timer),
        TEST(a_line_that_no_controller_has_leaves_its_device_to_a_timer),
        TEST(two_devices_share_a_line_of_either_trigger),
        TEST(a_line_that_storms_is_silenced_until_its_device_is_reset),
        TEST(a_device_that_gets_no_vector_of_the_cpu_takes_its_line),
        TEST(a_device_without_vectors_is_not_asked_to_interrupt),
        TEST(a_device_without_vectors_is_looked_after_rarely_while_nothing_moves),
        TEST(a_queue_without_an_event_has_no_interrupt),
        TEST(an_event_that_two_devices_share_is_polled_until_both_are_gone),
        TEST(a_change_of_the_configuration_is_told_once),
        TEST(polling_looks_for_changes_at_most_200_times_a_second),
        TEST(a_device_that_asks_for_a_reset_is_noticed_in_every_mode),
        TEST(a_device_comes_back_after_a_reset_with_all_that_was_lent),
        TEST(one_queue_is_reset_while_the_others_work_on),
        TEST(a_queue_reset_that_never_ends_is_told_after_a_second),
        TEST(no_queue_is_reset_alone_where_that_was_not_agreed_on),
        TEST(a_queue_that_shrinks_in_its_reset_is_not_used),
        TEST(a_storm_of_interrupts_is_silenced_until_the_device_is_reset),
        TEST(interrupts_that_its_driver_looks_after_are_no_storm),
        TEST(an_interrupt_for_each_buffer_is_no_storm),
        TEST(a_device_that_offers_less_after_a_reset_is_failed),
        TEST(a_queue_that_shrinks_in_a_reset_fails_the_device),
        TEST(fail_sets_failed_and_keeps_the_reason),
        TEST(each_step_of_bring_up_follows_the_one_before),
        TEST(a_device_works_without_any_feature_that_may_be_missing),
        TEST(a_number_that_changes_between_its_halves_is_not_torn),
        TEST(numbers_are_read_in_one_access_and_64_bits_in_two),
        TEST(whatever_fails_ends_in_failed_and_nothing_more_is_tried),
        TEST(a_device_that_failed_is_reset_before_it_is_tried_again),
        TEST(interrupts_without_a_cause_do_no_harm),
        TEST(a_queue_of_no_size_is_never_told_to_the_device),
        TEST(rings_are_given_back_only_when_the_reset_has_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
