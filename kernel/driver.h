/* SPDX-License-Identifier: MIT */
/*
 * Driver entries, collected by the linker: what is not linked is not there and
 * costs nothing. kernel/init.c starts them stage by stage.
 */
#ifndef KERNEL_DRIVER_H
#define KERNEL_DRIVER_H

#include "lib/base/types.h"

enum driver_stage {
    DRIVER_PLATFORM, /* tables and clocks: before interrupts and threads work */
    DRIVER_BUS,      /* finds devices and starts their drivers */
    DRIVER_CLASS,    /* stands on device classes: partitions, network stacks */
};

struct driver {
    const char *name;
    enum driver_stage stage;
    int (*start)(void); /* 0 or a negative errno, which is reported; the boot goes on */
};

/* Puts a constant object into a section of its kind, between __start_KIND and __stop_KIND. */
#define LINKER_SET(kind) __attribute__((used, section(#kind), aligned(8)))

#define DRIVER(entry) static const struct driver entry LINKER_SET(drivers)

#endif
