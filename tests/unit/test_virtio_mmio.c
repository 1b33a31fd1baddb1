/* SPDX-License-Identifier: MIT */
/*
 * The MMIO transport against a slot whose registers see every access: what may
 * be read and written, how wide, and in which order (§4.2).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/device.h"
#include "drivers/virtio/mmio.h"
#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/mmio.h"
#include "lib/base/errno.h"
#include "tests/host/dma.h"
#include "tests/host/event.h"
#include "tests/host/irq.h"
#include "tests/host/log.h"
#include "tests/host/mmio.h"
#include "tests/host/proves.h"
#include "tests/host/registers.h"

#define BASE         0xd0000000
#define SLOT_BYTES   0x200
#define QUEUES       2
#define SIZE_MAX_    64
#define CONFIG_BYTES (SLOT_BYTES - VIRTIO_MMIO_CONFIG)

/* ---- the device behind the registers */

static struct slot {
    uint32_t magic, version, type;
    uint32_t features[2];
    bool knows_many_words; /* else any word but the first is the second */
    uint32_t status, interrupt_status, generation;
    uint32_t feature_sel, driver_sel, driver_features[4], queue_sel;
    bool feature_sel_written, driver_sel_written;
    unsigned reset_looks; /* of a queue, until it has ended */
    struct {
        uint32_t ready, num, pfn, align, resetting;
        uint32_t address[6];
    } queues[QUEUES];
    uint32_t page_size, acknowledged, notified;
    uint32_t read_order[4];
    unsigned reads, writes;
    const char *violation;
} slot;

static void break_rule(const char *rule)
{
    if (!slot.violation)
        slot.violation = rule;
}

static uint32_t *queue_address(size_t offset)
{
    static const unsigned offsets[] = { VIRTIO_MMIO_QUEUE_DESC_LOW,  VIRTIO_MMIO_QUEUE_DESC_HIGH,
                                        VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
                                        VIRTIO_MMIO_QUEUE_USED_LOW,  VIRTIO_MMIO_QUEUE_USED_HIGH };

    for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++)
        if (offsets[i] == offset && slot.version == 2)
            return &slot.queues[slot.queue_sel].address[i];
    return NULL;
}

static uint32_t features_shown(void)
{
    if (!slot.feature_sel_written)
        break_rule("features read before a word was chosen");
    slot.feature_sel_written = false;
    if (slot.feature_sel > 1 && slot.knows_many_words)
        return 0;
    return slot.features[slot.feature_sel ? 1 : 0];
}

static bool is_resetting(void)
{
    if (slot.reset_looks)
        slot.reset_looks--;
    else if (slot.queues[slot.queue_sel].resetting)
        memset(&slot.queues[slot.queue_sel], 0, sizeof(slot.queues[0]));
    return slot.queues[slot.queue_sel].resetting;
}

static uint32_t value_of(size_t offset)
{
    bool there = slot.queue_sel < QUEUES;

    switch (offset) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return slot.magic;
    case VIRTIO_MMIO_VERSION:
        return slot.version;
    case VIRTIO_MMIO_DEVICE_ID:
        return slot.type;
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return features_shown();
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return there ? SIZE_MAX_ : 0;
    case VIRTIO_MMIO_QUEUE_READY:
        if (slot.version == 2)
            return slot.queues[slot.queue_sel].ready;
        break;
    case VIRTIO_MMIO_QUEUE_PFN:
        if (slot.version == 1)
            return slot.queues[slot.queue_sel].pfn;
        break;
    case VIRTIO_MMIO_QUEUE_RESET:
        if (slot.version == 2)
            return is_resetting();
        break;
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        return slot.interrupt_status;
    case VIRTIO_MMIO_STATUS:
        return slot.status;
    case VIRTIO_MMIO_CONFIG_GENERATION:
        if (slot.version == 2)
            return slot.generation;
        break;
    default:
        break;
    }
    break_rule("a register read that is not there, or for writing only");
    return 0;
}

static void fill(size_t offset, unsigned bytes)
{
    uint32_t value;

    if (slot.reads < ARRAY_SIZE(slot.read_order))
        slot.read_order[slot.reads] = (uint32_t)offset;
    slot.reads++;
    if (offset >= VIRTIO_MMIO_CONFIG && offset + bytes <= SLOT_BYTES)
        return;
    if (bytes != 4 || offset % 4)
        break_rule("a register not read in 32 bits");
    value = value_of(offset & ~(size_t)3);
    memcpy(host_registers.page + (offset & ~(size_t)3), &value, sizeof(value));
}

static void write_queue(size_t offset, uint32_t value)
{
    uint32_t *address = queue_address(offset);

    if (slot.queues[slot.queue_sel].ready && offset != VIRTIO_MMIO_QUEUE_READY &&
        offset != VIRTIO_MMIO_QUEUE_RESET)
        break_rule("a queue in use was changed");
    if (address)
        *address = value;
    else if (offset == VIRTIO_MMIO_QUEUE_NUM)
        slot.queues[slot.queue_sel].num = value;
    else if (offset == VIRTIO_MMIO_QUEUE_READY && slot.version == 2)
        slot.queues[slot.queue_sel].ready = value;
    else if (offset == VIRTIO_MMIO_QUEUE_RESET && slot.version == 2)
        slot.queues[slot.queue_sel].resetting = value;
    else if (offset == VIRTIO_MMIO_QUEUE_ALIGN && slot.version == 1)
        slot.queues[slot.queue_sel].align = value;
    else if (offset == VIRTIO_MMIO_QUEUE_PFN && slot.version == 1)
        slot.queues[slot.queue_sel].pfn = value;
    else
        break_rule("a register written that is not there, or for reading only");
}

static void write_driver_features(uint32_t value)
{
    if (!slot.driver_sel_written)
        break_rule("features written before a word was chosen");
    slot.driver_sel_written = false;
    slot.driver_features[slot.driver_sel % 4] = value;
}

static void write_status(uint32_t value)
{
    slot.status = value;
    if (!value) {
        memset(slot.queues, 0, sizeof(slot.queues));
        slot.interrupt_status = 0;
    }
}

static void act(size_t offset, unsigned bytes)
{
    uint32_t value;

    slot.writes++;
    if (offset >= VIRTIO_MMIO_CONFIG && offset + bytes <= SLOT_BYTES)
        return;
    if (bytes != 4 || offset % 4)
        break_rule("a register not written in 32 bits");
    memcpy(&value, host_registers.page + (offset & ~(size_t)3), sizeof(value));
    switch (offset) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        slot.feature_sel = value;
        slot.feature_sel_written = true;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        slot.driver_sel = value;
        slot.driver_sel_written = true;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        write_driver_features(value);
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        slot.queue_sel = value;
        break;
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        slot.notified = value;
        break;
    case VIRTIO_MMIO_INTERRUPT_ACK:
        slot.acknowledged |= value;
        slot.interrupt_status &= ~value;
        break;
    case VIRTIO_MMIO_STATUS:
        write_status(value);
        break;
    case VIRTIO_MMIO_GUEST_PAGE_SIZE:
        slot.page_size = value;
        break;
    default:
        write_queue(offset, value);
    }
}

/* ---- a driver of two queues */

static struct virtio_queue queues[QUEUES];
static struct event event, config_event;
static uint8_t config_byte;
static uint64_t config_number;
static int beyond;

static int probe(struct virtio_device *dev)
{
    for (uint16_t i = 0; i < QUEUES; i++)
        if (virtio_queue_setup(dev, &queues[i], i, 16, 0, &event))
            return -EIO;
    beyond = virtio_queue_setup(dev, &queues[0], QUEUES, 16, 0, &event);
    if (virtio_config_read(dev, 0, &config_number, 8) ||
        virtio_config_read(dev, 9, &config_byte, 1))
        return -EIO;
    virtio_config_watch(dev, &config_event);
    return virtio_start(dev);
}

static const struct virtio_driver driver LINKER_SET(virtio_drivers) = { .name = "test-mmio",
                                                                        .type = VIRTIO_ID_BLOCK,
                                                                        .probe = probe };

static const struct irq_line line = { .gsi = 21 };

static int set_up(void **state)
{
    (void)state;
    slot = (struct slot){ .magic = VIRTIO_MMIO_MAGIC,
                          .version = 2,
                          .type = VIRTIO_ID_BLOCK,
                          .features = { 0, 1 | 1u << (VIRTIO_F_RING_RESET - 32) } };
    event_init(&event);
    event_init(&config_event);
    host_mmio_memory = host_registers_map();
    host_mmio_start = BASE;
    host_mmio_bytes = HOST_REGISTERS_BYTES;
    host_registers.read = fill;
    host_registers.written = act;
    for (unsigned i = 0; i < CONFIG_BYTES; i++)
        host_registers.page[VIRTIO_MMIO_CONFIG + i] = (uint8_t)(i + 1);
    host_log_clear();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    host_registers_watch(true);
    virtio_mmio_forget();
    host_registers_watch(false);
    host_dma_low = false;
    assert_int_equal(host_dma_live, 0);
    assert_null(slot.violation);
    assert_int_equal(host_irqs_free, HOST_IRQS);
    return 0;
}

static int add_at(phys_addr_t base, uint64_t bytes, const struct irq_line *its_line)
{
    host_registers_watch(true);
    return virtio_mmio_add(base, bytes, its_line);
}

static int add(void)
{
    return add_at(BASE, SLOT_BYTES, &line);
}

static void expect_refusal(int error, const char *text)
{
    assert_int_equal(add(), error);
    assert_null(virtio_next(NULL));
    assert_non_null(strstr(host_log_text(), text));
    assert_int_equal(slot.writes, 0);
}

/* ---- tests */

static void version_2_is_brought_up_in_order_and_width(void **state)
{
    (void)state;
    PROVES("MMIO-REG-01", "MMIO-REG-02", "MMIO-REG-03", "MMIO-REG-04", "MMIO-REG-05", "MMIO-REG-12",
           "MMIO-REG-13", "MMIO-REG-14", "MMIO-REG-15", "MMIO-INIT-01", "MMIO-INIT-02",
           "MMIO-INIT-05", "MMIO-INIT-06");
    assert_int_equal(add(), 0);
    assert_null(virtio_next(NULL)->failure);
    assert_int_equal(slot.read_order[0], VIRTIO_MMIO_MAGIC_VALUE);
    assert_int_equal(slot.read_order[1], VIRTIO_MMIO_VERSION);
    assert_int_equal(slot.read_order[2], VIRTIO_MMIO_DEVICE_ID);
    assert_int_equal(slot.status, 15);
    assert_int_equal(slot.queues[1].num, 16);
    assert_int_equal(slot.queues[1].ready, 1);
    assert_int_equal(slot.queues[1].address[0] | (uint64_t)slot.queues[1].address[1] << 32,
                     queues[1].areas.descriptor_addr);
    assert_int_equal(slot.queues[1].address[2] | (uint64_t)slot.queues[1].address[3] << 32,
                     queues[1].areas.driver_addr);
    assert_int_equal(slot.queues[1].address[4] | (uint64_t)slot.queues[1].address[5] << 32,
                     queues[1].areas.device_addr);
    assert_int_equal(beyond, -ENOENT);
    assert_true(config_number == UINT64_C(0x0807060504030201));
    assert_int_equal(config_byte, 10);
    virtq_notify(&queues[1].ring);
    assert_int_equal(slot.notified, 1);
}

static void version_1_is_told_a_page_and_nothing_of_version_2(void **state)
{
    (void)state;
    slot.version = 1;
    host_dma_low = true;
    assert_int_equal(add(), 0);
    assert_null(virtio_next(NULL)->failure);
    assert_int_equal(slot.page_size, 4096);
    assert_int_equal(slot.queues[1].align, 4096);
    assert_int_equal(slot.queues[1].num, SIZE_MAX_);
    assert_int_equal((uint64_t)slot.queues[1].pfn * 4096, queues[1].areas.descriptor_addr);
    assert_int_equal(slot.status, 7); /* no FEATURES_OK */
}

static void words_of_features_that_repeat_the_second_are_not_believed(void **state)
{
    (void)state;
    assert_int_equal(add(), 0);
    assert_int_equal(virtio_next(NULL)->offered.word[1], slot.features[1]);
    assert_int_equal(virtio_next(NULL)->offered.word[2], 0);
    assert_int_equal(virtio_next(NULL)->offered.word[3], 0);
}

static void another_magic_value_is_no_device(void **state)
{
    (void)state;
    PROVES("MMIO-REG-06", "MMIO-REG-07");
    slot.magic++;
    expect_refusal(-ENODEV, "no virtio device");
    assert_int_equal(slot.reads, 1);
}

static void another_version_is_no_device(void **state)
{
    static const uint32_t versions[] = { 0, 3, UINT32_MAX };

    (void)state;
    PROVES("MMIO-REG-08", "MMIO-REG-09");
    for (unsigned i = 0; i < ARRAY_SIZE(versions); i++) {
        slot.version = versions[i];
        expect_refusal(-ENODEV, "version");
    }
}

static void an_empty_slot_is_silent_and_left_alone(void **state)
{
    (void)state;
    PROVES("MMIO-REG-10", "MMIO-REG-11", "MMIO-INIT-03", "MMIO-INIT-04");
    slot.type = 0;
    expect_refusal(0, "");
    assert_string_equal(host_log_text(), "");
    assert_int_equal(slot.reads, 3);
}

static void an_impossible_place_is_refused_untouched(void **state)
{
    static const struct {
        phys_addr_t base;
        uint64_t bytes;
        int error;
    } places[] = {
        { BASE, 0, -EINVAL },
        { BASE, VIRTIO_MMIO_CONFIG - 1, -EINVAL },
        { BASE + 2, SLOT_BYTES, -EINVAL },
        { UINT64_MAX - 3, SLOT_BYTES, -EINVAL },
        { BASE, UINT64_MAX, -EINVAL },
        { 0x1000, SLOT_BYTES, -ENXIO },
        { BASE + HOST_REGISTERS_BYTES - 4, SLOT_BYTES, -ENXIO },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        assert_int_equal(add_at(places[i].base, places[i].bytes, &line), places[i].error);
    assert_int_equal(slot.reads + slot.writes, 0);
    assert_int_equal(add(), 0);
    assert_int_equal(add(), -EINVAL); /* and what another has */
    assert_int_equal(add_at(BASE + SLOT_BYTES - 4, SLOT_BYTES, &line), -EINVAL);
}

static void an_interrupt_is_acknowledged_for_what_was_handled_and_no_more(void **state)
{
    (void)state;
    PROVES("MMIO-REG-18", "MMIO-REG-19", "MMIO-REG-20", "MMIO-INT-01", "MMIO-INT-02",
           "MMIO-INT-03");
    assert_int_equal(add(), 0);
    slot.interrupt_status = 0xfffffffd;
    assert_true(host_line_raise(line.gsi));
    assert_int_equal(slot.acknowledged, VIRTIO_MMIO_INT_VRING);
    assert_true(event.marked);
    assert_false(config_event.marked);
    slot.interrupt_status = VIRTIO_MMIO_INT_CONFIG;
    assert_true(host_line_raise(line.gsi));
    assert_true(config_event.marked);
    assert_int_equal(slot.interrupt_status, 0);
    slot.acknowledged = 0;
    assert_true(host_line_raise(line.gsi)); /* somebody else's */
    assert_int_equal(slot.acknowledged, 0);
}

static void a_queue_reset_is_waited_for(void **state)
{
    (void)state;
    PROVES("MMIO-REG-21", "MMIO-REG-22");
    assert_int_equal(add(), 0);
    slot.reset_looks = 5;
    assert_int_equal(virtio_queue_reset(&queues[1]), 0);
    assert_int_equal(slot.reset_looks, 0);
    assert_int_equal(slot.queues[1].ready, 0);
    assert_int_equal(virtio_queue_restart(&queues[1]), 0);
    assert_int_equal(slot.queues[1].ready, 1);
}

static void a_device_without_a_line_is_looked_after_by_a_timer(void **state)
{
    (void)state;
    assert_int_equal(add_at(BASE, SLOT_BYTES, NULL), 0);
    assert_int_equal(virtio_next(NULL)->interrupts, VIRTIO_INTERRUPTS_POLL);
    assert_non_null(strstr(host_log_text(), "looked after by a timer"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(version_2_is_brought_up_in_order_and_width),
        TEST(version_1_is_told_a_page_and_nothing_of_version_2),
        TEST(words_of_features_that_repeat_the_second_are_not_believed),
        TEST(another_magic_value_is_no_device),
        TEST(another_version_is_no_device),
        TEST(an_empty_slot_is_silent_and_left_alone),
        TEST(an_impossible_place_is_refused_untouched),
        TEST(an_interrupt_is_acknowledged_for_what_was_handled_and_no_more),
        TEST(a_queue_reset_is_waited_for),
        TEST(a_device_without_a_line_is_looked_after_by_a_timer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
