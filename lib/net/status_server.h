/* SPDX-License-Identifier: MIT */
/*
 * The system's report over HTTP, on port 80, by lwIP's own server: "/" is a page
 * for people, "/status.json" and "/metrics" the same facts for programs, each
 * as they are at the moment of the request; "/history.json" is what the memory was.
 */
#ifndef LIB_NET_STATUS_SERVER_H
#define LIB_NET_STATUS_SERVER_H

/* Starts serving, once. 0, -EALREADY, -EADDRINUSE or -ENOMEM. Kernel context. */
int status_server_start(void);

#endif
