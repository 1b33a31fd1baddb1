/* SPDX-License-Identifier: MIT */
/*
 * The interval timer as a clock (Intel 8254 data sheet): the last resort, on a
 * machine without HPET and PM timer. It wraps every 55 ms; kernel/clock.c looks
 * at it often enough.
 *
 * Channel 1 is used, which refreshed memory once and now does nothing: unlike
 * channel 0 it raises no interrupt (which would also wake the VMM for ever), and
 * unlike channel 2 it runs without a gate.
 */
#include "kernel/clock.h"
#include "kernel/driver.h"
#include "kernel/irq.h"
#include "kernel/spinlock.h"
#include "lib/base/errno.h"
#include "lib/base/io.h"

#define PIT_HZ       1193182
#define PIT_CHANNEL1 0x41
#define PIT_COMMAND  0x43

#define SELECT_CHANNEL1  0x40
#define LATCH_COUNT      0x00
#define LOW_THEN_HIGH    0x30
#define RATE_GENERATOR   0x04
#define STATUS_CHANNEL1  0xe4 /* read back: the status only, of channel 1 */
#define STATUS_MODE_MASK 0x3f

static struct spinlock lock;

/* The latch and its two reads belong together: neither a handler nor another CPU may come between.
 */
static uint64_t read_counter(void)
{
    bool were_on = irq_lock(&lock);
    uint16_t left;

    port_write8(PIT_COMMAND, SELECT_CHANNEL1 | LATCH_COUNT);
    left = port_read8(PIT_CHANNEL1);
    left |= (uint16_t)(port_read8(PIT_CHANNEL1) << 8);
    irq_unlock(&lock, were_on);
    return (uint16_t)-left; /* it counts down, from 65536, which reads as 0 */
}

static int start(void)
{
    port_write8(PIT_COMMAND, SELECT_CHANNEL1 | LOW_THEN_HIGH | RATE_GENERATOR);
    port_write8(PIT_CHANNEL1, 0);
    port_write8(PIT_CHANNEL1, 0);
    port_write8(PIT_COMMAND, STATUS_CHANNEL1);
    if ((port_read8(PIT_CHANNEL1) & STATUS_MODE_MASK) != (LOW_THEN_HIGH | RATE_GENERATOR))
        return -ENODEV;
    return 0;
}

static int register_pit(void)
{
    static const struct clock_source pit = {
        .name = "pit",
        .rating = CLOCK_RATING_PIT,
        .start = start,
        .read = read_counter,
        .mask = UINT16_MAX,
        .hz = PIT_HZ,
    };

    clock_register(&pit);
    return 0;
}

DRIVER(pit_clock) = { "pit", DRIVER_PLATFORM, register_pit };
