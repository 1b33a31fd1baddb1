/* SPDX-License-Identifier: MIT */
/*
 * The application's functions on other CPUs:
 *
 *     -append "ip=off -- all 200"
 *
 * Each case runs on all CPUs there are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "aerostat/cpu.h"
#include "aerostat/disk.h"
#include "aerostat/report.h"
#include "tests/guest/cputest/floating.h"

static int rounds;
static int failures;

static void report(int passed, const char *what)
{
    printf("%s: %s\n", passed ? "PASS" : "FAIL", what);
    failures += !passed;
}

/* What a case does on each CPU: how often something was wrong. */
typedef int (*part_function)(unsigned cpu);

static part_function part;

static int run_part(void *argument)
{
    unsigned cpu = (unsigned)(size_t)argument;

    return part(cpu) + (aerostat_cpu_current() != cpu);
}

/* The parts themselves, until each has been run and waited for. */
static int on_all(part_function function)
{
    int wrong = 0, result;

    part = function;
    for (unsigned cpu = 1; cpu < aerostat_cpu_count(); cpu++)
        if (aerostat_cpu_run(cpu, run_part, (void *)(size_t)cpu, 0)) {
            printf("CPU %u: %s\n", cpu, strerror(errno));
            wrong++;
        }
    wrong += run_part(0);
    for (unsigned cpu = 1; cpu < aerostat_cpu_count(); cpu++) {
        if (aerostat_cpu_wait(cpu, &result, 60000)) {
            printf("CPU %u: not ended: %s\n", cpu, strerror(errno));
            wrong++;
        } else if (result) {
            printf("CPU %u: %d wrong\n", cpu, result);
            wrong += result;
        }
    }
    return wrong;
}

/* ---- each has its own variables, errno and place in its random numbers */

static __thread unsigned mine = 12345;

static int own_things(unsigned cpu)
{
    int wrong = cpu && mine != 12345;

    mine = cpu;
    for (int i = 0; i < rounds / 10 + 1; i++) {
        char number[16];
        char *rest;

        errno = 1000 + (int)cpu;
        usleep(100);
        wrong += errno != 1000 + (int)cpu || mine != cpu;
        snprintf(number, sizeof(number), "%u,%d", cpu, i);
        wrong += (unsigned)atoi(strtok(number, ",")) != cpu;
        rest = strtok(NULL, ",");
        wrong += !rest || atoi(rest) != i;
    }
    return wrong;
}

/* ---- each computes with numbers that have a fraction */

static int compute(unsigned cpu)
{
    return floating(cpu, rounds * 500);
}

/* ---- each takes and gives memory, of all sizes */

#define HELD 32

static int memory(unsigned cpu)
{
    unsigned char *held[HELD] = { 0 };
    size_t bytes[HELD] = { 0 };
    unsigned random = cpu * 2654435761u + 1;
    int wrong = 0;

    for (int i = 0; i < rounds * 20; i++) {
        unsigned at = (random = random * 1664525 + 1013904223) >> 27;
        unsigned char mark = (unsigned char)(cpu * 32 + at);

        for (size_t j = 0; j<bytes[at]; j += bytes[at]> 64 ? bytes[at] / 7 : 1)
            wrong += held[at][j] != mark;
        if (random & 64) {
            free(held[at]);
            held[at] = NULL;
            bytes[at] = 0;
        } else {
            size_t wanted = (random >> 8 & 1023) << (random >> 4 & 7);
            unsigned char *grown = realloc(held[at], wanted + 1);

            wrong += !grown;
            held[at] = grown;
            bytes[at] = wanted + 1;
            memset(grown, mark, bytes[at]);
        }
    }
    for (int at = 0; at < HELD; at++)
        free(held[at]);
    return wrong;
}

/* ---- each writes lines */

static int lines(unsigned cpu)
{
    for (int i = 0; i < rounds; i++)
        if (printf("line %d of CPU %u\n", i, cpu) < 0)
            return 1;
    return 0;
}

/* ---- each reads the disk, whose sectors hold their numbers */

static int disk(unsigned cpu)
{
    static _Atomic unsigned long total;
    struct aerostat_disk facts;
    unsigned random = cpu + 1;
    int wrong = 0;

    if (aerostat_disk_get(0, &facts))
        return 1;
    for (int i = 0; i < rounds; i++, total++) {
        unsigned sectors[8 * AEROSTAT_SECTOR_BYTES / sizeof(unsigned)];
        unsigned at =
            ((random = random * 1664525 + 1013904223) >> 8) % (unsigned)(facts.sectors - 8);

        if (aerostat_disk_read(0, at, sectors, sizeof(sectors)))
            return wrong + 1;
        for (unsigned j = 0; j < 8; j++)
            wrong += sectors[j * AEROSTAT_SECTOR_BYTES / sizeof(unsigned)] != at + j;
    }
    return wrong;
}

/* ---- each sends itself datagrams, and the first CPU's server streams of bytes */

static int datagrams(unsigned cpu)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((unsigned short)(5000 + cpu)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_DGRAM, 0), wrong = 0;

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
        return 1;
    for (int i = 0; i < rounds && !wrong; i++) {
        unsigned sent[2] = { cpu, (unsigned)i }, got[2] = { 0 };

        wrong += sendto(fd, sent, sizeof(sent), 0, (struct sockaddr *)&address, sizeof(address)) !=
                 sizeof(sent);
        wrong += recv(fd, got, sizeof(got), 0) != sizeof(got) || memcmp(sent, got, sizeof(got));
    }
    return wrong + (close(fd) != 0);
}

#define STREAM_PORT 4999

static int all_of(ssize_t (*move)(int, void *, size_t), int fd, void *bytes, size_t n)
{
    size_t moved = 0;

    while (moved < n) {
        ssize_t now = move(fd, (char *)bytes + moved, n - moved);

        if (now <= 0)
            return 0;
        moved += (size_t)now;
    }
    return 1;
}

static ssize_t send_some(int fd, void *bytes, size_t n)
{
    return write(fd, bytes, n);
}

static ssize_t receive_some(int fd, void *bytes, size_t n)
{
    return read(fd, bytes, n);
}

/* Sends back what comes, from one after the other. */
static int serve(int listener, unsigned clients)
{
    int wrong = 0;

    for (unsigned i = 0; i < clients; i++) {
        char bytes[512];
        int fd = accept(listener, NULL, NULL);

        if (fd < 0)
            return 1;
        for (int round = 0; round < rounds; round++)
            wrong += !all_of(receive_some, fd, bytes, sizeof(bytes)) ||
                     !all_of(send_some, fd, bytes, sizeof(bytes));
        wrong += close(fd) != 0;
    }
    return wrong;
}

static int listening;

static int streams(unsigned cpu)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(STREAM_PORT),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd, wrong = 0;

    if (!cpu)
        return serve(listening, aerostat_cpu_count() - 1);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
        return 1;
    for (int i = 0; i < rounds; i++) {
        char sent[512], got[512];

        memset(sent, (int)(cpu * 3 + (unsigned)i), sizeof(sent));
        wrong += !all_of(send_some, fd, sent, sizeof(sent)) ||
                 !all_of(receive_some, fd, got, sizeof(got)) || memcmp(sent, got, sizeof(got));
    }
    return wrong + (close(fd) != 0);
}

static int streams_from_all(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(STREAM_PORT),
                                   .sin_addr.s_addr = htonl(INADDR_ANY) };

    listening = socket(AF_INET, SOCK_STREAM, 0);
    if (listening < 0 || bind(listening, (struct sockaddr *)&address, sizeof(address)) ||
        listen(listening, MAX_CPUS))
        return 1;
    return on_all(streams) + (close(listening) != 0);
}

/* ---- each looks at the clock, sleeps, and asks for reports and randomness */

static int calls(unsigned cpu)
{
    static char reports[MAX_CPUS][65536];
    int wrong = 0;

    for (int i = 0; i < rounds / 20 + 1; i++) {
        struct timespec before, after;
        char random[16] = { 0 }, none[16] = { 0 };

        clock_gettime(CLOCK_MONOTONIC, &before);
        usleep(500);
        clock_gettime(CLOCK_MONOTONIC, &after);
        wrong +=
            (after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec < 500000;
        wrong += getentropy(random, sizeof(random)) || !memcmp(random, none, sizeof(random));
        wrong += aerostat_report(AEROSTAT_REPORT_JSON, reports[cpu], sizeof(reports[cpu])) < 0;
    }
    return wrong;
}

/* ---- what is refused, and what the results are */

static volatile int go_on;

static int wait_for_word(void *argument)
{
    while (!go_on)
        ;
    errno = 0;
    if (!aerostat_cpu_wait(aerostat_cpu_current(), NULL, 0) || errno != EDEADLK)
        return -1;
    return *(int *)argument;
}

static int fails(int returned, int error)
{
    return returned == -1 && errno == error;
}

static void refusals(void)
{
    int number = 4711, result = 0, before = (int)aerostat_cpu_count();

    report(before > 1 && aerostat_cpu_current() == 0, "main() runs on the first of several CPUs");
    report(fails(aerostat_cpu_run((unsigned)before, wait_for_word, &number, 0), ENODEV),
           "a CPU that is not there runs nothing");
    report(fails(aerostat_cpu_run(0, wait_for_word, &number, 0), EBUSY), "main()'s CPU is busy");
    report(fails(aerostat_cpu_run(1, wait_for_word, &number, 100), EINVAL),
           "a stack has a least size");
    report(fails(aerostat_cpu_run(1, wait_for_word, &number, (size_t)1 << 50), ENOMEM),
           "a stack that memory cannot hold is refused");
    report(fails(aerostat_cpu_run(1, wait_for_word, &number, (size_t)-4096), EINVAL),
           "so is one without end");
    report(fails(aerostat_cpu_wait(1, &result, 0), ECHILD), "what was not run is not waited for");
    report(aerostat_cpu_run(1, wait_for_word, &number, 0) == 0, "a function runs");
    report(fails(aerostat_cpu_run(1, wait_for_word, &number, 0), EBUSY), "and no second one");
    report(fails(aerostat_cpu_wait(1, &result, 20), ETIMEDOUT), "a wait ends in time");
    go_on = 1;
    usleep(20000);
    report(fails(aerostat_cpu_run(1, wait_for_word, &number, 0), EBUSY),
           "a CPU is busy until its function has been waited for");
    report(aerostat_cpu_wait(1, &result, -1) == 0 && result == 4711, "the result comes back");
    report(fails(aerostat_cpu_wait(1, &result, -1), ECHILD), "and does so once");
}

/* ---- memory does not grow with how often functions run */

static int nothing(unsigned cpu)
{
    return printf("%s", cpu > MAX_CPUS ? "never" : "") < 0;
}

/* A number of the report; -1: it is not there. */
static long told(const char *name)
{
    static char text[65536];
    const char *at;

    if (aerostat_report(AEROSTAT_REPORT_METRICS, text, sizeof(text)) < 0)
        return -1;
    at = strstr(text, name);
    return at ? atol(at + strlen(name)) : -1;
}

static long memory_used(void)
{
    usleep(20000); /* the last thread's stack */
    return told("aerostat_memory_used_bytes ");
}

static void functions_leave_nothing(void)
{
    long before, after;
    int wrong = on_all(nothing);

    before = memory_used();
    for (int i = 0; i < rounds; i++)
        wrong += on_all(nothing);
    after = memory_used();
    report(!wrong, "functions run again and again");
    printf("memory used: %ld, then %ld\n", before, after);
    report(before > 0 && after <= before + 65536, "and leave nothing behind");
}

/* ---- ends */

static int end_here(void *argument)
{
    printf("left in the buffer");
    exit(*(int *)argument);
}

static int end_later(void *argument)
{
    usleep(100000);
    return end_here(argument);
}

static int fall(void *argument)
{
    *(volatile int *)argument = 1;
    return 0;
}

static int deep(int n)
{
    volatile char there[1024];

    there[0] = (char)n;
    return n ? deep(n - 1) + there[0] : 0;
}

static int go_deep(void *argument)
{
    return deep(*(int *)argument);
}

static int spin(void *argument)
{
    for (;;)
        ;
    return *(int *)argument;
}

/* On the last CPU, while the others compute. */
static void end_on_last(int (*function)(void *), void *argument)
{
    unsigned last = aerostat_cpu_count() - 1;

    for (unsigned cpu = 1; cpu < last; cpu++)
        aerostat_cpu_run(cpu, spin, NULL, 0);
    aerostat_cpu_run(last, function, argument, 0);
    for (;;)
        ;
}

/* main() waits for a line that never comes, and holds the lock of its stream. */
static void end_while_main_reads(int *status)
{
    char line[16];

    printf("left by main()");
    aerostat_cpu_run(1, end_later, status, 0);
    fgets(line, sizeof(line), stdin);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    int status = 7, depth = 1000;

    rounds = argc > 2 ? atoi(argv[2]) : 100;
    if (!strcmp(name, "all")) {
        report(!on_all(own_things), "each has variables of its own");
        report(!on_all(compute) && !floating_differs(rounds * 500), "each computes alike");
        report(!on_all(memory), "memory stays whose it is");
        report(!on_all(lines), "each writes lines");
        report(!on_all(calls), "each has the time, reports and randomness");
    } else if (!strcmp(name, "disk")) {
        report(!on_all(disk), "each reads what the disk has");
    } else if (!strcmp(name, "net")) {
        report(!on_all(datagrams), "each has its datagrams");
        report(!streams_from_all(), "each has its stream");
    } else if (!strcmp(name, "one")) {
        report(!on_all(own_things), "each has variables of its own");
        report(!on_all(lines), "each writes lines");
        report(told("aerostat_system_cpus_up ") == (long)aerostat_cpu_count(),
               "the report says how many CPUs work");
    } else if (!strcmp(name, "refusals")) {
        refusals();
    } else if (!strcmp(name, "again")) {
        functions_leave_nothing();
    } else if (!strcmp(name, "exit")) {
        end_on_last(end_here, &status);
    } else if (!strcmp(name, "exit-while-main-reads")) {
        end_while_main_reads(&status);
    } else if (!strcmp(name, "fault")) {
        end_on_last(fall, (void *)8);
    } else if (!strcmp(name, "overflow")) {
        end_on_last(go_deep, &depth);
    } else {
        printf("usage: all|disk|net|one|refusals|again|exit|exit-while-main-reads|fault|overflow "
               "[ROUNDS]\n");
        return 2;
    }
    return failures;
}
