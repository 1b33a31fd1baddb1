/* SPDX-License-Identifier: MIT */
/*
 * The default appliance: says what it found, then serves its status on port 80.
 * The argument echo=PORT adds a TCP echo service.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aerostat/disk.h"
#include "aerostat/net.h"
#include "aerostat/report.h"
#include "aerostat/status_server.h"
#include "echo.h"

#define REPORT_BYTES     (64 * 1024)
#define PARTITIONS_BYTES (16 * 1024)
#define ADDRESS_MS       5000

static void print_report(void)
{
    char *text = malloc(REPORT_BYTES);

    if (!text) {
        perror("boot report");
        return;
    }
    if (aerostat_report(AEROSTAT_REPORT_TEXT, text, REPORT_BYTES))
        fputs(text, stdout);
    free(text);
}

static void print_partitions(void)
{
    char *text = malloc(PARTITIONS_BYTES);

    for (unsigned disk = 0; text && disk < aerostat_disk_count(); disk++)
        if (aerostat_disk_describe_partitions(disk, text, PARTITIONS_BYTES) >= 0 || errno == ENOSPC)
            printf("\n%s", text);
    free(text);
}

static void print_address(void)
{
    struct aerostat_interface interface;

    if (aerostat_interface_get(0, &interface)) {
        printf("\nno network\n");
        return;
    }
    if (aerostat_network_wait(ADDRESS_MS) == 0 && aerostat_interface_get(0, &interface) == 0) {
        const unsigned char *a = (const unsigned char *)&interface.address;

        printf("\nserving on http://%u.%u.%u.%u/\n", a[0], a[1], a[2], a[3]);
    } else {
        printf("\nno address yet; serving when there is one\n");
    }
}

/* The port of "echo=PORT"; 0: it is not wanted, or is none. */
static unsigned short echo_port(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *end;
        unsigned long port;

        if (strncmp(argv[i], "echo=", 5)) {
            fprintf(stderr, "unknown argument: %s\n", argv[i]);
            continue;
        }
        port = strtoul(argv[i] + 5, &end, 10);
        if (port >= 1 && port <= 65535 && !*end)
            return (unsigned short)port;
        fprintf(stderr, "%s: not a port\n", argv[i]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    unsigned short port = echo_port(argc, argv);

    print_report();
    print_partitions();
    if (aerostat_status_serve())
        perror("status server");
    print_address();
    if (port && echo_serve(port))
        perror("echo");
    for (;;)
        sleep(3600);
}
