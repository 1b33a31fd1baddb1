/* SPDX-License-Identifier: MIT */
/* <stdio.h>: lwIP includes it and, configured as here, uses nothing of it. */
#ifndef LIB_NET_PORT_LIBC_STDIO_H
#define LIB_NET_PORT_LIBC_STDIO_H

#endif
