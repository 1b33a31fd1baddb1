/* SPDX-License-Identifier: MIT */
/* PCI against configuration spaces that behave, and ones that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/pci/pci.h"
#include "lib/base/errno.h"
#include "tests/host/alloc.h"
#include "tests/host/fake_pci.h"
#include "tests/host/log.h"
#include "tests/host/mmio.h"
#include "tests/host/proves.h"

#define MMIO_START UINT64_C(0xfe000000)
#define MMIO_BYTES 0x10000

static struct fake_pci *fake;
static uint8_t *registers; /* behind MMIO_START */

static int probe_result;
static unsigned probes, removes;
static uint16_t command_in_probe;

static int probe(struct pci_device *device)
{
    probes++;
    command_in_probe = device->command;
    return probe_result;
}

static void remove_device(struct pci_device *device)
{
    (void)device;
    removes++;
}

static const struct pci_match matches[] = { { 0x1234, 0x0010, 0x001f }, { 0x5678, 1, 1 } };

static const struct pci_driver driver LINKER_SET(pci_drivers) = {
    .name = "test", .matches = matches, .n_matches = 2, .probe = probe, .remove = remove_device
};

static int set_up(void **state)
{
    (void)state;
    fake = fake_pci_host(0, 255);
    registers = aligned_alloc(4096, MMIO_BYTES);
    memset(registers, 0, MMIO_BYTES);
    host_mmio_start = MMIO_START;
    host_mmio_bytes = MMIO_BYTES;
    host_mmio_memory = registers;
    host_log_clear();
    pci_config_accesses = 0;
    probe_result = 0;
    probes = removes = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pci_forget();
    free(registers);
    host_allocs_until_failure = -1;
    if (fake->violation)
        fail_msg("%s", fake->violation);
    return 0;
}

static int scan(void)
{
    assert_int_equal(pci_add_host(&fake->host), 0);
    return pci_scan();
}

/* The only function there is, at 00:03.0. */
static struct fake_function *one_function(void)
{
    return fake_pci_function(fake, 0, 3, 0, 0x1af4, 0x1041);
}

static struct pci_device *found(void)
{
    assert_int_equal(scan(), 1);
    return pci_next(NULL);
}

static bool logged(const char *text)
{
    return strstr(host_log_text(), text) != NULL;
}

/* ---- enumeration */

static void scan_of_an_empty_bus_finds_nothing_with_one_access_a_slot(void **state)
{
    (void)state;
    assert_int_equal(scan(), 0);
    assert_null(pci_next(NULL));
    assert_int_equal(pci_config_accesses, 32);
    assert_string_equal(host_log_text(), "");
}

static void scan_without_any_host_finds_nothing(void **state)
{
    (void)state;
    assert_int_equal(pci_scan(), 0);
    assert_int_equal(pci_config_accesses, 0);
}

static void scan_reads_two_registers_of_a_device_with_one_function(void **state)
{
    (void)state;
    one_function();
    assert_int_equal(scan(), 1);
    assert_int_equal(pci_config_accesses, 33);
}

static void scan_finds_further_functions_only_where_the_header_says_so(void **state)
{
    struct fake_function *multi = fake_pci_function(fake, 0, 1, 0, 0x8086, 1);

    (void)state;
    multi->space[PCI_HEADER] = PCI_HEADER_MULTI;
    fake_pci_function(fake, 0, 1, 3, 0x8086, 2);
    fake_pci_function(fake, 0, 1, 7, 0x8086, 3);
    fake_pci_function(fake, 0, 2, 0, 0x8086, 4);
    fake_pci_function(fake, 0, 2, 1, 0x8086, 5); /* hidden: function 0 has one function */
    fake_pci_function(fake, 0, 5, 1, 0x8086, 6); /* hidden: there is no function 0 */
    assert_int_equal(scan(), 4);
}

static void scan_takes_a_vendor_of_zeros_or_ones_for_nobody(void **state)
{
    (void)state;
    fake_pci_function(fake, 0, 1, 0, 0xffff, 0x1234);
    fake_pci_function(fake, 0, 2, 0, 0x0000, 0x1234);
    assert_int_equal(scan(), 0);
}

static void scan_follows_bridges_behind_bridges(void **state)
{
    (void)state;
    fake_pci_bridge(fake, 0, 1, 1, 3);
    fake_pci_bridge(fake, 1, 0, 2, 2);
    fake_pci_bridge(fake, 1, 1, 3, 3);
    fake_pci_function(fake, 2, 31, 0, 0x1234, 1);
    fake_pci_function(fake, 3, 0, 0, 0x1234, 2);
    fake_pci_function(fake, 9, 0, 0, 0x1234, 3); /* no bridge leads there */
    assert_int_equal(scan(), 5);
}

static void scan_finds_64_devices_behind_8_bridges(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        fake_pci_bridge(fake, 0, i, i + 1, i + 1);
        for (unsigned j = 0; j < 8; j++)
            fake_pci_function(fake, i + 1, j, 0, 0x1234, 0x0010);
    }
    assert_int_equal(scan(), 72);
    assert_int_equal(probes, 64);
}

static void scan_looks_at_one_slot_behind_a_pci_express_port(void **state)
{
    struct fake_function *port = fake_pci_bridge(fake, 0, 1, 1, 1);
    unsigned at = fake_pci_capability(port, PCI_CAP_EXPRESS, 20);

    (void)state;
    fake_put16(port, at + PCI_EXPRESS_FLAGS, PCI_EXPRESS_ROOT_PORT << 4 | 2);
    fake_pci_function(fake, 1, 0, 0, 0x1234, 1);
    assert_int_equal(scan(), 2);
    assert_true(pci_config_accesses < 32 + 10);
}

static void scan_does_not_follow_a_bridge_to_its_own_or_an_earlier_bus(void **state)
{
    (void)state;
    fake_pci_bridge(fake, 0, 1, 5, 5);
    fake_pci_bridge(fake, 5, 0, 5, 5);
    fake_pci_bridge(fake, 5, 1, 0, 255);
    fake_pci_bridge(fake, 5, 2, 2, 9);
    assert_int_equal(scan(), 4);
    assert_true(logged("0000:05:00.0: bridge to impossible buses"));
    assert_true(logged("0000:05:02.0: bridge to impossible buses"));
}

static void scan_visits_a_bus_that_two_bridges_claim_once(void **state)
{
    (void)state;
    fake_pci_bridge(fake, 0, 1, 1, 1);
    fake_pci_bridge(fake, 0, 2, 1, 1);
    fake_pci_function(fake, 1, 0, 0, 0x1234, 0x10);
    assert_int_equal(scan(), 3);
    assert_int_equal(probes, 1);
    assert_true(logged("0000:00:02.0: bridge to impossible buses 1 to 1"));
}

static void scan_does_not_leave_the_buses_of_the_host(void **state)
{
    (void)state;
    fake->host.bus_last = 3;
    fake_pci_bridge(fake, 0, 1, 4, 4);
    fake_pci_bridge(fake, 0, 2, 3, 2); /* upside down */
    fake_pci_function(fake, 4, 0, 0, 0x1234, 1);
    assert_int_equal(scan(), 2);
    assert_true(logged("0000:00:01.0: bridge to impossible buses 4 to 4"));
    assert_true(logged("0000:00:02.0: bridge to impossible buses 3 to 2"));
}

static void scan_goes_down_a_chain_of_255_bridges(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 255; i++)
        fake_pci_bridge(fake, i, 0, i + 1, 255);
    assert_int_equal(scan(), 255);
}

static void scan_keeps_a_device_with_an_unknown_header_but_not_its_registers(void **state)
{
    struct fake_function *function = one_function();
    struct pci_bar bar;

    (void)state;
    function->space[PCI_HEADER] = 0x7f;
    fake_put16(function, PCI_STATUS, PCI_STATUS_CAP_LIST);
    function->space[PCI_CAP_FIRST] = 0x40;
    assert_int_equal(pci_bar(found(), 0, &bar), -EINVAL);
    assert_int_equal(pci_capability(pci_next(NULL), 0, 0), 0);
}

static void scan_ends_when_memory_does(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        fake_pci_function(fake, 0, i, 0, 0x1234, 0x10);
    host_allocs_until_failure = 2;
    assert_int_equal(scan(), 2);
    assert_int_equal(probes, 2);
}

static void hosts_may_not_share_buses_of_a_segment(void **state)
{
    struct pci_host same = { .bus_first = 255, .bus_last = 255 };
    struct pci_host other = { .segment = 1, .bus_first = 0, .bus_last = 255 };
    struct pci_host upside_down = { .segment = 2, .bus_first = 2, .bus_last = 1 };

    (void)state;
    assert_int_equal(pci_add_host(&fake->host), 0);
    assert_int_equal(pci_add_host(&same), -EEXIST);
    assert_int_equal(pci_add_host(&other), 0);
    assert_int_equal(pci_add_host(&upside_down), -EINVAL);
}

/* ---- drivers */

static void a_driver_gets_what_it_matches_with_bus_mastering_on_and_intx_off(void **state)
{
    struct fake_function *mine = fake_pci_function(fake, 0, 1, 0, 0x1234, 0x001f);

    (void)state;
    fake_pci_function(fake, 0, 2, 0, 0x1234, 0x0020);
    fake_pci_function(fake, 0, 3, 0, 0x5678, 1);
    assert_int_equal(scan(), 3);
    assert_int_equal(probes, 2);
    assert_true(command_in_probe & PCI_COMMAND_MASTER);
    assert_true(fake_get16(mine, PCI_COMMAND) & PCI_COMMAND_MASTER);
    assert_true(fake_get16(mine, PCI_COMMAND) & PCI_COMMAND_INTX_OFF);
    assert_ptr_equal(pci_next(NULL)->driver, &driver);
    pci_release(pci_next(NULL));
    assert_int_equal(removes, 1);
    assert_false(fake_get16(mine, PCI_COMMAND) & PCI_COMMAND_MASTER);
    pci_release(pci_next(NULL));
    assert_int_equal(removes, 1);
}

static void a_driver_that_fails_leaves_bus_mastering_off(void **state)
{
    struct fake_function *mine = fake_pci_function(fake, 0, 1, 0, 0x1234, 0x0010);

    (void)state;
    probe_result = -EIO;
    assert_int_equal(scan(), 1);
    assert_false(fake_get16(mine, PCI_COMMAND) & PCI_COMMAND_MASTER);
    assert_null(pci_next(NULL)->driver);
    assert_true(logged("test could not take it"));
}

/* ---- where interrupt pins lead */

static uint32_t gsi_of(unsigned bus, unsigned slot)
{
    struct pci_device *device = NULL;
    struct irq_line line;

    while ((device = pci_next(device)))
        if (device->at.bus == bus && device->at.device == slot)
            return pci_line(device, &line) ? UINT32_MAX : line.gsi;
    return UINT32_MAX;
}

static struct irq_line isa_line(unsigned irq)
{
    return (struct irq_line){ .gsi = irq + 100 };
}

static unsigned find_links(struct irq_line *links, unsigned max)
{
    for (unsigned i = 0; i < max; i++)
        links[i] = (struct irq_line){ .gsi = 12 + i };
    return max;
}

static void add_pinned(unsigned bus, unsigned slot, uint16_t pin_and_line)
{
    fake_put16(fake_pci_function(fake, bus, slot, 0, 0x9999, 1), PCI_INTERRUPT, pin_and_line);
}

static void pins_lead_where_the_host_bridge_wires_them(void **state)
{
    (void)state;
    pci_isa_line = isa_line;
    pci_find_links = find_links;
    fake_pci_function(fake, 0, 0, 0, 0x8086, 0x29c0);
    add_pinned(0, 1, 0x010a);
    add_pinned(0, 3, 0x020a);
    add_pinned(0, 4, 0x000a); /* no pin */
    add_pinned(0, 5, 0x050a); /* nor such a one */
    fake_pci_bridge(fake, 0, 6, 1, 1);
    add_pinned(1, 7, 0x010a);
    add_pinned(0, 26, 0x030a);
    add_pinned(0, 30, 0x020a);
    scan();
    assert_int_equal(gsi_of(0, 1), 21);
    assert_int_equal(gsi_of(0, 3), 20);
    assert_int_equal(gsi_of(0, 4), UINT32_MAX);
    assert_int_equal(gsi_of(0, 5), UINT32_MAX);
    assert_int_equal(gsi_of(1, 7), 20 + (6 + 7) % 4);
    assert_int_equal(gsi_of(0, 26), 18);
    assert_int_equal(gsi_of(0, 30), 21);
    pci_isa_line = NULL;
    pci_find_links = NULL;
}

static void pins_of_an_unknown_board_lead_where_the_line_register_says(void **state)
{
    (void)state;
    pci_isa_line = isa_line;
    fake_pci_function(fake, 0, 0, 0, 0x8086, 0x1237);
    add_pinned(0, 1, 0x010b);
    add_pinned(0, 2, 0x0100);
    add_pinned(0, 3, 0x01ff);
    scan();
    assert_int_equal(gsi_of(0, 1), 111);
    assert_int_equal(gsi_of(0, 2), UINT32_MAX);
    assert_int_equal(gsi_of(0, 3), UINT32_MAX);
    pci_isa_line = NULL;
}

static void a_driver_that_declines_is_not_reported(void **state)
{
    (void)state;
    fake_pci_function(fake, 0, 1, 0, 0x1234, 0x0010);
    probe_result = -ENODEV;
    assert_int_equal(scan(), 1);
    assert_null(pci_next(NULL)->driver);
    assert_string_equal(host_log_text(), "");
}

/* ---- capabilities */

static void capabilities_are_found_in_order_and_read_once(void **state)
{
    struct fake_function *function = one_function();
    unsigned a = fake_pci_capability(function, PCI_CAP_VENDOR, 16);
    unsigned b = fake_pci_capability(function, PCI_CAP_MSIX, 12);
    unsigned c = fake_pci_capability(function, PCI_CAP_VENDOR, 20);
    struct pci_device *device = found();
    uint64_t accesses;

    (void)state;
    assert_int_equal(pci_capability(device, PCI_CAP_VENDOR, 0), a);
    assert_int_equal(pci_capability(device, PCI_CAP_VENDOR, a), c);
    assert_int_equal(pci_capability(device, PCI_CAP_VENDOR, c), 0);
    accesses = pci_config_accesses;
    assert_int_equal(pci_capability(device, PCI_CAP_MSIX, 0), b);
    assert_int_equal(pci_capability(device, PCI_CAP_PM, 0), 0);
    assert_int_equal(pci_config_accesses, accesses);
}

static void capabilities_are_not_looked_for_without_the_status_bit(void **state)
{
    struct fake_function *function = one_function();

    (void)state;
    fake_pci_capability(function, PCI_CAP_VENDOR, 16);
    fake_put16(function, PCI_STATUS, 0);
    assert_int_equal(pci_capability(found(), PCI_CAP_VENDOR, 0), 0);
}

static void a_capability_that_points_to_itself_ends_the_chain(void **state)
{
    struct fake_function *function = one_function();
    unsigned at = fake_pci_capability(function, PCI_CAP_VENDOR, 16);

    (void)state;
    function->space[at + PCI_CAP_NEXT] = (uint8_t)at;
    assert_int_equal(pci_capability(found(), PCI_CAP_VENDOR, 0), at);
    assert_int_equal(pci_capability(pci_next(NULL), PCI_CAP_VENDOR, at), 0);
    assert_true(logged("the list of capabilities is broken"));
}

static void capabilities_in_a_circle_are_found_once(void **state)
{
    struct fake_function *function = one_function();
    unsigned first = fake_pci_capability(function, PCI_CAP_VENDOR, 16);
    unsigned at = first, seen = 0;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        at = fake_pci_capability(function, PCI_CAP_VENDOR, 16);
    function->space[at + PCI_CAP_NEXT] = (uint8_t)first;
    found();
    for (at = 0; (at = pci_capability(pci_next(NULL), PCI_CAP_VENDOR, at));)
        seen++;
    assert_int_equal(seen, 6);
}

static void capabilities_that_fill_the_space_are_all_found(void **state)
{
    struct fake_function *function = one_function();
    unsigned at, seen = 0;

    (void)state;
    for (unsigned i = 0; i < PCI_CAPABILITIES; i++)
        fake_pci_capability(function, PCI_CAP_VENDOR, 4);
    found();
    for (at = 0; (at = pci_capability(pci_next(NULL), PCI_CAP_VENDOR, at));)
        seen++;
    assert_int_equal(seen, PCI_CAPABILITIES);
    assert_string_equal(host_log_text(), "");
}

static void a_capability_pointer_into_the_header_ends_the_chain(void **state)
{
    struct fake_function *function = one_function();
    unsigned at = fake_pci_capability(function, PCI_CAP_MSIX, 16);

    (void)state;
    function->space[at + PCI_CAP_NEXT] = 0x3c;
    assert_int_equal(pci_capability(found(), PCI_CAP_MSIX, 0), at);
    assert_true(logged("broken at offset 0x3c"));
}

static void the_reserved_bits_of_a_capability_pointer_are_ignored(void **state)
{
    struct fake_function *function = one_function();
    unsigned at = fake_pci_capability(function, PCI_CAP_MSIX, 16);

    (void)state;
    function->space[PCI_CAP_FIRST] |= 3;
    assert_int_equal(pci_capability(found(), PCI_CAP_MSIX, 0), at);
}

static void a_function_that_reads_as_ones_has_no_capabilities_and_no_bars(void **state)
{
    struct pci_bar bar;

    (void)state;
    one_function()->all_ones = true;
    found();
    assert_int_equal(pci_capability(pci_next(NULL), 0xff, 0), 0);
    assert_true(pci_bar(pci_next(NULL), 0, &bar) < 0);
}

static void a_register_beyond_the_space_reads_as_ones(void **state)
{
    (void)state;
    one_function();
    assert_int_equal(pci_read32(found(), 254), UINT32_MAX);
    assert_int_equal(pci_read8(pci_next(NULL), 256), 0xff);
    pci_write32(pci_next(NULL), 256, 0);
}

/* ---- BARs */

static void bars_of_all_kinds_are_sized(void **state)
{
    struct fake_function *function = one_function();
    struct pci_device *device;
    struct pci_bar bar;

    (void)state;
    fake_pci_bar(function, 0, PCI_BAR_IO, 32, 0xc000);
    fake_pci_bar(function, 1, PCI_BAR_MEMORY32, 4096, 0xfe001000);
    fake_pci_bar(function, 4, PCI_BAR_MEMORY64, UINT64_C(1) << 40, UINT64_C(1) << 45);
    device = found();
    assert_int_equal(pci_bar(device, 4, &bar), 0);
    assert_int_equal(bar.kind, PCI_BAR_MEMORY64);
    assert_int_equal(bar.bytes, UINT64_C(1) << 40);
    assert_int_equal(bar.address, UINT64_C(1) << 45);
    assert_int_equal(pci_bar(device, 0, &bar), 0);
    assert_int_equal(bar.kind, PCI_BAR_IO);
    assert_int_equal(bar.bytes, 32);
    assert_int_equal(bar.address, 0xc000);
    assert_int_equal(pci_bar(device, 1, &bar), 0);
    assert_int_equal(bar.kind, PCI_BAR_MEMORY32);
    assert_int_equal(bar.bytes, 4096);
    assert_int_equal(pci_bar(device, 2, &bar), -ENOENT);
    assert_int_equal(pci_bar(device, 6, &bar), -EINVAL);
    assert_int_equal(pci_bar(device, UINT32_MAX, &bar), -EINVAL);
}

static void the_upper_half_of_a_bar_is_none_of_its_own(void **state)
{
    struct fake_function *function = one_function();
    struct pci_bar bar;

    (void)state;
    fake_pci_bar(function, 2, PCI_BAR_MEMORY64, 4096, UINT64_C(0xfe00000000));
    assert_int_equal(pci_bar(found(), 3, &bar), -ENOENT);
    assert_int_equal(pci_bar(pci_next(NULL), 2, &bar), 0);
    assert_int_equal(pci_bar(pci_next(NULL), 3, &bar), -ENOENT);
}

static void sizing_leaves_the_registers_as_they_were_and_happens_once(void **state)
{
    struct fake_function *function = one_function();
    uint8_t before[256];
    uint64_t accesses;
    struct pci_bar bar;

    (void)state;
    fake_pci_bar(function, 0, PCI_BAR_MEMORY64, 0x4000, UINT64_C(0x80fe000000));
    memcpy(before, function->space, sizeof(before));
    assert_int_equal(pci_bar(found(), 0, &bar), 0);
    assert_memory_equal(function->space, before, sizeof(before));
    accesses = pci_config_accesses;
    assert_int_equal(pci_bar(pci_next(NULL), 0, &bar), 0);
    assert_int_equal(pci_config_accesses, accesses);
}

static void a_64_bit_bar_in_the_last_register_is_nonsense(void **state)
{
    struct fake_function *function = one_function();
    struct pci_bar bar;

    (void)state;
    fake_pci_bar(function, 5, PCI_BAR_MEMORY32, 4096, 0xfe000000);
    function->space[PCI_BAR0 + 20] |= PCI_BAR_TYPE_64;
    assert_int_equal(pci_bar(found(), 5, &bar), -EIO);
    assert_int_equal(pci_bar(pci_next(NULL), 5, &bar), -EIO);
    assert_true(logged("BAR 5 answers nonsense"));
}

static void a_bar_of_a_reserved_type_is_nonsense(void **state)
{
    struct fake_function *function = one_function();
    struct pci_bar bar;

    (void)state;
    fake_put32(function, PCI_BAR0, 0xfe000006);
    assert_int_equal(pci_bar(found(), 0, &bar), -EIO);
}

static void a_bar_whose_size_is_no_power_of_two_is_nonsense(void **state)
{
    struct fake_function *function = one_function();
    struct pci_bar bar;

    (void)state;
    fake_pci_bar(function, 0, PCI_BAR_MEMORY32, 4096, 0xfe000000);
    function->bar_bytes[0] = 0x5001; /* decodes bits 12 and 14 but not 13 */
    assert_int_equal(pci_bar(found(), 0, &bar), -EIO);
}

static void a_bridge_has_two_bars(void **state)
{
    struct pci_bar bar;

    (void)state;
    fake_pci_bar(fake_pci_bridge(fake, 0, 1, 1, 1), 0, PCI_BAR_MEMORY32, 4096, 0xfe000000);
    assert_int_equal(scan(), 1);
    assert_int_equal(pci_bar(pci_next(NULL), 0, &bar), 0);
    assert_int_equal(pci_bar(pci_next(NULL), 1, &bar), -ENOENT);
    assert_int_equal(pci_bar(pci_next(NULL), 2, &bar), -EINVAL);
}

static void map_reaches_exactly_what_lies_inside_the_bar(void **state)
{
    struct fake_function *function = one_function();
    struct pci_device *device;
    volatile void *at;

    (void)state;
    fake_pci_bar(function, 1, PCI_BAR_MEMORY32, 4096, MMIO_START);
    fake_put16(function, PCI_COMMAND, 0);
    device = found();
    assert_int_equal(pci_map(device, 1, 16, 4080, &at), 0);
    assert_ptr_equal(at, registers + 16);
    assert_true(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_MEMORY);
    assert_int_equal(pci_map(device, 1, 4096, 1, &at), -ERANGE);
    assert_int_equal(pci_map(device, 1, 0, 4097, &at), -ERANGE);
    assert_int_equal(pci_map(device, 1, 0, 0, &at), -ERANGE);
    assert_int_equal(pci_map(device, 1, UINT64_MAX, 2, &at), -ERANGE);
    assert_int_equal(pci_map(device, 1, 2, UINT64_MAX, &at), -ERANGE);
    assert_int_equal(pci_map(device, 2, 0, 1, &at), -ENOENT);
}

static void map_refuses_ports_and_addresses_that_are_missing_or_out_of_reach(void **state)
{
    struct fake_function *function = one_function();
    struct pci_device *device;
    volatile void *at;

    (void)state;
    fake_pci_bar(function, 0, PCI_BAR_IO, 32, 0xc000);
    fake_pci_bar(function, 1, PCI_BAR_MEMORY32, 4096, 0);
    fake_pci_bar(function, 2, PCI_BAR_MEMORY32, 4096, 0xd0000000);
    device = found();
    assert_int_equal(pci_map(device, 0, 0, 4, &at), -EINVAL);
    assert_int_equal(pci_map(device, 1, 0, 4, &at), -ENXIO);
    assert_true(logged("BAR 1 has no address"));
    assert_int_equal(pci_map(device, 2, 0, 4, &at), -ENXIO);
    assert_true(logged("BAR 2 at 0xd0000000 lies where no device can be"));
}

/* ---- placing BARs that nobody has placed */

static phys_addr_t window_start;
static uint64_t window_bytes;
static unsigned window_asked, high_asked;
static phys_addr_t high_start;
static uint64_t high_bytes;

static phys_addr_t ports_start;
static uint64_t ports_bytes;

static bool find_window(enum pci_room room, phys_addr_t *start, uint64_t *bytes)
{
    if (room == PCI_ROOM_PORTS) {
        *start = ports_start;
        *bytes = ports_bytes;
        return ports_bytes > 0;
    }
    if (room == PCI_ROOM_HIGH) {
        high_asked++;
        *start = high_start;
        *bytes = high_bytes;
        return high_bytes > 0;
    }
    window_asked++;
    *start = window_start;
    *bytes = window_bytes;
    return window_bytes > 0;
}

static void use_window(phys_addr_t start, uint64_t bytes)
{
    window_start = start;
    window_bytes = bytes;
    window_asked = high_asked = 0;
    high_bytes = ports_bytes = 0;
    pci_find_window = find_window;
}

static void use_high_window(phys_addr_t start, uint64_t bytes)
{
    high_start = start;
    high_bytes = bytes;
}

static void bars_without_an_address_get_one_each_above_what_is_in_use(void **state)
{
    struct fake_function *a = fake_pci_function(fake, 0, 1, 0, 0x1af4, 1);
    struct fake_function *b = fake_pci_function(fake, 0, 2, 0, 0x1af4, 2);
    struct pci_device *first, *second;
    volatile void *at;
    struct pci_bar bar;

    (void)state;
    use_window(MMIO_START, MMIO_BYTES);
    fake_pci_bar(a, 0, PCI_BAR_MEMORY32, 0x1000, 0);
    fake_pci_bar(a, 4, PCI_BAR_MEMORY64, 0x4000, 0);
    fake_pci_bar(b, 0, PCI_BAR_MEMORY32, 0x1000, MMIO_START + 0x2000);
    assert_int_equal(scan(), 2);
    first = pci_next(NULL);
    second = pci_next(first);
    assert_int_equal(pci_map(first, 0, 0, 4, &at), 0);
    assert_int_equal(pci_map(first, 4, 8, 4, &at), 0);
    assert_ptr_equal(at, registers + 0x4008);
    assert_int_equal(pci_map(second, 0, 0, 4, &at), 0);
    assert_int_equal(pci_bar(first, 0, &bar), 0);
    assert_int_equal(bar.address, MMIO_START + 0x3000);
    assert_int_equal(pci_bar(first, 4, &bar), 0);
    assert_int_equal(bar.address, MMIO_START + 0x4000);
    assert_int_equal(pci_read32(first, PCI_BAR0 + 16), (MMIO_START + 0x4000) | PCI_BAR_TYPE_64);
    assert_int_equal(window_asked, 1);
    pci_find_window = NULL;
}

static void a_window_that_is_too_small_or_missing_places_nothing(void **state)
{
    struct fake_function *function = one_function();
    volatile void *at;

    (void)state;
    use_window(MMIO_START, 0);
    fake_pci_bar(function, 0, PCI_BAR_MEMORY32, 0x2000, 0);
    assert_int_equal(pci_map(found(), 0, 0, 4, &at), -ENXIO);
    assert_int_equal(pci_map(pci_next(NULL), 0, 0, 4, &at), -ENXIO);
    assert_int_equal(window_asked, 1);
    pci_forget();

    use_window(MMIO_START + 0x1000, 0x2000); /* large enough, but for its alignment */
    assert_int_equal(pci_map(found(), 0, 0, 4, &at), -ENXIO);
    pci_forget();

    use_window(UINT64_C(0x100000000), 0x10000); /* out of reach of 32 bits */
    assert_int_equal(pci_map(found(), 0, 0, 4, &at), -ENXIO);
    pci_find_window = NULL;
}

static void a_bar_as_large_as_can_be_does_not_overflow_the_window(void **state)
{
    struct fake_function *function = one_function();
    struct pci_bar bar;
    volatile void *at;

    (void)state;
    use_window(MMIO_START, MMIO_BYTES);
    fake_pci_bar(function, 0, PCI_BAR_MEMORY64, UINT64_C(1) << 63, 0);
    assert_int_equal(pci_map(found(), 0, 0, 4, &at), -ENXIO);
    assert_int_equal(pci_next(NULL)->bar[0].address, 0);
    pci_forget();
    use_window((UINT64_C(1) << 63) + 0x1000, 0x10000);
    assert_int_equal(pci_bar(found(), 0, &bar), 0);
    assert_int_equal(pci_place_bar(pci_next(NULL), 0), -ENOSPC);
    pci_find_window = NULL;
}

static phys_addr_t placed(struct pci_device *device, unsigned index)
{
    struct pci_bar bar;

    assert_int_equal(pci_bar(device, index, &bar), 0);
    return pci_place_bar(device, index) ? 0 : device->bar[index].address;
}

static void bars_of_64_bits_go_above_4_gib_where_they_are_large_or_the_rest_is_full(void **state)
{
    struct fake_function *function = one_function(), *taken;
    const phys_addr_t high = UINT64_C(0xc000000000);
    struct pci_device *device;

    (void)state;
    use_window(MMIO_START, 0x10000);
    use_high_window(high, 64 * GIB);
    taken = fake_pci_function(fake, 0, 4, 0, 0x1af4, 1);
    fake_pci_bar(taken, 0, PCI_BAR_MEMORY64, GIB, high); /* a firmware's */
    fake_pci_bar(function, 0, PCI_BAR_MEMORY64, 0x1000, 0);
    fake_pci_bar(function, 2, PCI_BAR_MEMORY64, 4 * GIB, 0);
    fake_pci_bar(function, 4, PCI_BAR_MEMORY32, 32 * MIB, 0);
    assert_int_equal(scan(), 2);
    device = pci_next(NULL);
    assert_int_equal(placed(device, 0), MMIO_START);
    assert_int_equal(high_asked, 0); /* nobody needs it */
    assert_int_equal(placed(device, 2), high + 4 * GIB);
    assert_int_equal(pci_read32(device, PCI_BAR0 + 12), (high + 4 * GIB) >> 32);
    assert_int_equal(placed(device, 4), 0); /* has no room below, and can not go up */
    assert_int_equal(high_asked, 1);
    pci_forget();

    fake_pci_bar(function, 0, PCI_BAR_MEMORY64, 0x20000,
                 0); /* small, but too large for the window */
    assert_int_equal(scan(), 2);
    assert_int_equal(placed(pci_next(NULL), 0), high + 8 * GIB); /* behind the last one */
    pci_forget();
    use_high_window(high, 2 * GIB);
    fake_pci_bar(function, 2, PCI_BAR_MEMORY64, 4 * GIB, 0);
    assert_int_equal(scan(), 2);
    assert_int_equal(placed(pci_next(NULL), 2), 0);
    pci_forget();
    use_window(0xc0000000, 512 * MIB);
    use_high_window(high, 64 * GIB);
    fake_pci_bar(function, 2, PCI_BAR_MEMORY64, 16 * MIB, 0); /* would have room below */
    assert_int_equal(scan(), 2);
    assert_true(placed(pci_next(NULL), 2) >= high);
    pci_find_window = NULL;
}

static void what_is_behind_a_bridge_is_placed_in_its_window_and_nothing_else(void **state)
{
    struct fake_function *bridge = fake_pci_bridge(fake, 0, 1, 1, 1);
    struct fake_function *behind = fake_pci_function(fake, 1, 0, 0, 0x1af4, 1);
    struct fake_function *beside = fake_pci_function(fake, 0, 2, 0, 0x1af4, 1);
    struct pci_device *device = NULL;
    volatile void *at;

    (void)state;
    use_window(MMIO_START, 4 * MIB);
    fake_put32(bridge, PCI_BRIDGE_MEMORY, 0xfe10fe00); /* 0xfe000000 to 0xfe1fffff */
    fake_pci_bar(behind, 0, PCI_BAR_MEMORY32, 0x1000, 0);
    fake_pci_bar(beside, 0, PCI_BAR_MEMORY32, 0x1000, 0);
    assert_int_equal(scan(), 3);
    while ((device = pci_next(device))) {
        if (device->at.bus == 1) {
            pci_map(device, 0, 0, 4, &at);
            assert_int_equal(device->bar[0].address, 0xfe000000);
        }
        if (device->at.device == 2) {
            assert_int_equal(placed(device, 0), 0xfe200000);
        }
    }
    pci_find_window = NULL;
}

/* ---- bridges that no firmware has seen */

static uint32_t window_register(const struct fake_function *bridge, unsigned offset)
{
    uint32_t value;

    memcpy(&value, bridge->space + offset, 4);
    return value;
}

static void bridges_without_numbers_get_numbers_and_windows_for_what_is_behind_them(void **state)
{
    struct fake_function *outer = fake_pci_new_bridge(fake, NULL, 1);
    struct fake_function *inner = fake_pci_new_bridge(fake, outer, 2);
    struct fake_function *next = fake_pci_new_bridge(fake, NULL, 2);
    struct fake_function *deep = fake_pci_behind(fake, inner, 7, 0x1234, 0x10);
    struct fake_function *high = fake_pci_behind(fake, next, 3, 0x1234, 0x11);
    struct fake_function *beside = fake_pci_behind(fake, outer, 1, 0x1234, 0x12);
    volatile void *at;

    (void)state;
    use_window(0xfd000000, 64 * MIB);
    fake_pci_bar(deep, 0, PCI_BAR_MEMORY32, 0x1000, 0);
    fake_pci_bar(deep, 2, PCI_BAR_MEMORY64, 2 * MIB, 0);
    fake_pci_bar(beside, 1, PCI_BAR_MEMORY32, 0x1000, 0);
    fake_pci_bar(high, 0, PCI_BAR_MEMORY64, 0x4000, 0);
    assert_int_equal(scan(), 6);
    assert_int_equal(probes, 3);
    assert_int_equal(window_register(outer, PCI_BUSES), 0x00020100);
    assert_int_equal(window_register(inner, PCI_BUSES), 0x00020201);
    assert_int_equal(window_register(next, PCI_BUSES), 0x00030300);
    /* outer: its own device, then inner: 4 KiB, and 2 MiB aligned to themselves */
    assert_int_equal(window_register(outer, PCI_BRIDGE_MEMORY), 0xfd30fd00);
    assert_int_equal(window_register(inner, PCI_BRIDGE_MEMORY), 0xfd30fd10);
    assert_int_equal(window_register(next, PCI_BRIDGE_MEMORY), 0xfd40fd40);
    assert_int_equal(window_register(outer, PCI_BRIDGE_PREFETCH), 0x0000fff0);
    assert_int_equal(fake_get16(outer, PCI_COMMAND), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    assert_int_equal(window_register(deep, PCI_BAR0), 0xfd100000);
    assert_int_equal(window_register(deep, PCI_BAR0 + 8), 0xfd200000 | PCI_BAR_TYPE_64);
    assert_int_equal(window_register(beside, PCI_BAR0 + 4), 0xfd000000);
    assert_int_equal(window_register(high, PCI_BAR0), 0xfd400000 | PCI_BAR_TYPE_64);
    for (struct pci_device *device = pci_next(NULL); device; device = pci_next(device))
        if (device->device == 0x11)
            assert_int_equal(pci_map(device, 0, 0, 4, &at),
                             -ENXIO); /* the host maps nothing there */
    pci_find_window = NULL;
}

static void make_wide(struct fake_function *bridge)
{
    bridge->wide = true;
    fake_put32(bridge, PCI_BRIDGE_PREFETCH, PCI_BRIDGE_WIDE << 16 | PCI_BRIDGE_WIDE);
}

static void prefetchable_bars_behind_bridges_go_above_4_gib_if_all_of_those_can(void **state)
{
    struct fake_function *wide = fake_pci_new_bridge(fake, NULL, 1);
    struct fake_function *narrow = fake_pci_new_bridge(fake, wide, 1);
    struct fake_function *deep = fake_pci_behind(fake, narrow, 0, 0x1234, 0x10);
    struct fake_function *large = fake_pci_behind(fake, wide, 2, 0x1234, 0x11);
    struct fake_function *again = fake_pci_new_bridge(fake, wide, 3);
    struct fake_function *second = fake_pci_behind(fake, again, 0, 0x1234, 0x12);
    const phys_addr_t high = UINT64_C(0xc000080000); /* in the middle of a bridge's unit */

    (void)state;
    use_window(0xfd000000, 32 * MIB);
    use_high_window(high, 64 * GIB);
    make_wide(wide);
    make_wide(again);
    fake_pci_bar(deep, 0, PCI_BAR_MEMORY64, GIB, 0);
    fake_pci_prefetchable(deep, 0);
    fake_pci_bar(large, 0, PCI_BAR_MEMORY64, 2 * GIB, 0);
    fake_pci_prefetchable(large, 0);
    fake_pci_bar(large, 2, PCI_BAR_MEMORY64, GIB, 0); /* has side effects */
    fake_pci_bar(second, 0, PCI_BAR_MEMORY64, GIB, 0);
    fake_pci_prefetchable(second, 0);
    assert_int_equal(scan(), 6);
    assert_int_equal(window_register(deep, PCI_BAR0 + 4), 0);
    assert_int_equal(window_register(large, PCI_BAR0 + 4), 0xc0);
    assert_int_equal(window_register(large, PCI_BAR0) & ~15u, 0x80000000);
    assert_int_equal(window_register(large, PCI_BAR0 + 12), 0);
    assert_int_equal(window_register(second, PCI_BAR0 + 4), 0xc1);
    assert_int_equal(window_register(second, PCI_BAR0) & ~15u, 0);
    assert_int_equal(window_register(wide, PCI_BRIDGE_PREFETCH), 0x3ff10011);
    assert_int_equal(window_register(wide, PCI_BRIDGE_BASE_UPPER), 0xc0);
    assert_int_equal(window_register(wide, PCI_BRIDGE_LIMIT_UPPER), 0xc1);
    assert_int_equal(window_register(again, PCI_BRIDGE_PREFETCH), 0x3ff10001);
    assert_int_equal(window_register(again, PCI_BRIDGE_BASE_UPPER), 0xc1);
    assert_int_equal(window_register(narrow, PCI_BRIDGE_PREFETCH), 0x0000fff0);
    pci_find_window = NULL;
}

static void numbers_of_firmware_stay_and_ours_come_behind_them(void **state)
{
    struct fake_function *ours = fake_pci_new_bridge(fake, NULL, 1);
    struct fake_function *within = NULL;

    (void)state;
    fake_pci_behind(fake, ours, 0, 0x1234, 0x10);
    fake_pci_bridge(fake, 0, 2, 1, 7);
    within = fake_pci_new_bridge(fake, NULL, 3);
    within->at.bus = 1;
    fake_pci_bridge(fake, 1, 4, 2, 4);
    assert_int_equal(scan(), 5);
    assert_int_equal(window_register(ours, PCI_BUSES), 0x00080800);
    assert_int_equal(window_register(within, PCI_BUSES), 0x00050501);
    assert_int_equal(probes, 1);
}

static void a_bridge_for_which_no_number_is_left_is_told_of_and_the_others_are_used(void **state)
{
    struct fake_function *bridges[4];

    (void)state;
    fake->host.bus_last = 2;
    for (unsigned i = 0; i < 4; i++) {
        bridges[i] = fake_pci_new_bridge(fake, NULL, i);
        fake_pci_behind(fake, bridges[i], 0, 0x1234, 0x10);
    }
    assert_int_equal(scan(), 6);
    assert_int_equal(probes, 2);
    assert_int_equal(window_register(bridges[1], PCI_BUSES), 0x00020200);
    assert_int_equal(window_register(bridges[2], PCI_BUSES), 0);
    assert_true(logged("0000:00:02.0: no bus number for this bridge"));
    assert_true(logged("0000:00:03.0: no bus number for this bridge"));
}

static void a_chain_of_bridges_without_end_is_followed_only_so_deep(void **state)
{
    struct fake_function *bridge = NULL;

    (void)state;
    for (unsigned i = 0; i < 200; i++)
        bridge = fake_pci_new_bridge(fake, bridge, 0);
    assert_int_equal(scan(), 9);
    assert_true(logged("0000:08:00.0: no bus number for this bridge"));
}

static void a_window_that_is_full_leaves_bars_unplaced_and_nothing_overlaps(void **state)
{
    struct fake_function *bridges[3], *behind[3];

    (void)state;
    use_window(0xfd000000, 2 * MIB);
    for (unsigned i = 0; i < 3; i++) {
        bridges[i] = fake_pci_new_bridge(fake, NULL, i);
        behind[i] = fake_pci_behind(fake, bridges[i], 0, 0x1234, 0x10);
        fake_pci_bar(behind[i], 0, PCI_BAR_MEMORY32, i ? 0x1000 : 4 * MIB, 0);
    }
    assert_int_equal(scan(), 6);
    assert_int_equal(window_register(bridges[0], PCI_BRIDGE_MEMORY), 0x0000fff0);
    assert_int_equal(window_register(behind[0], PCI_BAR0), 0);
    assert_int_equal(window_register(bridges[1], PCI_BRIDGE_MEMORY), 0xfd00fd00);
    assert_int_equal(window_register(bridges[2], PCI_BRIDGE_MEMORY), 0xfd10fd10);
    assert_int_equal(window_register(behind[2], PCI_BAR0), 0xfd100000);
    pci_find_window = NULL;
}

static void a_port_with_an_empty_slot_keeps_room_for_a_card(void **state)
{
    struct fake_function *port = fake_pci_new_bridge(fake, NULL, 1);
    unsigned at = fake_pci_capability(port, PCI_CAP_EXPRESS, 0x3c);

    (void)state;
    fake_put16(port, at + PCI_EXPRESS_FLAGS, PCI_EXPRESS_SLOT | PCI_EXPRESS_ROOT_PORT << 4 | 2);
    use_window(0xfd000000, 16 * MIB);
    assert_int_equal(scan(), 1);
    assert_int_equal(window_register(port, PCI_BUSES), 0x00010100);
    assert_int_equal(window_register(port, PCI_BRIDGE_MEMORY), 0xfd10fd00);
    pci_find_window = NULL;
}

/* ---- ports */

static void use_ports(uint16_t start, uint16_t bytes)
{
    use_window(0xfd000000, 32 * MIB);
    ports_start = start;
    ports_bytes = bytes;
}

static void ports_that_nobody_placed_get_some_beside_those_in_use(void **state)
{
    struct fake_function *function = one_function();
    uint16_t first;

    (void)state;
    fake_pci_bar(fake_pci_function(fake, 0, 4, 0, 0x1af4, 1), 2, PCI_BAR_IO, 0x40, 0x1000);
    fake_pci_bar(fake_pci_function(fake, 0, 5, 0, 0x1af4, 1), 0, PCI_BAR_IO, 0x20, 0x20e0);
    fake_pci_bar(function, 0, PCI_BAR_IO, 0x40, 0);
    fake_pci_bar(function, 1, PCI_BAR_IO, 0x40, 0);
    fake_pci_bar(function, 2, PCI_BAR_IO, 0x40, 0);
    fake_pci_bar(function, 3, PCI_BAR_MEMORY32, 0x1000, 0);
    fake_pci_bar(function, 5, PCI_BAR_IO, 0x40, 0);
    fake_put16(function, PCI_COMMAND, 0);
    use_ports(0x1000, 0x1100); /* its last 32 are taken */
    assert_int_equal(scan(), 3);
    assert_int_equal(pci_ports(pci_next(NULL), 0, &first), 0);
    assert_int_equal(first, 0x2000);
    assert_int_equal(window_register(function, PCI_BAR0), 0x2000 | PCI_BAR_IS_IO);
    assert_int_equal(fake_get16(function, PCI_COMMAND), PCI_COMMAND_IO);
    assert_int_equal(pci_ports(pci_next(NULL), 1, &first), 0);
    assert_int_equal(first, 0x2040);
    assert_int_equal(pci_ports(pci_next(NULL), 2, &first), 0);
    assert_int_equal(first, 0x2080);
    assert_int_equal(pci_ports(pci_next(NULL), 5, &first), -ENXIO);
    assert_int_equal(pci_ports(pci_next(NULL), 3, &first), -EINVAL);
    assert_int_equal(pci_ports(pci_next(NULL), 4, &first), -ENOENT);
    pci_find_window = NULL;
}

static void bridges_pass_on_the_ports_of_what_is_behind_them_and_no_others(void **state)
{
    struct fake_function *outer = fake_pci_new_bridge(fake, NULL, 1);
    struct fake_function *inner = fake_pci_new_bridge(fake, outer, 2);
    struct fake_function *without = fake_pci_new_bridge(fake, NULL, 2);
    struct fake_function *late = fake_pci_new_bridge(fake, NULL, 3);
    struct fake_function *deep = fake_pci_behind(fake, inner, 7, 0x1234, 0x10);
    struct fake_function *beside = fake_pci_behind(fake, outer, 1, 0x1234, 0x12);
    struct fake_function *none = fake_pci_behind(fake, late, 1, 0x1234, 0x12);

    (void)state;
    fake_pci_bar(deep, 0, PCI_BAR_IO, 0x40, 0);
    fake_pci_bar(beside, 1, PCI_BAR_IO, 0x20, 0);
    fake_pci_bar(none, 1, PCI_BAR_IO, 0x20, 0);
    use_ports(0x1000, 0x2fff); /* of three windows the last lacks a port */
    assert_int_equal(scan(), 7);
    assert_int_equal(window_register(beside, PCI_BAR0 + 4), 0x1000 | PCI_BAR_IS_IO);
    assert_int_equal(window_register(deep, PCI_BAR0), 0x2000 | PCI_BAR_IS_IO);
    assert_int_equal(fake_get16(outer, PCI_BRIDGE_PORTS), 0x2010);
    assert_int_equal(fake_get16(inner, PCI_BRIDGE_PORTS), 0x2020);
    assert_int_equal(fake_get16(without, PCI_BRIDGE_PORTS), 0x00f0);
    assert_int_equal(fake_get16(late, PCI_BRIDGE_PORTS), 0x00f0);
    assert_int_equal(fake_get16(outer, PCI_COMMAND),
                     PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    assert_int_equal(fake_get16(late, PCI_COMMAND), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pci_find_window = NULL;
}

static void ports_behind_a_bridge_of_firmware_come_out_of_its_window(void **state)
{
    struct fake_function *bridge = fake_pci_bridge(fake, 0, 1, 1, 1);
    struct fake_function *behind = fake_pci_function(fake, 1, 0, 0, 0x1234, 0x9);
    struct fake_function *sibling = fake_pci_function(fake, 1, 1, 0, 0x1234, 0x9);
    struct pci_device *device;
    uint16_t first;

    (void)state;
    fake_put16(bridge, PCI_BRIDGE_PORTS, 0x6060);
    fake_pci_bar(behind, 0, PCI_BAR_IO, 0x800, 0);
    fake_pci_bar(behind, 1, PCI_BAR_IO, 0x400, 0);
    fake_pci_bar(sibling, 3, PCI_BAR_IO, 0x400, 0x6800); /* nobody has asked for it */
    assert_int_equal(scan(), 3);
    device = pci_next(pci_next(NULL));
    assert_int_equal(pci_ports(device, 0, &first), 0);
    assert_int_equal(first, 0x6000);
    assert_int_equal(pci_ports(device, 1, &first), 0);
    assert_int_equal(first, 0x6c00);
}

/* As a small firmware leaves it: numbers, but neither windows nor addresses. */
static void a_bridge_that_passes_nothing_on_is_numbered_again(void **state)
{
    struct fake_function *bridge = fake_pci_new_bridge(fake, NULL, 1);
    struct fake_function *inner = fake_pci_new_bridge(fake, bridge, 1);
    struct fake_function *behind = fake_pci_behind(fake, inner, 2, 0x1234, 0x10);

    (void)state;
    fake_pci_bridge(fake, 0, 2, 1, 4);
    fake_put32(bridge, PCI_BUSES, 0x020200);
    fake_put32(inner, PCI_BUSES, 0x020202);
    fake_pci_bar(behind, 0, PCI_BAR_MEMORY32, 0x1000, 0);
    use_window(0xfd000000, 32 * MIB);
    assert_int_equal(scan(), 4);
    assert_int_equal(window_register(bridge, PCI_BUSES), 0x060500);
    assert_int_equal(window_register(inner, PCI_BUSES), 0x060605);
    assert_int_equal(window_register(behind, PCI_BAR0), 0xfd000000);
    assert_int_equal(probes, 1);
    pci_find_window = NULL;
}

/* Addresses at the upper end, as a BIOS gives them, leave what is below. */
static void what_is_in_use_at_the_end_of_a_window_leaves_its_beginning(void **state)
{
    struct fake_function *high = fake_pci_function(fake, 0, 1, 0, 0x1af4, 1);
    struct fake_function *function = one_function();
    volatile void *at;

    (void)state;
    use_window(MMIO_START, MMIO_BYTES);
    fake_pci_bar(high, 0, PCI_BAR_MEMORY32, 0x1000, MMIO_START + MMIO_BYTES - 0x1000);
    fake_pci_bar(high, 1, PCI_BAR_MEMORY32, 0x1000, MMIO_START + MMIO_BYTES - 0x3000);
    fake_pci_bar(function, 0, PCI_BAR_MEMORY32, 0x8000, 0);
    fake_pci_bar(function, 1, PCI_BAR_MEMORY32, 0x4000, 0);
    fake_pci_bar(function, 2, PCI_BAR_MEMORY32, 0x4000, 0);
    assert_int_equal(scan(), 2);
    assert_int_equal(pci_map(pci_next(pci_next(NULL)), 0, 0, 4, &at), 0);
    assert_ptr_equal(at, registers);
    assert_int_equal(pci_map(pci_next(pci_next(NULL)), 1, 0, 4, &at), 0);
    assert_ptr_equal(at, registers + 0x8000);
    assert_int_equal(pci_map(pci_next(pci_next(NULL)), 2, 0, 4, &at), -ENXIO);
    pci_find_window = NULL;
}

/* ---- addresses that are somebody else's */

static struct pci_device *device_of(const struct fake_function *function)
{
    struct pci_device *device = NULL;

    while ((device = pci_next(device)))
        if (device->at.bus == function->at.bus && device->at.device == function->at.device)
            return device;
    return NULL;
}

static struct fake_function *driven(unsigned bus, unsigned slot)
{
    return fake_pci_function(fake, bus, slot, 0, 0x1234, 0x10);
}

static int map_bar(const struct fake_function *function, unsigned index)
{
    volatile void *at;

    return pci_map(device_of(function), index, 0, 4, &at);
}

static phys_addr_t address_in(const struct fake_function *function, unsigned index)
{
    return window_register(function, PCI_BAR0 + 4 * index) & ~UINT32_C(15);
}

static void a_bar_on_top_of_another_is_moved_and_both_are_used(void **state)
{
    struct fake_function *first = driven(0, 1), *second = driven(0, 2);

    (void)state;
    use_window(MMIO_START, MMIO_BYTES);
    fake_pci_bar(first, 0, PCI_BAR_MEMORY32, 0x1000, MMIO_START + 0x1000);
    fake_pci_bar(second, 1, PCI_BAR_MEMORY64, 0x4000, MMIO_START);
    assert_int_equal(scan(), 2);
    /* Until somebody uses it, neither answers. */
    assert_false(fake_get16(first, PCI_COMMAND) & (PCI_COMMAND_MEMORY | PCI_COMMAND_IO));
    assert_false(fake_get16(second, PCI_COMMAND) & (PCI_COMMAND_MEMORY | PCI_COMMAND_IO));
    assert_int_equal(map_bar(first, 0), 0);
    assert_false(fake_get16(second, PCI_COMMAND) & PCI_COMMAND_MEMORY);
    assert_int_equal(map_bar(second, 1), 0);
    assert_int_equal(address_in(first, 0), MMIO_START + 0x1000);
    assert_int_equal(address_in(second, 1), MMIO_START + 0x4000);
    assert_true(logged("pci 0000:00:02.0: BAR 1 at 0xfe000000 overlaps BAR 0 of 0000:00:01.0, "
                       "moved to 0xfe004000"));
    pci_find_window = NULL;
}

/* Its memory is not decoded: one BAR alone cannot be turned off. */
static void a_bar_that_cannot_be_moved_keeps_its_device_from_memory_but_no_other(void **state)
{
    struct fake_function *first = driven(0, 1), *second = driven(0, 2), *third = driven(0, 3);
    uint16_t port;

    (void)state;
    fake_pci_bar(first, 0, PCI_BAR_MEMORY32, 0x1000, MMIO_START + 0x1000);
    fake_pci_bar(second, 0, PCI_BAR_MEMORY32, 0x1000, MMIO_START + 0x4000);
    fake_pci_bar(second, 1, PCI_BAR_MEMORY32, 0x1000, MMIO_START + 0x1000);
    fake_pci_bar(second, 2, PCI_BAR_IO, 0x20, 0xc000);
    fake_pci_bar(third, 0, PCI_BAR_MEMORY32, 0x1000, MMIO_START + 0x2000);
    assert_int_equal(scan(), 3);
    assert_int_equal(map_bar(first, 0), 0);
    assert_int_equal(map_bar(second, 0), -ENXIO);
    assert_int_equal(map_bar(second, 1), -ENXIO);
    assert_int_equal(pci_ports(device_of(second), 2, &port), 0);
    assert_int_equal(map_bar(third, 0), 0);
    assert_false(fake_get16(second, PCI_COMMAND) & PCI_COMMAND_MEMORY);
    assert_true(fake_get16(third, PCI_COMMAND) & PCI_COMMAND_MEMORY);
    assert_true(logged("0000:00:02.0: BAR 1 at 0xfe001000 overlaps BAR 0 of 0000:00:01.0, and "
                       "there is no other place for it"));
}

static void a_bar_on_top_of_the_platform_is_moved(void **state)
{
    static const struct {
        phys_addr_t address;
        const char *why;
    } cases[] = { { 0xa0000, "overlaps the first MiB" },
                  { 0xfec00000, "overlaps the chip set's registers" },
                  { 0xfee00000, "overlaps the chip set's registers" },
                  { 0xfffff000, "overlaps the chip set's registers" },
                  { 0x80000000, "overlaps RAM" },
                  { 0xb0001000, "overlaps configuration space" } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fake_function *function;

        fake = fake_pci_host(0, 255);
        fake->host.memory = 0xb0000000;
        fake->host.memory_bytes = 256 * MIB;
        function = driven(0, 1);
        host_log_clear();
        use_window(MMIO_START, MMIO_BYTES);
        host_ram_start = 0x7f000000;
        host_ram_bytes = 0x1000001;
        fake_pci_bar(function, 0, PCI_BAR_MEMORY32, 0x1000, cases[i].address);
        assert_int_equal(scan(), 1);
        assert_int_equal(map_bar(function, 0), 0);
        assert_int_equal(address_in(function, 0), MMIO_START);
        assert_true(logged(cases[i].why));
        pci_forget();
    }
    host_ram_bytes = 0;
    pci_find_window = NULL;
}

static void a_place_that_is_no_better_is_not_taken(void **state)
{
    struct fake_function *function = driven(0, 1);

    (void)state;
    use_window(0xfed00000, 0x10000);
    fake_pci_bar(function, 0, PCI_BAR_MEMORY32, 0x1000, 0xfec00000);
    assert_int_equal(scan(), 1);
    assert_int_equal(map_bar(function, 0), -ENXIO);
    assert_int_equal(address_in(function, 0), 0xfec00000);
    pci_find_window = NULL;
}

static void what_its_bridge_does_not_pass_on_comes_into_the_bridges_window(void **state)
{
    struct fake_function *bridge = fake_pci_bridge(fake, 0, 1, 1, 2);
    struct fake_function *inner = fake_pci_bridge(fake, 1, 0, 2, 2);
    struct fake_function *beyond = driven(1, 1), *deep = driven(2, 1);
    uint16_t port;

    (void)state;
    fake_put32(bridge, PCI_BRIDGE_MEMORY, 0xfe00fe00);
    fake_put16(bridge, PCI_BRIDGE_PORTS, 0x6060);
    fake_put32(inner, PCI_BRIDGE_MEMORY, 0x00001000); /* closed */
    fake_pci_bar(beyond, 0, PCI_BAR_MEMORY32, 0x1000, 0xfd000000);
    fake_pci_bar(beyond, 1, PCI_BAR_IO, 0x20, 0x7000);
    fake_pci_bar(deep, 0, PCI_BAR_MEMORY32, 0x1000, 0xfe002000);
    assert_int_equal(scan(), 4);
    assert_int_equal(map_bar(beyond, 0), 0);
    assert_int_equal(address_in(beyond, 0), 0xfe000000);
    assert_true(logged("0000:01:01.0: BAR 0 at 0xfd000000 is beyond what 0000:00:01.0 passes on"));
    assert_int_equal(pci_ports(device_of(beyond), 1, &port), 0);
    assert_int_equal(port, 0x6000);
    assert_int_equal(map_bar(deep, 0), -ENXIO);
    assert_true(logged("0000:02:01.0: BAR 0 at 0xfe002000 is beyond what 0000:01:00.0 passes on, "
                       "and there is no other place"));
}

static void a_bar_in_the_window_of_a_bridge_beside_it_is_moved(void **state)
{
    struct fake_function *bridge = fake_pci_bridge(fake, 0, 1, 1, 1);
    struct fake_function *function = driven(0, 2);

    (void)state;
    use_window(MMIO_START, 0x200000);
    fake_put32(bridge, PCI_BRIDGE_MEMORY, 0xfe10fe10);
    fake_pci_bar(function, 0, PCI_BAR_MEMORY32, 0x1000, 0xfe1ff000);
    assert_int_equal(scan(), 2);
    assert_int_equal(map_bar(function, 0), 0);
    assert_int_equal(address_in(function, 0), MMIO_START);
    assert_true(logged("overlaps what 0000:00:01.0 passes on, moved to"));
    pci_find_window = NULL;
}

static void ports_on_top_of_others_or_of_the_chip_set_are_moved(void **state)
{
    struct fake_function *first = driven(0, 1), *second = driven(0, 2), *third = driven(0, 3);
    uint16_t port;

    (void)state;
    use_ports(0x2000, 0x1000);
    fake_pci_bar(first, 0, PCI_BAR_IO, 0x40, 0xc000);
    fake_pci_bar(second, 0, PCI_BAR_IO, 0x20, 0xc020);
    fake_pci_bar(third, 0, PCI_BAR_IO, 0x20, 0x600);
    assert_int_equal(scan(), 3);
    assert_int_equal(pci_ports(device_of(first), 0, &port), 0);
    assert_int_equal(port, 0xc000);
    assert_int_equal(pci_ports(device_of(second), 0, &port), 0);
    assert_int_equal(port, 0x2000);
    assert_int_equal(pci_ports(device_of(third), 0, &port), 0);
    assert_int_equal(port, 0x2020);
    pci_find_window = NULL;
}

/* Whatever the order; and what has left is in nobody's way. */
static void many_bars_are_told_apart_in_any_order(void **state)
{
    enum { N = 30, APART = 0x8000, BYTES = 0x100 };
    struct fake_function *functions[N], *newcomer = driven(0, N);
    struct pci_bar bar;

    (void)state;
    fake_pci_bar(newcomer, 0, PCI_BAR_MEMORY32, BYTES, 0);
    for (unsigned i = 0; i < N; i++) {
        functions[i] = driven(0, i);
        fake_pci_bar(functions[i], 0, i % 2 ? PCI_BAR_IO : PCI_BAR_MEMORY32, BYTES,
                     (i % 2 ? 0 : MMIO_START) + 0x2000 + i * BYTES);
        fake_pci_bar(functions[i], 1, PCI_BAR_MEMORY32, BYTES, MMIO_START + APART + i * BYTES);
    }
    assert_int_equal(scan(), N + 1);
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(map_bar(functions[i * 7 % N], 1), 0);
    assert_string_equal(host_log_text(), "");
    assert_int_equal(pci_bar(device_of(newcomer), 0, &bar), 0);
    pci_unclaim_bars(device_of(functions[5]));
    for (unsigned i = 0; i < N; i++) {
        phys_addr_t low = MMIO_START + 0x2000 + i * BYTES, high = MMIO_START + APART + i * BYTES;

        assert_int_equal(pci_bar_fits(device_of(newcomer), 0, low), i % 2);
        assert_int_equal(pci_bar_fits(device_of(newcomer), 0, high), i == 5);
    }
    assert_true(pci_bar_fits(device_of(newcomer), 0, MMIO_START + APART - BYTES));
    assert_false(pci_bar_fits(device_of(newcomer), 0, MMIO_START + APART - BYTES + 1));
    assert_true(pci_bar_fits(device_of(newcomer), 0, MMIO_START + APART + N * BYTES));
}

static void a_bridge_whose_own_bar_is_refused_passes_on_what_it_did(void **state)
{
    struct fake_function *bridge = fake_pci_bridge(fake, 0, 1, 1, 1), *behind = driven(1, 0);

    (void)state;
    fake_pci_bar(bridge, 0, PCI_BAR_MEMORY32, 0x1000, 0xfee00000);
    fake_put32(bridge, PCI_BRIDGE_MEMORY, 0xfe00fe00);
    fake_pci_bar(behind, 0, PCI_BAR_MEMORY32, 0x1000, MMIO_START);
    assert_int_equal(scan(), 2);
    assert_int_equal(map_bar(bridge, 0), -ENXIO);
    assert_int_equal(map_bar(bridge, 0), -ENXIO);
    assert_true(fake_get16(bridge, PCI_COMMAND) & PCI_COMMAND_MEMORY);
    assert_int_equal(map_bar(behind, 0), 0);
}

/* A host that has everything overlap does not have us search for ever. */
static void a_machine_of_nothing_but_overlaps_is_started(void **state)
{
    unsigned used = 0;

    (void)state;
    use_window(0xc0000000, 256 * MIB);
    host_mmio_start = 0xc0000000;
    for (unsigned i = 0; i < 32; i++)
        for (unsigned f = 0; f < 8; f++) {
            struct fake_function *function = fake_pci_function(fake, 0, i, f, 0x1234, 0x10);

            function->space[PCI_HEADER] = PCI_HEADER_MULTI;
            for (unsigned b = 0; b < PCI_BARS; b++)
                fake_pci_bar(function, b, PCI_BAR_MEMORY32, 0x10, 0xfee00000);
        }
    assert_int_equal(scan(), 256);
    for (struct pci_device *device = pci_next(NULL); device; device = pci_next(device)) {
        volatile void *at;

        used += pci_map(device, 0, 0, 4, &at) == 0;
    }
    assert_int_equal(used, 256 / PCI_BARS);
    assert_true(pci_config_accesses < 256 * 60);
    pci_find_window = NULL;
}

static void claims_without_memory_use_nothing(void **state)
{
    struct fake_function *function = driven(0, 1);

    (void)state;
    fake_pci_bar(function, 0, PCI_BAR_MEMORY32, 0x1000, MMIO_START);
    assert_int_equal(scan(), 1);
    host_allocs_until_failure = 0;
    assert_int_equal(map_bar(function, 0), -ENOMEM);
    assert_false(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_MEMORY);
    host_allocs_until_failure = -1;
    assert_int_equal(map_bar(function, 0), 0);
    assert_false(pci_bar_fits(device_of(function), 0, MMIO_START)); /* is on the list by now */
}

/* ---- root buses beside the first */

static unsigned roots_asked;

static unsigned find_roots(uint8_t *buses, unsigned max)
{
    static const uint8_t told[] = { 0x80, 0, 0x40, 1, 0x40 };

    roots_asked++;
    assert_true(max >= ARRAY_SIZE(told));
    memcpy(buses, told, sizeof(told));
    return ARRAY_SIZE(told);
}

static int with_roots(void **state)
{
    roots_asked = 0;
    pci_find_roots = find_roots;
    return set_up(state);
}

static int without_roots(void **state)
{
    pci_find_roots = NULL;
    return tear_down(state);
}

static void add_expander(void)
{
    fake_pci_function(fake, 0, 9, 0, 0x1b36, 0x000b);
}

static void root_buses_that_the_tables_tell_of_are_walked_with_what_is_behind_them(void **state)
{
    (void)state;
    add_expander();
    fake_pci_bridge(fake, 0, 1, 1, 1);
    fake_pci_function(fake, 1, 0, 0, 0x1234, 0x10);
    fake_pci_bridge(fake, 0x40, 0, 0x41, 0x41);
    fake_pci_function(fake, 0x41, 2, 0, 0x1234, 0x10);
    fake_pci_function(fake, 0x80, 3, 0, 0x1234, 0x10);
    fake_pci_function(fake, 0x20, 3, 0, 0x1234, 0x10); /* nobody tells of it */
    assert_int_equal(scan(), 6);
    assert_int_equal(probes, 3);
    assert_int_equal(roots_asked, 1);
    for (struct pci_device *device = pci_next(NULL); device; device = pci_next(device))
        assert_int_equal(pci_bridge_above(device) != NULL,
                         device->at.bus == 1 || device->at.bus == 0x41);
}

static void nobody_asks_for_root_buses_where_nothing_leads_to_them(void **state)
{
    (void)state;
    fake_pci_function(fake, 0, 0, 0, 0x8086, 0x29c0);
    fake_pci_function(fake, 0x40, 0, 0, 0x1234, 0x10);
    assert_int_equal(scan(), 1);
    assert_int_equal(roots_asked, 0);
    assert_int_equal(pci_config_accesses, 33);
}

static void bus_numbers_end_before_the_next_root_bus(void **state)
{
    struct fake_function *first, *second, *far;

    (void)state;
    add_expander();
    fake_pci_bridge(fake, 0, 1, 1, 0x3e); /* leaves one number */
    first = fake_pci_new_bridge(fake, NULL, 2);
    second = fake_pci_new_bridge(fake, NULL, 3);
    far = fake_pci_new_bridge(fake, NULL, 4);
    far->at.bus = 0x40;
    fake_pci_behind(fake, far, 0, 0x1234, 0x10);
    fake_pci_behind(fake, second, 0, 0x1234, 0x10);
    assert_int_equal(scan(), 6);
    assert_int_equal(window_register(first, PCI_BUSES), 0x3f3f00);
    assert_int_equal(window_register(second, PCI_BUSES), 0);
    assert_int_equal(window_register(far, PCI_BUSES), 0x414140);
    assert_true(logged("0000:00:03.0: no bus number for this bridge"));
    assert_int_equal(probes, 1);
}

static void pins_on_another_root_bus_lead_to_the_slots_lines(void **state)
{
    (void)state;
    add_expander();
    fake_pci_function(fake, 0, 0, 0, 0x8086, 0x29c0);
    add_pinned(0x80, 3, 0x020a);
    add_pinned(0x80, 26, 0x030a);
    fake_pci_bridge(fake, 0x40, 6, 0x41, 0x41);
    add_pinned(0x41, 1, 0x010a);
    scan();
    assert_int_equal(gsi_of(0x80, 3), 20);
    assert_int_equal(gsi_of(0x80, 26), 20);
    assert_int_equal(gsi_of(0x41, 1), 20 + (6 + 1) % 4);
}

/* ---- MSI, of the slots of ports */

static const struct irq_message high_message = { UINT64_C(0x1fee01000), 0x4041 };
static const struct irq_message low_message = { 0xfee01000, 0x4041 };

static void msi_is_told_one_message_at_the_width_that_it_has(void **state)
{
    static const struct {
        uint16_t control;
        unsigned message_at, mask_at;
    } cases[] = { { 0, 8, 0 },
                  { PCI_MSI_WIDE, 12, 0 },
                  { PCI_MSI_MASKS, 8, 12 },
                  { PCI_MSI_WIDE | PCI_MSI_MASKS, 12, 16 },
                  { PCI_MSI_ENABLE | 0x50 | 0x0a, 8, 0 } }; /* a firmware's, with 32 messages */

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fake_function *function;
        unsigned at;

        fake = fake_pci_host(0, 255);
        function = one_function();
        at = fake_pci_msi(function, cases[i].control);
        if (cases[i].mask_at)
            fake_put32(function, at + cases[i].mask_at, UINT32_MAX);
        assert_int_equal(pci_msi_start(found(), low_message), 0);
        assert_int_equal(window_register(function, at + PCI_MSI_ADDRESS), 0xfee01000);
        if (cases[i].control & PCI_MSI_WIDE)
            assert_int_equal(window_register(function, at + PCI_MSI_ADDRESS + 4), 0);
        assert_int_equal(fake_get16(function, at + cases[i].message_at), 0x4041);
        if (cases[i].mask_at)
            assert_int_equal(window_register(function, at + cases[i].mask_at), 0);
        assert_int_equal(fake_get16(function, at + PCI_MSI_CONTROL),
                         (cases[i].control & ~PCI_MSI_COUNT) | PCI_MSI_ENABLE);
        assert_true(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_MASTER);
        pci_msi_stop(pci_next(NULL));
        assert_false(fake_get16(function, at + PCI_MSI_CONTROL) & PCI_MSI_ENABLE);
        pci_forget();
        assert_null(fake->violation);
    }
}

static void msi_that_cannot_hold_the_message_or_leaves_the_space_is_refused(void **state)
{
    struct fake_function *function = one_function();
    unsigned at;

    (void)state;
    at = fake_pci_msi(function, 0);
    assert_int_equal(pci_msi_start(found(), high_message), -EIO);
    assert_int_equal(fake_get16(function, at + PCI_MSI_CONTROL), 0);
    fake_put16(function, at + PCI_MSI_CONTROL, PCI_MSI_WIDE);
    assert_int_equal(pci_msi_start(pci_next(NULL), high_message), 0);
    assert_int_equal(window_register(function, at + PCI_MSI_ADDRESS + 4), 1);
    pci_forget();

    fake = fake_pci_host(0, 255);
    function = one_function();
    assert_int_equal(pci_msi_start(found(), low_message), -ENODEV);
    pci_forget();
    function->next_free = 0xf4; /* with 64 bits of address the message would be behind the end */
    at = fake_pci_msi(function, PCI_MSI_WIDE);
    assert_int_equal(at, 0xf4);
    assert_int_equal(pci_msi_start(found(), low_message), -EIO);
    fake_put16(function, at + PCI_MSI_CONTROL, 0);
    assert_int_equal(pci_msi_start(pci_next(NULL), low_message), 0);
}

/* ---- MSI-X */

static uint32_t entry_word(unsigned entry, unsigned offset)
{
    uint32_t word;

    memcpy(&word, registers + 0x800 + entry * PCI_MSIX_ENTRY_BYTES + offset, 4);
    return word;
}

static struct fake_function *function_with_msix(unsigned vectors, unsigned *at)
{
    struct fake_function *function = one_function();

    fake_pci_bar(function, 1, PCI_BAR_MEMORY32, MMIO_BYTES, MMIO_START);
    *at = fake_pci_msix(function, vectors, 1, 0x800, 0);
    return function;
}

static void msix_masks_all_vectors_and_opens_the_one_that_is_set(void **state)
{
    unsigned at;
    struct fake_function *function = function_with_msix(3, &at);
    struct pci_device *device = found();

    (void)state;
    assert_int_equal(pci_msix_start(device), 3);
    assert_int_equal(fake_get16(function, at + PCI_MSIX_CONTROL), PCI_MSIX_ENABLE | 2);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(entry_word(i, PCI_MSIX_ENTRY_CONTROL), PCI_MSIX_ENTRY_MASKED);
    assert_int_equal(entry_word(3, PCI_MSIX_ENTRY_CONTROL), 0); /* not the table's */

    pci_msix_set(device, 1, (struct irq_message){ UINT64_C(0x1fee01000), 0x41 });
    assert_int_equal(entry_word(1, PCI_MSIX_ENTRY_ADDRESS), 0xfee01000);
    assert_int_equal(entry_word(1, PCI_MSIX_ENTRY_UPPER), 1);
    assert_int_equal(entry_word(1, PCI_MSIX_ENTRY_MESSAGE), 0x41);
    assert_int_equal(entry_word(1, PCI_MSIX_ENTRY_CONTROL), 0);
    assert_int_equal(entry_word(0, PCI_MSIX_ENTRY_CONTROL), PCI_MSIX_ENTRY_MASKED);

    pci_msix_stop(device);
    assert_int_equal(entry_word(1, PCI_MSIX_ENTRY_CONTROL), PCI_MSIX_ENTRY_MASKED);
    assert_false(fake_get16(function, at + PCI_MSIX_CONTROL) & PCI_MSIX_ENABLE);
}

static void msix_has_1_to_2048_vectors(void **state)
{
    PROVES("PCI-MSIX-01");
    unsigned at;
    struct fake_function *function = function_with_msix(2048, &at);

    (void)state;
    fake_put32(function, at + PCI_MSIX_PENDING, 0x8800 | 1);
    assert_int_equal(pci_msix_start(found()), 2048);
    pci_msix_stop(pci_next(NULL));
    fake_put16(function, at + PCI_MSIX_CONTROL, 0);
    assert_int_equal(pci_msix_start(pci_next(NULL)), 1);
}

static void msix_of_2048_vectors_masks_each_and_touches_nothing_else(void **state)
{
    const struct irq_message message = { UINT64_C(0xfee01000), 0x31 };
    const unsigned end = 0x800 + 2048 * PCI_MSIX_ENTRY_BYTES;
    unsigned at;
    struct fake_function *function = function_with_msix(2048, &at);

    PROVES("PCI-MSIX-01");
    (void)state;
    fake_put32(function, at + PCI_MSIX_PENDING, end | 1);
    memset(registers, 0xaa, MMIO_BYTES);
    assert_int_equal(pci_msix_start(found()), 2048);
    for (unsigned i = 0; i < 2048; i++)
        assert_int_equal(entry_word(i, PCI_MSIX_ENTRY_CONTROL), PCI_MSIX_ENTRY_MASKED);
    pci_msix_set(pci_next(NULL), 2047, message);
    assert_int_equal(entry_word(2047, PCI_MSIX_ENTRY_ADDRESS), 0xfee01000);
    assert_int_equal(entry_word(2047, PCI_MSIX_ENTRY_MESSAGE), 0x31);
    assert_int_equal(entry_word(2047, PCI_MSIX_ENTRY_CONTROL), 0);
    assert_int_equal(entry_word(2046, PCI_MSIX_ENTRY_CONTROL), PCI_MSIX_ENTRY_MASKED);
    pci_msix_stop(pci_next(NULL));
    assert_int_equal(entry_word(2047, PCI_MSIX_ENTRY_CONTROL), PCI_MSIX_ENTRY_MASKED);
    for (unsigned i = 0; i < MMIO_BYTES; i++)
        if (i < 0x800 || i >= end)
            assert_int_equal(registers[i], 0xaa);
}

/* Table and pending bits may touch each other and the end of the BAR, and not by 8 bytes more. */
static void msix_ends_where_its_bar_ends(void **state)
{
    static const struct {
        uint32_t table, pending;
        int answer;
    } cases[] = { { 0x8000, 0x7f00, 2048 },  { 0x8008, 0, -ERANGE },   { 0x8000, 0x7f08, -EIO },
                  { 0x7f00, 0xff00, 2048 },  { 0x7f00, 0xfef8, -EIO }, { 0, 0xff08, -ERANGE },
                  { 0, 0x7ff8, -EIO },       { 0, 0x8000, 2048 },      { 0xfffffff8, 0, -ERANGE },
                  { 0, 0xfffffff8, -ERANGE } };
    unsigned at;
    struct fake_function *function = function_with_msix(2048, &at);
    struct pci_device *device = found();

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        fake_put32(function, at + PCI_MSIX_TABLE, cases[i].table | 1);
        fake_put32(function, at + PCI_MSIX_PENDING, cases[i].pending | 1);
        assert_int_equal(pci_msix_start(device), cases[i].answer);
        pci_msix_stop(device);
    }
}

static void msix_in_a_bar_without_an_address_is_placed_or_refused(void **state)
{
    unsigned at;
    struct fake_function *function = function_with_msix(2, &at);

    (void)state;
    fake_pci_bar(function, 1, PCI_BAR_MEMORY32, MMIO_BYTES, 0);
    fake_pci_bar(function, 2, PCI_BAR_IO, 0x100, 0xc000);
    assert_int_equal(pci_msix_start(found()), -ENXIO);
    fake_put32(function, at + PCI_MSIX_TABLE, 2);
    assert_int_equal(pci_msix_start(pci_next(NULL)), -EINVAL);
    assert_false(fake_get16(function, at + PCI_MSIX_CONTROL) & PCI_MSIX_ENABLE);
    pci_forget();
    fake_put32(function, at + PCI_MSIX_TABLE, 0x800 | 1);
    use_window(MMIO_START, MMIO_BYTES);
    assert_int_equal(pci_msix_start(found()), 2);
    assert_int_equal(entry_word(1, PCI_MSIX_ENTRY_CONTROL), PCI_MSIX_ENTRY_MASKED);
    pci_find_window = NULL;
}

static void msix_is_not_there_without_its_capability(void **state)
{
    (void)state;
    one_function();
    assert_int_equal(pci_msix_start(found()), -ENODEV);
}

static void msix_refuses_a_table_beyond_its_bar(void **state)
{
    unsigned at;
    struct fake_function *function = function_with_msix(2, &at);

    (void)state;
    fake_put32(function, at + PCI_MSIX_TABLE, (MMIO_BYTES - 24) | 1);
    assert_int_equal(pci_msix_start(found()), -ERANGE);
    fake_put32(function, at + PCI_MSIX_TABLE, 0xfffffff8 | 1);
    assert_int_equal(pci_msix_start(pci_next(NULL)), -ERANGE);
    assert_false(fake_get16(function, at + PCI_MSIX_CONTROL) & PCI_MSIX_ENABLE);
}

static void msix_refuses_pending_bits_beyond_their_bar_or_in_the_table(void **state)
{
    unsigned at;
    struct fake_function *function = function_with_msix(2, &at);

    (void)state;
    fake_put32(function, at + PCI_MSIX_PENDING, MMIO_BYTES | 1);
    assert_int_equal(pci_msix_start(found()), -ERANGE);
    fake_put32(function, at + PCI_MSIX_PENDING, 0x810 | 1);
    assert_int_equal(pci_msix_start(pci_next(NULL)), -EIO);
}

static void msix_refuses_a_bar_that_is_not_there(void **state)
{
    unsigned at;
    struct fake_function *function = function_with_msix(2, &at);

    (void)state;
    fake_put32(function, at + PCI_MSIX_TABLE, 0x800 | 7);
    assert_int_equal(pci_msix_start(found()), -EIO);
    fake_put32(function, at + PCI_MSIX_TABLE, 0x800 | 3);
    assert_int_equal(pci_msix_start(pci_next(NULL)), -ENOENT);
}

static void msix_refuses_a_capability_that_leaves_the_space(void **state)
{
    struct fake_function *function = one_function();

    (void)state;
    function->next_free = 0xf8;
    fake_pci_capability(function, PCI_CAP_MSIX, 8);
    assert_int_equal(pci_msix_start(found()), -EIO);
}

/* ---- configuration space in memory */

static void ecam_reads_a_function_where_the_standard_puts_it(void **state)
{
    uint8_t *space = aligned_alloc(2 * MIB, 2 * MIB);
    const phys_addr_t base = (uintptr_t)space; /* memory is mapped at its own address */
    uint32_t id = 0x00101234;

    (void)state;
    host_mmio_start = base;
    host_mmio_bytes = 2 * MIB;
    host_mmio_memory = space;
    memset(space, 0xff, 2 * MIB);
    memcpy(space + (5 * 8 + 0) * 4096, &id, 4);
    space[5 * 8 * 4096 + PCI_HEADER] = 0;
    assert_int_equal(pci_add_ecam(0, base, 0, 1), 0);
    assert_int_equal(pci_scan(), 1);
    assert_int_equal(pci_next(NULL)->at.device, 5);
    assert_int_equal(probes, 1);
    space[5 * 8 * 4096 + 4095] = 0x42;
    assert_int_equal(pci_read8(pci_next(NULL), 4095), 0x42);
    assert_int_equal(pci_read8(pci_next(NULL), 4096), 0xff);
    pci_forget();
    free(space);
}

static void ecam_of_two_segments_lies_above_4_gib(void **state)
{
    uint8_t *space = aligned_alloc(2 * MIB, 2 * MIB);
    const phys_addr_t first = (uintptr_t)space, second = first + MIB - 0x40 * MIB;

    (void)state;
    assert_true(second > UINT32_MAX);
    memset(space, 0xff, 2 * MIB);
    host_mmio_start = first;
    host_mmio_bytes = 2 * MIB;
    host_mmio_memory = space;
    memset(space + 8 * 0x8000, 0, 256);
    memcpy(space + 8 * 0x8000, "\x34\x12\x10\x00", 4);
    memset(space + MIB + 5 * 0x8000, 0, 256);
    memcpy(space + MIB + 5 * 0x8000, "\x34\x12\x11\x00", 4);
    assert_int_equal(pci_add_ecam(0, first, 0, 0), 0);
    assert_int_equal(pci_add_ecam(1, second, 0x40, 0x40), 0); /* as if bus 0 were before */
    assert_int_equal(pci_add_ecam(1, second, 0x40, 0x41), -EEXIST);
    assert_int_equal(pci_scan(), 2);
    assert_int_equal(pci_next(NULL)->device, 0x10);
    assert_int_equal(pci_next(NULL)->at.segment, 0);
    assert_int_equal(pci_next(pci_next(NULL))->device, 0x11);
    assert_int_equal(pci_next(pci_next(NULL))->at.segment, 1);
    assert_int_equal(pci_next(pci_next(NULL))->at.bus, 0x40);
    assert_int_equal(probes, 2);
    pci_forget();
    free(space);
}

static void ecam_that_cannot_be_mapped_has_no_devices(void **state)
{
    (void)state;
    assert_int_equal(pci_add_ecam(0, UINT64_C(0x100000000), 0, 255), 0);
    assert_int_equal(pci_scan(), 0);
    assert_true(logged("cannot be mapped"));
}

static void ecam_refuses_bases_that_cannot_be(void **state)
{
    (void)state;
    assert_int_equal(pci_add_ecam(0, 0, 0, 255), -EINVAL);
    assert_int_equal(pci_add_ecam(0, 0x1000, 0, 255), -EINVAL);
    assert_int_equal(pci_add_ecam(0, UINT64_MAX - MIB + 1, 0, 255), -EINVAL);
    assert_int_equal(pci_add_ecam(0, 0x80000000, 1, 0), -EINVAL);
}

int main(void)
{
#define TEST(name)  cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define ROOTS(name) cmocka_unit_test_setup_teardown(name, with_roots, without_roots)
    const struct CMUnitTest tests[] = {
        TEST(scan_of_an_empty_bus_finds_nothing_with_one_access_a_slot),
        TEST(scan_without_any_host_finds_nothing),
        TEST(scan_reads_two_registers_of_a_device_with_one_function),
        TEST(scan_finds_further_functions_only_where_the_header_says_so),
        TEST(scan_takes_a_vendor_of_zeros_or_ones_for_nobody),
        TEST(scan_follows_bridges_behind_bridges),
        TEST(scan_finds_64_devices_behind_8_bridges),
        TEST(scan_looks_at_one_slot_behind_a_pci_express_port),
        TEST(scan_does_not_follow_a_bridge_to_its_own_or_an_earlier_bus),
        TEST(scan_visits_a_bus_that_two_bridges_claim_once),
        TEST(scan_does_not_leave_the_buses_of_the_host),
        TEST(scan_goes_down_a_chain_of_255_bridges),
        TEST(scan_keeps_a_device_with_an_unknown_header_but_not_its_registers),
        TEST(scan_ends_when_memory_does),
        TEST(hosts_may_not_share_buses_of_a_segment),
        TEST(a_driver_gets_what_it_matches_with_bus_mastering_on_and_intx_off),
        TEST(a_driver_that_fails_leaves_bus_mastering_off),
        TEST(pins_lead_where_the_host_bridge_wires_them),
        TEST(pins_of_an_unknown_board_lead_where_the_line_register_says),
        TEST(a_driver_that_declines_is_not_reported),
        TEST(capabilities_are_found_in_order_and_read_once),
        TEST(capabilities_are_not_looked_for_without_the_status_bit),
        TEST(a_capability_that_points_to_itself_ends_the_chain),
        TEST(capabilities_in_a_circle_are_found_once),
        TEST(capabilities_that_fill_the_space_are_all_found),
        TEST(a_capability_pointer_into_the_header_ends_the_chain),
        TEST(the_reserved_bits_of_a_capability_pointer_are_ignored),
        TEST(a_function_that_reads_as_ones_has_no_capabilities_and_no_bars),
        TEST(a_register_beyond_the_space_reads_as_ones),
        TEST(bars_of_all_kinds_are_sized),
        TEST(the_upper_half_of_a_bar_is_none_of_its_own),
        TEST(sizing_leaves_the_registers_as_they_were_and_happens_once),
        TEST(a_64_bit_bar_in_the_last_register_is_nonsense),
        TEST(a_bar_of_a_reserved_type_is_nonsense),
        TEST(a_bar_whose_size_is_no_power_of_two_is_nonsense),
        TEST(a_bridge_has_two_bars),
        TEST(map_reaches_exactly_what_lies_inside_the_bar),
        TEST(map_refuses_ports_and_addresses_that_are_missing_or_out_of_reach),
        TEST(bars_without_an_address_get_one_each_above_what_is_in_use),
        TEST(a_window_that_is_too_small_or_missing_places_nothing),
        TEST(a_bar_as_large_as_can_be_does_not_overflow_the_window),
        TEST(bars_of_64_bits_go_above_4_gib_where_they_are_large_or_the_rest_is_full),
        TEST(what_is_behind_a_bridge_is_placed_in_its_window_and_nothing_else),
        TEST(bridges_without_numbers_get_numbers_and_windows_for_what_is_behind_them),
        TEST(prefetchable_bars_behind_bridges_go_above_4_gib_if_all_of_those_can),
        TEST(numbers_of_firmware_stay_and_ours_come_behind_them),
        TEST(a_bridge_for_which_no_number_is_left_is_told_of_and_the_others_are_used),
        TEST(a_chain_of_bridges_without_end_is_followed_only_so_deep),
        TEST(a_window_that_is_full_leaves_bars_unplaced_and_nothing_overlaps),
        TEST(a_port_with_an_empty_slot_keeps_room_for_a_card),
        TEST(a_bar_on_top_of_another_is_moved_and_both_are_used),
        TEST(a_bar_that_cannot_be_moved_keeps_its_device_from_memory_but_no_other),
        TEST(a_bar_on_top_of_the_platform_is_moved),
        TEST(a_place_that_is_no_better_is_not_taken),
        TEST(what_its_bridge_does_not_pass_on_comes_into_the_bridges_window),
        TEST(a_bar_in_the_window_of_a_bridge_beside_it_is_moved),
        TEST(ports_on_top_of_others_or_of_the_chip_set_are_moved),
        TEST(many_bars_are_told_apart_in_any_order),
        TEST(a_bridge_whose_own_bar_is_refused_passes_on_what_it_did),
        TEST(a_machine_of_nothing_but_overlaps_is_started),
        TEST(claims_without_memory_use_nothing),
        ROOTS(root_buses_that_the_tables_tell_of_are_walked_with_what_is_behind_them),
        ROOTS(nobody_asks_for_root_buses_where_nothing_leads_to_them),
        ROOTS(bus_numbers_end_before_the_next_root_bus),
        ROOTS(pins_on_another_root_bus_lead_to_the_slots_lines),
        TEST(ports_that_nobody_placed_get_some_beside_those_in_use),
        TEST(bridges_pass_on_the_ports_of_what_is_behind_them_and_no_others),
        TEST(ports_behind_a_bridge_of_firmware_come_out_of_its_window),
        TEST(a_bridge_that_passes_nothing_on_is_numbered_again),
        TEST(what_is_in_use_at_the_end_of_a_window_leaves_its_beginning),
        TEST(msi_is_told_one_message_at_the_width_that_it_has),
        TEST(msi_that_cannot_hold_the_message_or_leaves_the_space_is_refused),
        TEST(msix_masks_all_vectors_and_opens_the_one_that_is_set),
        TEST(msix_has_1_to_2048_vectors),
        TEST(msix_of_2048_vectors_masks_each_and_touches_nothing_else),
        TEST(msix_ends_where_its_bar_ends),
        TEST(msix_in_a_bar_without_an_address_is_placed_or_refused),
        TEST(msix_is_not_there_without_its_capability),
        TEST(msix_refuses_a_table_beyond_its_bar),
        TEST(msix_refuses_pending_bits_beyond_their_bar_or_in_the_table),
        TEST(msix_refuses_a_bar_that_is_not_there),
        TEST(msix_refuses_a_capability_that_leaves_the_space),
        TEST(ecam_reads_a_function_where_the_standard_puts_it),
        TEST(ecam_of_two_segments_lies_above_4_gib),
        TEST(ecam_that_cannot_be_mapped_has_no_devices),
        TEST(ecam_refuses_bases_that_cannot_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
