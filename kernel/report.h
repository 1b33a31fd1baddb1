/* SPDX-License-Identifier: MIT */
/*
 * Facts about the running system, told once by who knows them and rendered as
 * the boot report, as JSON or as metrics. A reporter is collected by the linker
 * and linked only into images that render reports.
 *
 *     static void tell(struct report *report)
 *     {
 *         report_text(report, "source", "%s", clock_source_name());
 *         report_number(report, "monotonic_ns", clock_monotonic_ns());
 *     }
 *     REPORTER(clock_reporter) = { "clock", 30, tell };
 *
 * Keys are lower case with underscores and end in their unit: "total_bytes".
 * Values may come from devices: they are escaped.
 *
 * Concurrency: kernel context.
 */
#ifndef KERNEL_REPORT_H
#define KERNEL_REPORT_H

#include "kernel/driver.h"
#include "lib/base/format.h"
#include "lib/base/types.h"

enum report_form {
    REPORT_TEXT,    /* for people: one fact a line, indented */
    REPORT_JSON,    /* one object */
    REPORT_METRICS, /* the Prometheus text format: numbers, and names as labels */
};

#define REPORT_MAX_DEPTH 6

struct report {
    enum report_form form;
    struct text *to;
    unsigned depth;
    bool is_list[REPORT_MAX_DEPTH];     /* of the open group at that depth */
    bool has_member[REPORT_MAX_DEPTH];  /* something was told in it */
    const char *name[REPORT_MAX_DEPTH]; /* its key */
    char label[REPORT_MAX_DEPTH][48];   /* of a list's item */
};

/* A group of facts; a list, whose items are groups with a name of their own. They nest. */
void report_open(struct report *report, const char *key);
void report_open_list(struct report *report, const char *key);
void report_open_item(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void report_close(struct report *report);

void report_text(struct report *report, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void report_number(struct report *report, const char *key, uint64_t value);

/* A list of short words under one key, such as feature names: open, word by word, close. */
void report_open_words(struct report *report, const char *key);
void report_word(struct report *report, const char *word);
void report_close_words(struct report *report);

struct reporter {
    const char *name;
    unsigned order; /* in which they are told */
    void (*tell)(struct report *report);
};

#define REPORTER(entry) static const struct reporter entry LINKER_SET(reporters)

/* Everything that reporters know, in one form. What does not fit is cut: see struct text. */
void report_render(enum report_form form, struct text *to);

#endif
