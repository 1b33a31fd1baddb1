/* SPDX-License-Identifier: MIT */
/* The PCI host bridge's windows out of real DSDTs, and out of broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/acpi/tables.h"
#include "lib/base/errno.h"
#include "tests/unit/fixtures/acpi_microvm_pcie.h"
#include "tests/unit/fixtures/acpi_q35.h"

#define HEADER_BYTES sizeof(struct acpi_header)
#define WINDOW_AT    2563 /* where the descriptor is in the table */

static uint8_t *dsdt; /* a copy, so that reading beyond it is noticed */
static size_t dsdt_bytes;

struct aml acpi_dsdt(void)
{
    return (struct aml){ dsdt, dsdt_bytes };
}

static void use_table(const uint8_t *table, size_t bytes)
{
    free(dsdt);
    dsdt_bytes = bytes;
    dsdt = malloc(bytes ? bytes : 1);
    memcpy(dsdt, table + HEADER_BYTES, bytes);
}

static void use_dsdt(size_t bytes)
{
    use_table(microvm_pcie_dsdt, bytes);
}

static void use_whole_dsdt(void)
{
    use_dsdt(sizeof(microvm_pcie_dsdt) - HEADER_BYTES);
}

static uint8_t *window_bytes(void)
{
    return dsdt + WINDOW_AT - HEADER_BYTES;
}

static int tear_down(void **state)
{
    (void)state;
    free(dsdt);
    dsdt = NULL;
    return 0;
}

static void the_window_of_a_microvm_is_found(void **state)
{
    struct acpi_window window;

    (void)state;
    use_whole_dsdt();
    assert_int_equal(acpi_pci_window(ACPI_PCI_LOW, &window), 0);
    assert_int_equal(window.start, 0xc0000000);
    assert_int_equal(window.bytes, 0x20000000);
}

static void a_dsdt_cut_anywhere_has_the_whole_window_or_none(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < sizeof(microvm_pcie_dsdt) - HEADER_BYTES; bytes++) {
        struct acpi_window window = { 0, 0 };

        use_dsdt(bytes);
        if (acpi_pci_window(ACPI_PCI_LOW, &window) == 0)
            assert_int_equal(window.bytes, 0x20000000);
        else
            assert_int_equal(window.bytes, 0);
    }
}

static void a_window_whose_numbers_disagree_is_not_believed(void **state)
{
    struct acpi_window window;

    (void)state;
    use_whole_dsdt();
    window_bytes()[22]++; /* its length */
    assert_int_equal(acpi_pci_window(ACPI_PCI_LOW, &window), -ENODEV);
    use_whole_dsdt();
    window_bytes()[18]++; /* its translation */
    assert_int_equal(acpi_pci_window(ACPI_PCI_LOW, &window), -ENODEV);
    use_whole_dsdt();
    window_bytes()[4] = 0; /* its ends may move */
    assert_int_equal(acpi_pci_window(ACPI_PCI_LOW, &window), -ENODEV);
}

static void the_window_above_4_gib_is_found(void **state)
{
    struct acpi_window window;

    (void)state;
    use_whole_dsdt();
    assert_int_equal(acpi_pci_window(ACPI_PCI_HIGH, &window), 0);
    assert_int_equal(window.start, UINT64_C(0xc000000000)); /* a quarter of the 40 bits there are */
    assert_int_equal(window.bytes, UINT64_C(0x4000000000));
}

/* Its own configuration space is told of before, in the same way. */
static void the_windows_of_a_q35_are_those_of_root_bus_0(void **state)
{
    struct acpi_window window;

    (void)state;
    use_table(q35_dsdt, sizeof(q35_dsdt) - HEADER_BYTES);
    assert_int_equal(acpi_pci_window(ACPI_PCI_LOW, &window), 0);
    assert_int_equal(window.start, 0x4000000);
    assert_int_equal(window.bytes, 0xb0000000 - 0x4000000);
    assert_int_equal(acpi_pci_window(ACPI_PCI_PORTS, &window), 0);
    assert_int_equal(window.start, 0xd00);
    assert_int_equal(window.bytes, 0xf300);
}

static void a_q35_cut_anywhere_has_whole_windows_or_none(void **state)
{
    struct acpi_window window;

    (void)state;
    for (size_t bytes = 7000; bytes < sizeof(q35_dsdt) - HEADER_BYTES; bytes++) {
        use_table(q35_dsdt, bytes);
        if (acpi_pci_window(ACPI_PCI_LOW, &window) == 0)
            assert_int_equal(window.start, 0x4000000);
        if (acpi_pci_window(ACPI_PCI_PORTS, &window) == 0)
            assert_int_equal(window.start, 0xd00);
    }
}

static void a_microvm_has_no_ports(void **state)
{
    struct acpi_window window;

    (void)state;
    use_whole_dsdt();
    assert_int_equal(acpi_pci_window(ACPI_PCI_PORTS, &window), -ENODEV);
}

/* As QEMU writes an expander's host bridge; a method and a number that no bus has are passed over.
 */
static void buses_of_further_host_bridges_are_found(void **state)
{
    static const uint8_t names[] = { 0x08, '_', 'B',  'B',  'N',  0x0a, 0x40, 0x14, '_',
                                     'B',  'B', 'N',  0x00, 0xa4, 0x0a, 0x50, 0x08, '_',
                                     'B',  'B', 'N',  0x0b, 0x00, 0x01, 0x08, '_',  'B',
                                     'B',  'N', 0x01, 0x08, '_',  'B',  'B',  'N',  0x0a };
    uint8_t buses[4] = { 0 };

    (void)state;
    dsdt_bytes = sizeof(names);
    dsdt = malloc(dsdt_bytes);
    memcpy(dsdt, names, dsdt_bytes);
    assert_int_equal(acpi_pci_roots(buses, 4), 3);
    assert_int_equal(buses[0], 0x40);
    assert_int_equal(buses[1], 0); /* the method's first byte */
    assert_int_equal(buses[2], 1);
    assert_int_equal(acpi_pci_roots(buses, 1), 1);
    assert_int_equal(acpi_pci_roots(buses, 0), 0);
    use_table(q35_dsdt, sizeof(q35_dsdt) - HEADER_BYTES);
    assert_int_equal(acpi_pci_roots(buses, 4), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_window_of_a_microvm_is_found, tear_down),
        cmocka_unit_test_teardown(the_window_above_4_gib_is_found, tear_down),
        cmocka_unit_test_teardown(a_dsdt_cut_anywhere_has_the_whole_window_or_none, tear_down),
        cmocka_unit_test_teardown(a_window_whose_numbers_disagree_is_not_believed, tear_down),
        cmocka_unit_test_teardown(the_windows_of_a_q35_are_those_of_root_bus_0, tear_down),
        cmocka_unit_test_teardown(a_q35_cut_anywhere_has_whole_windows_or_none, tear_down),
        cmocka_unit_test_teardown(a_microvm_has_no_ports, tear_down),
        cmocka_unit_test_teardown(buses_of_further_host_bridges_are_found, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
