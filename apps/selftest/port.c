/* SPDX-License-Identifier: MIT */
/* Ports of a virtio console, to programs on the host that compare what comes through. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aerostat/port.h"
#include "cases.h"
#include "sha256.h"

#define PORTS_MAX 4

int run_port_list(int argc, char **argv)
{
    struct aerostat_port port;

    (void)argc;
    (void)argv;
    sleep(1); /* the host announces them by and by */
    for (unsigned i = 0; aerostat_port_get(i, &port) == 0; i++)
        printf("port %s name '%s' console %d connected %d open %d size %ux%u\n", port.id, port.name,
               port.is_console, port.is_connected, port.is_open, port.columns, port.rows);
    printf("%u ports\n", aerostat_port_count());
    report(aerostat_port_get(1000, &port) == -1 && errno == ENODEV, "no port 1000");
    report(aerostat_port_open("there is none") == -1 && errno == ENODEV, "no port of no name");
    report(aerostat_port_wait(1, AEROSTAT_PORT_READABLE, 0) == -1 && errno == EBADF,
           "stdout is no port");
    return reported();
}

/* The port may not have been announced yet. */
static int open_port(const char *name)
{
    int fd = -1;

    for (int i = 0; i < 500 && (fd = aerostat_port_open(name)) < 0; i++)
        usleep(10000);
    report(fd >= 0, "%s opens", name);
    return fd;
}

struct echo {
    const char *name;
    int fd;
    unsigned long bytes;
    char held[8192];
    size_t n_held, at;
    int begun, ended;
};

/* One step without waiting: what is held goes out first. true: something moved. */
static int step(struct echo *echo)
{
    ssize_t n;

    if (echo->at < echo->n_held) {
        n = write(echo->fd, echo->held + echo->at, echo->n_held - echo->at);
        echo->at += n > 0 ? (size_t)n : 0;
        return n > 0;
    }
    n = read(echo->fd, echo->held, sizeof(echo->held));
    if (n == 0 && echo->begun)
        echo->ended = 1;
    if (n <= 0)
        return 0;
    echo->begun = 1;
    echo->at = 0;
    echo->n_held = (size_t)n;
    echo->bytes += (unsigned long)n;
    return 1;
}

/* What comes goes back, on each port, until the host closes its side of all. */
int run_port_echo(int argc, char **argv)
{
    static struct echo echoes[PORTS_MAX];
    int n = argc - 1 < PORTS_MAX ? argc - 1 : PORTS_MAX, left = n;

    for (int i = 0; i < n; i++) {
        echoes[i].name = argv[1 + i];
        echoes[i].fd = open_port(argv[1 + i]);
        if (echoes[i].fd < 0)
            return 1;
        fcntl(echoes[i].fd, F_SETFL, O_NONBLOCK);
    }
    report(aerostat_port_open(argv[1]) == -1 && errno == EBUSY, "a port opens once");
    printf("echoing\n");
    fflush(stdout);
    while (left) {
        int moved = 0;

        left = 0;
        for (int i = 0; i < n; i++) {
            if (!echoes[i].ended)
                moved |= step(&echoes[i]);
            left += !echoes[i].ended;
        }
        if (!moved)
            usleep(1000);
    }
    for (int i = 0; i < n; i++) {
        printf("%s: %lu bytes\n", echoes[i].name, echoes[i].bytes);
        close(echoes[i].fd);
    }
    return reported();
}

/* So many bytes, and their digest on the console. */
int run_port_source(int argc, char **argv)
{
    unsigned long left = number(argc, argv, 2, 1 << 20), sequence = 0;
    static unsigned char piece[5000]; /* of no round size */
    int fd = open_port(argv[1]);
    struct sha256 hash;
    char digest[65];

    if (fd < 0)
        return 1;
    sha256_start(&hash);
    while (left) {
        size_t n = left < sizeof(piece) ? left : sizeof(piece);

        for (size_t i = 0; i < n; i++)
            piece[i] = (unsigned char)(sequence++ * 2654435761u >> 13);
        if (write(fd, piece, n) != (ssize_t)n) {
            report(0, "write: %s", strerror(errno));
            return 1;
        }
        sha256_add(&hash, piece, n);
        left -= n;
    }
    report(aerostat_port_wait(fd, AEROSTAT_PORT_SENT, 20000) == AEROSTAT_PORT_SENT,
           "the host takes all");
    report(close(fd) == 0, "close");
    sha256_finish(&hash, digest);
    printf("sha256 %s\n", digest);
    return reported();
}

/* Reads nothing for a while, then everything, until the host closes its side. */
int run_port_late(int argc, char **argv)
{
    unsigned long pause_ms = number(argc, argv, 2, 1000), bytes = 0;
    int fd = open_port(argv[1]);
    struct sha256 hash;
    char digest[65], piece[777];
    ssize_t n;

    if (fd < 0)
        return 1;
    sha256_start(&hash);
    report(aerostat_port_wait(fd, AEROSTAT_PORT_CONNECTED, 20000) == AEROSTAT_PORT_CONNECTED,
           "the host comes");
    printf("waiting\n");
    fflush(stdout);
    usleep((useconds_t)pause_ms * 1000);
    while ((n = read(fd, piece, sizeof(piece))) > 0) {
        sha256_add(&hash, piece, (size_t)n);
        bytes += (unsigned long)n;
    }
    sha256_finish(&hash, digest);
    printf("%lu bytes, sha256 %s, then %s\n", bytes, digest, n ? strerror(errno) : "the end");
    return reported();
}
