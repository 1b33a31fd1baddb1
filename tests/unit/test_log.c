/* SPDX-License-Identifier: MIT */
/*
 * Which console is shown what: a line that takes everything, and a screen that
 * takes what the test lets it. Includes kernel/log.c, to start each test from
 * nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/log.c"

#include "tests/host/clock.h"
#include "tests/host/event.h"

struct shown {
    char text[4 * HISTORY_BYTES];
    size_t n;
};

static struct shown on_line, on_screen, in_emergency;
static size_t screen_room; /* bytes that it takes until the test makes more */
static size_t unseen;      /* of those that it took */
static bool emptied;       /* unseen goes to 0 at the next look */
static unsigned flushes;
static const char *typed_on_line, *typed_on_screen;

static void add(struct shown *to, const char *bytes, size_t n)
{
    assert_true(to->n + n < sizeof(to->text));
    memcpy(to->text + to->n, bytes, n);
    to->n += n;
    to->text[to->n] = '\0';
}

static size_t write_line(const char *bytes, size_t n)
{
    add(&on_line, bytes, n);
    return n;
}

static void flush_line(void)
{
    flushes++;
}

static size_t write_screen(const char *bytes, size_t n)
{
    n = MIN(n, screen_room);
    screen_room -= n;
    unseen += n;
    add(&on_screen, bytes, n);
    return n;
}

static size_t pending_on_screen(void)
{
    if (emptied)
        unseen = 0;
    return unseen;
}

static bool arm_screen(void)
{
    return screen_room > 0;
}

static void emergency_on_screen(const char *bytes, size_t n)
{
    add(&in_emergency, bytes, n);
}

static size_t read_text(const char **text, char *to, size_t max)
{
    size_t n = *text ? MIN(strlen(*text), max) : 0;

    if (n) {
        memcpy(to, *text, n);
        *text += n;
    }
    return n;
}

static size_t read_line(char *to, size_t max)
{
    return read_text(&typed_on_line, to, max);
}

static size_t read_screen(char *to, size_t max)
{
    return read_text(&typed_on_screen, to, max);
}

static struct console a_line, a_screen;

static int start_from_nothing(void **state)
{
    (void)state;
    memset(history, 0, sizeof(history));
    written = missed = 0;
    mid_line = everywhere = panicking = in_screen = expected = false;
    line = screen = stalled = NULL;
    on_line.n = on_screen.n = in_emergency.n = 0;
    on_line.text[0] = on_screen.text[0] = in_emergency.text[0] = '\0';
    screen_room = SIZE_MAX / 2;
    unseen = flushes = 0;
    emptied = true;
    typed_on_line = typed_on_screen = NULL;
    host_idle = NULL;
    a_line = (struct console){ .name = "line", .write = write_line, .flush = flush_line };
    a_screen = (struct console){
        .name = "screen", .write = write_screen, .pending = pending_on_screen, .arm = arm_screen
    };
    return 0;
}

static void say(const char *text)
{
    console_write(text, strlen(text));
}

/* ---- a line alone */

static void what_was_before_the_first_console_is_shown_when_it_comes(void **state)
{
    (void)state;
    log_info("early");
    assert_string_equal(on_line.text, "");
    console_register(&a_line);
    log_info("late");
    assert_string_equal(on_line.text, "early\nlate\n");
}

static void a_record_stands_on_a_line_of_its_own(void **state)
{
    (void)state;
    console_register(&a_line);
    say("a prompt: ");
    log_info("a \x1b[2J\nrecord");
    assert_string_equal(on_line.text, "a prompt: \na ?[2J?record\n");
}

static void any_amount_goes_to_the_line(void **state)
{
    static char text[3 * HISTORY_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    console_register(&a_line);
    console_write(text, sizeof(text));
    assert_int_equal(on_line.n, sizeof(text));
    assert_memory_equal(on_line.text, text, sizeof(text));
}

/* ---- the console moves */

static void a_screen_is_shown_what_was_before_it_and_the_line_no_more(void **state)
{
    (void)state;
    console_register(&a_line);
    log_info("one");
    console_move(&a_screen);
    log_info("two");
    assert_string_equal(on_line.text, "one\n");
    assert_string_equal(on_screen.text, "one\ntwo\n");
}

static void what_the_history_does_not_hold_any_more_is_counted(void **state)
{
    (void)state;
    console_register(&a_line);
    for (unsigned i = 0; i < HISTORY_BYTES / 8 + 2; i++)
        say("7 bytes\n");
    console_move(&a_screen);
    assert_non_null(strstr(on_screen.text, "[16 bytes are missing here]\n7 bytes\n7 bytes\n"));
    assert_int_equal(on_line.n, HISTORY_BYTES + 16);
}

static void a_screen_that_leaves_loses_nothing(void **state)
{
    (void)state;
    console_register(&a_line);
    log_info("one");
    console_move(&a_screen);
    emptied = false;
    unseen = 0;
    say("seen, taken");
    unseen = 5;
    screen_room = 0;
    say(", not taken\n");
    console_leave(&a_screen);
    log_info("after");
    assert_string_equal(on_line.text, "one\ntaken, not taken\nafter\n");
    console_leave(&a_screen); /* twice is harmless */
    assert_string_equal(on_line.text, "one\ntaken, not taken\nafter\n");
}

static void a_screen_that_comes_back_is_shown_what_it_has_not_seen(void **state)
{
    (void)state;
    console_register(&a_line);
    console_move(&a_screen);
    log_info("one");
    console_leave(&a_screen);
    log_info("two");
    console_move(&a_screen);
    log_info("three");
    assert_string_equal(on_screen.text, "one\ntwo\nthree\n");
    assert_string_equal(on_line.text, "two\n");
}

static void a_slow_screen_catches_up_in_order(void **state)
{
    (void)state;
    console_register(&a_line);
    screen_room = 3;
    console_move(&a_screen);
    say("abcdef");
    assert_string_equal(on_screen.text, "abc");
    assert_false(console_arm(&a_screen));
    screen_room = 1;
    assert_true(console_arm(&a_screen));
    console_resume(&a_screen);
    assert_string_equal(on_screen.text, "abcd");
    screen_room = 10;
    say("g");
    assert_string_equal(on_screen.text, "abcdefg");
    assert_false(console_arm(&a_screen)); /* nothing waits */
    assert_string_equal(on_line.text, "");
}

/* Records never wait: those that a slow screen has no place for go to the line, in order. */
static void a_flood_of_records_passes_a_slow_screen_by(void **state)
{
    size_t missing;

    (void)state;
    console_register(&a_line);
    screen_room = 0;
    console_move(&a_screen);
    for (unsigned i = 0; i < 3000; i++)
        log_info("record %4u", i);
    missing = on_line.n;
    assert_int_equal(missing, 3000 * 12 - HISTORY_BYTES);
    assert_int_equal(strncmp(on_line.text, "record    0\nrecord    1\n", 24), 0);
    screen_room = SIZE_MAX / 2;
    console_resume(&a_screen);
    assert_non_null(strstr(on_screen.text, "[19616 bytes are missing here]"));
    assert_string_equal(on_screen.text + on_screen.n - 12, "record 2999\n");
    assert_int_equal(on_line.n, missing);
}

static void without_a_line_a_screen_does_as_well(void **state)
{
    (void)state;
    log_info("early");
    console_move(&a_screen);
    log_info("late");
    assert_string_equal(on_screen.text, "early\nlate\n");
    console_leave(&a_screen);
    log_info("unheard");
    console_move(&a_screen);
    assert_string_equal(on_screen.text, "early\nlate\nunheard\n");
}

/* ---- output that may wait */

static unsigned idle_rounds;

static void take_some(void)
{
    screen_room = 100;
    idle_rounds++;
    console_resume(&a_screen);
}

static void an_application_waits_for_a_slow_screen(void **state)
{
    static char text[2 * HISTORY_BYTES];

    (void)state;
    console_register(&a_line);
    screen_room = 0;
    console_move(&a_screen);
    idle_rounds = 0;
    host_idle = take_some;
    room.waiters.next =
        room.waiters.prev; /* as if somebody waited, whom the host's event knows not */
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    for (size_t at = 0; at < sizeof(text); at += CONSOLE_PIECE_BYTES) {
        console_wait_for_room();
        console_write(text + at, CONSOLE_PIECE_BYTES);
    }
    assert_in_range(idle_rounds, 100, 1000);
    screen_room = SIZE_MAX / 2;
    console_resume(&a_screen);
    assert_int_equal(on_screen.n, sizeof(text));
    assert_memory_equal(on_screen.text, text, sizeof(text));
    assert_string_equal(on_line.text, "");
}

static void a_screen_that_takes_nothing_loses_its_place_until_it_does(void **state)
{
    uint64_t before_ns = host_clock_ns;
    static char piece[CONSOLE_PIECE_BYTES];

    (void)state;
    memset(piece, 'x', sizeof(piece));
    console_register(&a_line);
    screen_room = 0;
    emptied = false;
    console_move(&a_screen);
    for (unsigned i = 0; i < 40; i++) {
        console_wait_for_room();
        console_write(piece, sizeof(piece));
    }
    assert_int_equal(host_clock_ns - before_ns, ROOM_PATIENCE_NS); /* once */
    assert_non_null(strstr(on_line.text, "console: screen takes no output, back to line\n"));
    assert_true(on_line.n > 40 * sizeof(piece));
    screen_room = 1;
    assert_true(console_arm(&a_screen)); /* it is listened to still */
    unseen = 1;
    console_resume(&a_screen);
    assert_ptr_equal(screen, NULL);
    unseen = 0;
    screen_room = SIZE_MAX / 2;
    console_resume(&a_screen);
    assert_ptr_equal(screen, &a_screen);
    say("again\n");
    assert_string_equal(on_screen.text + on_screen.n - 6, "again\n");
}

/* ---- the end */

static void the_last_record_is_on_every_console(void **state)
{
    (void)state;
    console_register(&a_line);
    log_info("boot");
    console_move(&a_screen);
    say("output without an end of line");
    console_flush();
    console_everywhere();
    log_error("aerostat: exit 7");
    console_flush();
    assert_string_equal(on_line.text, "boot\n\naerostat: exit 7\n");
    assert_string_equal(on_screen.text, "boot\noutput without an end of line\naerostat: exit 7\n");
    assert_int_equal(flushes, 2);
}

static void what_a_dead_screen_holds_back_is_on_the_line_at_the_end(void **state)
{
    (void)state;
    console_register(&a_line);
    console_move(&a_screen);
    emptied = false;
    say("never seen\n");
    console_flush();
    console_everywhere();
    log_error("aerostat: exit 0");
    assert_string_equal(on_line.text, "never seen\naerostat: exit 0\n");
}

static void a_panic_is_on_the_line_and_in_the_emergency_output(void **state)
{
    (void)state;
    a_screen.emergency = emergency_on_screen;
    console_register(&a_line);
    console_move(&a_screen);
    say("before\n");
    console_panic();
    log_error("panic: it hurts");
    console_flush();
    assert_string_equal(on_line.text, "panic: it hurts\n");
    assert_string_equal(in_emergency.text, "panic: it hurts\n");
    assert_string_equal(on_screen.text, "before\n");
}

static void without_emergency_output_a_panic_takes_the_queue(void **state)
{
    (void)state;
    console_register(&a_line);
    console_move(&a_screen);
    console_panic();
    log_error("panic: it hurts");
    assert_string_equal(on_line.text, "panic: it hurts\n");
    assert_string_equal(on_screen.text, "panic: it hurts\n");
}

static void a_panic_in_the_screens_own_code_does_not_call_it(void **state)
{
    (void)state;
    console_register(&a_line);
    screen_room = 0;
    console_move(&a_screen);
    say("not taken\n");
    in_screen = true;
    screen_room = SIZE_MAX / 2;
    console_panic();
    log_error("panic: it hurts");
    console_flush();
    assert_string_equal(on_line.text, "not taken\npanic: it hurts\n");
    assert_string_equal(on_screen.text, "");
}

static void a_panic_in_a_panic_is_for_the_line_alone(void **state)
{
    (void)state;
    a_screen.emergency = emergency_on_screen;
    console_register(&a_line);
    console_move(&a_screen);
    console_panic();
    log_error("panic: it hurts");
    console_panic();
    log_error("aerostat: exit 101");
    console_flush();
    assert_string_equal(in_emergency.text, "panic: it hurts\n");
    assert_non_null(strstr(on_line.text, "aerostat: exit 101\n"));
}

/* ---- input */

static void what_is_typed_anywhere_is_read(void **state)
{
    char text[8];

    (void)state;
    assert_int_equal(console_read(text, sizeof(text)), 0); /* there is no console */
    console_register(&a_line);
    assert_int_equal(console_read(text, sizeof(text)), 0); /* none that can be read */
    a_line.read = read_line;
    a_screen.read = read_screen;
    console_move(&a_screen);
    typed_on_line = "serial";
    typed_on_screen = "virtio";
    assert_int_equal(console_read(text, sizeof(text)), 6);
    assert_memory_equal(text, "virtio", 6);
    assert_int_equal(console_read(text, 2), 2);
    assert_memory_equal(text, "se", 2);
    assert_int_equal(console_read(text, sizeof(text)), 4);
    assert_memory_equal(text, "rial", 4);
}

static void type_late(void)
{
    typed_on_screen = "late";
    event_signal(&console_input);
}

static void reading_waits_for_what_is_typed(void **state)
{
    char text[8];

    (void)state;
    a_screen.read = read_screen;
    console_move(&a_screen);
    host_idle = type_late;
    assert_int_equal(console_read(text, sizeof(text)), 4);
    assert_memory_equal(text, "late", 4);
}

static void the_screen_comes(void)
{
    console_move(&a_screen);
}

static void who_ends_before_the_only_console_has_come_waits_for_it(void **state)
{
    (void)state;
    log_info("hello");
    console_expect();
    host_idle = the_screen_comes;
    console_await();
    assert_string_equal(on_screen.text, "hello\n");
}

static void who_ends_waits_for_no_console_that_is_not_needed_or_never_comes(void **state)
{
    uint64_t before_ns = clock_monotonic_ns();

    (void)state;
    console_await(); /* none is expected */
    console_register(&a_line);
    console_expect();
    console_await(); /* there is another */
    assert_true(clock_monotonic_ns() - before_ns < NSEC_PER_SEC);
    line = NULL;
    console_await();
    assert_true(clock_monotonic_ns() - before_ns <= COME_PATIENCE_NS + NSEC_PER_SEC);
}

#define TEST(name) cmocka_unit_test_setup(name, start_from_nothing)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_before_the_first_console_is_shown_when_it_comes),
        TEST(a_record_stands_on_a_line_of_its_own),
        TEST(any_amount_goes_to_the_line),
        TEST(a_screen_is_shown_what_was_before_it_and_the_line_no_more),
        TEST(what_the_history_does_not_hold_any_more_is_counted),
        TEST(a_screen_that_leaves_loses_nothing),
        TEST(a_screen_that_comes_back_is_shown_what_it_has_not_seen),
        TEST(a_slow_screen_catches_up_in_order),
        TEST(a_flood_of_records_passes_a_slow_screen_by),
        TEST(without_a_line_a_screen_does_as_well),
        TEST(an_application_waits_for_a_slow_screen),
        TEST(a_screen_that_takes_nothing_loses_its_place_until_it_does),
        TEST(the_last_record_is_on_every_console),
        TEST(what_a_dead_screen_holds_back_is_on_the_line_at_the_end),
        TEST(a_panic_is_on_the_line_and_in_the_emergency_output),
        TEST(without_emergency_output_a_panic_takes_the_queue),
        TEST(a_panic_in_the_screens_own_code_does_not_call_it),
        TEST(a_panic_in_a_panic_is_for_the_line_alone),
        TEST(who_ends_before_the_only_console_has_come_waits_for_it),
        TEST(who_ends_waits_for_no_console_that_is_not_needed_or_never_comes),
        TEST(what_is_typed_anywhere_is_read),
        TEST(reading_waits_for_what_is_typed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
