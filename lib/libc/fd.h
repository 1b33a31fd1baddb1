/* SPDX-License-Identifier: MIT */
/*
 * File descriptors: numbers that stand for the console, sockets and whatever
 * else is read and written. app_start() makes 0, 1 and 2 the console. Does not
 * need newlib; lib/net registers its sockets here.
 *
 * Concurrency: kernel context (between kernel_enter() and kernel_leave()) of
 * any thread. An operation may wait; the owner of the object sees to it that
 * closing it meanwhile wakes the one who waits.
 */
#ifndef LIB_LIBC_FD_H
#define LIB_LIBC_FD_H

#include "lib/base/types.h"

#define FD_MAX 256 /* descriptors at once */

/* What fstat() tells of the kind; the numbers are newlib's S_IFCHR and S_IFSOCK. */
enum fd_kind { FD_CHARACTER = 0020000, FD_SOCKET = 0140000 };

/*
 * What one kind of file can do; NULL stands for "cannot" (-EBADF, for control
 * -ENOSYS). `object` is what was given to fd_open(). Each returns a count, 0,
 * or a negative errno (newlib's numbers).
 */
struct fd_ops {
    enum fd_kind kind;
    bool terminal; /* isatty(): the C library then buffers by lines */
    long (*read)(uintptr_t object, void *to, size_t bytes); /* 0: end of file */
    long (*write)(uintptr_t object, const void *from, size_t bytes);
    int (*control)(uintptr_t object, int command, long argument); /* as fcntl() */
    int (*close)(uintptr_t object); /* the descriptor is free already */
};

/* The lowest free number for the object, or -EMFILE. ops is kept, not copied. */
int fd_open(const struct fd_ops *ops, uintptr_t object);

/*
 * The object behind fd, if it is open and of this kind (the same ops):
 * *object is set. -EBADF: not open; -ENOTSOCK: open, but another kind.
 */
int fd_object(int fd, const struct fd_ops *ops, uintptr_t *object);

/* The operations behind fd; NULL: not open. */
const struct fd_ops *fd_get_ops(int fd);

/* As read(), write(), fcntl() and close(), with -EBADF for what is not open or cannot. */
long fd_read(int fd, void *to, size_t bytes);
long fd_write(int fd, const void *from, size_t bytes);
int fd_control(int fd, int command, long argument);
int fd_close(int fd);

#endif
