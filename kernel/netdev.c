/* SPDX-License-Identifier: MIT */
/* The list of network devices. Kernel context. */
#include "kernel/netdev.h"

#include "lib/base/format.h"

static struct list devices = LIST_INIT(devices);
static unsigned n_devices;

unsigned netdev_changes;

struct event netdev_event = { .waiters = LIST_INIT(netdev_event.waiters),
                              .polled = LIST_INIT(netdev_event.polled) };

const char *const netdev_offload_names[NETDEV_OFFLOADS] = {
    "tx-checksumming",
    "rx-checksumming",
    "scatter-gather",
};

void netdev_register(struct netdev *dev)
{
    dev->number = n_devices++;
    format(dev->name, sizeof(dev->name), "eth%u", dev->number);
    list_append(&devices, &dev->link);
    netdev_changes++;
    event_signal(&netdev_event);
}

void netdev_unregister(struct netdev *dev)
{
    dev->gone = true;
    netdev_changes++;
    event_signal(&netdev_event);
}

void netdev_forget(struct netdev *dev)
{
    list_remove(&dev->link);
    dev->ops->release(dev);
}

struct netdev *netdev_get(unsigned index)
{
    struct list *link;

    LIST_FOR_EACH (link, &devices) {
        if (index-- == 0)
            return CONTAINER_OF(link, struct netdev, link);
    }
    return NULL;
}
