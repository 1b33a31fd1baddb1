/* SPDX-License-Identifier: MIT */
/*
 * Where lwIP's sockets leave their error number. It is read right after the
 * call, before anything else can run (lib/net/socket.c).
 */
#ifndef LIB_NET_PORT_SOCKET_ERRNO_H
#define LIB_NET_PORT_SOCKET_ERRNO_H

#include "lib/base/errno.h"

extern int net_socket_errno;

#define errno       net_socket_errno
#define EWOULDBLOCK EAGAIN

#endif
