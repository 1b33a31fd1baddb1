/* SPDX-License-Identifier: MIT */
/*
 * The end of the machine: off, reset, and the wish of the one outside to have it
 * off. How it is done is known to whoever found the hardware and registered it.
 */
#ifndef KERNEL_POWER_H
#define KERNEL_POWER_H

#include "kernel/event.h"
#include "lib/base/types.h"

/* One way; NULL: it can not do that. Both return only if nothing happened. Any context. */
struct power_control {
    const char *name;
    void (*off)(void);
    void (*reset)(void);
};

/* The last registered is tried first. At most POWER_MAX_CONTROLS; more are refused: -ENOSPC. */
#define POWER_MAX_CONTROLS 4
int power_register(const struct power_control *control);

/* Each tries every way there is and returns if none worked; the caller has the last resort. */
void power_off(void);
void power_reset(void);

/*
 * Marked when the power button was pressed ("system_powerdown" of a VMM): a
 * request to shut down in order. Marked once however often it is pressed.
 */
extern struct event power_button;

/* Called by whoever sees the button. Any context. */
void power_button_pressed(void);

/* How often it was pressed: an application without a waiting thread may look. */
unsigned power_button_count(void);

#endif
