/* SPDX-License-Identifier: MIT */
#include "kernel/power.h"

#include "lib/base/errno.h"

static const struct power_control *controls[POWER_MAX_CONTROLS];
static unsigned n_controls;

static unsigned presses; /* written in interrupt context */

struct event power_button = EVENT_INIT(power_button);

int power_register(const struct power_control *control)
{
    if (n_controls == POWER_MAX_CONTROLS)
        return -ENOSPC;
    controls[n_controls++] = control;
    return 0;
}

void power_off(void)
{
    for (unsigned i = n_controls; i-- > 0;)
        if (controls[i]->off)
            controls[i]->off();
}

void power_reset(void)
{
    for (unsigned i = n_controls; i-- > 0;)
        if (controls[i]->reset)
            controls[i]->reset();
}

void power_button_pressed(void)
{
    presses++;
    event_signal(&power_button);
}

unsigned power_button_count(void)
{
    return __atomic_load_n(&presses, __ATOMIC_RELAXED);
}
