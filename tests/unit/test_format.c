/* SPDX-License-Identifier: MIT */
/* lib/base/format.c against the C library's snprintf, and its own promises. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/format.h"

/* Both results and both texts are equal, at a size that fits and at ones that do not. */
#define SAME(...)                                                                 \
    do {                                                                          \
        for (size_t size = 0; size < 80; size++) {                                \
            char ours[80], theirs[80];                                            \
            memset(ours, '#', sizeof(ours));                                      \
            memset(theirs, '#', sizeof(theirs));                                  \
            int our_length = format(ours, size, __VA_ARGS__);                     \
            assert_int_equal(our_length, snprintf(theirs, size, __VA_ARGS__));    \
            if (size)                                                             \
                assert_string_equal(ours, theirs);                                \
            assert_memory_equal(ours + size, theirs + size, sizeof(ours) - size); \
        }                                                                         \
    } while (0)

static void integers_agree_with_the_library(void **state)
{
    static const int values[] = { 0, 1, -1, 9, 10, -10, 12345, INT_MAX, INT_MIN };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        int v = values[i];

        SAME("%d|%i|%u|%x|%X", v, v, (unsigned)v, (unsigned)v, (unsigned)v);
        SAME("%5d|%-5d|%05d|%+d|%+05d", v, v, v, v, v);
        SAME("%.3d|%8.3d|%-8.3d|%.0d", v, v, v, v);
        SAME("%*d|%-*d|%.*d", 6, v, 6, v, 4, v);
        SAME("%08x|%4X|%-4x|%.8x", (unsigned)v, (unsigned)v, (unsigned)v, (unsigned)v);
        SAME("%hhd|%hd|%hhu|%hx", (signed char)v, (short)v, (unsigned char)v, (unsigned short)v);
    }
}

static void long_integers_agree_with_the_library(void **state)
{
    static const long long values[] = { 0, 1, -1, LLONG_MAX, LLONG_MIN, 1234567890123 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        long long v = values[i];

        SAME("%lld|%llu", v, (unsigned long long)v);
        SAME("%llx|%024lld", (unsigned long long)v, v);
        SAME("%ld|%lu|%lx", (long)v, (unsigned long)v, (unsigned long)v);
        SAME("%zu|%td|%jd", (size_t)v, (ptrdiff_t)v, (intmax_t)v);
    }
}

static void narrow_lengths_cut_wide_arguments(void **state)
{
    char text[40];

    (void)state;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat"
    format(text, sizeof(text), "%hhx %hx %hhd %hd", 0x1ff, 0x12345, 0x1ff, 0x18000);
#pragma GCC diagnostic pop
    assert_string_equal(text, "ff 2345 -1 -32768");
}

static void strings_agree_with_the_library(void **state)
{
    (void)state;
    SAME("%s", "");
    SAME("%s|%5s|%-5s|%.2s|%5.1s|%-5.0s|", "abc", "abc", "abc", "abc", "abc", "abc");
    SAME("%.*s|%.*s", 2, "abc", -1, "abc");
    SAME("%c|%3c|%-3c|", 'x', 'y', 'z');
    SAME("100%%");
    SAME("%p", (void *)0x1234abcd);
}

static void a_precision_bounds_what_is_read(void **state)
{
    const char unterminated[3] = { 'a', 'b', 'c' };
    char text[8];

    (void)state;
    assert_int_equal(format(text, sizeof(text), "%.3s", unterminated), 3);
    assert_string_equal(text, "abc");
}

static void a_null_string_is_shown_not_read(void **state)
{
    char text[16];
    const char *volatile nothing = NULL;

    (void)state;
    format(text, sizeof(text), "[%s]", nothing);
    assert_string_equal(text, "[(null)]");
}

static void an_absurd_width_ends(void **state)
{
    char text[8];

    (void)state;
    assert_true(format(text, sizeof(text), "%123456789d", 1) > 8);
    assert_string_equal(text, "       ");
}

static void a_format_that_ends_early_or_is_unknown_is_shown(void **state)
{
    char text[16];

    (void)state;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat"
    format(text, sizeof(text), "a%");
    assert_string_equal(text, "a%");
    format(text, sizeof(text), "a%-12");
    assert_string_equal(text, "a%");
    format(text, sizeof(text), "%y!");
    assert_string_equal(text, "%y!");
#pragma GCC diagnostic pop
}

static void text_grows_piece_by_piece(void **state)
{
    char buffer[16];
    struct text text;

    (void)state;
    text_init(&text, buffer, sizeof(buffer));
    assert_string_equal(buffer, "");
    text_add(&text, "%d", 12);
    text_add(&text, ",%s", "abc");
    assert_string_equal(buffer, "12,abc");
    assert_int_equal(text.length, 6);
    assert_false(text.truncated);
}

static void text_that_does_not_fit_is_cut_and_told(void **state)
{
    char buffer[6];
    struct text text;

    (void)state;
    memset(buffer, '#', sizeof(buffer));
    text_init(&text, buffer, 5);
    text_add(&text, "abcd");
    assert_false(text.truncated);
    text_add(&text, "%s", "");
    assert_false(text.truncated);
    text_add(&text, "e");
    assert_true(text.truncated);
    text_add(&text, "fgh");
    assert_string_equal(buffer, "abcd");
    assert_int_equal(text.length, 4);
    assert_int_equal(buffer[5], '#');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_agree_with_the_library),
        cmocka_unit_test(long_integers_agree_with_the_library),
        cmocka_unit_test(narrow_lengths_cut_wide_arguments),
        cmocka_unit_test(strings_agree_with_the_library),
        cmocka_unit_test(a_precision_bounds_what_is_read),
        cmocka_unit_test(a_null_string_is_shown_not_read),
        cmocka_unit_test(an_absurd_width_ends),
        cmocka_unit_test(a_format_that_ends_early_or_is_unknown_is_shown),
        cmocka_unit_test(text_grows_piece_by_piece),
        cmocka_unit_test(text_that_does_not_fit_is_cut_and_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
