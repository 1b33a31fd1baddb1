/* SPDX-License-Identifier: MIT */
/*
 * One of several guests on a host, each with a working set that it sums up again and again.
 * Orders come through the port "aerostat.orders", a line each, and are answered there:
 *
 *     hold MIB REST    have a working set of so many MiB, and rest so many milliseconds
 *                      between two rounds of checking it. Once it is so: "done"
 *     end              check all of it once more, then exit: 0, or 1 if a page was lost
 *
 * A few times a second it tells "holds MIB of MIB, checked MIB, lost N". Every eighth piece of a
 * round is filled anew, so that memory is written to as well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "aerostat/port.h"
#include "working_set.h"

#define PORT          "aerostat.orders"
#define PATIENCE_MS   60000
#define TELL_NS       200000000
#define TRY_AGAIN_NS  50000000 /* after malloc() has failed */
#define REWRITE_EVERY 8

static struct working_set set;
static int port;
static unsigned wanted, rest_ms = 1000; /* the last order */
static bool is_ordered, is_to_end;
static uint64_t n_checked;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void say(const char *text)
{
    write(port, text, strlen(text));
}

static void tell(void)
{
    char line[96];

    snprintf(line, sizeof(line), "holds %u of %u, checked %llu, lost %llu\n", set.n_pieces, wanted,
             (unsigned long long)n_checked, (unsigned long long)set.n_lost);
    say(line);
}

static void tell_at_times(void)
{
    static uint64_t told_ns;

    if (now_ns() - told_ns < TELL_NS)
        return;
    told_ns = now_ns();
    tell();
}

static void obey(const char *order)
{
    unsigned mib, ms;

    if (sscanf(order, "hold %u %u", &mib, &ms) == 2 && mib <= PIECES_MAX) {
        wanted = mib;
        rest_ms = ms;
        is_ordered = true;
    } else if (!strcmp(order, "end")) {
        is_to_end = true;
    } else {
        say("what?\n");
    }
}

/* Takes what has come; lines may come in pieces. */
static void read_orders(int timeout_ms)
{
    static char line[128];
    static size_t length;
    char text[64];
    ssize_t n;

    if (aerostat_port_wait(port, AEROSTAT_PORT_READABLE, timeout_ms) <= 0)
        return;
    n = read(port, text, sizeof(text));
    if (n <= 0) {
        printf("nobody gives orders any more\n");
        exit(1);
    }
    for (ssize_t i = 0; i < n; i++) {
        if (text[i] != '\n') {
            line[length] = text[i];
            length += length < sizeof(line) - 1;
            continue;
        }
        line[length] = '\0';
        length = 0;
        obey(line);
    }
}

/* true: a piece came or went. The host may give what is missing later, so it is tried again. */
static bool follow_the_order(void)
{
    static uint64_t failed_ns;

    if (set.n_pieces > wanted) {
        working_set_shrink(&set);
        return true;
    }
    if (set.n_pieces == wanted || (failed_ns && now_ns() - failed_ns < TRY_AGAIN_NS))
        return false;
    failed_ns = working_set_grow(&set) ? 0 : now_ns();
    return !failed_ns;
}

static void check_next(void)
{
    static unsigned next, round;

    if (next >= set.n_pieces) {
        next = 0;
        round++;
        read_orders((int)rest_ms);
    }
    if (next >= set.n_pieces)
        return;
    working_set_check(&set, next);
    n_checked++;
    if ((next + round) % REWRITE_EVERY == 0)
        working_set_rewrite(&set, next);
    next++;
}

static void check_all(void)
{
    for (unsigned i = 0; i < set.n_pieces; i++) {
        working_set_check(&set, i);
        n_checked++;
        tell_at_times();
    }
}

/* The host announces its ports by and by, and what is said to nobody is lost. */
static void open_port(void)
{
    for (int i = 0; i < 500 && (port = aerostat_port_open(PORT)) < 0; i++)
        usleep(10000);
    if (port < 0 || aerostat_port_wait(port, AEROSTAT_PORT_CONNECTED, PATIENCE_MS) <= 0) {
        printf("nobody gives orders at %s\n", PORT);
        exit(2);
    }
}

int main(void)
{
    open_port();
    say("ready\n");
    while (!is_to_end) {
        read_orders(0);
        if (follow_the_order()) {
            tell_at_times();
            continue;
        }
        if (is_ordered && set.n_pieces == wanted) {
            is_ordered = false;
            say("done\n");
        }
        check_next();
        tell_at_times();
    }
    check_all();
    tell();
    close(port);
    printf("checked %llu MiB, lost %llu pages\n", (unsigned long long)n_checked,
           (unsigned long long)set.n_lost);
    return set.n_lost ? 1 : 0;
}
