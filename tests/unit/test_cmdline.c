/* SPDX-License-Identifier: MIT */
/* kernel/cmdline.c: what VMMs, boot loaders and people write there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/cmdline.h"
#include "lib/base/errno.h"
#include "tests/host/log.h"

char image_name[] = "hello";

static void parse(const char *text)
{
    host_log_clear();
    cmdline_parse(text);
}

static void assert_argv(int n, ...)
{
    va_list expected;

    assert_int_equal(cmdline_argc(), n + 1);
    assert_string_equal(cmdline_argv()[0], "hello");
    va_start(expected, n);
    for (int i = 1; i <= n; i++)
        assert_string_equal(cmdline_argv()[i], va_arg(expected, const char *));
    va_end(expected);
    assert_null(cmdline_argv()[n + 1]);
}

static void an_empty_line_gives_nothing_but_the_name(void **state)
{
    (void)state;
    parse("");
    assert_argv(0);
    parse(" \t\n ");
    assert_argv(0);
    parse("--");
    assert_argv(0);
    assert_null(cmdline_value("irq"));
    assert_string_equal(host_log_text(), "");
}

static void words_and_arguments_are_told_apart(void **state)
{
    (void)state;
    parse("irq=poll ip=10.0.2.15/24,10.0.2.2 -- echo=7 irq=msix --");
    assert_string_equal(cmdline_value("irq"), "poll");
    assert_string_equal(cmdline_value("ip"), "10.0.2.15/24,10.0.2.2");
    assert_null(cmdline_value("i"));
    assert_null(cmdline_value("echo"));
    assert_argv(3, "echo=7", "irq=msix", "--");
    assert_string_equal(host_log_text(), "");
}

static void the_last_of_a_word_counts(void **state)
{
    (void)state;
    parse("irq=poll irq=msix irq=intx");
    assert_string_equal(cmdline_value("irq"), "intx");
    assert_string_equal(cmdline_value_nth("irq", 0), "poll");
    assert_string_equal(cmdline_value_nth("irq", 2), "intx");
    assert_null(cmdline_value_nth("irq", 3));
}

static void quotes_hold_words_together(void **state)
{
    (void)state;
    parse("ip=\"a b\" -- \"x  y\" '' 'say \"hi\"' a\"b c\"d \"--\"");
    assert_string_equal(cmdline_value("ip"), "a b");
    assert_argv(5, "x  y", "", "say \"hi\"", "ab cd", "--");
    assert_string_equal(host_log_text(), "");
}

static void a_quoted_dash_dash_is_a_word(void **state)
{
    (void)state;
    parse("'--' irq=poll");
    assert_string_equal(cmdline_value("irq"), "poll");
    assert_non_null(strstr(host_log_text(), "unknown word: --"));
}

static void an_open_quote_is_named_and_ends_with_the_line(void **state)
{
    (void)state;
    parse("-- 'a b ");
    assert_argv(1, "a b ");
    assert_non_null(strstr(host_log_text(), "quote"));
    parse("-- \"");
    assert_argv(1, "");
}

static void mmio_devices_are_the_kernels_behind_the_arguments_too(void **state)
{
    (void)state;
    parse("virtio_mmio.device=512@0xfeb02a00:10 -- a virtio_mmio.device=512@0xfeb02c00:11 b");
    assert_string_equal(cmdline_value_nth("virtio_mmio.device", 0), "512@0xfeb02a00:10");
    assert_string_equal(cmdline_value_nth("virtio_mmio.device", 1), "512@0xfeb02c00:11");
    assert_null(cmdline_value_nth("virtio_mmio.device", 2));
    assert_argv(2, "a", "b");
}

static void linux_words_are_passed_over_quietly(void **state)
{
    (void)state;
    parse("console=ttyS0 root=/dev/vda1 rw quiet reboot=k panic=1 pci=off nomodules "
          "8250.nr_uarts=0 i8042.noaux swiotlb=noforce ro earlyprintk=ttyS0");
    assert_string_equal(host_log_text(), "");
}

static void other_unknown_words_are_named(void **state)
{
    (void)state;
    parse("irqs=poll foo rooted =x a=b.c");
    assert_non_null(strstr(host_log_text(), "unknown word: irqs=poll\n"));
    assert_non_null(strstr(host_log_text(), "unknown word: foo\n"));
    assert_non_null(strstr(host_log_text(), "unknown word: rooted\n"));
    assert_non_null(strstr(host_log_text(), "unknown word: =x\n"));
    assert_non_null(strstr(host_log_text(), "unknown word: a=b.c\n"));
    assert_null(cmdline_value("irq"));
}

static void a_key_without_a_value_is_named_and_not_given(void **state)
{
    (void)state;
    parse("irq");
    assert_null(cmdline_value("irq"));
    assert_non_null(strstr(host_log_text(), "irq wants a value"));
    parse("irq=");
    assert_string_equal(cmdline_value("irq"), "");
}

static void a_choice_is_found_absent_or_impossible(void **state)
{
    static const char *const modes[] = { "msix", "intx", "poll" };

    (void)state;
    parse("");
    assert_int_equal(cmdline_choice("irq", modes, 3), -ENOENT);
    parse("irq=poll");
    assert_int_equal(cmdline_choice("irq", modes, 3), 2);
    assert_string_equal(host_log_text(), "");
    parse("irq=pol");
    assert_int_equal(cmdline_choice("irq", modes, 3), -EINVAL);
    assert_non_null(strstr(host_log_text(), "irq=pol: not one of msix, intx, poll"));
    parse("irq=");
    assert_int_equal(cmdline_choice("irq", modes, 3), -EINVAL);
}

static void the_text_is_copied(void **state)
{
    char text[] = "irq=poll -- a";

    (void)state;
    parse(text);
    memset(text, 'x', sizeof(text));
    assert_string_equal(cmdline_value("irq"), "poll");
    assert_argv(1, "a");
}

static void the_longest_line_is_taken_whole_and_one_more_is_cut(void **state)
{
    char *text = malloc(5000);

    (void)state;
    memset(text, 'a', 5000);
    memcpy(text, "-- ", 3);
    text[4095] = '\0';
    parse(text);
    assert_int_equal(strlen(cmdline_argv()[1]), 4092);
    assert_string_equal(host_log_text(), "");
    text[4095] = 'a';
    text[4096] = '\0';
    parse(text);
    assert_int_equal(strlen(cmdline_argv()[1]), 4092);
    assert_non_null(strstr(host_log_text(), "cut after 4095 bytes"));
    free(text);
}

static void more_words_than_fit_are_counted_not_kept(void **state)
{
    char text[4096] = "";

    (void)state;
    for (int i = 0; i < 70; i++)
        strcat(text, "irq=poll ");
    strcat(text, "--");
    for (int i = 0; i < 130; i++)
        strcat(text, " a");
    parse(text);
    assert_int_equal(cmdline_argc(), 128);
    assert_null(cmdline_argv()[128]);
    assert_non_null(cmdline_value_nth("irq", 63));
    assert_null(cmdline_value_nth("irq", 64));
    assert_non_null(strstr(host_log_text(), "9 words too many"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_line_gives_nothing_but_the_name),
        cmocka_unit_test(words_and_arguments_are_told_apart),
        cmocka_unit_test(the_last_of_a_word_counts),
        cmocka_unit_test(quotes_hold_words_together),
        cmocka_unit_test(a_quoted_dash_dash_is_a_word),
        cmocka_unit_test(an_open_quote_is_named_and_ends_with_the_line),
        cmocka_unit_test(mmio_devices_are_the_kernels_behind_the_arguments_too),
        cmocka_unit_test(linux_words_are_passed_over_quietly),
        cmocka_unit_test(other_unknown_words_are_named),
        cmocka_unit_test(a_key_without_a_value_is_named_and_not_given),
        cmocka_unit_test(a_choice_is_found_absent_or_impossible),
        cmocka_unit_test(the_text_is_copied),
        cmocka_unit_test(the_longest_line_is_taken_whole_and_one_more_is_cut),
        cmocka_unit_test(more_words_than_fit_are_counted_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
