/* SPDX-License-Identifier: MIT */
/* <poll.h>: waiting for several descriptors. */
#ifndef _POLL_H
#define _POLL_H

#ifdef __cplusplus
extern "C" {
#endif

typedef unsigned int nfds_t;

struct pollfd {
    int fd; /* below 0: ignored */
    short events, revents;
};

#define POLLIN   0x001
#define POLLOUT  0x002
#define POLLERR  0x004
#define POLLNVAL 0x008
#define POLLHUP  0x200

int poll(struct pollfd *fds, nfds_t n, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
