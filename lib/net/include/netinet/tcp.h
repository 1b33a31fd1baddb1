/* SPDX-License-Identifier: MIT */
/* <netinet/tcp.h>: options of TCP sockets, level IPPROTO_TCP. */
#ifndef _NETINET_TCP_H
#define _NETINET_TCP_H

#define TCP_NODELAY   1
#define TCP_KEEPIDLE  3 /* seconds */
#define TCP_KEEPINTVL 4 /* seconds */
#define TCP_KEEPCNT   5

#endif
