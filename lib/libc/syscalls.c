/* SPDX-License-Identifier: MIT */
/*
 * What newlib asks of a system, under the names it knows: files, time, the
 * process. There is one process and no file system; who asks for more gets an
 * error. Each function that enters the kernel brackets itself.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#include "kernel/clock.h"
#include "kernel/exit.h"
#include "kernel/log.h"
#include "kernel/random.h"
#include "kernel/thread.h"
#include "lib/base/errno.h" /* behind newlib's: a number that differs does not compile */
#include "lib/base/string.h"
#include "lib/libc/fd.h"
#include "lib/libc/kernel_call.h"

#define PROCESS_ID 1

_Static_assert(FD_CHARACTER == S_IFCHR && FD_SOCKET == S_IFSOCK, "the numbers are newlib's");

_READ_WRITE_RETURN_TYPE read(int fd, void *to, size_t bytes)
{
    long n;

    kernel_enter();
    n = fd_read(fd, to, bytes);
    kernel_leave();
    return kernel_result(n);
}

_READ_WRITE_RETURN_TYPE write(int fd, const void *from, size_t bytes)
{
    long n;

    kernel_enter();
    n = fd_write(fd, from, bytes);
    kernel_leave();
    return kernel_result(n);
}

int close(int fd)
{
    int error;

    kernel_enter();
    error = fd_close(fd);
    kernel_leave();
    return (int)kernel_result(error);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    long argument;
    int value;

    va_start(arguments, command);
    argument = va_arg(arguments, long);
    va_end(arguments);
    kernel_enter();
    value = fd_control(fd, command, argument);
    kernel_leave();
    return (int)kernel_result(value);
}

int fstat(int fd, struct stat *status)
{
    const struct fd_ops *ops = fd_get_ops(fd);

    if (!ops)
        return (int)kernel_result(-EBADF);
    memset(status, 0, sizeof(*status));
    status->st_mode = (mode_t)(ops->kind | S_IRUSR | S_IWUSR);
    return 0;
}

int isatty(int fd)
{
    const struct fd_ops *ops = fd_get_ops(fd);

    if (ops && ops->terminal)
        return 1;
    errno = ops ? ENOTTY : EBADF;
    return 0;
}

off_t lseek(int fd, off_t offset, int whence)
{
    (void)offset;
    (void)whence;
    return kernel_result(fd_get_ops(fd) ? -ESPIPE : -EBADF);
}

/* There is no file system: no name leads to a file, and none can be made. */
int open(const char *path, int flags, ...)
{
    (void)path;
    return (int)kernel_result(flags & O_CREAT ? -EROFS : -ENOENT);
}

int stat(const char *restrict path, struct stat *restrict status)
{
    (void)path;
    (void)status;
    return (int)kernel_result(-ENOENT);
}

int link(const char *old_path, const char *new_path)
{
    (void)old_path;
    (void)new_path;
    return (int)kernel_result(-ENOENT);
}

int unlink(const char *path)
{
    (void)path;
    return (int)kernel_result(-ENOENT);
}

int mkdir(const char *path, mode_t mode)
{
    (void)path;
    (void)mode;
    return (int)kernel_result(-EROFS);
}

/* malloc has its own pages; who moves the break by hand is told that there is none. */
void *sbrk(ptrdiff_t bytes)
{
    (void)bytes;
    errno = ENOMEM;
    return (void *)-1;
}

/* The clock is read without the kernel's brackets: any context may, on all CPUs at once. */

static struct timespec to_timespec(uint64_t ns)
{
    return (struct timespec){ (time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC) };
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    switch (clock) {
    case CLOCK_REALTIME:
        *now = to_timespec(clock_realtime_ns());
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        *now = to_timespec(clock_monotonic_ns());
        return 0;
    default:
        return (int)kernel_result(-EINVAL);
    }
}

int clock_getres(clockid_t clock, struct timespec *resolution)
{
    struct timespec now;

    if (clock_gettime(clock, &now))
        return -1;
    if (resolution)
        *resolution = to_timespec(1);
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    uint64_t ns = clock_realtime_ns();

    (void)zone;
    now->tv_sec = (time_t)(ns / NSEC_PER_SEC);
    now->tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / NSEC_PER_USEC);
    return 0;
}

/* The one process has all of the CPU's time since the start, in ticks of CLOCKS_PER_SEC. */
clock_t times(struct tms *spent)
{
    clock_t ticks = (clock_t)(clock_monotonic_ns() / (NSEC_PER_SEC / CLOCKS_PER_SEC));

    *spent = (struct tms){ .tms_utime = ticks };
    return ticks;
}

static void sleep_ns(uint64_t ns)
{
    kernel_enter();
    thread_sleep_until(clock_monotonic_ns() + ns);
    kernel_leave();
}

/* Longer than anything runs, and far from overflow. */
#define LONGEST_SLEEP_SECONDS 1000000000

int nanosleep(const struct timespec *wanted, struct timespec *left)
{
    time_t seconds = MIN(wanted->tv_sec, LONGEST_SLEEP_SECONDS);

    if (seconds < 0 || wanted->tv_nsec < 0 || wanted->tv_nsec >= (long)NSEC_PER_SEC)
        return (int)kernel_result(-EINVAL);
    sleep_ns((uint64_t)seconds * NSEC_PER_SEC + (uint64_t)wanted->tv_nsec);
    if (left)
        *left = (struct timespec){ 0 };
    return 0;
}

int usleep(useconds_t microseconds)
{
    sleep_ns(microseconds * NSEC_PER_USEC);
    return 0;
}

unsigned sleep(unsigned seconds)
{
    sleep_ns(seconds * NSEC_PER_SEC);
    return 0;
}

int getentropy(void *to, size_t bytes)
{
    if (bytes > 256) /* the interface's own limit */
        return (int)kernel_result(-EIO);
    kernel_enter();
    random_bytes(to, bytes);
    kernel_leave();
    return 0;
}

pid_t getpid(void)
{
    return PROCESS_ID;
}

void _exit(int status)
{
    kernel_enter();
    console_await();
    kernel_exit(status < 0 ? EXIT_APPLICATION_MAX : MIN(status, EXIT_APPLICATION_MAX));
}

/* A signal that nobody catches ends the program; newlib's raise() comes here. */
int kill(pid_t process, int signal)
{
    if (process != PROCESS_ID)
        return (int)kernel_result(-ESRCH);
    if (!signal)
        return 0;
    log_error("application: ended by signal %d", signal);
    _exit(EXIT_APPLICATION_MAX);
}

_Noreturn void abort(void)
{
    log_error("application: aborted");
    _exit(EXIT_APPLICATION_MAX);
}

/* newlib's own would bring all of fprintf() into each image. */
_Noreturn void __assert_func(const char *file, int line, const char *function,
                             const char *expression)
{
    log_error("%s:%d: %s: assertion failed: %s", file, line, function ? function : "?", expression);
    abort();
}

_Noreturn void __assert(const char *file, int line, const char *expression)
{
    __assert_func(file, line, NULL, expression);
}
