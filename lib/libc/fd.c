/* SPDX-License-Identifier: MIT */
/* The table of file descriptors: short, searched from its start when one is opened. */
#include "lib/libc/fd.h"

#include "lib/base/errno.h"

struct entry {
    const struct fd_ops *ops; /* NULL: free */
    uintptr_t object;
};

static struct entry table[FD_MAX];

static struct entry *find(int fd)
{
    if (fd < 0 || fd >= FD_MAX || !table[fd].ops)
        return NULL;
    return &table[fd];
}

int fd_open(const struct fd_ops *ops, uintptr_t object)
{
    for (int fd = 0; fd < FD_MAX; fd++) {
        if (!table[fd].ops) {
            table[fd] = (struct entry){ ops, object };
            return fd;
        }
    }
    return -EMFILE;
}

int fd_object(int fd, const struct fd_ops *ops, uintptr_t *object)
{
    const struct entry *entry = find(fd);

    if (!entry)
        return -EBADF;
    if (entry->ops != ops)
        return -ENOTSOCK;
    *object = entry->object;
    return 0;
}

const struct fd_ops *fd_get_ops(int fd)
{
    const struct entry *entry = find(fd);

    return entry ? entry->ops : NULL;
}

long fd_read(int fd, void *to, size_t bytes)
{
    const struct entry *entry = find(fd);

    if (!entry || !entry->ops->read)
        return -EBADF;
    return entry->ops->read(entry->object, to, bytes);
}

long fd_write(int fd, const void *from, size_t bytes)
{
    const struct entry *entry = find(fd);

    if (!entry || !entry->ops->write)
        return -EBADF;
    return entry->ops->write(entry->object, from, bytes);
}

int fd_control(int fd, int command, long argument)
{
    const struct entry *entry = find(fd);

    if (!entry)
        return -EBADF;
    if (!entry->ops->control)
        return -ENOSYS;
    return entry->ops->control(entry->object, command, argument);
}

int fd_close(int fd)
{
    struct entry *entry = find(fd);
    struct entry closed;

    if (!entry)
        return -EBADF;
    closed = *entry;
    entry->ops = NULL;
    return closed.ops->close ? closed.ops->close(closed.object) : 0;
}
