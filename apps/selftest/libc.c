/* SPDX-License-Identifier: MIT */
/* The C library's floor as an application sees it. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cases.h"

static int constructed;
static __thread int of_thread = 42;
static __thread int zero_of_thread;
static __thread char aligned_of_thread[65] __attribute__((aligned(64)));
static volatile sig_atomic_t caught;

__attribute__((constructor)) static void construct(void)
{
    constructed = 1;
}

__attribute__((destructor)) static void destruct(void)
{
    printf("destructor\n");
}

static void first_registered(void)
{
    printf("atexit 1\n");
}

static void second_registered(void)
{
    printf("atexit 2\n");
}

static void catch_signal(int signal)
{
    caught = signal;
}

static void check_files(void)
{
    struct stat status;

    report(isatty(0) && isatty(1) && isatty(2), "0, 1 and 2 are terminals");
    report(!fstat(1, &status) && S_ISCHR(status.st_mode), "stdout is a character device");
    errno = 0;
    report(!fopen("/etc/passwd", "r") && errno == ENOENT, "a file that is not there");
    errno = 0;
    report(!fopen("/tmp/new", "w") && errno == EROFS, "a file that cannot be made");
    errno = 0;
    report(read(77, &status, 1) == -1 && errno == EBADF, "read() of a closed descriptor");
    errno = 0;
    report(lseek(1, 0, SEEK_SET) == -1 && errno == ESPIPE, "lseek() of the console");
    report(write(1, "raw write\n", 10) == 10, "write() returns the count");
}

static void check_stdio(void)
{
    char text[64];
    long long large = 0;
    int n;

    snprintf(text, sizeof(text), "%zu %lld %hhx %s", sizeof(text), -1234567890123LL,
             (unsigned char)0xab, "end");
    report(!strcmp(text, "64 -1234567890123 ab end"), "snprintf: %s", text);
    n = sscanf("9876543210", "%lld", &large);
    report(n == 1 && large == 9876543210LL, "sscanf: %lld", large);
    fprintf(stderr, "stderr is heard\n");
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void check_stdlib(void)
{
    int numbers[] = { 3, 1, 2 };
    unsigned char random[16] = { 0 }, zeros[16] = { 0 };

    qsort(numbers, 3, sizeof(int), compare);
    report(numbers[0] == 1 && numbers[2] == 3, "qsort");
    report(!setenv("NAME", "value", 1) && !strcmp(getenv("NAME"), "value"), "setenv, getenv");
    report(!getentropy(random, sizeof(random)) && memcmp(random, zeros, sizeof(random)),
           "getentropy");
    report(time(NULL) > 1700000000, "time: %lld", (long long)time(NULL));
    report(getpid() == 1, "getpid");
}

static void check_signals(void)
{
    signal(SIGUSR1, catch_signal);
    raise(SIGUSR1);
    report(caught == SIGUSR1, "a caught signal");
}

int run_libc(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    report(constructed, "constructors ran before main");
    report((uintptr_t)aligned_of_thread % 64 == 0 && !aligned_of_thread[0] &&
               !aligned_of_thread[64],
           "thread-local variables are aligned");
    memset(aligned_of_thread, 0xff, sizeof(aligned_of_thread));
    report(of_thread == 42 && zero_of_thread == 0, "thread-local variables");
    atexit(first_registered);
    atexit(second_registered);
    check_files();
    check_stdio();
    check_stdlib();
    check_signals();
    printf("a line without an end, flushed at exit");
    return reported();
}

int run_float(int argc, char **argv)
{
    volatile double two = 2.0, third = 1.0 / 3.0;
    char text[64];

    (void)argc;
    (void)argv;
    snprintf(text, sizeof(text), "%f %.3e %g %a", third, third, 1e100, 1.0);
    report(!strcmp(text, "0.333333 3.333e-01 1e+100 0x1p+0"), "printf of doubles: %s", text);
    snprintf(text, sizeof(text), "%.15f %.4Lf", sqrt(two), (long double)two / 3);
    report(!strcmp(text, "1.414213562373095 0.6667"), "sqrt and long double: %s", text);
    report(strtod("2.5e3", NULL) == 2500.0, "strtod");
    return reported();
}
