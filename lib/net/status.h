/* SPDX-License-Identifier: MIT */
/* What the network knows about itself. Kernel context; core lock not held. */
#ifndef LIB_NET_STATUS_H
#define LIB_NET_STATUS_H

#include "lib/base/format.h"
#include "lib/base/types.h"

struct aerostat_interface;

/* Fills in the index-th interface's state. -ENODEV: there is none. */
int net_interface_status(unsigned index, struct aerostat_interface *status);

/* As `ifconfig`, `ethtool -i` and `ethtool -k` print it. */
void net_describe(struct text *text);

/* Waits until some interface has an address. 0, -ETIMEDOUT, or -ENODEV. */
int net_wait_for_address(uint64_t deadline_ns);

#endif
