/* SPDX-License-Identifier: MIT */
/*
 * lib/base/string.c against the C library. Our functions get names of their
 * own here, so that both stand in one program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define memcpy  our_memcpy
#define memmove our_memmove
#define memset  our_memset
#define memcmp  our_memcmp
#define memchr  our_memchr
#define strlen  our_strlen
#define strnlen our_strnlen
#define strcmp  our_strcmp
#define strncmp our_strncmp
#define strchr  our_strchr
#define strrchr our_strrchr
#define strstr  our_strstr
#include "lib/base/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr
#undef strrchr
#undef strstr

/* Around every border of the copying loops, and some beyond the longest. */
static const size_t lengths[] = { 0,  1,  2,  7,  8,   9,   15,  16,  17,  31,   32,
                                  33, 63, 64, 65, 511, 512, 513, 519, 520, 1023, 4096 };
#define SPACE (4096 + 64)

static void fill(unsigned char *bytes, size_t n)
{
    static uint32_t state = 1;

    for (size_t i = 0; i < n; i++) {
        state = state * 1664525 + 1013904223;
        bytes[i] = (unsigned char)(state >> 24);
    }
}

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

static void memcpy_copies_exactly_the_bytes_at_every_alignment(void **state)
{
    unsigned char from[SPACE], to[SPACE], expected[SPACE];

    (void)state;
    for (size_t l = 0; l < ARRAY_SIZE(lengths); l++) {
        for (size_t a = 0; a < 9; a++) {
            fill(from, SPACE);
            fill(to, SPACE);
            memcpy(expected, to, SPACE);
            memcpy(expected + a, from + 8 - a, lengths[l]);
            assert_ptr_equal(our_memcpy(to + a, from + 8 - a, lengths[l]), to + a);
            assert_memory_equal(to, expected, SPACE);
        }
    }
}

static void memmove_survives_every_overlap(void **state)
{
    unsigned char ours[SPACE], expected[SPACE];

    (void)state;
    for (size_t l = 0; l < ARRAY_SIZE(lengths); l++) {
        for (size_t from = 0; from < 48; from += 3) {
            for (size_t to = 0; to < 48; to++) {
                fill(ours, SPACE);
                memcpy(expected, ours, SPACE);
                memmove(expected + to, expected + from, lengths[l]);
                assert_ptr_equal(our_memmove(ours + to, ours + from, lengths[l]), ours + to);
                assert_memory_equal(ours, expected, SPACE);
            }
        }
    }
}

static void memset_fills_exactly_the_bytes(void **state)
{
    unsigned char ours[SPACE], expected[SPACE];

    (void)state;
    for (size_t l = 0; l < ARRAY_SIZE(lengths); l++) {
        for (size_t a = 0; a < 9; a++) {
            fill(ours, SPACE);
            memcpy(expected, ours, SPACE);
            memset(expected + a, 0x1ff, lengths[l]);
            assert_ptr_equal(our_memset(ours + a, 0x1ff, lengths[l]), ours + a);
            assert_memory_equal(ours, expected, SPACE);
        }
    }
}

static void memcmp_orders_by_the_first_difference_as_unsigned_bytes(void **state)
{
    unsigned char a[80], b[80];

    (void)state;
    for (size_t n = 0; n < 80; n++) {
        for (size_t at = 0; at < 80; at++) {
            fill(a, sizeof(a));
            memcpy(b, a, sizeof(a));
            b[at] ^= 0x80;
            assert_int_equal(sign(our_memcmp(a, b, n)), sign(memcmp(a, b, n)));
            assert_int_equal(sign(our_memcmp(b, a, n)), sign(memcmp(b, a, n)));
        }
    }
}

static void memcmp_looks_no_further_than_it_may(void **state)
{
    unsigned char *a = malloc(13), *b = malloc(13); /* the sanitizer watches both ends */

    (void)state;
    memset(a, 7, 13);
    memset(b, 7, 13);
    assert_int_equal(our_memcmp(a, b, 13), 0);
    assert_int_equal(our_memcmp(a + 13, b + 13, 0), 0);
    free(a);
    free(b);
}

static void memchr_finds_the_first_of_a_value(void **state)
{
    const unsigned char bytes[] = { 1, 2, 255, 2, 0, 9 };

    (void)state;
    for (int value = -1; value < 300; value++) {
        for (size_t n = 0; n <= sizeof(bytes); n++)
            assert_ptr_equal(our_memchr(bytes, value, n), memchr(bytes, value, n));
    }
}

static const char *const strings[] = { "",        "a",    "b",     "ab",   "abc", "abd",
                                       "abcabcd", "abcd", "\x80z", "\xff", "aab", "xaabaaab" };

static void string_functions_agree_with_the_library(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
        const char *s = strings[i];

        assert_int_equal(our_strlen(s), strlen(s));
        for (int character = 0; character < 256; character++) {
            assert_ptr_equal(our_strchr(s, character), strchr(s, character));
            assert_ptr_equal(our_strrchr(s, character), strrchr(s, character));
        }
        for (size_t j = 0; j < ARRAY_SIZE(strings); j++) {
            const char *t = strings[j];

            assert_int_equal(sign(our_strcmp(s, t)), sign(strcmp(s, t)));
            assert_ptr_equal(our_strstr(s, t), strstr(s, t));
            for (size_t n = 0; n < 9; n++) {
                assert_int_equal(sign(our_strncmp(s, t, n)), sign(strncmp(s, t, n)));
                assert_int_equal(our_strnlen(s, n), strnlen(s, n));
            }
        }
    }
}

static void bounded_functions_need_no_terminator(void **state)
{
    char *unterminated = malloc(3);

    (void)state;
    memcpy(unterminated, "abc", 3);
    assert_int_equal(our_strnlen(unterminated, 3), 3);
    assert_int_equal(our_strncmp(unterminated, "abcdef", 3), 0);
    free(unterminated);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memcpy_copies_exactly_the_bytes_at_every_alignment),
        cmocka_unit_test(memmove_survives_every_overlap),
        cmocka_unit_test(memset_fills_exactly_the_bytes),
        cmocka_unit_test(memcmp_orders_by_the_first_difference_as_unsigned_bytes),
        cmocka_unit_test(memcmp_looks_no_further_than_it_may),
        cmocka_unit_test(memchr_finds_the_first_of_a_value),
        cmocka_unit_test(string_functions_agree_with_the_library),
        cmocka_unit_test(bounded_functions_need_no_terminator),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
