/* SPDX-License-Identifier: MIT */
/*
 * The modern PCI transport against a fake function whose registers see every
 * access: capabilities that lie, vectors that are refused, doorbells outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/pci/pci.h"
#include "drivers/virtio/device.h"
#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/pci.h"
#include "kernel/irq.h"
#include "lib/base/errno.h"
#include "tests/host/alloc.h"
#include "tests/host/cmdline.h"
#include "tests/host/event.h"
#include "tests/host/fake_pci.h"
#include "tests/host/irq.h"
#include "tests/host/log.h"
#include "tests/host/mmio.h"
#include "tests/host/proves.h"
#include "tests/host/registers.h"

/* Where things are in the BAR, which is one watched page of registers. */
#define BAR_ADDRESS    UINT64_C(0x8000000000)
#define COMMON_AT      0x0000
#define DEVICE_AT      0x1000
#define NOTIFY_AT      0x2000
#define NOTIFY_BYTES   0x10
#define MULTIPLIER     4
#define TABLE_AT       0x3000
#define PENDING_AT     0x3800
#define N_QUEUES       2
#define QUEUE_NAMES    0x8100 /* the device's words for its queues, from the first one on */
#define N_VECTORS      3
#define FIELD(name)    (COMMON_AT + offsetof(struct virtio_pci_common_cfg, name))
#define IS_FIELD(o, n) ((o) == FIELD(n))

static struct fake_pci *fake;
static struct fake_function *function;
static uint8_t *page;

/* ---- the device behind the registers */

static struct {
    uint8_t status;
    uint32_t offered[4], accepted[4], device_select, driver_select;
    uint16_t select;
    uint16_t config_vector;
    unsigned vectors; /* that it can take */
    struct {
        uint16_t size, vector, enable, notify_off, reset;
        uint64_t desc, driver, device;
        unsigned kicks;
        uint32_t kicked_with;
    } queues[N_QUEUES];
    const char *violation;
} device;

static void break_rule(const char *rule)
{
    if (!device.violation)
        device.violation = rule;
}

static void reset_device(void)
{
    device.status = 0;
    device.config_vector = VIRTIO_MSI_NO_VECTOR;
    memset(device.accepted, 0, sizeof(device.accepted));
    for (unsigned i = 0; i < N_QUEUES; i++) {
        device.queues[i].enable = 0;
        device.queues[i].vector = VIRTIO_MSI_NO_VECTOR;
    }
}

static void put(size_t offset, uint64_t value, unsigned bytes)
{
    memcpy(page + offset, &value, bytes);
}

static uint64_t get(size_t offset, unsigned bytes)
{
    uint64_t value = 0;

    memcpy(&value, page + offset, bytes);
    return value;
}

/* How wide each register of the common configuration is (§4.1.3.1); 64-bit ones go by halves. */
static unsigned width_of(size_t offset)
{
    if (offset >= DEVICE_AT)
        return 0;
    if (offset < FIELD(config_msix_vector))
        return 4;
    if (offset >= FIELD(queue_desc) && offset < FIELD(queue_notif_config_data))
        return 4;
    return IS_FIELD(offset, device_status) || IS_FIELD(offset, config_generation) ? 1 : 2;
}

static void fill(size_t offset, unsigned bytes)
{
    unsigned width = width_of(offset), i = device.select;

    if (width && width != bytes)
        break_rule("a register was read in a wrong width");
    put(FIELD(device_feature), device.device_select < 4 ? device.offered[device.device_select] : 0,
        4);
    put(FIELD(config_msix_vector), device.config_vector, 2);
    put(FIELD(num_queues), N_QUEUES, 2);
    put(FIELD(device_status), device.status, 1);
    put(FIELD(queue_size), i < N_QUEUES ? device.queues[i].size : 0, 2);
    put(FIELD(queue_msix_vector), i < N_QUEUES ? device.queues[i].vector : 0, 2);
    put(FIELD(queue_enable), i < N_QUEUES ? device.queues[i].enable : 0, 2);
    put(FIELD(queue_notify_off), i < N_QUEUES ? device.queues[i].notify_off : 0, 2);
    put(FIELD(queue_notif_config_data), QUEUE_NAMES + i, 2);
    put(FIELD(queue_reset), i < N_QUEUES ? device.queues[i].reset : 0, 2);
    if (IS_FIELD(offset, queue_reset) && i < N_QUEUES && device.queues[i].reset)
        device.queues[i].enable = device.queues[i].reset = 0; /* shows when it is looked at next */
}

static uint16_t vector_taken(uint16_t vector)
{
    return vector < device.vectors ? vector : VIRTIO_MSI_NO_VECTOR;
}

static void written_to_queue(size_t offset)
{
    unsigned i = device.select;
    uint16_t value = (uint16_t)get(offset, 2);

    if (i >= N_QUEUES) {
        break_rule("a register of a queue that is not there was written");
        return;
    }
    if (IS_FIELD(offset, queue_reset)) {
        if (value != 1 || !device.queues[i].enable)
            break_rule("queue_reset was written with a wrong value or for an idle queue");
        device.queues[i].reset = 1;
        return;
    }
    if (device.queues[i].enable)
        break_rule("a queue was changed after it was enabled");
    if (IS_FIELD(offset, queue_size))
        device.queues[i].size = value;
    else if (IS_FIELD(offset, queue_msix_vector))
        device.queues[i].vector = vector_taken(value);
    else if (IS_FIELD(offset, queue_enable))
        device.queues[i].enable = value;
    device.queues[i].desc = get(FIELD(queue_desc), 8);
    device.queues[i].driver = get(FIELD(queue_driver), 8);
    device.queues[i].device = get(FIELD(queue_device), 8);
    if (IS_FIELD(offset, queue_enable) && value != 1)
        break_rule("something else than 1 was written to queue_enable");
}

static void act(size_t offset, unsigned bytes)
{
    unsigned width = width_of(offset);

    if (width && width != bytes)
        break_rule("a register was written in a wrong width");
    if (offset >= NOTIFY_AT && offset < TABLE_AT) {
        bool wide = device.accepted[1] >> (VIRTIO_F_NOTIFICATION_DATA - 32) & 1;
        bool named = device.accepted[1] >> (VIRTIO_F_NOTIF_CONFIG_DATA - 32) & 1;
        uint16_t queue = (uint16_t)(get(offset, 2) - (named ? QUEUE_NAMES : 0));

        if (bytes != (wide ? 4 : 2) || queue >= N_QUEUES ||
            offset != NOTIFY_AT + (size_t)device.queues[queue].notify_off * MULTIPLIER) {
            break_rule("a doorbell of a wrong width, place or value");
            return;
        }
        device.queues[queue].kicks++;
        device.queues[queue].kicked_with = (uint32_t)get(offset, bytes);
    } else if (offset >= DEVICE_AT) {
        return;
    } else if (IS_FIELD(offset, device_feature_select)) {
        device.device_select = (uint32_t)get(offset, 4);
    } else if (IS_FIELD(offset, driver_feature_select)) {
        device.driver_select = (uint32_t)get(offset, 4);
    } else if (IS_FIELD(offset, driver_feature)) {
        device.accepted[device.driver_select & 3] = (uint32_t)get(offset, 4);
    } else if (IS_FIELD(offset, config_msix_vector)) {
        device.config_vector = vector_taken((uint16_t)get(offset, 2));
    } else if (IS_FIELD(offset, device_status)) {
        device.status = (uint8_t)get(offset, 1);
        if (!device.status)
            reset_device();
    } else if (IS_FIELD(offset, queue_select)) {
        device.select = (uint16_t)get(offset, 2);
    } else if (offset > FIELD(queue_select) && !IS_FIELD(offset, queue_notify_off) &&
               !IS_FIELD(offset, queue_notif_config_data)) {
        written_to_queue(offset);
    } else {
        break_rule("a read-only register was written");
    }
}

/* ---- a driver with two queues */

static struct virtio_queue queues[N_QUEUES];
static struct event events[N_QUEUES], config_event;
static unsigned probes;
static uint32_t probed_type;

static int probe(struct virtio_device *dev)
{
    probes++;
    probed_type = dev->type;
    for (unsigned i = 0; i < N_QUEUES; i++) {
        int error = virtio_queue_setup(dev, &queues[i], (uint16_t)i, 8, 0, &events[i]);

        if (error)
            return error;
    }
    virtio_config_watch(dev, &config_event);
    return virtio_start(dev);
}

static const struct virtio_driver net_driver LINKER_SET(virtio_drivers) = { .name = "test-net",
                                                                            .type = VIRTIO_ID_NET,
                                                                            .probe = probe };
static const struct virtio_driver blk_driver LINKER_SET(virtio_drivers) = { .name = "test-blk",
                                                                            .type = VIRTIO_ID_BLOCK,
                                                                            .probe = probe };

/* ---- the function that the registers belong to */

static unsigned add_capability(uint8_t type, unsigned bytes, uint8_t bar, uint32_t offset,
                               uint32_t length)
{
    unsigned at = fake_pci_capability(function, PCI_CAP_VENDOR, bytes);

    function->space[at + 2] = (uint8_t)bytes;
    function->space[at + 3] = type;
    function->space[at + 4] = bar;
    fake_put32(function, at + 8, offset);
    fake_put32(function, at + 12, length);
    return at;
}

static unsigned add_common(void)
{
    return add_capability(VIRTIO_PCI_CAP_COMMON_CFG, 16, 4, COMMON_AT, 0x1000);
}

static unsigned add_device_config(void)
{
    return add_capability(VIRTIO_PCI_CAP_DEVICE_CFG, 16, 4, DEVICE_AT, 0x1000);
}

static unsigned add_notify(void)
{
    unsigned at = add_capability(VIRTIO_PCI_CAP_NOTIFY_CFG, 20, 4, NOTIFY_AT, NOTIFY_BYTES);

    fake_put32(function, at + 16, MULTIPLIER);
    return at;
}

static void add_function(uint16_t id)
{
    function = fake_pci_function(fake, 0, 4, 0, VIRTIO_PCI_VENDOR_ID, id);
    fake_pci_bar(function, 4, PCI_BAR_MEMORY64, HOST_REGISTERS_BYTES, BAR_ADDRESS);
}

static void add_good_function(void)
{
    add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
    fake_pci_msix(function, N_VECTORS, 4, TABLE_AT, PENDING_AT);
    add_common();
    add_device_config();
    add_notify();
}

static int set_up(void **state)
{
    (void)state;
    page = host_registers_map();
    host_registers.read = fill;
    host_registers.written = act;
    host_mmio_start = BAR_ADDRESS;
    host_mmio_bytes = HOST_REGISTERS_BYTES;
    host_mmio_memory = page;
    memset(&device, 0, sizeof(device));
    device.offered[1] = 1 | 1u << (VIRTIO_F_RING_PACKED - 32);
    device.vectors = N_VECTORS;
    for (unsigned i = 0; i < N_QUEUES; i++) {
        device.queues[i].size = 64;
        device.queues[i].notify_off = (uint16_t)i;
        event_init(&events[i]);
    }
    event_init(&config_event);
    reset_device();
    fake = fake_pci_host(0, 0);
    irq_mode = IRQ_MODE_MSIX;
    host_log_clear();
    probes = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_null(device.violation);
    assert_null(fake->violation);
    assert_null(virtio_next(NULL));
    assert_int_equal(host_irqs_free, HOST_IRQS);
    return 0;
}

static void scan(void)
{
    assert_int_equal(pci_add_host(&fake->host), 0);
    host_registers_watch(true);
    assert_int_equal(pci_scan(), 1);
}

static void forget(void)
{
    pci_forget();
    host_registers_watch(false);
    if (device.violation)
        fail_msg("%s", device.violation);
}

static bool is_driven(void)
{
    bool driven;

    scan();
    driven = probes == 1 && virtio_next(NULL) && virtio_next(NULL)->started;
    forget();
    return driven;
}

static bool logged(const char *text)
{
    return strstr(host_log_text(), text) != NULL;
}

/* ---- tests */

static void a_modern_device_is_brought_up_with_a_vector_a_queue(void **state)
{
    PROVES("PCI-ACC-01", "PCI-CAP-08", "PCI-CC-04", "PCI-CC-06", "PCI-NTF-01", "PCI-NTF-03");
    (void)state;
    add_good_function();
    scan();
    assert_int_equal(probes, 1);
    assert_int_equal(probed_type, VIRTIO_ID_NET);
    assert_int_equal(device.status, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                                        VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
    assert_int_equal(device.config_vector, 0);
    for (unsigned i = 0; i < N_QUEUES; i++) {
        assert_int_equal(device.queues[i].vector, i + 1);
        assert_int_equal(device.queues[i].enable, 1);
        assert_int_equal(device.queues[i].size, 8);
        assert_int_equal(device.queues[i].desc, queues[i].areas.descriptor_addr);
        assert_int_equal(device.queues[i].driver, queues[i].areas.driver_addr);
        assert_int_equal(device.queues[i].device, queues[i].areas.device_addr);
        virtq_notify(&queues[i].ring);
        assert_int_equal(device.queues[i].kicks, 1);
    }
    assert_true(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_MASTER);
    forget();
    assert_int_equal(device.status, 0);
    assert_false(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_MASTER);
}

static void ring_split_keeps_the_packed_ring_from_being_accepted(void **state)
{
    (void)state; /* main() gave the kernel word */
    add_good_function();
    scan();
    assert_false(virtio_has(virtio_next(NULL), VIRTIO_F_RING_PACKED));
    assert_int_equal(device.accepted[1], 1);
    assert_int_equal(device.accepted[0], 0);
    forget();
}

static void offer(unsigned bit)
{
    device.offered[bit / 32] |= 1u << bit % 32;
}

/* The fake registers check width, place and the lower half of every doorbell. */
static void doorbells_carry_what_was_agreed_on(void **state)
{
    PROVES("PCI-NTF-01", "PCI-NTF-02", "PCI-NTF-03", "PCI-NTF-04", "PCI-NTF-05", "PCI-NTF-06",
           "PACK-DESC-03");
    (void)state;
    for (unsigned set = 0; set < 4; set++) {
        static char byte;
        struct virtq_elem elem = { (uintptr_t)&byte, 1 };
        struct virtq_buffer buffer = { &elem, 1, 0, &byte };

        fake = fake_pci_host(0, 0);
        add_good_function();
        device.offered[1] = 1;
        if (set & 1)
            offer(VIRTIO_F_NOTIFICATION_DATA);
        if (set & 2)
            offer(VIRTIO_F_NOTIF_CONFIG_DATA);
        scan();
        assert_true(virtio_next(NULL)->started);
        for (unsigned i = 0; i < N_QUEUES; i++) {
            assert_int_equal(virtq_add(&queues[i].ring, &buffer, 1), 1);
            virtq_publish(&queues[i].ring);
            virtq_notify(&queues[i].ring);
            assert_int_equal(device.queues[i].kicks, 1);
            assert_int_equal(device.queues[i].kicked_with >> 16, set & 1);
            device.queues[i].kicks = 0;
        }
        forget();
    }
}

static void a_queue_is_reset_by_its_register(void **state)
{
    PROVES("PCI-CC-07", "PCI-CC-08", "CORE-VQE-01");
    (void)state;
    offer(VIRTIO_F_RING_RESET);
    add_good_function();
    scan();
    assert_int_equal(virtio_queue_reset(&queues[1]), 0);
    assert_int_equal(device.queues[1].enable, 0);
    assert_int_equal(device.queues[0].enable, 1);
    device.queues[1].desc = 0;
    assert_int_equal(virtio_queue_restart(&queues[1]), 0);
    assert_int_equal(device.queues[1].enable, 1);
    assert_int_equal(device.queues[1].desc, queues[1].areas.descriptor_addr);
    assert_int_equal(device.queues[1].vector, 2);
    forget();
}

/* Fields that the structure is too short for are not there, whatever the device offers. */
static void features_need_their_registers(void **state)
{
    static const struct {
        uint32_t bytes;
        bool notif, reset;
    } cases[] = { { FIELD(queue_notif_config_data), false, false },
                  { FIELD(queue_notif_config_data) + 1, false, false },
                  { FIELD(queue_reset), true, false },
                  { FIELD(queue_reset) + 2, true, true } };

    (void)state;
    offer(VIRTIO_F_NOTIF_CONFIG_DATA);
    offer(VIRTIO_F_RING_RESET);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        fake = fake_pci_host(0, 0);
        add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
        add_capability(VIRTIO_PCI_CAP_COMMON_CFG, 16, 4, COMMON_AT, cases[i].bytes);
        add_notify();
        scan();
        assert_true(virtio_next(NULL)->started);
        assert_int_equal(virtio_has(virtio_next(NULL), VIRTIO_F_NOTIF_CONFIG_DATA), cases[i].notif);
        assert_int_equal(virtio_has(virtio_next(NULL), VIRTIO_F_RING_RESET), cases[i].reset);
        forget();
    }
}

static void a_transitional_device_with_the_capabilities_is_driven_as_modern(void **state)
{
    PROVES("PCI-DISC-02", "PCI-LEGDET-01");
    (void)state;
    add_function(VIRTIO_TRANS_ID_BLOCK);
    add_common();
    add_notify();
    scan();
    assert_int_equal(probed_type, VIRTIO_ID_BLOCK);
    assert_true(virtio_next(NULL)->started);
    assert_int_equal(virtio_next(NULL)->config_bytes, 0);
    forget();
}

static void a_legacy_device_without_ports_is_reported_and_left_alone(void **state)
{
    PROVES("PCI-LEGDET-03", "PCI-LEGDET-04");
    (void)state;
    add_function(VIRTIO_TRANS_ID_BLOCK);
    assert_false(is_driven());
    assert_true(logged("no usable virtio registers, modern or legacy"));
    assert_false(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_MASTER);
}

static void a_device_id_without_a_type_is_not_ours(void **state)
{
    (void)state;
    add_function(0x103f);
    assert_false(is_driven());
    assert_string_equal(host_log_text(), "");
}

static void irq_poll_leaves_msix_off(void **state)
{
    (void)state;
    irq_mode = IRQ_MODE_POLL;
    add_good_function();
    scan();
    assert_int_equal(device.config_vector, VIRTIO_MSI_NO_VECTOR);
    assert_int_equal(device.queues[0].vector, VIRTIO_MSI_NO_VECTOR);
    assert_true(host_event_is_polled(&events[0]));
    assert_false(fake_get16(function, PCI_CAP_MIN + PCI_MSIX_CONTROL) & PCI_MSIX_ENABLE);
    forget();
}

static void vectors_that_the_device_cannot_take_are_shared(void **state)
{
    PROVES("PCI-MSIX-05", "PCI-MSIX-06");
    (void)state;
    device.vectors = 1;
    add_good_function();
    scan();
    assert_int_equal(device.queues[0].vector, 0);
    assert_int_equal(device.queues[1].vector, 0);
    assert_int_equal(device.config_vector, 0);
    forget();
}

static void without_any_vector_the_device_is_looked_after_by_a_timer(void **state)
{
    (void)state;
    device.vectors = 0;
    add_good_function();
    scan();
    assert_true(queues[0].polled && queues[1].polled);
    assert_true(virtio_next(NULL)->config_polled);
    assert_true(virtio_next(NULL)->ticking);
    forget();
}

static void the_first_good_capability_of_a_type_is_used(void **state)
{
    PROVES("PCI-CAP-02", "PCI-CAP-04", "PCI-CAP-07", "PCI-LEGDET-03");
    (void)state;
    add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
    add_capability(VIRTIO_PCI_CAP_COMMON_CFG, 16, 6, COMMON_AT, 0x1000); /* no such BAR */
    add_capability(VIRTIO_PCI_CAP_COMMON_CFG, 16, 2, COMMON_AT, 0x1000); /* not implemented */
    add_capability(VIRTIO_PCI_CAP_COMMON_CFG, 16, 4, COMMON_AT, 55);     /* too short */
    add_capability(77, 16, 4, 0, 4);                                     /* unknown type */
    add_common();
    add_capability(VIRTIO_PCI_CAP_COMMON_CFG, 16, 4, DEVICE_AT, 0x1000); /* a second one */
    add_notify();
    assert_true(is_driven());
}

static void a_structure_beyond_its_bar_is_not_believed(void **state)
{
    static const uint32_t places[][2] = { { 0, HOST_REGISTERS_BYTES + 1 },
                                          { HOST_REGISTERS_BYTES, 56 },
                                          { HOST_REGISTERS_BYTES - 55, 56 },
                                          { 0xfffffff0, 0x1000 },
                                          { 0x10, 0xffffffff },
                                          { 0, 0 } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        fake = fake_pci_host(0, 0);
        add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
        add_capability(VIRTIO_PCI_CAP_COMMON_CFG, 16, 4, places[i][0], places[i][1]);
        add_notify();
        assert_false(is_driven());
        assert_true(logged("no usable modern virtio registers"));
        host_log_clear();
    }
}

/* §4.1.4.3.1: a register that crosses its own alignment is no register. */
static void a_structure_at_an_odd_offset_is_not_believed(void **state)
{
    (void)state;
    for (uint32_t offset = 1; offset < 4; offset++) {
        fake = fake_pci_host(0, 0);
        add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
        add_capability(VIRTIO_PCI_CAP_COMMON_CFG, 16, 4, COMMON_AT + offset, 0x800);
        add_notify();
        assert_false(is_driven());
        assert_true(logged("no usable modern virtio registers"));
        host_log_clear();
    }
}

static void a_notify_capability_without_its_multiplier_is_not_believed(void **state)
{
    (void)state;
    add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
    add_common();
    add_capability(VIRTIO_PCI_CAP_NOTIFY_CFG, 16, 4, NOTIFY_AT, NOTIFY_BYTES);
    assert_false(is_driven());
}

static void a_capability_longer_than_documented_is_fine(void **state)
{
    PROVES("PCI-CAP-03");
    (void)state;
    add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
    add_capability(VIRTIO_PCI_CAP_COMMON_CFG, 32, 4, COMMON_AT, 0x2000);
    add_notify();
    assert_true(is_driven());
}

static void registers_in_a_bar_without_an_address_are_reported(void **state)
{
    (void)state;
    add_good_function();
    fake_pci_bar(function, 4, PCI_BAR_MEMORY64, HOST_REGISTERS_BYTES, 0);
    assert_false(is_driven());
    assert_true(logged("BAR 4 has no address"));
}

static void a_doorbell_outside_the_notify_structure_fails_the_device(void **state)
{
    (void)state;
    add_good_function();
    device.queues[1].notify_off = NOTIFY_BYTES / MULTIPLIER;
    scan();
    assert_false(virtio_next(NULL)->started);
    assert_true(device.status & VIRTIO_CONFIG_S_FAILED);
    assert_true(logged("its driver could not start it"));
    assert_false(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_MASTER);
    forget();
}

/* Room for two bytes is there, and an even place, but notifications have four. */
static void a_doorbell_too_small_for_its_words_fails_the_device(void **state)
{
    static const uint16_t places[] = { NOTIFY_BYTES / 2 - 1, 1 };

    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(places); i++) {
        unsigned at;

        fake = fake_pci_host(0, 0);
        device.offered[1] = 1;
        if (i & 1)
            offer(VIRTIO_F_NOTIFICATION_DATA);
        add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
        add_common();
        at = add_notify();
        fake_put32(function, at + 16, 2);
        device.queues[1].notify_off = places[i / 2];
        probes = 0;
        assert_int_equal(is_driven(), !(i & 1));
    }
}

static void a_multiplier_that_overflows_fails_the_device(void **state)
{
    unsigned at;

    (void)state;
    add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
    add_common();
    at = add_notify();
    fake_put32(function, at + 16, 0x80000000);
    device.queues[0].notify_off = 2; /* 2^32 */
    assert_false(is_driven());
}

#define PORTS_ADDRESS 0xc040
#define PORTS_BYTES   64

/* Beside the notify structure in memory, or alone: a port each two bytes. */
static void add_notify_by_port(uint32_t address, uint32_t bytes)
{
    unsigned at;

    fake_pci_bar(function, 2, PCI_BAR_IO, PORTS_BYTES, address);
    at = add_capability(VIRTIO_PCI_CAP_NOTIFY_CFG, 20, 2, 8, bytes);
    fake_put32(function, at + 16, 2);
}

static struct virtq_doorbell second_doorbell(void)
{
    struct virtq_doorbell doorbell;

    scan();
    assert_int_equal(probes, 1);
    assert_true(virtio_next(NULL)->started);
    doorbell = queues[1].ring.doorbell;
    forget();
    return doorbell;
}

static void a_doorbell_is_a_port_where_the_device_has_both(void **state)
{
    struct virtq_doorbell doorbell;

    (void)state;
    add_good_function();
    add_notify_by_port(PORTS_ADDRESS, 8);
    doorbell = second_doorbell();
    assert_int_equal(doorbell.kind, VIRTQ_DOORBELL_PORT16);
    assert_int_equal(doorbell.port, PORTS_ADDRESS + 8 + 2);
    assert_int_equal(doorbell.value, 1);
}

static void a_doorbell_may_be_a_port_alone_and_take_32_bits(void **state)
{
    struct virtq_doorbell doorbell;

    (void)state;
    offer(VIRTIO_F_NOTIFICATION_DATA);
    add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
    add_common();
    add_notify_by_port(PORTS_ADDRESS, 16);
    device.queues[1].notify_off = 2;
    doorbell = second_doorbell();
    assert_int_equal(doorbell.kind, VIRTQ_DOORBELL_PORT32);
    assert_int_equal(doorbell.port, PORTS_ADDRESS + 8 + 4);
}

static void ports_that_nobody_placed_leave_the_doorbell_in_memory(void **state)
{
    (void)state;
    add_good_function();
    add_notify_by_port(0, 8);
    assert_int_equal(second_doorbell().kind, VIRTQ_DOORBELL_MMIO16);
}

static void a_port_doorbell_outside_its_structure_fails_the_device(void **state)
{
    (void)state;
    add_good_function();
    add_notify_by_port(PORTS_ADDRESS, 2);
    assert_false(is_driven());
}

static void queues_may_share_one_doorbell(void **state)
{
    unsigned at;

    (void)state;
    add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
    add_common();
    at = add_notify();
    fake_put32(function, at + 16, 0);
    device.queues[1].notify_off = 0;
    assert_true(is_driven());
}

static void a_queue_that_is_not_there_fails_the_device(void **state)
{
    (void)state;
    add_good_function();
    device.queues[1].size = 0;
    assert_false(is_driven());
}

static void fill_with_ones(size_t offset, unsigned bytes)
{
    memset(page + offset, 0xff, bytes);
}

static void ignore(size_t offset, unsigned bytes)
{
    (void)offset, (void)bytes;
}

static void a_device_whose_registers_read_as_ones_is_given_up(void **state)
{
    (void)state;
    add_good_function();
    host_registers.read = fill_with_ones;
    host_registers.written = ignore;
    assert_false(is_driven());
    assert_true(logged("does not answer a reset"));
}

static void a_device_that_does_not_end_a_reset_reaches_no_memory_any_more(void **state)
{
    (void)state;
    add_good_function();
    scan();
    assert_true(function->space[PCI_COMMAND] & PCI_COMMAND_MASTER);
    host_registers.read = fill_with_ones;
    host_registers.written = ignore;
    assert_int_equal(virtio_reset(virtio_next(NULL)), -ETIMEDOUT);
    assert_false(function->space[PCI_COMMAND] & PCI_COMMAND_MASTER);
    host_registers.read = fill;
    host_registers.written = act;
    forget();
}

/* ---- rules of the standard that only watched registers show */

static bool was_written[DEVICE_AT];

static void note_and_act(size_t offset, unsigned bytes)
{
    for (unsigned i = 0; i < bytes && offset + i < DEVICE_AT; i++)
        was_written[offset + i] = true;
    act(offset, bytes);
}

static void registers_that_are_the_devices_to_write_are_never_written(void **state)
{
    static const size_t theirs[] = { FIELD(device_feature), FIELD(num_queues),
                                     FIELD(config_generation), FIELD(queue_notify_off),
                                     FIELD(queue_notif_config_data) };

    PROVES("PCI-CC-01");
    (void)state;
    memset(was_written, 0, sizeof(was_written));
    host_registers.written = note_and_act;
    add_good_function();
    scan();
    virtq_notify(&queues[0].ring);
    assert_int_equal(virtio_reset(virtio_next(NULL)), 0);
    assert_int_equal(virtio_reinit(virtio_next(NULL)), 0);
    forget();
    assert_true(was_written[FIELD(driver_feature)] && was_written[FIELD(queue_size)]);
    for (unsigned i = 0; i < ARRAY_SIZE(theirs); i++)
        assert_false(was_written[theirs[i]]);
}

/* The device type behind an identity as the standard lists them; 0: none. */
static uint32_t type_behind(uint16_t id)
{
    static const uint8_t transitional[] = { 1, 2, 5, 3, 8, 4, 0, 0, 0, 9 };

    if (id >= 0x1040 && id <= 0x107f)
        return id - 0x1040u;
    return id >= 0x1000 && id < 0x1000 + sizeof(transitional) ? transitional[id - 0x1000] : 0;
}

static void each_identity_is_its_type_and_no_other_is_ours(void **state)
{
    PROVES("PCI-DISC-01", "PCI-DISC-02");
    (void)state;
    for (unsigned id = 0x0ff0; id < 0x1090; id++) {
        uint32_t type = type_behind((uint16_t)id);

        fake = fake_pci_host(0, 0);
        add_function((uint16_t)id);
        add_common();
        add_notify();
        scan();
        assert_int_equal(virtio_next(NULL) != NULL, type != 0);
        if (type)
            assert_int_equal(virtio_next(NULL)->type, type);
        forget();
    }
    fake = fake_pci_host(0, 0);
    function = fake_pci_function(fake, 0, 4, 0, VIRTIO_PCI_VENDOR_ID + 1, 0x1041);
    assert_false(is_driven());
}

static void revision_and_subsystem_do_not_matter(void **state)
{
    static const uint8_t revisions[] = { 0, 1, 2, 0xff };

    PROVES("PCI-DISC-03", "PCI-DISC-04");
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(revisions); i++) {
        fake = fake_pci_host(0, 0);
        probes = 0;
        add_good_function();
        function->space[PCI_REVISION] = revisions[i];
        fake_put32(function, PCI_SUBSYSTEM, 0x12345678u * i);
        assert_true(is_driven());
    }
}

/* The BAR is said to be larger than what can be mapped here, so mapping it all would fail. */
static void structures_may_be_of_any_size_and_are_mapped_as_far_as_needed(void **state)
{
    static const uint32_t lengths[] = { 56, 57, 64, 4096, 0x80000000, 0xfffff000 - NOTIFY_AT };

    PROVES("PCI-CAP-05", "PCI-CAP-06", "CORE-CFG-04", "CORE-CFG-05");
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        uint32_t bytes = lengths[i], field;
        unsigned at;

        fake = fake_pci_host(0, 0);
        probes = 0;
        add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
        fake_pci_bar(function, 4, PCI_BAR_MEMORY64, UINT64_C(1) << 32, BAR_ADDRESS);
        add_capability(VIRTIO_PCI_CAP_COMMON_CFG, 16, 4, COMMON_AT, bytes);
        add_capability(VIRTIO_PCI_CAP_DEVICE_CFG, 16, 4, DEVICE_AT, bytes);
        at = add_capability(VIRTIO_PCI_CAP_NOTIFY_CFG, 20, 4, NOTIFY_AT, bytes);
        fake_put32(function, at + 16, MULTIPLIER);
        scan();
        assert_true(probes == 1 && virtio_next(NULL)->started);
        assert_int_equal(virtio_next(NULL)->config_bytes, MIN(bytes, 4096));
        assert_int_equal(virtio_config_read(virtio_next(NULL), 52, &field, 4), 0);
        forget();
    }
}

/* It would lead to the wrong registers if it were believed. */
static void a_capability_of_an_unknown_type_is_skipped(void **state)
{
    static const uint8_t types[] = { 0, 6, 7, 10, 0x81, 0x82, 0x84, 0xff };

    PROVES("PCI-CAP-01");
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
        fake = fake_pci_host(0, 0);
        probes = 0;
        add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
        add_capability(types[i], 20, 4, DEVICE_AT, 0x1000);
        add_common();
        add_notify();
        assert_true(is_driven());
    }
}

static unsigned resets_asked, resetting_for; /* status reads until the reset has ended */

static void show_the_old_status_for_a_while(size_t offset, unsigned bytes)
{
    fill(offset, bytes);
    if (!IS_FIELD(offset, device_status) || !resetting_for)
        return;
    resetting_for--;
    put(FIELD(device_status), VIRTIO_CONFIG_S_ACKNOWLEDGE, 1);
}

static void act_but_reset_slowly(size_t offset, unsigned bytes)
{
    if (resetting_for)
        break_rule("a register was written before the reset had ended");
    if (IS_FIELD(offset, device_status) && get(offset, 1) == 0) {
        resets_asked++;
        resetting_for = 30;
    }
    act(offset, bytes);
}

static void a_reset_is_waited_for_until_the_status_reads_0(void **state)
{
    PROVES("PCI-CC-05");
    (void)state;
    add_good_function();
    resets_asked = 0;
    host_registers.read = show_the_old_status_for_a_while;
    host_registers.written = act_but_reset_slowly;
    scan();
    assert_int_equal(virtio_reset(virtio_next(NULL)), 0);
    assert_int_equal(virtio_reinit(virtio_next(NULL)), 0);
    assert_int_equal(virtio_start(virtio_next(NULL)), 0);
    assert_int_equal(resets_asked, 2);
    forget();
}

#define ISR_AT (NOTIFY_AT + 0xf00)

static uint32_t (*read_space)(const struct pci_host *, struct pci_address, unsigned, unsigned);
static void (*write_space)(const struct pci_host *, struct pci_address, unsigned, unsigned,
                           uint32_t);
static unsigned kept_from, kept_to; /* of configuration space, which nobody is to touch */
static unsigned touched;

static uint32_t read_watched(const struct pci_host *host, struct pci_address at, unsigned offset,
                             unsigned bytes)
{
    touched += offset >= kept_from && offset < kept_to;
    return read_space(host, at, offset, bytes);
}

static void write_watched(const struct pci_host *host, struct pci_address at, unsigned offset,
                          unsigned bytes, uint32_t value)
{
    touched += offset >= kept_from && offset < kept_to;
    write_space(host, at, offset, bytes, value);
}

/* Brings the device up and down; how often it looked into what follows the capability's head. */
static unsigned touches_of(unsigned capability, unsigned bytes)
{
    add_good_function();
    kept_from = add_capability((uint8_t)capability, bytes, 4, 0, 4) + 4;
    kept_to = kept_from + bytes - 4;
    read_space = fake->host.read;
    write_space = fake->host.write;
    fake->host.read = read_watched;
    fake->host.write = write_watched;
    touched = 0;
    assert_true(is_driven());
    return touched;
}

static void the_vendors_own_data_is_not_looked_at(void **state)
{
    PROVES("PCI-VND-01");
    (void)state;
    assert_int_equal(touches_of(VIRTIO_PCI_CAP_VENDOR_CFG, 24), 0);
}

static void registers_that_are_mapped_need_no_window(void **state)
{
    (void)state;
    assert_int_equal(touches_of(VIRTIO_PCI_CAP_PCI_CFG, 20), 0);
}

static unsigned isr_reads;

static void fill_and_count_isr(size_t offset, unsigned bytes)
{
    isr_reads += offset == ISR_AT;
    fill(offset, bytes);
}

static void interrupts_by_message_do_not_read_the_isr(void **state)
{
    struct irq_message messages[N_VECTORS];

    PROVES("PCI-ISR-01");
    (void)state;
    add_good_function();
    add_capability(VIRTIO_PCI_CAP_ISR_CFG, 16, 4, ISR_AT, 4);
    isr_reads = 0;
    host_registers.read = fill_and_count_isr;
    scan();
    for (unsigned i = 0; i < N_VECTORS; i++) {
        uint8_t *entry = page + TABLE_AT + PCI_MSIX_ENTRY_BYTES * i;

        messages[i].address = *(volatile uint32_t *)(entry + PCI_MSIX_ENTRY_ADDRESS);
        messages[i].data = *(volatile uint32_t *)(entry + PCI_MSIX_ENTRY_MESSAGE);
        assert_true(host_irq_send(messages[i]));
    }
    assert_true(events[0].marked && events[1].marked && config_event.marked);
    assert_true(virtio_config_changed(virtio_next(NULL)));
    forget();
    assert_int_equal(isr_reads, 0);
}

/* ---- registers through configuration space (§4.1.4.9) */

#define WINDOW_FIELD(field) offsetof(struct virtio_pci_cfg_cap, field)

static unsigned window_at; /* the capability */
static unsigned window_reads, window_writes;

/* PCI-WIN-03: only what some other capability describes may be reached. */
static bool is_described(uint8_t bar, uint32_t offset, uint32_t bytes)
{
    for (unsigned at = function->space[PCI_CAP_FIRST]; at; at = function->space[at + 1]) {
        struct virtio_pci_cap cap;

        memcpy(&cap, function->space + at, sizeof(cap));
        if (cap.cap_vndr == PCI_CAP_VENDOR && cap.cfg_type != VIRTIO_PCI_CAP_PCI_CFG &&
            cap.bar == bar && offset >= cap.offset && bytes <= cap.length &&
            offset - cap.offset <= cap.length - bytes)
            return true;
    }
    return false;
}

/* Where the window leads, if that is allowed. */
static uint32_t aimed_at(unsigned bytes)
{
    struct virtio_pci_cap cap;

    memcpy(&cap, function->space + window_at, sizeof(cap));
    if (cap.length != bytes || cap.offset % bytes)
        break_rule("an access through the window that is not aligned or of another width");
    if (!is_described(cap.bar, cap.offset, bytes))
        break_rule("an access through the window to what no capability describes");
    return cap.offset & (HOST_REGISTERS_BYTES - 1);
}

static uint32_t read_by_window(const struct pci_host *host, struct pci_address at, unsigned offset,
                               unsigned bytes)
{
    uint32_t place;

    if (offset != window_at + WINDOW_FIELD(pci_cfg_data))
        return read_space(host, at, offset, bytes);
    window_reads++;
    place = aimed_at(bytes);
    host_registers.read(place, bytes);
    return (uint32_t)get(place, bytes);
}

static void write_by_window(const struct pci_host *host, struct pci_address at, unsigned offset,
                            unsigned bytes, uint32_t value)
{
    if (offset == window_at + WINDOW_FIELD(pci_cfg_data)) {
        uint32_t place = aimed_at(bytes);

        window_writes++;
        put(place, value, bytes);
        host_registers.written(place, bytes);
    } else if ((offset == window_at + WINDOW_FIELD(cap.bar) && bytes == 1) ||
               (offset == window_at + WINDOW_FIELD(cap.offset) && bytes == 4) ||
               (offset == window_at + WINDOW_FIELD(cap.length) && bytes == 4)) {
        memcpy(function->space + offset, &value, bytes);
    } else {
        write_space(host, at, offset, bytes, value);
    }
}

static void add_window(unsigned bytes)
{
    window_at = add_capability(VIRTIO_PCI_CAP_PCI_CFG, bytes, 0, 0, 0);
    read_space = fake->host.read;
    write_space = fake->host.write;
    fake->host.read = read_by_window;
    fake->host.write = write_by_window;
    window_reads = window_writes = 0;
}

/* Nothing is mapped: the page is the fake device's own. */
static void scan_unmapped(void)
{
    host_mmio_bytes = 0;
    assert_int_equal(pci_add_host(&fake->host), 0);
    assert_int_equal(pci_scan(), 1);
}

static void add_function_without_an_address(void)
{
    add_good_function();
    fake_pci_bar(function, 4, PCI_BAR_MEMORY64, HOST_REGISTERS_BYTES, 0);
    add_window(20);
}

static void a_bar_without_an_address_is_used_through_configuration_space(void **state)
{
    const char *told;
    uint32_t config;

    PROVES("PCI-WIN-01", "PCI-WIN-02", "PCI-WIN-03", "PCI-ACC-01", "PCI-CAP-08", "PCI-NTF-03");
    (void)state;
    add_function_without_an_address();
    scan_unmapped();
    assert_int_equal(probes, 1);
    assert_true(virtio_next(NULL)->started);
    told = strstr(host_log_text(), "BAR 4 is used through configuration space");
    assert_non_null(told);
    assert_null(strstr(told + 1, "BAR 4 is used")); /* once */
    for (unsigned i = 0; i < N_QUEUES; i++) {
        assert_int_equal(device.queues[i].enable, 1);
        assert_int_equal(device.queues[i].desc, queues[i].areas.descriptor_addr);
        assert_int_equal(device.queues[i].device, queues[i].areas.device_addr);
        virtq_notify(&queues[i].ring);
        assert_int_equal(device.queues[i].kicks, 1);
    }
    put(DEVICE_AT + 4, 0x12345678, 4);
    assert_int_equal(virtio_config_read(virtio_next(NULL), 4, &config, sizeof(config)), 0);
    assert_int_equal(config, 0x12345678);
    assert_true(queues[0].polled); /* the vectors' table is out of reach */
    forget();
    assert_int_equal(device.status, 0);
    assert_int_equal(host_allocs_live, 0);
}

static void an_address_that_cannot_be_mapped_is_no_hindrance_either(void **state)
{
    (void)state;
    add_good_function();
    add_window(24);
    scan_unmapped();
    assert_true(virtio_next(NULL)->started);
    assert_true(logged("BAR 4 at 0x8000000000 lies where no device can be"));
    forget();
}

/* Wide ones too, and again after a reset, which leaves no more than there were. */
static void doorbells_alone_may_be_rung_through_configuration_space(void **state)
{
    static char byte;
    struct virtq_elem elem = { (uintptr_t)&byte, 1 };
    struct virtq_buffer buffer = { &elem, 1, 0, &byte };

    PROVES("PCI-NTF-02", "PCI-WIN-03");
    (void)state;
    offer(VIRTIO_F_NOTIFICATION_DATA);
    add_function_without_an_address();
    scan_unmapped();
    for (unsigned times = 0; times < 3; times++) {
        unsigned live = host_allocs_live;

        for (unsigned i = 0; i < N_QUEUES; i++) {
            assert_int_equal(virtq_add(&queues[i].ring, &buffer, 1), 1);
            virtq_publish(&queues[i].ring);
            virtq_notify(&queues[i].ring);
            assert_int_equal(device.queues[i].kicks, times + 1);
            assert_int_equal(device.queues[i].kicked_with >> 16, 1);
        }
        assert_int_equal(virtio_reset(virtio_next(NULL)), 0);
        assert_int_equal(virtio_reinit(virtio_next(NULL)), 0);
        assert_int_equal(virtio_start(virtio_next(NULL)), 0);
        assert_int_equal(host_allocs_live, live);
    }
    forget();
    assert_int_equal(host_allocs_live, 0);
}

static void a_doorbell_by_port_without_ports_is_rung_through_configuration_space(void **state)
{
    (void)state;
    add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
    add_common();
    add_notify_by_port(0, 8);
    add_window(20);
    assert_int_equal(pci_add_host(&fake->host), 0);
    host_registers_watch(true);
    pci_scan();
    assert_true(virtio_next(NULL)->started);
    assert_int_equal(queues[1].ring.doorbell.kind, VIRTQ_DOORBELL_HOOK);
    assert_int_equal(window_reads + window_writes, 0);
    forget();
}

static struct irq_line line_5(unsigned irq)
{
    (void)irq;
    return (struct irq_line){ .gsi = 5 };
}

static uint8_t isr;

static void fill_isr(size_t offset, unsigned bytes)
{
    fill(offset, bytes);
    if (offset != ISR_AT)
        return;
    put(offset, isr, 1);
    isr = 0;
}

static void the_isr_is_read_through_configuration_space_in_the_handler(void **state)
{
    unsigned reads;

    PROVES("PCI-WIN-01", "PCI-WIN-03");
    (void)state;
    add_function_without_an_address();
    add_capability(VIRTIO_PCI_CAP_ISR_CFG, 16, 4, ISR_AT, 1);
    fake_put16(function, PCI_INTERRUPT, 0x0105);
    pci_isa_line = line_5;
    host_registers.read = fill_isr;
    scan_unmapped();
    assert_true(virtio_next(NULL)->started);
    reads = window_reads;
    isr = VIRTIO_PCI_ISR_QUEUE;
    assert_true(host_line_raise(5));
    assert_true(window_reads > reads);
    assert_int_equal(isr, 0); /* as reading leaves it */
    assert_true(events[0].marked);
    forget();
    pci_isa_line = NULL;
}

static void a_window_that_is_cut_off_is_none(void **state)
{
    (void)state;
    add_good_function();
    fake_pci_bar(function, 4, PCI_BAR_MEMORY64, HOST_REGISTERS_BYTES, 0);
    add_window(16);
    scan_unmapped();
    assert_int_equal(probes, 0);
    forget();

    fake = fake_pci_host(0, 0);
    add_good_function();
    fake_pci_bar(function, 4, PCI_BAR_MEMORY64, HOST_REGISTERS_BYTES, 0);
    function->next_free = 0xf0;
    add_window(20); /* its data would be beyond the space */
    scan_unmapped();
    assert_int_equal(probes, 0);
    forget();
}

static void a_distant_doorbell_without_memory_fails_the_device(void **state)
{
    (void)state;
    for (int allowed = 0; allowed < 16; allowed++) {
        fake = fake_pci_host(0, 0);
        add_function_without_an_address();
        host_allocs_until_failure = allowed;
        assert_int_equal(pci_add_host(&fake->host), 0);
        pci_scan();
        host_allocs_until_failure = -1;
        forget();
        assert_int_equal(host_allocs_live, 0);
    }
}

static unsigned table_size;

static void act_on_vectors_of_the_table(size_t offset, unsigned bytes)
{
    if (IS_FIELD(offset, queue_msix_vector) || IS_FIELD(offset, config_msix_vector)) {
        uint16_t vector = (uint16_t)get(offset, 2);

        if (vector != VIRTIO_MSI_NO_VECTOR && vector >= table_size)
            break_rule("a vector beyond the table");
    }
    act(offset, bytes);
}

static void no_vector_beyond_the_table_is_asked_for(void **state)
{
    PROVES("PCI-MSIX-01", "PCI-MSIX-04");
    (void)state;
    device.vectors = 2048; /* takes whatever it is told */
    for (table_size = 1; table_size <= 128; table_size++) {
        fake = fake_pci_host(0, 0);
        probes = 0;
        add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET);
        fake_pci_msix(function, table_size, 4, TABLE_AT, PENDING_AT);
        add_common();
        add_notify();
        host_registers.written = act_on_vectors_of_the_table;
        assert_true(is_driven());
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_modern_device_is_brought_up_with_a_vector_a_queue),
        TEST(ring_split_keeps_the_packed_ring_from_being_accepted),
        TEST(doorbells_carry_what_was_agreed_on),
        TEST(a_queue_is_reset_by_its_register),
        TEST(features_need_their_registers),
        TEST(a_transitional_device_with_the_capabilities_is_driven_as_modern),
        TEST(a_legacy_device_without_ports_is_reported_and_left_alone),
        TEST(a_device_id_without_a_type_is_not_ours),
        TEST(irq_poll_leaves_msix_off),
        TEST(vectors_that_the_device_cannot_take_are_shared),
        TEST(without_any_vector_the_device_is_looked_after_by_a_timer),
        TEST(the_first_good_capability_of_a_type_is_used),
        TEST(a_structure_beyond_its_bar_is_not_believed),
        TEST(a_structure_at_an_odd_offset_is_not_believed),
        TEST(a_notify_capability_without_its_multiplier_is_not_believed),
        TEST(a_capability_longer_than_documented_is_fine),
        TEST(registers_in_a_bar_without_an_address_are_reported),
        TEST(a_doorbell_outside_the_notify_structure_fails_the_device),
        TEST(a_doorbell_too_small_for_its_words_fails_the_device),
        TEST(a_multiplier_that_overflows_fails_the_device),
        TEST(a_doorbell_is_a_port_where_the_device_has_both),
        TEST(a_doorbell_may_be_a_port_alone_and_take_32_bits),
        TEST(ports_that_nobody_placed_leave_the_doorbell_in_memory),
        TEST(a_port_doorbell_outside_its_structure_fails_the_device),
        TEST(queues_may_share_one_doorbell),
        TEST(a_queue_that_is_not_there_fails_the_device),
        TEST(a_device_whose_registers_read_as_ones_is_given_up),
        TEST(a_device_that_does_not_end_a_reset_reaches_no_memory_any_more),
        TEST(registers_that_are_the_devices_to_write_are_never_written),
        TEST(each_identity_is_its_type_and_no_other_is_ours),
        TEST(revision_and_subsystem_do_not_matter),
        TEST(structures_may_be_of_any_size_and_are_mapped_as_far_as_needed),
        TEST(a_capability_of_an_unknown_type_is_skipped),
        TEST(a_reset_is_waited_for_until_the_status_reads_0),
        TEST(the_vendors_own_data_is_not_looked_at),
        TEST(registers_that_are_mapped_need_no_window),
        TEST(a_bar_without_an_address_is_used_through_configuration_space),
        TEST(an_address_that_cannot_be_mapped_is_no_hindrance_either),
        TEST(doorbells_alone_may_be_rung_through_configuration_space),
        TEST(a_doorbell_by_port_without_ports_is_rung_through_configuration_space),
        TEST(the_isr_is_read_through_configuration_space_in_the_handler),
        TEST(a_window_that_is_cut_off_is_none),
        TEST(a_distant_doorbell_without_memory_fails_the_device),
        TEST(interrupts_by_message_do_not_read_the_isr),
        TEST(no_vector_beyond_the_table_is_asked_for),
    };

    host_cmdline_key = "ring";
    host_cmdline_value = "split";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
