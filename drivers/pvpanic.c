/* SPDX-License-Identifier: MIT */
/*
 * pvpanic as an ISA port. Reading it tells which events the VMM knows; where
 * there is no device a VMM's empty port reads as all ones.
 */
#include "drivers/pvpanic.h"

#include "kernel/driver.h"
#include "kernel/hypervisor.h"
#include "kernel/log.h"
#include "kernel/panic.h"
#include "lib/base/io.h"
#include "lib/base/string.h"

#define PVPANIC_PORT     0x505
#define PVPANIC_PANICKED (1u << 0)

/* Events that are defined today, and room for some more; an empty port has all. */
#define PVPANIC_NO_DEVICE 0xff

static bool present;

void pvpanic_signal(void)
{
    if (present)
        port_write8(PVPANIC_PORT, PVPANIC_PANICKED);
}

static int start(void)
{
    uint8_t events;

    if (strcmp(hypervisor_name(), "none") == 0)
        return 0; /* on real hardware that port may be anything */
    events = port_read8(PVPANIC_PORT);
    if (events == PVPANIC_NO_DEVICE || !(events & PVPANIC_PANICKED))
        return 0;
    present = true;
    panic_register_notifier(pvpanic_signal);
    log_debug("pvpanic: knows events 0x%x", events);
    return 0;
}

DRIVER(pvpanic) = { "pvpanic", DRIVER_PLATFORM, start };
