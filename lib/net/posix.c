/* SPDX-License-Identifier: MIT */
/*
 * Sockets as applications know them: each call brackets itself, and -1 and
 * errno stand for the kernel's negative numbers. Compiled as lib/libc is, with
 * the C library's headers.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "aerostat/net.h"
#include "aerostat/status_server.h"
#include "kernel/clock.h"
#include "kernel/thread.h"
#include "lib/libc/fd.h"
#include "lib/libc/kernel_call.h"
#include "lib/net/ping.h"
#include "lib/net/socket.h"
#include "lib/net/status.h"
#include "lib/net/status_server.h"

_Static_assert(O_NONBLOCK == NET_O_NONBLOCK && O_RDWR == NET_O_RDWR && F_GETFL == NET_F_GETFL &&
                   F_SETFL == NET_F_SETFL,
               "the numbers are newlib's");

int socket(int domain, int type, int protocol)
{
    return (int)KERNEL_RESULT(net_socket(domain, type, protocol));
}

int accept(int fd, struct sockaddr *address, socklen_t *bytes)
{
    return (int)KERNEL_RESULT(net_accept(fd, address, bytes));
}

int bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
    return (int)KERNEL_RESULT(net_bind(fd, address, bytes));
}

int connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    return (int)KERNEL_RESULT(net_connect(fd, address, bytes));
}

int listen(int fd, int backlog)
{
    return (int)KERNEL_RESULT(net_listen(fd, backlog));
}

int shutdown(int fd, int how)
{
    return (int)KERNEL_RESULT(net_shutdown(fd, how));
}

int getpeername(int fd, struct sockaddr *address, socklen_t *bytes)
{
    return (int)KERNEL_RESULT(net_getpeername(fd, address, bytes));
}

int getsockname(int fd, struct sockaddr *address, socklen_t *bytes)
{
    return (int)KERNEL_RESULT(net_getsockname(fd, address, bytes));
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *bytes)
{
    return (int)KERNEL_RESULT(net_getsockopt(fd, level, name, value, bytes));
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t bytes)
{
    return (int)KERNEL_RESULT(net_setsockopt(fd, level, name, value, bytes));
}

int ioctl(int fd, unsigned long command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return (int)KERNEL_RESULT(net_ioctl(fd, (long)command, argument));
}

ssize_t recv(int fd, void *to, size_t bytes, int flags)
{
    return KERNEL_RESULT(net_recvfrom(fd, to, bytes, flags, NULL, NULL));
}

ssize_t recvfrom(int fd, void *to, size_t bytes, int flags, struct sockaddr *address,
                 socklen_t *address_bytes)
{
    return KERNEL_RESULT(net_recvfrom(fd, to, bytes, flags, address, address_bytes));
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    return KERNEL_RESULT(net_recvmsg(fd, message, flags));
}

ssize_t send(int fd, const void *from, size_t bytes, int flags)
{
    return KERNEL_RESULT(net_sendto(fd, from, bytes, flags, NULL, 0));
}

ssize_t sendto(int fd, const void *from, size_t bytes, int flags, const struct sockaddr *address,
               socklen_t address_bytes)
{
    return KERNEL_RESULT(net_sendto(fd, from, bytes, flags, address, address_bytes));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return KERNEL_RESULT(net_sendmsg(fd, message, flags));
}

/* ---- waiting for several */

int poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    return (int)KERNEL_RESULT(net_poll_sockets(fds, n, timeout_ms));
}

static int timeout_ms_of(const struct timeval *timeout)
{
    if (!timeout)
        return -1;
    if (timeout->tv_sec >= INT32_MAX / 1000 - 1)
        return INT32_MAX;
    return (int)(timeout->tv_sec * 1000 + (timeout->tv_usec + 999) / 1000);
}

static short events_of(int fd, fd_set *read_set, fd_set *write_set)
{
    short events = 0;

    if (read_set && FD_ISSET(fd, read_set))
        events |= POLLIN;
    if (write_set && FD_ISSET(fd, write_set))
        events |= POLLOUT;
    return events;
}

/* Keeps in the set what is ready, an error or end among them; how many. */
static int keep_ready(fd_set *set, int fd, bool ready)
{
    if (!set || !FD_ISSET(fd, set))
        return 0;
    if (ready)
        return 1;
    FD_CLR(fd, set);
    return 0;
}

int select(int n, fd_set *read_set, fd_set *write_set, fd_set *except_set, struct timeval *timeout)
{
    struct pollfd fds[FD_SETSIZE];
    nfds_t polled = 0;
    int ready = 0;

    if (n < 0 || n > FD_SETSIZE)
        return (int)kernel_result(-EINVAL);
    for (int fd = 0; fd < n; fd++) {
        short events = events_of(fd, read_set, write_set);

        if (events)
            fds[polled++] = (struct pollfd){ .fd = fd, .events = events };
    }
    if (poll(fds, polled, timeout_ms_of(timeout)) < 0)
        return -1;
    for (nfds_t i = 0; i < polled; i++) {
        if (fds[i].revents & POLLNVAL)
            return (int)kernel_result(-EBADF);
        ready += keep_ready(read_set, fds[i].fd, fds[i].revents & (POLLIN | POLLERR | POLLHUP));
        ready += keep_ready(write_set, fds[i].fd, fds[i].revents & (POLLOUT | POLLERR));
    }
    if (except_set)
        FD_ZERO(except_set);
    return ready;
}

/* ---- names and addresses */

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    return KERNEL_CALL(int, net_getaddrinfo(node, service, hints, found));
}

void freeaddrinfo(struct addrinfo *first)
{
    kernel_enter();
    net_freeaddrinfo(first);
    kernel_leave();
}

const char *gai_strerror(int error)
{
    switch (error) {
    case 0:
        return "no error";
    case EAI_NONAME:
        return "name or service not known";
    case EAI_SERVICE:
        return "service not supported";
    case EAI_FAIL:
        return "name resolution failed";
    case EAI_MEMORY:
        return "out of memory";
    case EAI_FAMILY:
        return "address family not supported";
    default:
        return "unknown error";
    }
}

struct hostent *gethostbyname(const char *name)
{
    return KERNEL_CALL(struct hostent *, net_gethostbyname(name));
}

int inet_pton(int family, const char *text, void *to)
{
    return (int)kernel_result(net_inet_pton(family, text, to));
}

const char *inet_ntop(int family, const void *from, char *to, socklen_t bytes)
{
    const char *text = net_inet_ntop(family, from, to, bytes);

    if (!text)
        errno = family == AF_INET ? ENOSPC : EAFNOSUPPORT;
    return text;
}

in_addr_t inet_addr(const char *text)
{
    struct in_addr address;

    return net_inet_pton(AF_INET, text, &address) == 1 ? address.s_addr : INADDR_NONE;
}

char *inet_ntoa(struct in_addr address)
{
    static char text[INET_ADDRSTRLEN];

    net_inet_ntop(AF_INET, &address, text, sizeof(text));
    return text;
}

/* ---- what aerostat/net.h adds */

static uint64_t deadline_after(unsigned ms)
{
    return clock_monotonic_ns() + ms * NSEC_PER_MSEC;
}

int aerostat_interface_get(unsigned index, struct aerostat_interface *interface)
{
    return (int)KERNEL_RESULT(net_interface_status(index, interface));
}

int aerostat_network_wait(unsigned timeout_ms)
{
    return (int)KERNEL_RESULT(net_wait_for_address(deadline_after(timeout_ms)));
}

int aerostat_network_ping(uint32_t address, size_t bytes, unsigned timeout_ms,
                          uint64_t *round_trip_ns)
{
    return (int)KERNEL_RESULT(net_ping(address, bytes, deadline_after(timeout_ms), round_trip_ns));
}

static int describe_network(char *buffer, size_t size)
{
    struct text text;

    if (!size)
        return -EINVAL;
    text_init(&text, buffer, size);
    net_describe(&text);
    return text.truncated ? -ENOSPC : (int)text.length;
}

int aerostat_network_describe(char *buffer, size_t size)
{
    return (int)KERNEL_RESULT(describe_network(buffer, size));
}

int aerostat_status_serve(void)
{
    return (int)KERNEL_RESULT(status_server_start());
}
