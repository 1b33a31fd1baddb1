/* SPDX-License-Identifier: MIT */
/* <sys/ioctl.h>: for sockets. */
#ifndef _SYS_IOCTL_H
#define _SYS_IOCTL_H

#ifdef __cplusplus
extern "C" {
#endif

#define FIONREAD 0x4008667fL /* int: bytes that can be read */
#define FIONBIO  0x8008667eL /* int: 1 does not wait, 0 waits */

int ioctl(int fd, unsigned long command, ...);

#ifdef __cplusplus
}
#endif

#endif
