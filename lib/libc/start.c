/* SPDX-License-Identifier: MIT */
/*
 * The application's beginning and end, and newlib's state of each thread. That
 * of the main thread is the one where exit() finds its streams; others (callbacks
 * of a library that run in a kernel thread) get one when they first need it.
 */
#include "lib/libc/start.h"

#include <reent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/lock.h>
#include <unistd.h>

#include "kernel/alloc.h"
#include "kernel/thread.h"
#include "lib/base/string.h"
#include "lib/base/types.h"
#include "lib/libc/console.h"
#include "lib/libc/fd.h"

typedef void (*init_function)(int argc, char **argv, char **environment);
typedef void (*fini_function)(void);

/* linker.ld */
extern const init_function __preinit_array_start[], __preinit_array_end[];
extern const init_function __init_array_start[], __init_array_end[];
extern const fini_function __fini_array_start[], __fini_array_end[];

/* By the names that newlib has for them: its own would be 1,900 bytes of the image, mostly zeros.
 */
static struct _reent main_reent;
struct _reent *_impure_ptr = &main_reent;
struct _reent *const _global_impure_ptr = &main_reent;

extern int main(int argc, char **argv, char **environment);

static void run_constructors(const init_function *at, const init_function *end, int argc,
                             char **argv)
{
    for (; at < end; at++)
        (*at)(argc, argv, environ);
}

static void run_destructors(void)
{
    for (const fini_function *at = __fini_array_end; at > __fini_array_start;)
        (*--at)();
}

/* It is all zeros; not inlined, for it is long. */
static __attribute__((noinline)) struct _reent *init_reent(struct _reent *reent)
{
    _REENT_INIT_PTR_ZEROED(reent);
    return reent;
}

void app_start(int argc, char **argv)
{
    *thread_local_slot() = init_reent(&main_reent);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        fd_open(&console_fd_ops, 0);
    if (&__fini_array_start[0] != &__fini_array_end[0])
        atexit(run_destructors);
    run_constructors(__preinit_array_start, __preinit_array_end, argc, argv);
    run_constructors(__init_array_start, __init_array_end, argc, argv);
    exit(main(argc, argv, environ));
}

static struct _reent *new_reent(void)
{
    struct _reent *reent;

    kernel_enter();
    reent = kalloc(sizeof(*reent));
    kernel_leave();
    if (!reent)
        return &main_reent; /* shared with the main thread: better than none */
    return init_reent(reent);
}

struct _reent *__getreent(void)
{
    void **slot = thread_local_slot();

    if (!*slot)
        *slot = new_reent();
    return *slot;
}

/* The descriptors are those of all threads. */
static int keep_open(struct _reent *reent, void *cookie)
{
    (void)reent;
    (void)cookie;
    return 0;
}

static void close_own_streams(struct _reent *reent)
{
    FILE *streams[] = { reent->_stdin, reent->_stdout, reent->_stderr };

    for (unsigned i = 0; i < ARRAY_SIZE(streams); i++) {
        streams[i]->_close = keep_open;
        _fclose_r(reent, streams[i]);
    }
}

void app_thread_end(void)
{
    struct _reent *reent = *thread_local_slot();

    if (!reent || reent == _impure_ptr)
        return;
    if (reent->__sdidinit)
        close_own_streams(reent);
    _reclaim_reent(reent);
    *thread_local_slot() = NULL;
    kernel_enter();
    kfree(reent);
    kernel_leave();
}

#define BUSY_LOOKS       100
#define BUSY_INTERVAL_US 1000

static bool can_be_had(FILE *stream)
{
    for (unsigned i = 0; i < BUSY_LOOKS; i++) {
        if (__retarget_lock_try_acquire_recursive(stream->_lock)) {
            __retarget_lock_release_recursive(stream->_lock);
            return true;
        }
        usleep(BUSY_INTERVAL_US);
    }
    return false;
}

/* newlib closes them all; it passes over one that looks closed. */
static void leave_out_busy_streams(void)
{
    for (struct _glue *some = &_GLOBAL_REENT->__sglue; some; some = some->_next)
        for (int i = 0; i < some->_niobs; i++)
            if (some->_iobs[i]._flags && !can_be_had(&some->_iobs[i]))
                some->_iobs[i]._flags = 0;
}

void app_exit_begins(void)
{
    fflush(stdout);
    fflush(stderr);
    leave_out_busy_streams();
}
