/* SPDX-License-Identifier: MIT */
/* What lwIP calls for things it leaves to the port. */
#ifndef LIB_NET_PORT_HOOKS_H
#define LIB_NET_PORT_HOOKS_H

#include "lwip/ip_addr.h"

/* The initial sequence number of a connection (lib/net/isn.h). */
u32_t net_tcp_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip,
                  u16_t remote_port);

#endif
