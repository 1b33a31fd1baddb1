/* SPDX-License-Identifier: MIT */
/* Reports for applications. */
#include "aerostat/report.h"

#include <errno.h>

#include "kernel/report.h"
#include "kernel/thread.h"

int aerostat_report(enum aerostat_report_form form, char *buffer, size_t size)
{
    struct text text;

    if ((unsigned)form > AEROSTAT_REPORT_METRICS || !size) {
        errno = EINVAL;
        return -1;
    }
    kernel_enter();
    text_init(&text, buffer, size);
    report_render((enum report_form)form, &text);
    kernel_leave();
    if (text.truncated) {
        errno = ENOSPC;
        return -1;
    }
    return (int)text.length;
}
