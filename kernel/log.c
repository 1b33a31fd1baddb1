/* SPDX-License-Identifier: MIT */
/*
 * All output goes through one memory, the history, and each console has its
 * position in it. So a console that comes late, takes output by and by, or goes,
 * is a matter of positions. What a slow screen has not taken when its place is
 * needed goes to the line. Nothing waits but console_flush() and
 * console_wait_for_room(), both for a bounded time.
 *
 * Concurrency: any context of any CPU; under one lock, with interrupts off, while
 * positions move and while a console's write(), pending() and arm() run. Who waits or
 * reads holds the kernel lock.
 */
#include "kernel/log.h"

#include <stdarg.h>

#include "arch/x86_64/cpu.h"
#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/irq.h"
#include "kernel/spinlock.h"
#include "lib/base/errno.h"
#include "lib/base/format.h"
#include "lib/base/string.h"

#define LINE_BYTES 256

#define HISTORY_BYTES 16384
#define RESERVE_BYTES 4096 /* of it, which an application's output leaves to the log */

#define FLUSH_TICKS      (4ull << 30) /* of the TSC, whose rate may not be known: seconds */
#define ROOM_PATIENCE_NS (8 * NSEC_PER_SEC)
#define COME_PATIENCE_NS (2 * NSEC_PER_SEC)

enum log_level log_level = LOG_INFO;

struct event console_input = EVENT_INIT(console_input);

static char history[HISTORY_BYTES]; /* the byte at position p lies at p % HISTORY_BYTES */
static uint64_t written;            /* bytes in sum: the next one's position */
static bool mid_line;               /* the last byte written was no line feed */

static struct console *line;    /* NULL: there is none (yet) */
static struct console *screen;  /* NULL: the console is the line */
static struct console *stalled; /* lost its place by taking nothing, until it does */
static uint64_t missed;         /* bytes that the screen was not shown, and is to be told of */
static bool expected;           /* a screen, the first one */
static bool everywhere;         /* the line is shown everything */
static bool panicking;
static bool in_screen; /* its code is running: not to be trusted if that panics */
static struct event room = EVENT_INIT(room); /* or the expected screen has come */

/*
 * Of everything above, and of what consoles do. Lines stay whole: an interrupt's, or another
 * CPU's, comes after the one that is being written.
 */
static struct spinlock console_lock;

/* ---- from the history to a console */

static uint64_t oldest(void)
{
    return written > HISTORY_BYTES ? written - HISTORY_BYTES : 0;
}

/* What lies at a position in one piece, up to an end. */
static size_t piece_at(uint64_t position, uint64_t end)
{
    return (size_t)MIN(end - position, HISTORY_BYTES - position % HISTORY_BYTES);
}

/* One piece to a console; false: it takes no more. */
static bool show_piece(struct console *console, uint64_t end)
{
    const char *bytes = history + console->position % HISTORY_BYTES;
    size_t n = console->write(bytes, piece_at(console->position, end));

    if (!n)
        return false;
    console->mid_line = bytes[n - 1] != '\n';
    console->position += n;
    return true;
}

static void show_line(void)
{
    if (!line || (screen && !everywhere))
        return;
    line->position = MAX(line->position, oldest());
    while (line->position < written)
        show_piece(line, written);
}

/* What comes next on the line does not go on where its last output ended. */
static void end_line(void)
{
    if (line->mid_line)
        line->write("\n", 1);
    line->mid_line = false;
}

/* false: the screen has no room to be told now. */
static bool tell_what_is_missed(void)
{
    char note[64];
    size_t n;

    if (!missed)
        return true;
    n = (size_t)format(note, sizeof(note), "\n[%lu bytes are missing here]\n", missed);
    if (screen->write(note, n) != n)
        return false;
    missed = 0;
    return true;
}

static void show_screen(void)
{
    if (!screen || in_screen)
        return;
    in_screen = true;
    if (panicking && screen->emergency) {
        for (; screen->position < written; screen->position += piece_at(screen->position, written))
            screen->emergency(history + screen->position % HISTORY_BYTES,
                              piece_at(screen->position, written));
    } else if (tell_what_is_missed()) {
        while (screen->position < written && show_piece(screen, written))
            ;
    }
    in_screen = false;
}

/* What the screen has not taken, and whose place in the history is needed, goes to the line. */
static void pass_by(size_t bytes_needed)
{
    uint64_t end = written + bytes_needed;

    if (!screen || end - screen->position <= HISTORY_BYTES)
        return;
    end -= HISTORY_BYTES;
    missed += end - screen->position;
    if (line && !everywhere) {
        line->position = screen->position;
        while (line->position < end)
            show_piece(line, end);
    }
    screen->position = end;
}

static void remember(const char *bytes, size_t n)
{
    while (n) {
        size_t piece = MIN(n, piece_at(written, written + HISTORY_BYTES));

        memcpy(history + written % HISTORY_BYTES, bytes, piece);
        written += piece;
        bytes += piece;
        n -= piece;
    }
}

void console_write(const char *bytes, size_t n)
{
    bool were_on = irq_lock(&console_lock);

    if (n)
        mid_line = bytes[n - 1] != '\n';
    while (n) {
        size_t piece = MIN(n, CONSOLE_PIECE_BYTES);

        pass_by(piece);
        remember(bytes, piece);
        show_line();
        show_screen();
        bytes += piece;
        n -= piece;
    }
    irq_unlock(&console_lock, were_on);
}

/* ---- which console it is */

void console_register(struct console *new_line)
{
    line = new_line;
    show_line();
}

void console_expect(void)
{
    expected = true;
}

void console_await(void)
{
    uint64_t deadline_ns = clock_monotonic_ns() + COME_PATIENCE_NS;

    while (expected && !line && !screen)
        if (event_wait(&room, deadline_ns))
            break;
}

void console_move(struct console *new_screen)
{
    bool were_on = irq_lock(&console_lock);

    screen = new_screen;
    expected = false;
    event_signal(&room);
    stalled = NULL;
    missed = 0;
    if (screen->position < oldest()) {
        missed = oldest() - screen->position;
        screen->position = oldest();
    }
    show_screen();
    irq_unlock(&console_lock, were_on);
}

/* The line goes on where the screen's reader has seen the last of it. */
static void leave_screen(void)
{
    uint64_t unseen = screen->pending();

    screen->position -= MIN(unseen, screen->position);
    if (line && !everywhere) {
        line->position = screen->position;
        end_line();
    }
    screen = NULL;
    show_line();
}

void console_leave(struct console *old_screen)
{
    bool were_on = irq_lock(&console_lock);

    if (stalled == old_screen)
        stalled = NULL;
    if (screen == old_screen)
        leave_screen();
    event_signal(&room);
    irq_unlock(&console_lock, were_on);
}

void console_resume(struct console *console)
{
    bool were_on = irq_lock(&console_lock);
    bool moves = stalled == console && !console->pending();

    if (screen == console && !in_screen) {
        in_screen = true;
        console->pending();
        in_screen = false;
        show_screen();
        if (!list_empty(&room.waiters))
            event_signal(&room);
    }
    irq_unlock(&console_lock, were_on);
    if (moves) {
        log_info("console: %s takes output again", console->name);
        console_move(console);
    }
}

bool console_arm(struct console *console)
{
    bool were_on = irq_lock(&console_lock), has_room = false;

    if (stalled == console || (screen == console && console->position < written))
        has_room = console->arm();
    irq_unlock(&console_lock, were_on);
    return has_room;
}

void console_wait_for_room(void)
{
    while (screen && written - screen->position > HISTORY_BYTES - RESERVE_BYTES) {
        struct console *waited_for = screen;
        uint64_t position = screen->position;
        int error = event_wait(&room, clock_monotonic_ns() + ROOM_PATIENCE_NS);

        if (error != -ETIMEDOUT || screen != waited_for || screen->position != position)
            continue;
        console_leave(waited_for);
        stalled = waited_for;
        log_error("console: %s takes no output, back to %s", waited_for->name,
                  line ? line->name : "nowhere");
    }
}

/* ---- the end */

void console_everywhere(void)
{
    bool were_on = irq_lock(&console_lock);

    if (line && screen && !everywhere) {
        line->position = written;
        end_line();
    }
    everywhere = true;
    irq_unlock(&console_lock, were_on);
}

/* Looks at the screen until it has let everything out. Not by the clock: a panic may have come amid
 * its change. */
static bool drain_screen(void)
{
    uint64_t start = tsc_read();

    while (tsc_read() - start < FLUSH_TICKS) {
        bool behind;

        show_screen();
        in_screen = true;
        behind = screen->pending() || screen->position < written;
        in_screen = false;
        if (!behind)
            return true;
        cpu_pause();
    }
    return false;
}

void console_flush(void)
{
    bool were_on = irq_lock(&console_lock);

    if (screen && !in_screen && !(panicking && screen->emergency) && !drain_screen()) {
        everywhere = false; /* the line has to have all that did not get out */
        leave_screen();
    }
    if (line && line->flush)
        line->flush();
    irq_unlock(&console_lock, were_on);
}

/* What panicked in the screen's own code, or panics again, does not call that code any more. */
void console_panic(void)
{
    bool again = panicking, untrusted = in_screen;

    console_lock = (struct spinlock){ 0 }; /* whoever held it was stopped, or is us */
    if (screen && !untrusted && !again)
        console_flush();
    console_everywhere();
    panicking = true;
    in_screen = false;
    if (!screen || (!again && !untrusted))
        return;
    if (line)
        line->position = screen->position;
    if (again || !screen->emergency)
        screen = NULL;
}

/* ---- input */

static size_t read_from(const struct console *console, char *to, size_t max)
{
    return console && console->read ? console->read(to, max) : 0;
}

static bool listen_to(const struct console *console)
{
    if (!console || !console->read)
        return false;
    if (console->listen)
        console->listen();
    return true;
}

size_t console_read(char *to, size_t max)
{
    for (;;) {
        size_t n = read_from(screen, to, max);
        bool heard;

        if (!n)
            n = read_from(line, to, max);
        if (n)
            return n;
        heard = listen_to(screen);
        heard |= listen_to(line);
        if (!heard)
            return 0;
        event_wait(&console_input, CLOCK_NEVER);
    }
}

/* ---- the log */

/* What devices name themselves must not forge lines, nor steer a terminal. */
static void make_printable(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
}

void log_line(enum log_level level, const char *format, ...)
{
    char text[LINE_BYTES];
    va_list arguments;
    bool were_on;
    int length;

    if (level > log_level)
        return;
    va_start(arguments, format);
    length = format_va(text, sizeof(text) - 1, format, arguments);
    va_end(arguments);
    length = MIN(length, (int)sizeof(text) - 2);
    make_printable(text, (size_t)length);
    text[length] = '\n';
    were_on = irq_lock(&console_lock);
    if (mid_line) /* of the application's: a record stands on a line of its own */
        console_write("\n", 1);
    console_write(text, (size_t)length + 1);
    irq_unlock(&console_lock, were_on);
}
