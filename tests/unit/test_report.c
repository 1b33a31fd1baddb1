/* SPDX-License-Identifier: MIT */
/*
 * Reports in their three forms, the JSON checked by a parser of the test's own,
 * with keys and nesting as drivers use them and values as a hostile device might
 * name itself.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/report.h"
#include "tests/host/panic.h"

static const char *hostile; /* what the device tells */

static void tell_second(struct report *report)
{
    report_number(report, "zero", 0);
    report_number(report, "largest", UINT64_MAX);
}

static void tell_first(struct report *report)
{
    report_text(report, "version", "%d.%d", 1, 2);
    report_open(report, "inner");
    report_close(report);
    report_open_words(report, "none");
    report_close_words(report);
}

static void tell_devices(struct report *report)
{
    report_open_list(report, "device");
    for (unsigned i = 0; i < 2; i++) {
        report_open_item(report, "%s%u", hostile, i);
        report_text(report, "serial", "%s", hostile);
        report_number(report, "sectors", i + 7);
        report_open_words(report, "features");
        report_word(report, hostile);
        report_word(report, "b");
        report_close_words(report);
        report_open_list(report, "queue");
        report_open_item(report, "q%u", i);
        report_number(report, "size", 256);
        report_close(report);
        report_close(report);
        report_close(report);
    }
    report_close(report);
}

static void tell_nothing(struct report *report)
{
    (void)report;
}

/* Not in the order in which they are to be told; two of the same order. */
REPORTER(third_reporter) = { "devices", 30, tell_devices };
REPORTER(second_reporter) = { "numbers", 20, tell_second };
REPORTER(twin_reporter) = { "twin", 20, tell_nothing };
REPORTER(first_reporter) = { "system", 10, tell_first };

static char buffer[32768];
static struct text text;

static const char *render(enum report_form form)
{
    text_init(&text, buffer, sizeof(buffer));
    report_render(form, &text);
    assert_int_equal(strlen(buffer), text.length);
    return buffer;
}

/* The grammar of RFC 8259, as far as reports use it. NULL: it is broken there. */
static const char *skip_value(const char *at);

static const char *skip_string(const char *at)
{
    if (*at++ != '"')
        return NULL;
    for (; *at != '"'; at++) {
        if (*at < ' ' || *at > '~')
            return NULL;
        if (*at == '\\' && !strchr("\"\\/bfnrt", *++at))
            return NULL;
    }
    return at + 1;
}

static const char *skip_members(const char *at, char end, bool named)
{
    if (*at == end)
        return at + 1;
    for (;;) {
        if (named && (!(at = skip_string(at)) || *at++ != ':'))
            return NULL;
        at = skip_value(at);
        if (!at)
            return NULL;
        if (*at == end)
            return at + 1;
        if (*at++ != ',')
            return NULL;
    }
}

static const char *skip_value(const char *at)
{
    if (*at == '{')
        return skip_members(at + 1, '}', true);
    if (*at == '[')
        return skip_members(at + 1, ']', false);
    if (*at == '"')
        return skip_string(at);
    if (!isdigit(*at) || (*at == '0' && isdigit(at[1])))
        return NULL;
    while (isdigit(*at))
        at++;
    return at;
}

static bool is_json(const char *json)
{
    const char *end = *json == '{' ? skip_value(json) : NULL;

    return end && !strcmp(end, "\n");
}

static int begin(void **state)
{
    (void)state;
    hostile = "vda";
    return 0;
}

static void the_checker_of_this_test_can_fail(void **state)
{
    static const char *const broken[] = {
        "",         "{",          "{}",   "{\"a\":1,}\n", "{\"a\" 1}\n", "{\"a\":[1}\n",
        "{1:2}\n",  "{\"a\":}\n", "[]\n", "{\"a\":01}\n", "{}}\n",       "{\"a\":\"\n\"}\n",
        "{\"a\n\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++)
        assert_false(is_json(broken[i]));
    assert_true(is_json("{\"a\":[{},1,\"\\\"\"],\"b\":{}}\n"));
}

static void json_has_every_fact_once_and_in_order(void **state)
{
    (void)state;
    render(REPORT_JSON);
    assert_true(is_json(buffer));
    assert_string_equal(
        buffer, "{\"system\":{\"version\":\"1.2\",\"inner\":{},\"none\":[]},"
                "\"numbers\":{\"zero\":0,\"largest\":18446744073709551615},\"twin\":{},"
                "\"devices\":{\"device\":["
                "{\"name\":\"vda0\",\"serial\":\"vda\",\"sectors\":7,\"features\":[\"vda\",\"b\"],"
                "\"queue\":[{\"name\":\"q0\",\"size\":256}]},"
                "{\"name\":\"vda1\",\"serial\":\"vda\",\"sectors\":8,\"features\":[\"vda\",\"b\"],"
                "\"queue\":[{\"name\":\"q1\",\"size\":256}]}]}}\n");
}

static void text_is_indented_by_two_a_level(void **state)
{
    (void)state;
    render(REPORT_TEXT);
    assert_non_null(strstr(buffer, "system\n  version              1.2\n  inner\n"));
    assert_non_null(
        strstr(buffer, "devices\n  device\n    vda0\n      serial               vda\n"));
    assert_non_null(strstr(buffer, "      features             vda b\n"));
    assert_non_null(
        strstr(buffer, "      queue\n        q0\n          size                 256\n"));
}

static void metrics_are_numbers_with_items_as_labels(void **state)
{
    (void)state;
    render(REPORT_METRICS);
    assert_string_equal(buffer,
                        "aerostat_numbers_zero 0\n"
                        "aerostat_numbers_largest 18446744073709551615\n"
                        "aerostat_devices_device_sectors{device=\"vda0\"} 7\n"
                        "aerostat_devices_device_queue_size{device=\"vda0\",queue=\"q0\"} 256\n"
                        "aerostat_devices_device_sectors{device=\"vda1\"} 8\n"
                        "aerostat_devices_device_queue_size{device=\"vda1\",queue=\"q1\"} 256\n");
}

static char every_byte[256];

static const char *const names[] = {
    "",
    "\"",
    "\\",
    "\\\"\\",
    "\"}],\"forged\":{",
    "\naerostat: exit 0\n",
    "\x1b[2J",
    "\x7f",
    "\xc3\xa4\xff\x80",
    "%s%n",
    every_byte,
};

static void json_stands_whatever_a_device_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        hostile = names[i];
        assert_true(is_json(render(REPORT_JSON)));
        assert_null(strstr(buffer, "\"forged\":"));
    }
}

/* Each line of a report is one of ours; a terminal is not steered. */
static void no_line_of_a_report_is_forged_by_a_device(void **state)
{
    static const enum report_form forms[] = { REPORT_TEXT, REPORT_METRICS };

    (void)state;
    for (size_t form = 0; form < ARRAY_SIZE(forms); form++) {
        size_t lines = 0;

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
            size_t n = 0;

            hostile = names[i];
            render(forms[form]);
            for (const char *at = buffer; *at; at++) {
                assert_true(*at == '\n' || (*at >= ' ' && *at <= '~'));
                n += *at == '\n';
            }
            assert_true(!lines || n == lines);
            lines = n;
        }
    }
}

static void a_long_name_is_cut_and_the_json_stands(void **state)
{
    static char name[2000];

    (void)state;
    memset(name, '"', sizeof(name) - 1);
    hostile = name;
    assert_true(is_json(render(REPORT_JSON)));
}

static void a_report_that_does_not_fit_is_cut_and_says_so(void **state)
{
    static const enum report_form forms[] = { REPORT_TEXT, REPORT_JSON, REPORT_METRICS };

    (void)state;
    for (size_t form = 0; form < ARRAY_SIZE(forms); form++) {
        size_t whole = strlen(render(forms[form]));

        for (size_t size = 1; size <= whole + 1; size++) {
            memset(buffer, 0x55, sizeof(buffer));
            text_init(&text, buffer, size);
            report_render(forms[form], &text);
            assert_int_equal(text.truncated, size <= whole);
            assert_int_equal(strlen(buffer), MIN(size - 1, whole));
            assert_int_equal(buffer[size], 0x55);
        }
    }
}

static void nesting_deeper_than_there_is_room_for_panics(void **state)
{
    struct report report = { .form = REPORT_JSON, .to = &text };

    (void)state;
    text_init(&text, buffer, sizeof(buffer));
    for (unsigned i = 0; i < REPORT_MAX_DEPTH - 1; i++)
        report_open(&report, "level");
    assert_true(PANICS(report_open(&report, "too deep")));
    assert_int_equal(report.depth, REPORT_MAX_DEPTH - 1);
    for (unsigned i = 0; i < REPORT_MAX_DEPTH - 1; i++)
        report_close(&report);
    assert_int_equal(report.depth, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_checker_of_this_test_can_fail, begin),
        cmocka_unit_test_setup(json_has_every_fact_once_and_in_order, begin),
        cmocka_unit_test_setup(text_is_indented_by_two_a_level, begin),
        cmocka_unit_test_setup(metrics_are_numbers_with_items_as_labels, begin),
        cmocka_unit_test_setup(json_stands_whatever_a_device_is_named, begin),
        cmocka_unit_test_setup(no_line_of_a_report_is_forged_by_a_device, begin),
        cmocka_unit_test_setup(a_long_name_is_cut_and_the_json_stands, begin),
        cmocka_unit_test_setup(a_report_that_does_not_fit_is_cut_and_says_so, begin),
        cmocka_unit_test_setup(nesting_deeper_than_there_is_room_for_panics, begin),
    };

    for (int i = 0; i < 255; i++)
        every_byte[i] = (char)(i + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
