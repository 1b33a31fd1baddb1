/* SPDX-License-Identifier: MIT */
/* kernel/report.h for hosted tests of something else: nobody reads the reports. */
#include "kernel/report.h"

void report_open_list(struct report *report, const char *key)
{
    (void)report;
    (void)key;
}

void report_open_item(struct report *report, const char *text, ...)
{
    (void)report;
    (void)text;
}

void report_close(struct report *report)
{
    (void)report;
}

void report_number(struct report *report, const char *key, uint64_t value)
{
    (void)report;
    (void)key;
    (void)value;
}

void report_text(struct report *report, const char *key, const char *text, ...)
{
    (void)report;
    (void)key;
    (void)text;
}
