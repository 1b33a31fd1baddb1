/* SPDX-License-Identifier: MIT */
/* lwIP's sockets behind file descriptors, see socket.h. */
#include "lib/net/socket.h"

#include "lib/libc/fd.h"
#include "lib/net/port/socket_errno.h"
#include "lwip/netdb.h"
#include "lwip/sockets.h"

int net_socket_errno;

/* What lwIP returned, with its error number in place of -1. */
static long result(long value)
{
    return value < 0 ? -(net_socket_errno ? net_socket_errno : EIO) : value;
}

static long socket_read(uintptr_t socket, void *to, size_t bytes)
{
    return result(lwip_read((int)socket, to, bytes));
}

static long socket_write(uintptr_t socket, const void *from, size_t bytes)
{
    return result(lwip_write((int)socket, from, bytes));
}

static int socket_control(uintptr_t socket, int command, long argument)
{
    int flags;

    if (command == NET_F_SETFL)
        return (int)result(
            lwip_fcntl((int)socket, F_SETFL, argument & NET_O_NONBLOCK ? O_NONBLOCK : 0));
    if (command != NET_F_GETFL)
        return -EINVAL;
    flags = lwip_fcntl((int)socket, F_GETFL, 0);
    if (flags < 0)
        return (int)result(flags);
    return NET_O_RDWR | (flags & O_NONBLOCK ? NET_O_NONBLOCK : 0);
}

static int socket_close(uintptr_t socket)
{
    return (int)result(lwip_close((int)socket));
}

static const struct fd_ops socket_ops = {
    .kind = FD_SOCKET,
    .read = socket_read,
    .write = socket_write,
    .control = socket_control,
    .close = socket_close,
};

/* A descriptor for lwIP's socket, which is closed if there is none. */
static int open_descriptor(int socket)
{
    int fd;

    if (socket < 0)
        return (int)result(socket);
    fd = fd_open(&socket_ops, (uintptr_t)socket);
    if (fd < 0)
        lwip_close(socket);
    return fd;
}

/* lwIP's socket behind the descriptor, or a negative errno. */
static int socket_of(int fd)
{
    uintptr_t socket;
    int error = fd_object(fd, &socket_ops, &socket);

    return error < 0 ? error : (int)socket;
}

int net_socket(int domain, int type, int protocol)
{
    if (domain != AF_INET)
        return -EAFNOSUPPORT;
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_RAW)
        return -EPROTOTYPE;
    return open_descriptor(lwip_socket(domain, type, protocol));
}

int net_accept(int fd, struct sockaddr *address, uint32_t *bytes)
{
    int socket = socket_of(fd);

    return socket < 0 ? socket : open_descriptor(lwip_accept(socket, address, bytes));
}

int net_bind(int fd, const struct sockaddr *address, uint32_t bytes)
{
    int socket = socket_of(fd);

    return socket < 0 ? socket : (int)result(lwip_bind(socket, address, bytes));
}

int net_connect(int fd, const struct sockaddr *address, uint32_t bytes)
{
    int socket = socket_of(fd);
    int error = socket < 0 ? socket : (int)result(lwip_connect(socket, address, bytes));

    /* Before there is a connection, a reset is a refusal. */
    return error == -ECONNRESET ? -ECONNREFUSED : error;
}

int net_listen(int fd, int backlog)
{
    int socket = socket_of(fd);

    return socket < 0 ? socket : (int)result(lwip_listen(socket, backlog));
}

int net_shutdown(int fd, int how)
{
    int socket = socket_of(fd);

    return socket < 0 ? socket : (int)result(lwip_shutdown(socket, how));
}

int net_getpeername(int fd, struct sockaddr *address, uint32_t *bytes)
{
    int socket = socket_of(fd);

    return socket < 0 ? socket : (int)result(lwip_getpeername(socket, address, bytes));
}

int net_getsockname(int fd, struct sockaddr *address, uint32_t *bytes)
{
    int socket = socket_of(fd);

    return socket < 0 ? socket : (int)result(lwip_getsockname(socket, address, bytes));
}

int net_getsockopt(int fd, int level, int name, void *value, uint32_t *bytes)
{
    int socket = socket_of(fd);

    return socket < 0 ? socket : (int)result(lwip_getsockopt(socket, level, name, value, bytes));
}

int net_setsockopt(int fd, int level, int name, const void *value, uint32_t bytes)
{
    int socket = socket_of(fd);

    return socket < 0 ? socket : (int)result(lwip_setsockopt(socket, level, name, value, bytes));
}

int net_ioctl(int fd, long command, void *argument)
{
    int socket = socket_of(fd);

    return socket < 0 ? socket : (int)result(lwip_ioctl(socket, command, argument));
}

long net_recvfrom(int fd, void *to, size_t bytes, int flags, struct sockaddr *address,
                  uint32_t *address_bytes)
{
    int socket = socket_of(fd);

    return socket < 0 ? socket
                      : result(lwip_recvfrom(socket, to, bytes, flags, address, address_bytes));
}

long net_recvmsg(int fd, struct msghdr *message, int flags)
{
    int socket = socket_of(fd);

    return socket < 0 ? socket : result(lwip_recvmsg(socket, message, flags));
}

long net_sendto(int fd, const void *from, size_t bytes, int flags, const struct sockaddr *address,
                uint32_t address_bytes)
{
    int socket = socket_of(fd);

    return socket < 0 ? socket
                      : result(lwip_sendto(socket, from, bytes, flags, address, address_bytes));
}

long net_sendmsg(int fd, const struct msghdr *message, int flags)
{
    int socket = socket_of(fd);

    return socket < 0 ? socket : result(lwip_sendmsg(socket, message, flags));
}

/* ---- poll: what lwIP knows it answers; the rest is ready, or not open */

/* Copies the sockets among fds, with lwIP's numbers; how many. *ready: answers that need no wait.
 */
static unsigned take_sockets(const struct pollfd *fds, unsigned n, struct pollfd *sockets,
                             unsigned *ready)
{
    unsigned taken = 0;

    *ready = 0;
    for (unsigned i = 0; i < n; i++) {
        int socket = socket_of(fds[i].fd);

        if (socket >= 0)
            sockets[taken++] = (struct pollfd){ .fd = socket, .events = fds[i].events };
        else if (fds[i].fd >= 0)
            (*ready)++;
    }
    return taken;
}

/* Puts the answers where they belong; how many descriptors have one. */
static int give_answers(struct pollfd *fds, unsigned n, const struct pollfd *sockets)
{
    int answered = 0;

    for (unsigned i = 0; i < n; i++) {
        int socket = socket_of(fds[i].fd);

        if (fds[i].fd < 0)
            fds[i].revents = 0;
        else if (socket >= 0)
            fds[i].revents = (sockets++)->revents;
        else
            fds[i].revents =
                socket == -EBADF ? POLLNVAL : (short)(fds[i].events & (POLLIN | POLLOUT));
        answered += fds[i].revents != 0;
    }
    return answered;
}

int net_poll_sockets(struct pollfd *fds, unsigned n, int timeout_ms)
{
    struct pollfd sockets[FD_MAX]; /* no memory of the network's, which others may have used up */
    unsigned n_sockets, ready;
    long polled;

    if (n > FD_MAX)
        return -EINVAL;
    n_sockets = take_sockets(fds, n, sockets, &ready);
    polled = result(lwip_poll(sockets, n_sockets, ready ? 0 : timeout_ms));
    return polled < 0 ? (int)polled : give_answers(fds, n, sockets);
}

/* ---- names */

int net_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                    struct addrinfo **found)
{
    return lwip_getaddrinfo(node, service, hints, found);
}

void net_freeaddrinfo(struct addrinfo *first)
{
    lwip_freeaddrinfo(first);
}

struct hostent *net_gethostbyname(const char *name)
{
    return lwip_gethostbyname(name);
}

int net_inet_pton(int family, const char *text, void *to)
{
    return (int)result(lwip_inet_pton(family, text, to));
}

const char *net_inet_ntop(int family, const void *from, char *to, uint32_t bytes)
{
    return lwip_inet_ntop(family, from, to, bytes);
}
