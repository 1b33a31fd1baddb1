/* SPDX-License-Identifier: MIT */
/* Ports as files, for applications. */
#include "aerostat/port.h"

#include <errno.h>
#include <fcntl.h>

#include "kernel/alloc.h"
#include "kernel/chardev.h"
#include "kernel/clock.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"
#include "lib/libc/fd.h"
#include "lib/libc/kernel_call.h"

#define CLOSE_PATIENCE_NS NSEC_PER_SEC

_Static_assert(sizeof(((struct aerostat_port *)0)->name) == CHARDEV_NAME_BYTES &&
                   sizeof(((struct aerostat_port *)0)->id) == sizeof(((struct chardev *)0)->id),
               "names fit");
_Static_assert(AEROSTAT_PORT_READABLE == CHARDEV_READABLE &&
                   AEROSTAT_PORT_WRITABLE == CHARDEV_WRITABLE &&
                   AEROSTAT_PORT_CONNECTED == CHARDEV_CONNECTED &&
                   AEROSTAT_PORT_GONE == CHARDEV_GONE && AEROSTAT_PORT_SENT == CHARDEV_SENT,
               "the numbers are the kernel's");

struct open_port {
    struct chardev *dev;
    bool waits;
};

static long read_port(uintptr_t object, void *to, size_t bytes)
{
    const struct open_port *port = (struct open_port *)object;

    return bytes ? chardev_read(port->dev, to, bytes, port->waits) : 0;
}

static long write_port(uintptr_t object, const void *from, size_t bytes)
{
    const struct open_port *port = (struct open_port *)object;

    return chardev_write(port->dev, from, bytes, port->waits);
}

static int control_port(uintptr_t object, int command, long argument)
{
    struct open_port *port = (struct open_port *)object;

    switch (command) {
    case F_GETFL:
        return port->waits ? O_RDWR : O_RDWR | O_NONBLOCK;
    case F_SETFL:
        port->waits = !(argument & O_NONBLOCK);
        return 0;
    default:
        return -EINVAL;
    }
}

/* The guest may end as soon as this returns, and what is on its way with it. */
static int close_port(uintptr_t object)
{
    struct open_port *port = (struct open_port *)object;

    chardev_wait(port->dev, CHARDEV_SENT, clock_monotonic_ns() + CLOSE_PATIENCE_NS);
    chardev_close(port->dev);
    kfree(port);
    return 0;
}

static const struct fd_ops port_fd_ops = {
    .kind = FD_CHARACTER,
    .read = read_port,
    .write = write_port,
    .control = control_port,
    .close = close_port,
};

static int open_dev(struct chardev *dev)
{
    struct open_port *port = kalloc(sizeof(*port));
    int fd;

    if (!port)
        return -ENOMEM;
    *port = (struct open_port){ dev, true };
    fd = chardev_open(dev);
    if (!fd) {
        fd = fd_open(&port_fd_ops, (uintptr_t)port);
        if (fd < 0)
            chardev_close(dev);
    }
    if (fd < 0)
        kfree(port);
    return fd;
}

static int open_named(const char *name)
{
    struct chardev *dev = chardev_find(name);

    return dev ? open_dev(dev) : -ENODEV;
}

static unsigned count(void)
{
    unsigned n = 0;

    while (chardev_get(n))
        n++;
    return n;
}

static int get(unsigned index, struct aerostat_port *port)
{
    const struct chardev *dev = chardev_get(index);

    if (!dev)
        return -ENODEV;
    *port = (struct aerostat_port){ .is_console = dev->is_console,
                                    .is_connected = dev->connected,
                                    .is_open = dev->used,
                                    .columns = dev->columns,
                                    .rows = dev->rows };
    memcpy(port->id, dev->id, sizeof(port->id));
    memcpy(port->name, dev->name, sizeof(port->name));
    return 0;
}

static int wait_for(int fd, int wanted, int timeout_ms)
{
    uint64_t deadline_ns = CLOCK_NEVER;
    uintptr_t object;

    if (fd_object(fd, &port_fd_ops, &object))
        return -EBADF;
    if (timeout_ms >= 0)
        deadline_ns = clock_monotonic_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
    return (int)chardev_wait(((struct open_port *)object)->dev, (unsigned)wanted, deadline_ns);
}

unsigned aerostat_port_count(void)
{
    return KERNEL_CALL(unsigned, count());
}

int aerostat_port_get(unsigned index, struct aerostat_port *port)
{
    return (int)KERNEL_RESULT(get(index, port));
}

int aerostat_port_open(const char *name)
{
    return (int)KERNEL_RESULT(open_named(name));
}

int aerostat_port_wait(int fd, int wanted, int timeout_ms)
{
    return (int)KERNEL_RESULT(wait_for(fd, wanted, timeout_ms));
}
