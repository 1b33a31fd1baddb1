/* SPDX-License-Identifier: MIT */
/*
 * Where the VM generation id lies: QEMU's secondary table, the constant address of
 * other VMMs, and tables that lie. Includes drivers/acpi/generation.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/acpi/generation.c"

#include "tests/host/log.h"
#include "tests/unit/fixtures/acpi_vmgenid.h"

#define HEADER_BYTES sizeof(struct acpi_header)
#define ID_AT        0x3fff028
#define BASE_AT      0x2a /* in the table: VGIA's number */

static uint8_t *secondary, *dsdt; /* copies, so that reading beyond them is noticed */
static bool after_another;        /* there is a first SSDT, of something else */
static phys_addr_t mapped_at;
static const void *watched;
static const uint8_t id[RANDOM_GENERATION_BYTES];

const struct acpi_header *acpi_table_at(const char *signature, unsigned index)
{
    static const struct acpi_header another = { .signature = "SSDT", .length = sizeof(another) };

    assert_string_equal(signature, "SSDT");
    if (after_another && index-- == 0)
        return &another;
    return index ? NULL : (const struct acpi_header *)secondary;
}

static struct acpi_header fadt;

const struct acpi_header *acpi_table(const char *signature)
{
    assert_string_equal(signature, "FACP");
    return fadt.oem_id[0] ? &fadt : NULL;
}

static bool dsdt_looked_at;

struct aml acpi_dsdt(void)
{
    const struct acpi_header *table = (const struct acpi_header *)dsdt;

    dsdt_looked_at = true;
    return dsdt ? aml_in(table) : (struct aml){ NULL, 0 };
}

const void *memory_map(phys_addr_t address, uint64_t bytes)
{
    assert_int_equal(bytes, RANDOM_GENERATION_BYTES);
    mapped_at = address;
    return address < MIB ? NULL : id;
}

void random_watch_generation(const void *memory)
{
    watched = memory;
}

static int start_from_nothing(void **state)
{
    (void)state;
    free(secondary);
    free(dsdt);
    secondary = dsdt = NULL;
    after_another = false;
    mapped_at = 0;
    watched = NULL;
    dsdt_looked_at = false;
    memset(&fadt, 0, sizeof(fadt));
    host_log_clear();
    return 0;
}

/* The first `bytes` of a table; its header says that there are no more. */
static uint8_t *table_of(const void *from, size_t bytes)
{
    uint8_t *table = malloc(bytes);

    memcpy(table, from, bytes);
    ((struct acpi_header *)table)->length = (le32)bytes;
    return table;
}

/* A DSDT, on a machine of this maker. */
static uint8_t *table_with(const char *oem, const void *aml, size_t bytes)
{
    uint8_t *table = calloc(1, HEADER_BYTES + bytes);

    memcpy(table + HEADER_BYTES, aml, bytes);
    memcpy(fadt.oem_id, oem, sizeof(fadt.oem_id));
    ((struct acpi_header *)table)->length = (le32)(HEADER_BYTES + bytes);
    return table;
}

static void the_id_of_qemu_is_found(void **state)
{
    (void)state;
    secondary = table_of(vmgenid_ssdt, sizeof(vmgenid_ssdt));
    assert_int_equal(start(), 0);
    assert_int_equal(mapped_at, ID_AT);
    assert_ptr_equal(watched, id);
}

static void it_may_be_in_the_second_secondary_table(void **state)
{
    after_another = true;
    the_id_of_qemu_is_found(state);
}

/* As Firecracker and Cloud Hypervisor have it, in the DSDT. */
static const char constant[] = "\x5b\x82\x3aVGEN\x08_HID\x0d"
                               "FCVMGID\0\x08_CID\x0dVM_Gen_Counter\0"
                               "\x08"
                               "ADDR\x12\x0c\x02\x0c\x00\x20\x34\x12\x0c\x01\x00\x00\x00";

static void a_constant_address_in_a_dsdt_is_found(void **state)
{
    (void)state;
    dsdt = table_with("FIRECK", constant, sizeof(constant) - 1);
    start();
    assert_int_equal(mapped_at, 0x112342000);
    assert_ptr_equal(watched, id);
}

static void the_dsdt_of_qemu_is_not_searched(void **state)
{
    (void)state;
    dsdt = table_with("BOCHS ", constant, sizeof(constant) - 1);
    start();
    assert_null(watched);
    assert_false(dsdt_looked_at);
}

static void a_machine_without_one_has_nothing_to_say(void **state)
{
    (void)state;
    assert_int_equal(start(), 0);
    assert_null(watched);
    assert_string_equal(host_log_text(), "");
}

static void a_table_cut_anywhere_has_the_whole_address_or_none(void **state)
{
    for (size_t bytes = HEADER_BYTES; bytes < sizeof(vmgenid_ssdt); bytes++) {
        start_from_nothing(state);
        secondary = table_of(vmgenid_ssdt, bytes);
        start();
        assert_true(!watched || mapped_at == ID_AT);
    }
    for (size_t bytes = 0; bytes < sizeof(constant) - 1; bytes++) {
        start_from_nothing(state);
        dsdt = table_with("FIRECK", constant, bytes);
        start();
        assert_null(watched);
    }
}

static void an_address_that_nothing_answers_is_told_and_left(void **state)
{
    static const uint32_t bases[] = { 0x1000, 0x3fff001, 0x3fff004 };

    for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
        start_from_nothing(state);
        secondary = table_of(vmgenid_ssdt, sizeof(vmgenid_ssdt));
        memcpy(secondary + BASE_AT, &bases[i], sizeof(bases[i]));
        assert_int_equal(start(), 0);
        assert_null(watched);
        assert_non_null(strstr(host_log_text(), "out of reach"));
    }
}

/* What QEMU's linker has not filled in: there is no id yet. */
static void a_base_of_0_is_none(void **state)
{
    (void)state;
    secondary = table_of(vmgenid_ssdt, sizeof(vmgenid_ssdt));
    memset(secondary + BASE_AT, 0, sizeof(uint32_t));
    start();
    assert_null(watched);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start_from_nothing, start_from_nothing)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_id_of_qemu_is_found),
        TEST(it_may_be_in_the_second_secondary_table),
        TEST(a_constant_address_in_a_dsdt_is_found),
        TEST(the_dsdt_of_qemu_is_not_searched),
        TEST(a_machine_without_one_has_nothing_to_say),
        TEST(a_table_cut_anywhere_has_the_whole_address_or_none),
        TEST(an_address_that_nothing_answers_is_told_and_left),
        TEST(a_base_of_0_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
