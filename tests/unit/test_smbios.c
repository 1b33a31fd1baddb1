/* SPDX-License-Identifier: MIT */
/* The machine's name out of SMBIOS, and what a firmware might do wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/smbios.h"
#include "kernel/mmio.h"

/* The reporter's way to the tables is the guest's; here only parsers run. */
const void *memory_map(phys_addr_t start, uint64_t bytes)
{
    (void)start;
    (void)bytes;
    return NULL;
}

static void set_checksum(uint8_t *entry, size_t bytes, size_t place)
{
    uint8_t sum = 0;

    entry[place] = 0;
    for (size_t i = 0; i < bytes; i++)
        sum = (uint8_t)(sum + entry[i]);
    entry[place] = (uint8_t)-sum;
}

static void put_entry_32(uint8_t *at, uint32_t address, uint16_t bytes)
{
    memset(at, 0, 31);
    memcpy(at, "_SM_", 4);
    at[5] = 31;
    memcpy(at + 22, &bytes, 2);
    memcpy(at + 24, &address, 4);
    set_checksum(at, 31, 4);
}

static void put_entry_64(uint8_t *at, uint64_t address, uint32_t bytes)
{
    memset(at, 0, 24);
    memcpy(at, "_SM3_", 5);
    at[6] = 24;
    memcpy(at + 12, &bytes, 4);
    memcpy(at + 16, &address, 8);
    set_checksum(at, 24, 5);
}

static void both_entry_points_are_found(void **state)
{
    uint8_t area[256] = { 0 };
    phys_addr_t address;
    uint32_t bytes;

    (void)state;
    assert_false(smbios_find(area, sizeof(area), &address, &bytes));
    put_entry_32(area + 64, 0x12345, 678);
    assert_true(smbios_find(area, sizeof(area), &address, &bytes));
    assert_int_equal(address, 0x12345);
    assert_int_equal(bytes, 678);
    put_entry_64(area + 32, UINT64_C(0x123456789), 99);
    assert_true(smbios_find(area, sizeof(area), &address, &bytes));
    assert_int_equal(address, UINT64_C(0x123456789));
    assert_int_equal(bytes, 99);
}

static void an_entry_point_that_is_wrong_or_cut_is_passed_over(void **state)
{
    uint8_t *area = malloc(48);
    phys_addr_t address;
    uint32_t bytes;

    (void)state;
    memset(area, 0, 48);
    put_entry_32(area, 1, 1);
    area[24]++;
    assert_false(smbios_find(area, 48, &address, &bytes));
    put_entry_64(area, 1, 1);
    area[6] = 255;
    assert_false(smbios_find(area, 48, &address, &bytes));
    memset(area, 0, 48);
    memcpy(area + 32, "_SM3_", 5); /* 16 bytes left */
    assert_false(smbios_find(area, 48, &address, &bytes));
    free(area);
}

/* Exactly as many bytes as there are, so that a read beyond them is seen. */
static bool system_of(const char *structures, size_t bytes, char *name, size_t size)
{
    char *copy = malloc(bytes ? bytes : 1);
    bool found;

    memcpy(copy, structures, bytes);
    found = smbios_system(copy, bytes, name, size);
    free(copy);
    return found;
}

static const char two[] = "\x00\x05\x00\x00\x01"
                          "BIOS\0\0"
                          "\x01\x08\x01\x00\x01\x02\x00\x00"
                          "QEMU\0Standard PC\0\0"
                          "\x7f\x04\x02\x00\0\0";

static void manufacturer_and_product_are_read(void **state)
{
    char name[32], small[8];

    (void)state;
    assert_true(system_of(two, sizeof(two) - 1, name, sizeof(name)));
    assert_string_equal(name, "QEMU Standard PC");
    assert_true(system_of(two, sizeof(two) - 1, small, sizeof(small)));
    assert_string_equal(small, "QEMU St");
}

static void structures_cut_anywhere_do_no_harm(void **state)
{
    char name[32];

    (void)state;
    for (size_t bytes = 0; bytes < sizeof(two); bytes++)
        system_of(two, bytes, name, sizeof(name));
}

static void structures_that_make_no_sense_end_the_search(void **state)
{
    char name[32];

    (void)state;
    assert_false(system_of("\x02\x00\x00\x00\x00\x00\x00\x00", 8, name, sizeof(name)));
    assert_false(system_of("\x01\xff\x00\x00\x01\x02\x00\x00", 8, name, sizeof(name)));
    assert_false(system_of("\x01\x06\x00\x00\x09\x09"
                           "a\0\0",
                           9, name, sizeof(name)));
}

static void what_is_not_printable_is_shown_as_a_question_mark(void **state)
{
    char name[32];

    (void)state;
    assert_true(system_of("\x01\x06\x00\x00\x01\x00"
                          "a\x1b\xff\"b\0\0",
                          13, name, sizeof(name)));
    assert_string_equal(name, "a??\"b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_entry_points_are_found),
        cmocka_unit_test(an_entry_point_that_is_wrong_or_cut_is_passed_over),
        cmocka_unit_test(manufacturer_and_product_are_read),
        cmocka_unit_test(structures_cut_anywhere_do_no_harm),
        cmocka_unit_test(structures_that_make_no_sense_end_the_search),
        cmocka_unit_test(what_is_not_printable_is_shown_as_a_question_mark),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
