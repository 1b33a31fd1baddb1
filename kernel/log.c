/* SPDX-License-Identifier: MIT */
#include "kernel/log.h"

#include <stdarg.h>

#include "kernel/irq.h"
#include "lib/base/format.h"
#include "lib/base/string.h"

#define LINE_BYTES 256

/* What was written before a console was there. Boot messages of half a screen. */
#define EARLY_BYTES 1024

enum log_level log_level = LOG_INFO;

static const struct console *console;
static char early[EARLY_BYTES];
static size_t n_early;
static bool mid_line; /* the last byte written was no line feed */

void console_write(const char *bytes, size_t n)
{
    bool were_on = irq_save(); /* lines stay whole: an interrupt's line comes after this one */

    if (console) {
        console->write(bytes, n);
    } else {
        n = MIN(n, EARLY_BYTES - n_early);
        memcpy(early + n_early, bytes, n);
        n_early += n;
    }
    if (n)
        mid_line = bytes[n - 1] != '\n';
    irq_restore(were_on);
}

void console_flush(void)
{
    if (console && console->flush)
        console->flush();
}

size_t console_read(char *to, size_t max)
{
    return console && console->read ? console->read(to, max) : 0;
}

void console_register(const struct console *new_console)
{
    console = new_console;
    console->write(early, n_early);
    n_early = 0;
}

/* What devices name themselves must not forge lines, nor steer a terminal. */
static void make_printable(char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
}

void log_line(enum log_level level, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    int length;

    if (level > log_level)
        return;
    va_start(arguments, format);
    length = format_va(line, sizeof(line) - 1, format, arguments);
    va_end(arguments);
    length = MIN(length, (int)sizeof(line) - 2);
    make_printable(line, (size_t)length);
    line[length] = '\n';
    if (mid_line) /* of the application's: a record stands on a line of its own */
        console_write("\n", 1);
    console_write(line, (size_t)length + 1);
}
