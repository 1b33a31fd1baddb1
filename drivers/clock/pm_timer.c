/* SPDX-License-Identifier: MIT */
/* The ACPI power management timer, ACPI 6.5 §4.8.3.3: 3.579545 MHz, in 24 or 32 bits. */
#include "drivers/acpi/acpi.h"
#include "kernel/clock.h"
#include "kernel/driver.h"
#include "kernel/mmio.h"
#include "lib/base/errno.h"
#include "lib/base/io.h"

#define PM_TIMER_HZ 3579545
#define MASK_24_BIT 0xffffffu
#define TIMER_BYTES 4

static struct acpi_register timer;
static struct clock_source pm_timer;

static uint64_t read_port(void)
{
    return port_read32((uint16_t)timer.address);
}

static uint64_t read_memory(void)
{
    return mmio_read32((const volatile void *)(uintptr_t)timer.address);
}

static int start(void)
{
    const struct acpi_fadt *fadt = acpi_fadt();

    if (!fadt || fadt->pm_timer.space == ACPI_SPACE_NONE)
        return -ENODEV;
    timer = fadt->pm_timer;
    if (timer.space == ACPI_SPACE_MEMORY) {
        if (!mmio_map(timer.address, TIMER_BYTES))
            return -ENODEV;
        pm_timer.read = read_memory;
    }
    pm_timer.mask = fadt->pm_timer_32bit ? UINT32_MAX : MASK_24_BIT;
    return 0;
}

static struct clock_source pm_timer = {
    .name = "acpi_pm",
    .rating = CLOCK_RATING_PM,
    .start = start,
    .read = read_port,
    .hz = PM_TIMER_HZ,
};

static int register_pm_timer(void)
{
    clock_register(&pm_timer);
    return 0;
}

DRIVER(pm_timer_clock) = { "pm-timer", DRIVER_PLATFORM, register_pm_timer };
