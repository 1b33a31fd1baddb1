/* SPDX-License-Identifier: MIT */
/* kernel/symbol.c on a table of five functions. The linker puts the text at 0x100000 to 0x100400.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel/symbol.h"

extern const uint8_t symbol_table[], symbol_pairs[][2];

#define CODE(code) [code - 1]

/* "ir", "st", "irst", and the longest name that is spelled out. The first code and the last are as
 * good as any. */
const uint8_t symbol_pairs[0xff][2] = {
    CODE(0x01) = "ir", CODE(0x81) = "st",           CODE(0x82) = { 0x01, 0x81 },
    CODE(0x83) = "12", CODE(0x84) = { 0x83, 0x83 }, CODE(0xff) = { 0x84, 0x84 },
};
const uint8_t symbol_table[] = "\x90\x80\x40"
                               "f\x82\0" /* 0x100010 */
                               "\xf0\x01"
                               "second\0" /* 0x100100 */
                               "\x80\x02"
                               "third\0" /* 0x100200 */
                               "\x01"
                               "\xff\xff\xff\xff\xff\xff\xff\xff\0" /* 0x100201 */
                               "\xff\xff\xff\x7f"
                               "beyond\0"; /* and then the end */

#define EIGHT   "12121212"
#define LONGEST EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT "1212121" /* 63 characters of 64 */

static void expect(uintptr_t address, const char *name, uintptr_t offset)
{
    uintptr_t found_offset = 0;
    const char *found = symbol_find(address, &found_offset);

    assert_non_null(found);
    assert_string_equal(found, name);
    assert_int_equal(found_offset, offset);
}

static void symbol_find_knows_the_first_and_the_last_byte_of_a_function(void **state)
{
    (void)state;
    expect(0x100010, "first", 0);
    expect(0x1000ff, "first", 0xef);
    expect(0x100100, "second", 0);
    expect(0x1001ff, "second", 0xff);
    expect(0x100200, "third", 0);
    expect(0x100201, LONGEST, 0);
    expect(0x1003ff, LONGEST, 0x1fe);
}

static void symbol_find_knows_nothing_outside_the_text(void **state)
{
    static const uintptr_t outside[] = { 0,          1,           0xfffff,
                                         0x100400,   0x100000000, 0x400000100100,
                                         UINTPTR_MAX };
    uintptr_t offset;

    (void)state;
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
        assert_null(symbol_find(outside[i], &offset));
}

static void symbol_find_knows_nothing_before_the_first_function(void **state)
{
    uintptr_t offset;

    (void)state;
    assert_null(symbol_find(0x100000, &offset));
    assert_null(symbol_find(0x10000f, &offset));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(symbol_find_knows_the_first_and_the_last_byte_of_a_function),
        cmocka_unit_test(symbol_find_knows_nothing_outside_the_text),
        cmocka_unit_test(symbol_find_knows_nothing_before_the_first_function),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
