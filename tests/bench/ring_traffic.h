/* SPDX-License-Identifier: MIT */
/*
 * The part of the packet benchmark that both drivers share, so that what they
 * do around their rings is equal: windows of time, counts of instructions, and
 * the frame that is sent.
 */
#ifndef TESTS_BENCH_RING_TRAFFIC_H
#define TESTS_BENCH_RING_TRAFFIC_H

#include <stdint.h>

#define TRAFFIC_BURST      32  /* packets that a driver moves at once */
#define TRAFFIC_RING       256 /* descriptors */
#define TRAFFIC_POOL       4095
#define TRAFFIC_FRAME      64 /* bytes, without FCS */
#define TRAFFIC_POOL_CACHE 256

/* An Ethernet frame with an UDP datagram to the discard port. */
extern const uint8_t traffic_frame[TRAFFIC_FRAME];

/* Moves at most a burst of packets; returns how many. */
typedef unsigned (*traffic_burst)(void *driver);

/*
 * Moves packets for so many windows of so many seconds and prints "rate PACKETS"
 * (a second) for each, then counts instructions over some full bursts and prints
 * "instructions PACKET" and "total PACKETS", all that were moved. Ends the
 * program when nothing moves.
 */
void traffic_run(traffic_burst burst, void *driver, unsigned windows, double seconds);

#endif
