/* SPDX-License-Identifier: MIT */
/* kernel/log.h for hosted tests: lines are kept, for tests to look at. */
#include "tests/host/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kernel/log.h"

static char lines[65536];
static size_t length;

enum log_level log_level = LOG_DEBUG;

void log_line(enum log_level level, const char *format, ...)
{
    size_t room = sizeof(lines) - length;
    va_list arguments;
    int n;

    (void)level;
    va_start(arguments, format);
    n = vsnprintf(lines + length, room, format, arguments);
    va_end(arguments);
    if ((size_t)n + 1 >= room) {
        lines[length] = '\0';
        return;
    }
    length += (size_t)n;
    lines[length++] = '\n';
    lines[length] = '\0';
}

const char *host_log_text(void)
{
    return lines;
}

void host_log_clear(void)
{
    length = 0;
    lines[0] = '\0';
}
