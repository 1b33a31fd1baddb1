/* SPDX-License-Identifier: MIT */
/* Numbers from outside: lib/base/parse.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/errno.h"
#include "lib/base/parse.h"

static void a_number_is_read_and_passed_over(void **state)
{
    const char *at = "512@0xfeB0:12";
    uint64_t value;

    (void)state;
    assert_int_equal(parse_number(&at, UINT64_MAX, &value), 0);
    assert_int_equal(value, 512);
    assert_int_equal(*at++, '@');
    assert_int_equal(parse_number(&at, UINT64_MAX, &value), 0);
    assert_int_equal(value, 0xfeb0);
    assert_int_equal(*at++, ':');
    assert_int_equal(parse_number(&at, 12, &value), 0);
    assert_int_equal(value, 12);
    assert_int_equal(*at, '\0');
}

static void an_error_moves_nothing(void **state)
{
    static const char *const bad[] = { "", "-1", "+1", " 1", "x", "0x", "0xg", "0X ", "K" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const char *at = bad[i];
        uint64_t value = 77;

        assert_int_equal(parse_number(&at, UINT64_MAX, &value), -EINVAL);
        assert_int_equal(parse_size(&at, UINT64_MAX, &value), -EINVAL);
        assert_ptr_equal(at, bad[i]);
        assert_int_equal(value, 77);
    }
}

static void the_largest_fits_and_one_more_does_not(void **state)
{
    uint64_t value;

    (void)state;
    assert_int_equal(parse_whole_number("18446744073709551615", UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(parse_whole_number("18446744073709551616", UINT64_MAX, &value), -ERANGE);
    assert_int_equal(parse_whole_number("184467440737095516150", UINT64_MAX, &value), -ERANGE);
    assert_int_equal(parse_whole_number("0xffffffffffffffff", UINT64_MAX, &value), 0);
    assert_int_equal(parse_whole_number("0x10000000000000000", UINT64_MAX, &value), -ERANGE);
    assert_int_equal(parse_whole_number("65535", 65535, &value), 0);
    assert_int_equal(parse_whole_number("65536", 65535, &value), -ERANGE);
    assert_int_equal(parse_whole_number("0", 0, &value), 0);
    assert_int_equal(parse_whole_number("1", 0, &value), -ERANGE);
    assert_int_equal(parse_whole_number("9", 5, &value), -ERANGE);
}

static void suffixes_multiply_and_overflow_is_refused(void **state)
{
    uint64_t value;

    (void)state;
    assert_int_equal(parse_whole_size("4K", UINT64_MAX, &value), 0);
    assert_int_equal(value, 4096);
    assert_int_equal(parse_whole_size("64m", UINT64_MAX, &value), 0);
    assert_int_equal(value, 64 * MIB);
    assert_int_equal(parse_whole_size("0x10G", UINT64_MAX, &value), 0);
    assert_int_equal(value, 16 * GIB);
    assert_int_equal(parse_whole_size("16777215T", UINT64_MAX, &value), 0);
    assert_int_equal(parse_whole_size("16777216T", UINT64_MAX, &value), -ERANGE);
    assert_int_equal(parse_whole_size("4K", 4095, &value), -ERANGE);
    assert_int_equal(parse_whole_size("4K", 4096, &value), 0);
    assert_int_equal(parse_whole_size("512", UINT64_MAX, &value), 0);
}

static void a_whole_text_holds_nothing_else(void **state)
{
    uint64_t value = 77;

    (void)state;
    assert_int_equal(parse_whole_number("80 ", UINT64_MAX, &value), -EINVAL);
    assert_int_equal(parse_whole_number("80K", UINT64_MAX, &value), -EINVAL);
    assert_int_equal(parse_whole_size("80KB", UINT64_MAX, &value), -EINVAL);
    assert_int_equal(parse_whole_number("8a", UINT64_MAX, &value), -EINVAL);
    assert_int_equal(value, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_read_and_passed_over),
        cmocka_unit_test(an_error_moves_nothing),
        cmocka_unit_test(the_largest_fits_and_one_more_does_not),
        cmocka_unit_test(suffixes_multiply_and_overflow_is_refused),
        cmocka_unit_test(a_whole_text_holds_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
