/* SPDX-License-Identifier: MIT */
/*
 * The guest's side of the network tests, beside apps/selftest, which holds no
 * network: the first argument picks the case.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "aerostat/net.h"
#include "aerostat/status_server.h"

#define TIMEOUT_MS 5000

/* Serves pages from an application that never lets go of the CPU. */
static int run_spin(char **arguments)
{
    (void)arguments;
    if (aerostat_status_serve())
        return 1;
    printf("spinning\n");
    for (;;)
        ;
}

/* Says every second how often it came around: how much of the CPU the application gets. */
static int run_compute(char **arguments)
{
    struct timespec now;

    (void)arguments;
    for (unsigned line = 0; line < 30; line++) {
        unsigned long rounds = 0;
        time_t second;

        clock_gettime(CLOCK_MONOTONIC, &now);
        second = now.tv_sec;
        for (; now.tv_sec == second; rounds++)
            clock_gettime(CLOCK_MONOTONIC, &now);
        printf("rounds %lu\n", rounds);
    }
    return 0;
}

static int run_ping(char **arguments)
{
    struct in_addr address;
    uint64_t round_trip_ns;
    size_t bytes = arguments[1] ? strtoul(arguments[1], NULL, 0) : 56;

    if (!arguments[0] || inet_pton(AF_INET, arguments[0], &address) != 1)
        return 2;
    if (aerostat_network_ping(address.s_addr, bytes, TIMEOUT_MS, &round_trip_ns)) {
        perror("ping");
        return 1;
    }
    printf("%zu bytes from %s\n", bytes, arguments[0]);
    return 0;
}

static int run_resolve(char **arguments)
{
    struct addrinfo *found;
    int error = getaddrinfo(arguments[0], NULL, NULL, &found);

    if (error) {
        printf("%s: not found (%d)\n", arguments[0], error);
        return 1;
    }
    printf("%s is %s\n", arguments[0],
           inet_ntoa(((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr));
    freeaddrinfo(found);
    return 0;
}

/* Sends one datagram and prints the answer. */
static int run_udp(char **arguments)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    char answer[64];
    ssize_t n;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (!arguments[0] || !arguments[1] || inet_pton(AF_INET, arguments[0], &to.sin_addr) != 1 ||
        fd < 0)
        return 2;
    to.sin_port = htons((uint16_t)atoi(arguments[1]));
    if (sendto(fd, "knock", 5, 0, (struct sockaddr *)&to, sizeof(to)) != 5) {
        perror("sendto");
        return 1;
    }
    n = recv(fd, answer, sizeof(answer) - 1, 0);
    if (n < 0) {
        perror("recv");
        return 1;
    }
    answer[n] = '\0';
    printf("answer: %s\n", answer);
    return 0;
}

static int run_interfaces(char **arguments)
{
    static char text[4096];

    (void)arguments;
    if (aerostat_network_describe(text, sizeof(text)) < 0)
        return 1;
    fputs(text, stdout);
    return 0;
}

static bool failed_with(int result, int error)
{
    return result == -1 && errno == error;
}

static int listen_on_port_80(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(80) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1) ? -1 : fd;
}

static int run_errors(char **arguments)
{
    struct aerostat_interface interface;
    uint64_t round_trip_ns;
    char text[8];
    int fd = listen_on_port_80();
    const bool passed[] = {
        failed_with(aerostat_interface_get(1, &interface), ENODEV),
        failed_with(aerostat_network_describe(text, 0), EINVAL),
        failed_with(aerostat_network_describe(text, sizeof(text)), ENOSPC) && strlen(text) == 7,
        failed_with(aerostat_network_ping(0, 1, 1, &round_trip_ns), EINVAL),
        failed_with(aerostat_network_ping(1, 1401, 1, &round_trip_ns), EINVAL),
        failed_with(aerostat_status_serve(), EADDRINUSE),
        close(fd) == 0 && aerostat_status_serve() == 0,
        failed_with(aerostat_status_serve(), EALREADY),
    };

    (void)arguments;
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
        if (!passed[i]) {
            printf("case %zu failed\n", i);
            return 1;
        }
    }
    return 0;
}

static const struct {
    const char *name;
    int (*run)(char **arguments);
} cases[] = {
    { "spin", run_spin },       { "compute", run_compute }, { "ping", run_ping },
    { "resolve", run_resolve }, { "udp", run_udp },         { "interfaces", run_interfaces },
    { "errors", run_errors },
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(argv[1], cases[i].name))
            continue;
        if (aerostat_network_wait(TIMEOUT_MS))
            perror("no address");
        return cases[i].run(argv + 2);
    }
    printf("usage: spin | compute | ping ADDRESS [BYTES] | resolve NAME | udp ADDRESS PORT | "
           "interfaces | "
           "errors\n");
    return 2;
}
