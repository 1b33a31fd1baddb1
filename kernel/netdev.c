/* SPDX-License-Identifier: MIT */
/* The list of network devices. Kernel context. */
#include "kernel/netdev.h"

#include "lib/base/format.h"

static struct list devices = LIST_INIT(devices);
static unsigned n_devices;

struct event netdev_event = { .waiters = LIST_INIT(netdev_event.waiters),
                              .polled = LIST_INIT(netdev_event.polled) };

const char *const netdev_offload_names[NETDEV_OFFLOADS] = {
    "tx-checksumming",
    "rx-checksumming",
    "scatter-gather",
};

void netdev_register(struct netdev *dev)
{
    format(dev->name, sizeof(dev->name), "eth%u", n_devices++);
    list_append(&devices, &dev->link);
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
