/* SPDX-License-Identifier: MIT */
/*
 * Ports: channels of bytes to programs on the host, as a virtio console offers
 * them (QEMU: -device virtio-serial -device virtserialport,chardev=..,name=NAME).
 * A port that is open is a file descriptor:
 *
 *     int port = aerostat_port_open("org.example.control");
 *
 *     if (port < 0)
 *         perror("port");
 *     aerostat_port_wait(port, AEROSTAT_PORT_CONNECTED, -1);    the host's program comes
 *     write(port, "hello\n", 6);
 *     n = read(port, buffer, sizeof(buffer));                   0: it has gone
 *     close(port);
 *
 * read() gives what is here and waits for the first byte; it returns 0 when the host's
 * side is not open and everything from it was read. write() waits until all bytes are
 * on their way, also for a host that is not there yet. With fcntl(port, F_SETFL,
 * O_NONBLOCK) neither waits: EAGAIN. Both fail with ENODEV when the host has taken
 * the port away. What is not read stays with the host: nothing is lost. close() waits
 * for a second at most until the host has taken what was written.
 *
 * The port that is the console (aerostat_port.is_console, the first of them) is stdin
 * and stdout already, and cannot be opened.
 *
 * Errors: -1 and errno. Threads: for any of the application.
 */
#ifndef AEROSTAT_PORT_H
#define AEROSTAT_PORT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct aerostat_port {
    char id[24];            /* "vport1p2" */
    char name[128];         /* what the host calls it; may be empty */
    bool is_console;        /* the host wants a person or a log at it */
    bool is_connected;      /* the host's side is open */
    bool is_open;           /* somebody here uses it */
    uint16_t columns, rows; /* of a console; 0: not told */
};

/* How many ports there are now, from 0; the host may add and remove some. Does not fail. */
unsigned aerostat_port_count(void);

/* Fills *port with what the index-th is now. 0; -1: ENODEV. */
int aerostat_port_get(unsigned index, struct aerostat_port *port);

/*
 * Opens the port of that name, or else of that id: a file descriptor. -1: ENODEV, there
 * is none (yet); EBUSY, it is open; EMFILE, no more descriptors.
 */
int aerostat_port_open(const char *name);

#define AEROSTAT_PORT_READABLE  1  /* read() does not wait */
#define AEROSTAT_PORT_WRITABLE  2  /* write() takes something without waiting */
#define AEROSTAT_PORT_CONNECTED 4  /* the host's side is open */
#define AEROSTAT_PORT_GONE      8  /* the host has taken it away: told without being asked for */
#define AEROSTAT_PORT_SENT      16 /* the host has taken all that was written */

/*
 * Waits until one of the wanted holds, at most timeout_ms milliseconds (negative: without
 * end). Those that do; 0: the time has passed. -1: EBADF, not a port.
 */
int aerostat_port_wait(int fd, int wanted, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
