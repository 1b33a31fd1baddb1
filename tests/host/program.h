/* SPDX-License-Identifier: MIT */
/*
 * Programs that a hosted test runs beside itself: started with a log, talked to
 * by their standard input, gone at the latest when the test is.
 */
#ifndef TESTS_HOST_PROGRAM_H
#define TESTS_HOST_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct program {
    pid_t pid;     /* 0: not running */
    int input;     /* its standard input */
    char log[128]; /* the file its output goes to */
    size_t heard;  /* bytes of the log that program_await() has gone past */
};

/* Where a program of this name lies on the PATH or in /usr/sbin; false: nowhere. */
bool program_exists(const char *name);

/* arguments[0] is its name; NULL ends them. Ends the test program when it cannot be started. */
void program_start(struct program *program, const char *log, const char *const *arguments);

/* Writes a line to its standard input. */
void program_tell(struct program *program, const char *line);

/*
 * Waits until the text stands in what it wrote since the last such call;
 * returns what follows it in the log, to be freed by free(). NULL: it did not come in time, or
 * the program ended; its log is then on standard error.
 */
char *program_await(struct program *program, const char *text, unsigned timeout_ms);

/* Ends it at once, as if it had crashed. */
void program_kill(struct program *program);

/* Its whole log to standard error. */
void program_show_log(const struct program *program);

#endif
