/* SPDX-License-Identifier: MIT */
/* ICMP echo requests of our own. */
#ifndef LIB_NET_PING_H
#define LIB_NET_PING_H

#include "lib/base/types.h"

#define NET_PING_BYTES_MAX 1400

/*
 * Sends a request with `bytes` bytes of payload and waits for the answer, until
 * the deadline (monotonic ns). address in network order. 0, the round trip in *round_trip_ns;
 * -ETIMEDOUT, -EHOSTUNREACH, -EINVAL or -ENOMEM. Kernel context, core lock not held.
 */
int net_ping(uint32_t address, size_t bytes, uint64_t deadline_ns, uint64_t *round_trip_ns);

#endif
