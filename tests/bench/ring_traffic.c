/* SPDX-License-Identifier: MIT */
/* See ring_traffic.h. */
#include "tests/bench/ring_traffic.h"

#include <err.h>
#include <stdio.h>

#include "tests/bench/ring_measure.h"

#define WARM_SECONDS   0.3
#define START_SECONDS  5.0 /* until the first packet */
#define LOOK_BURSTS    500 /* between two looks at the clock */
#define STEPPED_BURSTS 8

const uint8_t traffic_frame[TRAFFIC_FRAME] = {
    0x02, 0, 0, 0,  0, 1,  0x02, 0, 0,  0,  0,    2,    0x08, 0x00, /* Ethernet: IPv4 */
    0x45, 0, 0, 50, 0, 0,  0,    0, 64, 17, 0x66, 0xb9, 10,   0,    0, 1, 10, 0, 0, 2, /* to UDP */
    0,    9, 0, 9,  0, 30, 0,    0, /* no checksum */
};

static uint64_t run_for(traffic_burst burst, void *driver, double seconds)
{
    double end = measure_seconds() + seconds;
    uint64_t packets = 0;

    do {
        for (unsigned i = 0; i < LOOK_BURSTS; i++)
            packets += burst(driver);
    } while (measure_seconds() < end);
    return packets;
}

static uint64_t wait_for_first(traffic_burst burst, void *driver)
{
    double end = measure_seconds() + START_SECONDS;
    uint64_t packets;

    do
        packets = burst(driver);
    while (!packets && measure_seconds() < end);
    if (!packets)
        errx(1, "no packet moved in %.0f s", START_SECONDS);
    return packets;
}

/* Stepped, we are so slow that the other side always keeps up: only full bursts count. */
static uint64_t count_instructions(traffic_burst burst, void *driver)
{
    uint64_t moved = 0, packets = 0, steps = 0;
    unsigned tries = 0;

    while (packets < STEPPED_BURSTS * TRAFFIC_BURST && tries++ < 4 * STEPPED_BURSTS) {
        uint64_t stepped;
        unsigned n;

        measure_steps_begin();
        n = burst(driver);
        stepped = measure_steps_end();
        moved += n;
        if (n != TRAFFIC_BURST)
            continue;
        packets += n;
        steps += stepped;
    }
    if (packets)
        printf("instructions %.1f\n", (double)steps / (double)packets);
    return moved;
}

void traffic_run(traffic_burst burst, void *driver, unsigned windows, double seconds)
{
    uint64_t total = wait_for_first(burst, driver) + run_for(burst, driver, WARM_SECONDS);

    for (unsigned i = 0; i < windows; i++) {
        double start = measure_seconds();
        uint64_t packets = run_for(burst, driver, seconds);

        printf("rate %.0f\n", (double)packets / (measure_seconds() - start));
        total += packets;
    }
    total += count_instructions(burst, driver);
    printf("total %llu\n", (unsigned long long)total);
}
