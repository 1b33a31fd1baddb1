/* SPDX-License-Identifier: MIT */
/*
 * What the system knows about itself: version, memory, clock, PCI and virtio
 * devices, partitions, network. The same facts in three forms. In every image.
 *
 * Threads: for any thread of the application, not for signal handlers.
 */
#ifndef AEROSTAT_REPORT_H
#define AEROSTAT_REPORT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum aerostat_report_form {
    AEROSTAT_REPORT_TEXT,    /* for people: one fact a line */
    AEROSTAT_REPORT_JSON,    /* one object */
    AEROSTAT_REPORT_METRICS, /* the Prometheus text format */
};

/*
 * Writes the report as it is now into the caller's buffer, terminated; 64 KiB hold that of some
 * thirty devices. May wait for disks. Returns the bytes written without the terminating zero; -1
 * with errno ENOSPC: it did not fit and the buffer holds its start, or EINVAL: an unknown form,
 * or size is 0.
 */
int aerostat_report(enum aerostat_report_form form, char *buffer, size_t size);

#ifdef __cplusplus
}
#endif

#endif
