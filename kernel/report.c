/* SPDX-License-Identifier: MIT */
#include "kernel/report.h"

#include <stdarg.h>

#include "kernel/panic.h"
#include "lib/base/string.h"

#define VALUE_BYTES   256
#define METRIC_PREFIX "aerostat"

extern const struct reporter __start_reporters[], __stop_reporters[];

/* A device could forge lines, or steer a terminal; what is not ASCII may be no UTF-8 either. */
static void add_printable(struct text *to, char character)
{
    text_add(to, "%c", character < ' ' || character > '~' ? '?' : character);
}

static void add_plain(struct text *to, const char *value)
{
    while (*value)
        add_printable(to, *value++);
}

/* JSON strings and metric labels are escaped alike. */
static void add_quoted(struct text *to, const char *value)
{
    text_add(to, "\"");
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            text_add(to, "\\");
        add_printable(to, *value);
    }
    text_add(to, "\"");
}

static void indent(struct report *report)
{
    text_add(report->to, "%*s", (int)(2 * report->depth), "");
}

/* The comma before all but the first member, and the key where the group has keys. */
static void begin_json_member(struct report *report, const char *key)
{
    if (report->has_member[report->depth])
        text_add(report->to, ",");
    report->has_member[report->depth] = true;
    if (!report->is_list[report->depth]) {
        add_quoted(report->to, key);
        text_add(report->to, ":");
    }
}

static void push(struct report *report, const char *key, bool is_list)
{
    assert(report->depth + 1 < REPORT_MAX_DEPTH);
    report->depth++;
    report->is_list[report->depth] = is_list;
    report->has_member[report->depth] = false;
    report->name[report->depth] = key;
    report->label[report->depth][0] = 0;
}

static void open_group(struct report *report, const char *key, bool is_list)
{
    if (report->form == REPORT_JSON) {
        begin_json_member(report, key);
        text_add(report->to, is_list ? "[" : "{");
    } else if (report->form == REPORT_TEXT) {
        indent(report);
        add_plain(report->to, key);
        text_add(report->to, "\n");
    }
    push(report, key, is_list);
}

void report_open(struct report *report, const char *key)
{
    open_group(report, key, false);
}

void report_open_list(struct report *report, const char *key)
{
    open_group(report, key, true);
}

void report_open_item(struct report *report, const char *format, ...)
{
    char name[sizeof(report->label[0])];
    va_list arguments;

    va_start(arguments, format);
    format_va(name, sizeof(name), format, arguments);
    va_end(arguments);
    open_group(report, name, false);
    report->name[report->depth] = NULL;
    memcpy(report->label[report->depth], name, sizeof(name));
    if (report->form == REPORT_JSON)
        report_text(report, "name", "%s", name);
}

void report_close(struct report *report)
{
    if (report->form == REPORT_JSON)
        text_add(report->to, report->is_list[report->depth] ? "]" : "}");
    report->depth--;
}

void report_text(struct report *report, const char *key, const char *format, ...)
{
    char value[VALUE_BYTES];
    va_list arguments;

    if (report->form == REPORT_METRICS)
        return;
    va_start(arguments, format);
    format_va(value, sizeof(value), format, arguments);
    va_end(arguments);
    if (report->form == REPORT_JSON) {
        begin_json_member(report, key);
        add_quoted(report->to, value);
    } else {
        indent(report);
        text_add(report->to, "%-20s ", key);
        add_plain(report->to, value);
        text_add(report->to, "\n");
    }
}

/* aerostat_GROUP_KEY{LIST="ITEM"} value: groups become parts of the name, items of lists labels. */
static void add_metric(struct report *report, const char *key, uint64_t value)
{
    bool labelled = false;

    text_add(report->to, METRIC_PREFIX);
    for (unsigned i = 1; i <= report->depth; i++)
        if (report->name[i])
            text_add(report->to, "_%s", report->name[i]);
    text_add(report->to, "_%s", key);
    for (unsigned i = 2; i <= report->depth; i++) {
        if (report->name[i])
            continue;
        text_add(report->to, "%s%s=", labelled ? "," : "{", report->name[i - 1]);
        add_quoted(report->to, report->label[i]);
        labelled = true;
    }
    text_add(report->to, "%s %lu\n", labelled ? "}" : "", value);
}

void report_number(struct report *report, const char *key, uint64_t value)
{
    switch (report->form) {
    case REPORT_TEXT:
        indent(report);
        text_add(report->to, "%-20s %lu\n", key, value);
        break;
    case REPORT_JSON:
        begin_json_member(report, key);
        text_add(report->to, "%lu", value);
        break;
    case REPORT_METRICS:
        add_metric(report, key, value);
        break;
    }
}

void report_open_words(struct report *report, const char *key)
{
    if (report->form == REPORT_JSON) {
        begin_json_member(report, key);
        text_add(report->to, "[");
    } else if (report->form == REPORT_TEXT) {
        indent(report);
        text_add(report->to, "%-20s", key);
    }
    push(report, key, true);
}

void report_word(struct report *report, const char *word)
{
    if (report->form == REPORT_JSON) {
        begin_json_member(report, NULL);
        add_quoted(report->to, word);
    } else if (report->form == REPORT_TEXT) {
        text_add(report->to, " ");
        add_plain(report->to, word);
    }
}

void report_close_words(struct report *report)
{
    if (report->form == REPORT_JSON)
        text_add(report->to, "]");
    else if (report->form == REPORT_TEXT)
        text_add(report->to, "\n");
    report->depth--;
}

/* Equal orders are told as they were linked. */
static bool comes_before(const struct reporter *a, const struct reporter *b)
{
    return a->order != b->order ? a->order < b->order : a < b;
}

/* The first reporter that comes behind `after`; there are about ten. */
static const struct reporter *next_reporter(const struct reporter *after)
{
    const struct reporter *next = NULL;

    for (const struct reporter *r = __start_reporters; r < __stop_reporters; r++)
        if ((!after || comes_before(after, r)) && (!next || comes_before(r, next)))
            next = r;
    return next;
}

void report_render(enum report_form form, struct text *to)
{
    struct report report = { .form = form, .to = to };

    if (form == REPORT_JSON)
        text_add(to, "{");
    for (const struct reporter *r = next_reporter(NULL); r; r = next_reporter(r)) {
        report_open(&report, r->name);
        r->tell(&report);
        report_close(&report);
    }
    if (form == REPORT_JSON)
        text_add(to, "}\n");
}
