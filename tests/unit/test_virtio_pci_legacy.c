/* SPDX-License-Identifier: MIT */
/*
 * The legacy PCI transport against a fake function whose ports see every
 * access: where the configuration is, vectors, sizes that are none, register
 * sets that are not there.
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
#include "drivers/virtio/transport.h"
#include "kernel/irq.h"
#include "lib/base/errno.h"
#include "tests/host/alloc.h"
#include "tests/host/clock.h"
#include "tests/host/cmdline.h"
#include "tests/host/dma.h"
#include "tests/host/event.h"
#include "tests/host/fake_device.h"
#include "tests/host/fake_pci.h"
#include "tests/host/irq.h"
#include "tests/host/log.h"
#include "tests/host/mmio.h"
#include "tests/host/ports.h"
#include "tests/host/proves.h"
#include "tests/host/registers.h"

#define PORTS        0xc040u
#define PORT_BYTES   64u
#define CONFIG_BYTES 32u
#define TABLE_BAR    1
#define TABLE_AT     UINT64_C(0xfe000000)
#define N_QUEUES     2
#define N_VECTORS    3
#define TRAP         (1u << 30) /* what QEMU shows to catch drivers that repeat what they read */

static struct fake_pci *fake;
static struct fake_function *function;
static unsigned msix; /* offset of the capability; 0: there is none */

/* ---- the device behind the ports, written from the standard's table alone */

static struct {
    uint8_t status, isr;
    uint32_t offered, accepted;
    uint16_t select, config_vector;
    unsigned vectors; /* that it can take */
    bool deaf;        /* a reset does not show */
    uint8_t config[CONFIG_BYTES];
    struct {
        uint16_t size, vector;
        uint32_t pfn;
        struct fake_queue ring;
        unsigned kicks;
    } queues[N_QUEUES];
    unsigned accesses;
    const char *violation;
} device;

static void break_rule(const char *rule)
{
    if (!device.violation)
        device.violation = rule;
}

static bool msix_is_on(void)
{
    return msix && fake_get16(function, msix + PCI_MSIX_CONTROL) & PCI_MSIX_ENABLE;
}

static uint32_t config_at(void)
{
    return msix_is_on() ? 24 : 20;
}

static void reset_device(void)
{
    device.status = 0;
    device.accepted = 0;
    device.config_vector = 0xffff;
    for (unsigned i = 0; i < N_QUEUES; i++) {
        if (device.queues[i].pfn && device.queues[i].ring.config.size)
            fake_queue_stop(&device.queues[i].ring);
        device.queues[i].ring.config.size = 0;
        device.queues[i].pfn = 0;
        device.queues[i].vector = 0xffff;
    }
}

/* Each register's offset and width; the configuration is told apart before. */
static void check_width(unsigned offset, unsigned bytes)
{
    static const struct {
        uint8_t offset, bytes;
    } registers[] = { { 0, 4 },  { 4, 4 },  { 8, 4 },  { 12, 2 }, { 14, 2 },
                      { 16, 2 }, { 18, 1 }, { 19, 1 }, { 20, 2 }, { 22, 2 } };

    for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
        if (registers[i].offset == offset && registers[i].bytes == bytes)
            return;
    break_rule("a register was accessed in a wrong width or place");
}

static bool in_config(unsigned offset, unsigned bytes)
{
    if (offset < config_at())
        return false;
    if (offset % bytes || offset + bytes > config_at() + CONFIG_BYTES)
        break_rule("the configuration was accessed outside or unaligned");
    return true;
}

static bool check_access(uint16_t port, unsigned bytes)
{
    device.accesses++;
    if (port < PORTS || port + bytes > PORTS + PORT_BYTES) {
        break_rule("a port that is not the device's");
        return false;
    }
    if (!(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_IO))
        break_rule("ports were accessed while the function does not decode them");
    return true;
}

static uint32_t read_port(uint16_t port, unsigned bytes)
{
    unsigned offset = port - PORTS, i = device.select;
    uint32_t value = 0;

    if (!check_access(port, bytes))
        return UINT32_MAX;
    if (in_config(offset, bytes)) {
        memcpy(&value, device.config + (offset - config_at()) % CONFIG_BYTES, bytes);
        return value;
    }
    check_width(offset, bytes);
    switch (offset) {
    case 0:
        return device.offered;
    case 8:
        return i < N_QUEUES ? device.queues[i].pfn : 0;
    case 12:
        return i < N_QUEUES ? device.queues[i].size : 0;
    case 18:
        return device.deaf ? 7 : device.status;
    case 19:
        value = device.isr;
        device.isr = 0;
        return value;
    case 20:
        return device.config_vector;
    case 22:
        return i < N_QUEUES ? device.queues[i].vector : 0xffff;
    default:
        break_rule("a register was read that tells nothing");
        return 0;
    }
}

static uint16_t vector_taken(uint32_t vector)
{
    return (uint16_t)(vector < device.vectors ? vector : 0xffff);
}

static void start_queue(unsigned i, uint32_t pfn)
{
    uint64_t desc = (uint64_t)pfn << 12, avail = desc + 16 * device.queues[i].size;

    device.queues[i].pfn = pfn;
    fake_queue_start(
        &device.queues[i].ring,
        &(struct fake_queue_config){
            .event_idx = device.accepted >> VIRTIO_F_EVENT_IDX & 1,
            .indirect = device.accepted >> VIRTIO_F_INDIRECT_DESC & 1,
            .size = device.queues[i].size,
            .desc_addr = desc,
            .driver_addr = avail,
            .device_addr = (avail + 6 + 2 * device.queues[i].size + 4095) & ~UINT64_C(4095),
        });
}

static void kick(uint32_t queue)
{
    struct fake_chain *chain;

    if (queue >= N_QUEUES || !device.queues[queue].pfn || !(device.status & 4)) {
        break_rule("a doorbell of no queue, or before DRIVER_OK");
        return;
    }
    device.queues[queue].kicks++;
    while ((chain = fake_pop(&device.queues[queue].ring)))
        fake_push(&device.queues[queue].ring, chain, 0);
    fake_want_notification(&device.queues[queue].ring);
}

static void write_register(unsigned offset, uint32_t value)
{
    unsigned i = device.select;

    switch (offset) {
    case 4:
        if (value & ~device.offered || value & TRAP)
            break_rule("a feature was accepted that is not offered, or the trap");
        device.accepted = value;
        break;
    case 8:
        if (i >= N_QUEUES || !device.queues[i].size || device.queues[i].pfn)
            break_rule("the page of a queue that is not there or in use");
        else
            start_queue(i, value);
        break;
    case 14:
        device.select = (uint16_t)value;
        break;
    case 16:
        kick(value);
        break;
    case 18:
        device.status = (uint8_t)value;
        if (value & VIRTIO_CONFIG_S_FEATURES_OK)
            break_rule("a legacy device was told FEATURES_OK");
        if (!value)
            reset_device();
        break;
    case 20:
        device.config_vector = vector_taken(value);
        break;
    case 22:
        if (i < N_QUEUES)
            device.queues[i].vector = vector_taken(value);
        break;
    default:
        break_rule("a read-only register was written");
    }
}

static void write_port(uint16_t port, unsigned bytes, uint32_t value)
{
    unsigned offset = port - PORTS;

    if (!check_access(port, bytes))
        return;
    if (in_config(offset, bytes)) {
        memcpy(device.config + (offset - config_at()) % CONFIG_BYTES, &value, bytes);
        return;
    }
    check_width(offset, bytes);
    write_register(offset, value);
}

/* ---- a driver with two queues, which reads its configuration before and after MSI-X */

static struct virtio_queue queues[N_QUEUES];
static struct event events[N_QUEUES], config_event;
static unsigned probes;
static uint32_t probed_type, number_before, number_after;

static int probe(struct virtio_device *dev)
{
    probes++;
    probed_type = dev->type;
    virtio_config_read(dev, 8, &number_before, sizeof(number_before));
    for (unsigned i = 0; i < N_QUEUES; i++) {
        int error = virtio_queue_setup(dev, &queues[i], (uint16_t)i, 8, 0, &events[i]);

        if (error)
            return error;
    }
    virtio_config_watch(dev, &config_event);
    virtio_config_read(dev, 8, &number_after, sizeof(number_after));
    return virtio_start(dev);
}

static const struct virtio_driver net_driver LINKER_SET(virtio_drivers) = { .name = "test-net",
                                                                            .type = VIRTIO_ID_NET,
                                                                            .probe = probe };
static const struct virtio_driver blk_driver LINKER_SET(virtio_drivers) = { .name = "test-blk",
                                                                            .type = VIRTIO_ID_BLOCK,
                                                                            .probe = probe };

/* ---- the function that the ports belong to */

static void add_function(uint16_t id, uint16_t subsystem)
{
    function = fake_pci_function(fake, 0, 4, 0, VIRTIO_PCI_VENDOR_ID, id);
    fake_put32(function, PCI_SUBSYSTEM, (uint32_t)subsystem << 16 | VIRTIO_PCI_VENDOR_ID);
    fake_put16(function, PCI_COMMAND, 0);
}

static void add_good_function(unsigned vectors)
{
    add_function(VIRTIO_TRANS_ID_NET, VIRTIO_ID_NET);
    fake_pci_bar(function, 0, PCI_BAR_IO, PORT_BYTES, PORTS);
    fake_pci_bar(function, TABLE_BAR, PCI_BAR_MEMORY32, HOST_REGISTERS_BYTES, TABLE_AT);
    msix = vectors ? fake_pci_msix(function, vectors, TABLE_BAR, 0, 0x2000) : 0;
}

static int set_up(void **state)
{
    (void)state;
    host_mmio_memory = host_registers_map();
    host_mmio_start = TABLE_AT;
    host_mmio_bytes = HOST_REGISTERS_BYTES;
    host_ports.read = read_port;
    host_ports.write = write_port;
    host_dma_low = true;
    memset(&device, 0, sizeof(device));
    device.offered = TRAP | 1u << VIRTIO_F_EVENT_IDX | 1u << VIRTIO_F_ANY_LAYOUT;
    device.vectors = N_VECTORS;
    for (unsigned i = 0; i < CONFIG_BYTES; i++)
        device.config[i] = (uint8_t)(0x80 + i);
    for (unsigned i = 0; i < N_QUEUES; i++) {
        device.queues[i].size = 256;
        event_init(&events[i]);
    }
    event_init(&config_event);
    reset_device();
    fake = fake_pci_host(0, 0);
    msix = 0;
    irq_mode = IRQ_MODE_MSIX;
    host_log_clear();
    probes = 0;
    number_before = number_after = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_null(device.violation);
    assert_null(fake->violation);
    assert_null(virtio_next(NULL));
    assert_int_equal(host_irqs_free, HOST_IRQS);
    assert_int_equal(host_dma_live, 0);
    host_dma_low = false;
    return 0;
}

static void scan(void)
{
    assert_int_equal(pci_add_host(&fake->host), 0);
    host_ports_watch();
    assert_int_equal(pci_scan(), 1);
}

static void forget(void)
{
    pci_forget();
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

static void a_legacy_device_is_brought_up_with_a_vector_a_queue(void **state)
{
    PROVES("PCI-LEG-01", "PCI-LEG-02", "PCI-LEGDET-02");
    static uint8_t byte;
    struct virtq_elem elem = { (uintptr_t)&byte, 1 };
    struct virtq_buffer buffer = { &elem, 1, 0, &byte };
    struct virtq_done done;

    (void)state;
    add_good_function(N_VECTORS);
    scan();
    assert_int_equal(probes, 1);
    assert_int_equal(device.status, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                                        VIRTIO_CONFIG_S_DRIVER_OK);
    assert_int_equal(device.accepted, device.offered & ~TRAP);
    assert_int_equal(device.config_vector, 0);
    for (unsigned i = 0; i < N_QUEUES; i++) {
        assert_int_equal(device.queues[i].vector, i + 1);
        assert_int_equal((uint64_t)device.queues[i].pfn << 12, queues[i].areas.descriptor_addr);
        assert_int_equal(queues[i].size, 8);
        for (unsigned n = 0; n < 600; n++) {
            assert_int_equal(virtq_add(&queues[i].ring, &buffer, 1), 1);
            if (virtq_publish(&queues[i].ring))
                virtq_notify(&queues[i].ring);
            assert_int_equal(virtq_get(&queues[i].ring, &done, 1), 1);
        }
        assert_int_equal(device.queues[i].kicks, 600);
        assert_null(device.queues[i].ring.violation);
    }
    assert_string_equal(virtio_next(NULL)->transport->name, "pci-legacy");
    assert_true(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_MASTER);
    assert_false(logged("pci 0000"));
    forget();
    assert_int_equal(device.status, 0);
    assert_false(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_MASTER);
}

static void the_configuration_moves_when_msix_is_turned_on_and_back(void **state)
{
    PROVES("PCI-LEG-03");
    struct virtio_device *dev;
    uint32_t number;

    (void)state;
    add_good_function(N_VECTORS);
    scan();
    dev = virtio_next(NULL);
    assert_true(msix_is_on());
    assert_int_equal(number_before, 0x8b8a8988);
    assert_int_equal(number_after, 0x8b8a8988);
    assert_int_equal(dev->config_bytes, PORT_BYTES - 24);
    assert_int_equal(virtio_config_write(dev, 4, 0x12345678, 4), 0);
    assert_memory_equal(device.config + 4, "\x78\x56\x34\x12", 4);
    dev->transport->vectors_stop(dev);
    assert_false(msix_is_on());
    assert_int_equal(virtio_config_read(dev, 4, &number, sizeof(number)), 0);
    assert_int_equal(number, 0x12345678);
    assert_int_equal(virtio_config_write(dev, 6, 0xabcd, 2), 0);
    assert_int_equal(virtio_config_write(dev, 9, 0xef, 1), 0);
    assert_memory_equal(device.config + 4, "\x78\x56\xcd\xab\x88\xef\x8a\x8b", 8);
    forget();
}

static void the_configuration_stays_where_there_is_no_msix(void **state)
{
    PROVES("PCI-LEG-03");
    static const enum irq_mode modes[] = { IRQ_MODE_MSIX, IRQ_MODE_POLL };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
        set_up(NULL);
        irq_mode = modes[i];
        add_good_function(i ? N_VECTORS : 0);
        scan();
        assert_true(virtio_next(NULL)->started);
        assert_int_equal(number_after, 0x8b8a8988);
        assert_int_equal(virtio_next(NULL)->config_bytes, PORT_BYTES - (i ? 24 : 20));
        for (unsigned k = 0; k < CONFIG_BYTES; k++) /* no vector was written into it */
            assert_int_equal(device.config[k], 0x80 + k);
        forget();
    }
}

static void msix_that_was_left_on_is_turned_off_before_the_first_look(void **state)
{
    (void)state;
    irq_mode = IRQ_MODE_POLL;
    add_good_function(N_VECTORS);
    fake_put16(function, msix + PCI_MSIX_CONTROL, PCI_MSIX_ENABLE | (N_VECTORS - 1));
    scan();
    assert_false(msix_is_on());
    assert_int_equal(number_before, 0x8b8a8988);
    forget();
}

static void a_vector_that_the_device_refuses_is_replaced(void **state)
{
    (void)state;
    for (unsigned vectors = 0; vectors < 3; vectors++) {
        set_up(NULL);
        device.vectors = vectors;
        add_good_function(N_VECTORS);
        scan();
        assert_true(virtio_next(NULL)->started);
        assert_int_equal(device.config_vector, vectors ? 0 : 0xffff);
        assert_int_equal(device.queues[1].vector, vectors ? 0 : 0xffff);
        assert_int_equal(queues[1].polled, !vectors);
        forget();
    }
}

static void a_polled_device_tells_by_its_isr_whether_its_configuration_changed(void **state)
{
    struct virtio_device *dev;

    (void)state;
    irq_mode = IRQ_MODE_POLL;
    add_good_function(0);
    scan();
    dev = virtio_next(NULL);
    for (unsigned i = 0; i < 4; i++) {
        host_clock_ns += NSEC_PER_SEC;
        device.isr = (uint8_t)i; /* bit 0: queues, bit 1: configuration */
        assert_int_equal(virtio_config_changed(dev), i >> 1);
    }
    host_clock_ns += NSEC_PER_SEC;
    assert_false(virtio_config_changed(dev)); /* told once */
    forget();
}

static void with_a_shared_vector_every_interrupt_may_be_a_change(void **state)
{
    (void)state;
    add_good_function(1);
    scan();
    assert_int_equal(device.queues[0].vector, 0);
    virtio_next(NULL)->config_changed = true; /* as the handler of vector 0 does */
    assert_true(virtio_config_changed(virtio_next(NULL)));
    forget();
}

static void a_device_comes_back_after_a_reset(void **state)
{
    struct virtio_device *dev;
    void *cookie;

    (void)state;
    add_good_function(N_VECTORS);
    scan();
    dev = virtio_next(NULL);
    assert_int_equal(virtio_reset(dev), 0);
    assert_int_equal(device.queues[0].pfn | device.queues[1].pfn, 0);
    for (unsigned i = 0; i < N_QUEUES; i++)
        assert_int_equal(virtq_drain(&queues[i].ring, &cookie, 1), 0);
    assert_int_equal(virtio_reinit(dev), 0);
    assert_int_equal(virtio_start(dev), 0);
    assert_int_equal((uint64_t)device.queues[1].pfn << 12, queues[1].areas.descriptor_addr);
    assert_int_equal(device.queues[1].vector, 2);
    forget();
}

static void a_device_that_does_not_answer_a_reset_loses_the_bus(void **state)
{
    (void)state;
    add_good_function(N_VECTORS);
    device.deaf = true;
    assert_false(is_driven());
    assert_true(logged("does not answer a reset"));
    assert_false(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_MASTER);
}

static void the_subsystem_tells_the_type(void **state)
{
    (void)state;
    add_function(VIRTIO_TRANS_ID_NET, VIRTIO_ID_BLOCK);
    fake_pci_bar(function, 0, PCI_BAR_IO, PORT_BYTES, PORTS);
    assert_true(is_driven());
    assert_int_equal(probed_type, VIRTIO_ID_BLOCK);
    set_up(NULL);
    add_function(VIRTIO_TRANS_ID_BLOCK, 0);
    fake_pci_bar(function, 0, PCI_BAR_IO, PORT_BYTES, PORTS);
    assert_true(is_driven());
    assert_int_equal(probed_type, VIRTIO_ID_BLOCK);
    set_up(NULL);
    add_function(VIRTIO_TRANS_ID_NET, 0xfffe); /* which nobody drives */
    fake_pci_bar(function, 0, PCI_BAR_IO, PORT_BYTES, PORTS);
    assert_false(is_driven());
}

/* A common structure that lies beyond its BAR, in a transitional device. */
static void modern_registers_that_cannot_be_used_leave_the_legacy_ones(void **state)
{
    unsigned at;

    (void)state;
    add_good_function(N_VECTORS);
    at = fake_pci_capability(function, PCI_CAP_VENDOR, 16);
    function->space[at + 2] = 16;
    function->space[at + 3] = VIRTIO_PCI_CAP_COMMON_CFG;
    function->space[at + 4] = TABLE_BAR;
    fake_put32(function, at + 8, HOST_REGISTERS_BYTES);
    fake_put32(function, at + 12, 0x1000);
    assert_true(is_driven());
    assert_true(
        logged("pci 0000:00:04.0: no usable modern virtio registers, using the legacy ones"));
}

static void a_modern_device_is_never_driven_as_legacy(void **state)
{
    (void)state;
    add_function(VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET, VIRTIO_ID_NET);
    fake_pci_bar(function, 0, PCI_BAR_IO, PORT_BYTES, PORTS);
    assert_false(is_driven());
    assert_true(logged("no usable modern virtio registers\n"));
    set_up(NULL);
    add_good_function(N_VECTORS);
    function->space[PCI_REVISION] = 1;
    assert_false(is_driven());
    assert_int_equal(device.accesses, 0);
}

static void registers_that_are_not_there_are_reported(void **state)
{
    static const struct {
        enum pci_bar_kind kind;
        uint32_t bytes, address;
        unsigned vectors;
    } bars[] = {
        { PCI_BAR_NONE, 0, 0, 0 },                   /* none */
        { PCI_BAR_MEMORY32, 0x1000, 0xfd000000, 0 }, /* memory */
        { PCI_BAR_IO, PORT_BYTES, 0, 0 },            /* not assigned */
        { PCI_BAR_IO, 16, PORTS, 0 },                /* too short */
        { PCI_BAR_IO, 4, PORTS, N_VECTORS },
        { PCI_BAR_IO, 64, 0x1ffc0, 0 }, /* beyond the last port */
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(bars); i++) {
        set_up(NULL);
        add_good_function(bars[i].vectors);
        fake_pci_bar(function, 0, bars[i].kind, bars[i].bytes, bars[i].address);
        if (bars[i].kind == PCI_BAR_NONE)
            fake_put32(function, PCI_BAR0, 0);
        assert_false(is_driven());
        assert_true(logged("no usable virtio registers, modern or legacy"));
        assert_int_equal(device.accesses, 0);
        assert_false(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_MASTER);
    }
}

static void registers_without_a_configuration_are_enough(void **state)
{
    (void)state;
    add_function(VIRTIO_TRANS_ID_NET, VIRTIO_ID_NET);
    fake_pci_bar(function, 0, PCI_BAR_IO, 32, PORTS);
    scan();
    assert_int_equal(virtio_next(NULL)->config_bytes, 12);
    assert_int_equal(virtio_config_read(virtio_next(NULL), 12, &number_after, 4), -ERANGE);
    forget();
}

static void a_size_that_is_none_fails_the_device(void **state)
{
    static const uint16_t sizes[] = { 0, 3, 257, 32769, 65535 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        set_up(NULL);
        device.queues[1].size = sizes[i];
        add_good_function(N_VECTORS);
        assert_false(is_driven());
        assert_true(logged("its driver could not start it"));
        assert_int_equal(device.queues[0].pfn | device.queues[1].pfn, 0);
    }
}

static void the_largest_queue_works(void **state)
{
    (void)state;
    device.queues[0].size = 32768;
    device.queues[1].size = 1;
    add_good_function(N_VECTORS);
    assert_true(is_driven());
}

static void a_queue_that_is_in_use_already_is_not_taken(void **state)
{
    (void)state;
    add_good_function(N_VECTORS);
    scan();
    assert_int_equal(virtio_queue_restart(&queues[0]), -EBUSY);
    forget();
}

static void memory_that_runs_out_leaves_nothing_behind(void **state)
{
    int n = 0;
    bool driven;

    (void)state;
    do {
        set_up(NULL);
        add_good_function(N_VECTORS);
        assert_int_equal(pci_add_host(&fake->host), 0);
        host_ports_watch();
        host_allocs_until_failure = n++;
        pci_scan();
        host_allocs_until_failure = -1;
        driven = virtio_next(NULL) && virtio_next(NULL)->started;
        forget();
        assert_int_equal(host_dma_live, 0);
        assert_int_equal(host_allocs_live, 0);
        assert_true(n < 30);
    } while (!driven);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_legacy_device_is_brought_up_with_a_vector_a_queue),
        TEST(the_configuration_moves_when_msix_is_turned_on_and_back),
        TEST(the_configuration_stays_where_there_is_no_msix),
        TEST(msix_that_was_left_on_is_turned_off_before_the_first_look),
        TEST(a_vector_that_the_device_refuses_is_replaced),
        TEST(a_polled_device_tells_by_its_isr_whether_its_configuration_changed),
        TEST(with_a_shared_vector_every_interrupt_may_be_a_change),
        TEST(a_device_comes_back_after_a_reset),
        TEST(a_device_that_does_not_answer_a_reset_loses_the_bus),
        TEST(the_subsystem_tells_the_type),
        TEST(modern_registers_that_cannot_be_used_leave_the_legacy_ones),
        TEST(a_modern_device_is_never_driven_as_legacy),
        TEST(registers_that_are_not_there_are_reported),
        TEST(registers_without_a_configuration_are_enough),
        TEST(a_size_that_is_none_fails_the_device),
        TEST(the_largest_queue_works),
        TEST(a_queue_that_is_in_use_already_is_not_taken),
        TEST(memory_that_runs_out_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
