/* SPDX-License-Identifier: MIT */
/*
 * One thread and poll(): as many clients as there are places, each dropped when
 * it stays silent too long. A client that does not read what it sent is not
 * read from either.
 */
#include "echo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CLIENTS  64
#define IDLE_SECONDS 60
#define PIECE_BYTES  4096

struct client {
    char piece[PIECE_BYTES];
    size_t held, sent; /* of the piece: received, and of that sent back */
    time_t last_heard;
};

/* places[0] is the listening socket; places[i] belongs to clients[i - 1]. */
static struct pollfd places[1 + MAX_CLIENTS];
static struct client clients[MAX_CLIENTS];

static time_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

static int listen_on(unsigned short port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        listen(fd, MAX_CLIENTS) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void drop(unsigned place)
{
    close(places[place].fd);
    places[place].fd = -1;
}

static void take_client(void)
{
    int fd = accept(places[0].fd, NULL, NULL);

    if (fd < 0)
        return;
    for (unsigned place = 1; place <= MAX_CLIENTS; place++) {
        if (places[place].fd >= 0)
            continue;
        places[place] = (struct pollfd){ .fd = fd, .events = POLLIN };
        clients[place - 1].held = clients[place - 1].sent = 0;
        clients[place - 1].last_heard = now();
        return;
    }
    close(fd);
}

/* false: the client is gone. */
static bool echo(unsigned place)
{
    struct client *client = &clients[place - 1];
    ssize_t n;

    if (client->sent == client->held) {
        n = recv(places[place].fd, client->piece, PIECE_BYTES, MSG_DONTWAIT);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        client->held = (size_t)n;
        client->sent = 0;
        client->last_heard = now();
    }
    n = send(places[place].fd, client->piece + client->sent, client->held - client->sent,
             MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN)
        return false;
    client->sent += n > 0 ? (size_t)n : 0;
    places[place].events = client->sent == client->held ? POLLIN : POLLOUT;
    return true;
}

static void serve_client(unsigned place)
{
    if (places[place].fd < 0)
        return;
    if (places[place].revents ? !echo(place) : now() - clients[place - 1].last_heard > IDLE_SECONDS)
        drop(place);
}

int echo_serve(unsigned short port)
{
    for (unsigned place = 1; place <= MAX_CLIENTS; place++)
        places[place].fd = -1;
    places[0] = (struct pollfd){ .fd = listen_on(port), .events = POLLIN };
    if (places[0].fd < 0)
        return -1;
    printf("echo on port %u\n", port);
    for (;;) {
        if (poll(places, 1 + MAX_CLIENTS, 1000) < 0)
            return -1;
        if (places[0].revents)
            take_client();
        for (unsigned place = 1; place <= MAX_CLIENTS; place++)
            serve_client(place);
    }
}
