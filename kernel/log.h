/* SPDX-License-Identifier: MIT */
/*
 * The log and the console. Usable from any context, from the first function of
 * C on; what is written before a console registered is shown when one does.
 */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

#include "kernel/event.h"
#include "lib/base/types.h"

enum log_level { LOG_ERROR, LOG_INFO, LOG_DEBUG };

/* Lines above this level are dropped before they are formatted. */
extern enum log_level log_level;

/* One line, without its line feed: "virtio0: 8 features accepted". */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) (log_level >= LOG_DEBUG ? log_line(LOG_DEBUG, __VA_ARGS__) : (void)0)

/*
 * Raw bytes to the console, as an application's stdout writes them. Never
 * fails, never waits for a reader. Any context.
 */
void console_write(const char *bytes, size_t n);

/*
 * Before an application's output: waits until the console has taken enough of
 * what was written for one more piece. Bounded: a console that takes nothing for
 * some seconds loses its place to the serial line. Thread context.
 */
#define CONSOLE_PIECE_BYTES 1024
void console_wait_for_room(void);

/* Waits, for a bounded time, until all that was written has left the machine. Any context. */
void console_flush(void);

/*
 * What was typed at the console, at least one byte and at most max: waits for
 * it. 0: no console can be read. Thread context.
 */
size_t console_read(char *to, size_t max);

/*
 * A console. There is a line, which takes every byte at once and in any context
 * (the serial one), and there may be a screen, which is preferred while its reader
 * is there. The log remembers the newest 16 KiB of output, so that a screen shows
 * what was before it, and so that the line can show what a screen in trouble has
 * not. Both are read.
 */
struct console {
    const char *name;

    /* Takes bytes, returns how many; a line takes all. Interrupts are off. */
    size_t (*write)(const char *bytes, size_t n);

    /* A screen: how many of those may not have reached the host yet. Interrupts are off. */
    size_t (*pending)(void);

    /* A screen: asks to be resumed when it has room; true: it has already. Interrupts are off. */
    bool (*arm)(void);

    /* A screen, NULL where it has none: puts bytes out without its queues, for a panic. */
    void (*emergency)(const char *bytes, size_t n);

    /* What has come, at most max bytes; 0: nothing. NULL: output only. Thread context. */
    size_t (*read)(char *to, size_t max);

    /* console_input is to be signalled when there is something to read; NULL: it is anyway. */
    void (*listen)(void);

    /* A line: waits for a bounded time until it is empty; NULL: nothing is held back. */
    void (*flush)(void);

    /* The log's own. */
    uint64_t position; /* so much of all output it has taken or let pass */
    bool mid_line;     /* the last byte it took was no line feed */
};

extern struct event console_input;

/* The line, once. */
void console_register(struct console *line);

/*
 * A screen is on its way. console_await(): where there is no console yet, waits for that
 * one, for a bounded time, so that what a short program says is not lost. Thread context.
 */
void console_expect(void);
void console_await(void);

/* The console moves to this screen, which is shown all that it has not seen. Thread context. */
void console_move(struct console *screen);

/*
 * The screen is no more: the console goes back to the line, which is shown what
 * has not reached the screen's reader. Nothing where it is elsewhere already.
 */
void console_leave(struct console *screen);

/* The screen may have taken something, or can take more. Interrupts on or off. */
void console_resume(struct console *screen);

/* Where output waits for the screen: has it arm(). true: it has room already, or may have. */
bool console_arm(struct console *screen);

/* From here on the line is shown everything too: for the last record. */
void console_everywhere(void);

/*
 * A panic: everything goes to the line, and to the screen in the least risky way:
 * its emergency output, else its queue, unless that is what panicked. Again: to the
 * line alone. Interrupts are off.
 */
void console_panic(void);

#endif
