/* SPDX-License-Identifier: MIT */
/* <sys/uio.h>: struct iovec, for sendmsg() and recvmsg(). */
#ifndef _SYS_UIO_H
#define _SYS_UIO_H

#include <sys/socket.h>

#endif
