/* SPDX-License-Identifier: MIT */
/*
 * The HPET's main counter (IA-PC HPET specification 1.0a). Only its lower half
 * is read: two halves would have to be read twice to fit, and half of it takes
 * 40 s to wrap.
 */
#include "drivers/acpi/acpi.h"
#include "kernel/clock.h"
#include "kernel/driver.h"
#include "kernel/log.h"
#include "kernel/mmio.h"
#include "lib/base/errno.h"
#include "lib/base/io.h"

#define HPET_PERIOD  0x004 /* of a tick, in femtoseconds */
#define HPET_CONFIG  0x010
#define HPET_COUNTER 0x0f0
#define HPET_BYTES   0x400

#define HPET_CONFIG_ENABLE (1u << 0)
#define HPET_CONFIG_LEGACY (1u << 1) /* takes the interrupts of PIT and RTC */

#define FS_PER_SEC    UINT64_C(1000000000000000)
#define MAX_PERIOD_FS 100000000 /* §2.3.4: 10 MHz at least */
#define MIN_PERIOD_FS 100000    /* 10 GHz, faster than any */

static volatile uint8_t *registers;
static struct clock_source hpet;

static uint64_t read_counter(void)
{
    return mmio_read32(registers + HPET_COUNTER);
}

static int start(void)
{
    phys_addr_t address = acpi_hpet();
    uint32_t period_fs, config;

    if (!address)
        return -ENODEV;
    registers = mmio_map(address, HPET_BYTES);
    if (!registers)
        return -ENODEV;
    period_fs = mmio_read32(registers + HPET_PERIOD);
    if (period_fs < MIN_PERIOD_FS || period_fs > MAX_PERIOD_FS) {
        log_error("hpet: a tick of %u femtoseconds can not be", period_fs);
        return -ENODEV;
    }
    hpet.hz = FS_PER_SEC / period_fs;
    config = mmio_read32(registers + HPET_CONFIG);
    mmio_write32(registers + HPET_CONFIG, (config | HPET_CONFIG_ENABLE) & ~HPET_CONFIG_LEGACY);
    return 0;
}

static struct clock_source hpet = {
    .name = "hpet",
    .rating = CLOCK_RATING_HPET,
    .start = start,
    .read = read_counter,
    .mask = UINT32_MAX,
};

static int register_hpet(void)
{
    clock_register(&hpet);
    return 0;
}

DRIVER(hpet_clock) = { "hpet", DRIVER_PLATFORM, register_hpet };
