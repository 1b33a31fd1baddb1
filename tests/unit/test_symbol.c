/* SPDX-License-Identifier: MIT */
/* kernel/symbol.c on a table of three functions. The linker puts the text at 0x100000 to 0x100400.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel/symbol.h"

extern const uint32_t symbol_count, symbol_address[];
extern const char symbol_names[];

const uint32_t symbol_count = 3;
const uint32_t symbol_address[] = { 0x100010, 0x100100, 0x100200 };
const char symbol_names[] = "first\0second\0third";

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
    expect(0x1003ff, "third", 0x1ff);
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
