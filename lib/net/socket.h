/* SPDX-License-Identifier: MIT */
/*
 * Sockets for the C library: as their POSIX namesakes, on the descriptors of
 * lib/libc/fd.h, but that errors come back negated. Addresses and options are
 * passed on to lwIP; their layout and numbers are those of the headers in
 * lib/net/include, which posix.c shows to applications.
 *
 * Concurrency: kernel context (between kernel_enter() and kernel_leave()); they
 * may wait. One socket is used by one thread at a time.
 */
#ifndef LIB_NET_SOCKET_H
#define LIB_NET_SOCKET_H

#include "lib/base/types.h"

struct sockaddr;
struct msghdr;
struct pollfd;
struct addrinfo;
struct hostent;

/* O_NONBLOCK and O_RDWR as the C library numbers them; fcntl()'s F_GETFL and F_SETFL likewise. */
#define NET_O_RDWR     2
#define NET_O_NONBLOCK 0x4000
#define NET_F_GETFL    3
#define NET_F_SETFL    4

int net_socket(int domain, int type, int protocol);
int net_accept(int fd, struct sockaddr *address, uint32_t *bytes);
int net_bind(int fd, const struct sockaddr *address, uint32_t bytes);
int net_connect(int fd, const struct sockaddr *address, uint32_t bytes);
int net_listen(int fd, int backlog);
int net_shutdown(int fd, int how);
int net_getpeername(int fd, struct sockaddr *address, uint32_t *bytes);
int net_getsockname(int fd, struct sockaddr *address, uint32_t *bytes);
int net_getsockopt(int fd, int level, int name, void *value, uint32_t *bytes);
int net_setsockopt(int fd, int level, int name, const void *value, uint32_t bytes);
int net_ioctl(int fd, long command, void *argument);
long net_recvfrom(int fd, void *to, size_t bytes, int flags, struct sockaddr *address,
                  uint32_t *address_bytes);
long net_recvmsg(int fd, struct msghdr *message, int flags);
long net_sendto(int fd, const void *from, size_t bytes, int flags, const struct sockaddr *address,
                uint32_t address_bytes);
long net_sendmsg(int fd, const struct msghdr *message, int flags);

/* Descriptors that are no sockets are always ready. timeout_ms < 0: for ever. */
int net_poll_sockets(struct pollfd *fds, unsigned n, int timeout_ms);

/* 0, or one of netdb.h's EAI_ numbers. */
int net_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                    struct addrinfo **found);
void net_freeaddrinfo(struct addrinfo *first);
struct hostent *net_gethostbyname(const char *name);

int net_inet_pton(int family, const char *text, void *to);
const char *net_inet_ntop(int family, const void *from, char *to, uint32_t bytes);

#endif
