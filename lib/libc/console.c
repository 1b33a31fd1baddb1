/* SPDX-License-Identifier: MIT */
/*
 * The console as a file. Output goes out as it is; input is what a person
 * types at a serial line: shown as it is typed, and the Return key ends a line.
 */
#include "lib/libc/console.h"

#include "kernel/log.h"

/* Who writes faster than the console is read waits, between two pieces. */
static void write_all(const char *bytes, size_t n)
{
    while (n) {
        size_t piece = MIN(n, CONSOLE_PIECE_BYTES);

        console_wait_for_room();
        console_write(bytes, piece);
        bytes += piece;
        n -= piece;
    }
}

static long read_console(uintptr_t object, void *to, size_t bytes)
{
    char *text = to;
    size_t n = console_read(text, bytes);

    (void)object;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\r')
            text[i] = '\n';
    }
    write_all(text, n);
    return (long)n;
}

static long write_console(uintptr_t object, const void *from, size_t bytes)
{
    (void)object;
    write_all(from, bytes);
    return (long)bytes;
}

const struct fd_ops console_fd_ops = {
    .kind = FD_CHARACTER,
    .terminal = true,
    .read = read_console,
    .write = write_console,
};
