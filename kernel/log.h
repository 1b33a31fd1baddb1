/* SPDX-License-Identifier: MIT */
/*
 * The log and the console. Usable from any context, from the first function of
 * C on; what is written before a console registered is shown when one does.
 */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

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
 * fails, never waits for a reader.
 */
void console_write(const char *bytes, size_t n);

/* Waits, for a bounded time, until all that was written has left the machine. Any context. */
void console_flush(void);

/*
 * What was typed at the console, at least one byte and at most max: waits for
 * it. 0: no console can be read. Thread context.
 */
size_t console_read(char *to, size_t max);

/* A console takes bytes; the newest registered one is used. */
struct console {
    const char *name;
    void (*write)(const char *bytes, size_t n); /* any context */
    size_t (*read)(char *to, size_t max);       /* as console_read(); NULL: output only */
    void (*flush)(void);                        /* as console_flush(); NULL: nothing is held back */
};

void console_register(const struct console *console);

#endif
