/* SPDX-License-Identifier: MIT */
#include "kernel/chardev.h"

#include "kernel/clock.h"
#include "kernel/report.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

static struct list devices = LIST_INIT(devices);

void chardev_add(struct chardev *dev)
{
    event_init(&dev->readable);
    event_init(&dev->writable);
    list_append(&devices, &dev->link);
}

void chardev_changed(struct chardev *dev)
{
    event_signal(&dev->readable);
    event_signal(&dev->writable);
}

void chardev_remove(struct chardev *dev)
{
    list_remove(&dev->link);
    dev->gone = true;
    dev->connected = false;
    chardev_changed(dev);
    if (!dev->used)
        dev->ops->release(dev);
}

struct chardev *chardev_get(unsigned index)
{
    struct list *link;

    LIST_FOR_EACH (link, &devices)
        if (index-- == 0)
            return CONTAINER_OF(link, struct chardev, link);
    return NULL;
}

struct chardev *chardev_find(const char *name)
{
    struct chardev *dev;

    for (unsigned i = 0; (dev = chardev_get(i)) != NULL; i++)
        if (dev->name[0] && strcmp(dev->name, name) == 0)
            return dev;
    for (unsigned i = 0; (dev = chardev_get(i)) != NULL; i++)
        if (strcmp(dev->id, name) == 0)
            return dev;
    return NULL;
}

int chardev_open(struct chardev *dev)
{
    if (dev->used)
        return -EBUSY;
    dev->used = true;
    dev->ops->set_used(dev, true);
    return 0;
}

void chardev_close(struct chardev *dev)
{
    dev->used = false;
    if (dev->gone)
        dev->ops->release(dev);
    else
        dev->ops->set_used(dev, false);
}

long chardev_read(struct chardev *dev, void *to, size_t max, bool waits)
{
    for (;;) {
        size_t n = dev->ops->read(dev, to, max);

        dev->read_bytes += n;
        if (n)
            return (long)n;
        if (dev->gone)
            return -ENODEV;
        if (!dev->connected)
            return 0;
        if (!waits)
            return -EAGAIN;
        event_wait(&dev->readable, CLOCK_NEVER);
    }
}

long chardev_write(struct chardev *dev, const void *from, size_t bytes, bool waits)
{
    const char *at = from;
    size_t left = bytes;

    while (left) {
        size_t n = dev->connected ? dev->ops->write(dev, at, left) : 0;

        dev->written_bytes += n;
        at += n;
        left -= n;
        if (!left || (!n && !waits))
            break;
        if (n)
            continue;
        if (dev->gone)
            return left < bytes ? (long)(bytes - left) : -ENODEV;
        event_wait(&dev->writable, CLOCK_NEVER);
    }
    if (left == bytes && bytes)
        return dev->gone ? -ENODEV : -EAGAIN;
    return (long)(bytes - left);
}

/* Asks only for what is wanted: who asks for room has the driver look for it. */
static unsigned readiness(const struct chardev *dev, unsigned wanted)
{
    unsigned is = 0;

    if (dev->gone)
        is |= CHARDEV_GONE;
    if (dev->connected)
        is |= wanted & CHARDEV_CONNECTED;
    if (wanted & CHARDEV_READABLE && (!dev->connected || dev->ops->has_input(dev)))
        is |= CHARDEV_READABLE;
    if (wanted & CHARDEV_WRITABLE && dev->connected && dev->ops->has_room(dev))
        is |= CHARDEV_WRITABLE;
    if (wanted & CHARDEV_SENT && dev->ops->is_sent(dev))
        is |= CHARDEV_SENT;
    return is;
}

/* Whoever waits for room is woken by room alone: input may come all the time. */
unsigned chardev_wait(struct chardev *dev, unsigned wanted, uint64_t deadline_ns)
{
    struct event *event = wanted & CHARDEV_READABLE ? &dev->readable : &dev->writable;
    unsigned is;

    while ((is = readiness(dev, wanted)) == 0)
        if (event_wait(event, deadline_ns))
            return readiness(dev, wanted);
    return is;
}

/* ---- for reports */

static void tell(struct report *report)
{
    const struct chardev *dev;

    report_open_list(report, "port");
    for (unsigned i = 0; (dev = chardev_get(i)) != NULL; i++) {
        report_open_item(report, "%s", dev->id);
        report_text(report, "name", "%s", dev->name);
        report_number(report, "console", dev->is_console);
        report_number(report, "connected", dev->connected);
        report_number(report, "in_use", dev->used);
        report_number(report, "read_bytes", dev->read_bytes);
        report_number(report, "written_bytes", dev->written_bytes);
        report_close(report);
    }
    report_close(report);
}

REPORTER(ports_reporter) = { "ports", 65, tell };
