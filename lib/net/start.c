/* SPDX-License-Identifier: MIT */
/*
 * The network stack's start: lwIP, an interface for each device, and their
 * addresses by `ip=`. In an image only where the application uses it.
 */
#include "kernel/cmdline.h"
#include "kernel/driver.h"
#include "kernel/log.h"
#include "kernel/netdev.h"
#include "kernel/page.h"
#include "lib/base/errno.h"
#include "lib/net/config.h"
#include "lib/net/heap.h"
#include "lib/net/stack.h"
#include "lwip/dhcp.h"
#include "lwip/tcpip.h"

#define HEAP_MIN (256 * KIB)
#define HEAP_MAX (16 * MIB)

/* The n-th ip= is for the n-th device; devices beyond use DHCP, unless all are to be off. */
static struct net_config config_of(unsigned index)
{
    struct net_config config = { .mode = NET_DHCP };
    const char *last = cmdline_value("ip");
    const char *text = cmdline_value_nth("ip", index);

    if (!text && last && net_config_parse(last, &config) == 0 && config.mode != NET_OFF)
        config.mode = NET_DHCP;
    if (text && net_config_parse(text, &config) < 0)
        log_error("ip=%s is none of dhcp, off, ADDRESS/LENGTH[,GATEWAY]: using dhcp", text);
    return config;
}

static void start_interface(struct netdev *dev)
{
    struct net_config config = config_of(dev->number);
    struct net_interface *interface;
    ip4_addr_t address, netmask, gateway;

    if (config.mode == NET_OFF)
        return;
    interface = net_interface_add(dev);
    if (!interface) {
        log_error("%s: no memory for its interface", dev->name);
        return;
    }
    if (!netif_default)
        netif_set_default(&interface->netif);
    interface->dhcp = config.mode == NET_DHCP;
    netif_set_up(&interface->netif);
    if (interface->dhcp) {
        if (dhcp_start(&interface->netif) != ERR_OK)
            log_error("%s: DHCP does not start: no memory", dev->name);
        return;
    }
    ip4_addr_set_u32(&address, lwip_htonl(config.address));
    ip4_addr_set_u32(&netmask, lwip_htonl(config.netmask));
    ip4_addr_set_u32(&gateway, lwip_htonl(config.gateway));
    netif_set_addr(&interface->netif, &address, &netmask, &gateway);
}

static struct net_interface *interface_without_device(void)
{
    struct net_interface *interface;
    unsigned i = 0;

    while ((interface = net_interface_get(i)) && !interface->dev->gone)
        i++;
    return interface;
}

void net_follow_devices(void)
{
    static unsigned changes, next_number;
    struct net_interface *interface;
    struct netdev *dev;

    if (changes == netdev_changes)
        return;
    changes = netdev_changes;
    while ((interface = interface_without_device()))
        net_interface_remove(interface);
    for (unsigned i = 0; (dev = netdev_get(i)); i++) {
        if (dev->number < next_number)
            continue;
        next_number = dev->number + 1;
        if (!dev->gone)
            start_interface(dev);
    }
}

static int net_start(void)
{
    struct page_stats pages;

    page_get_stats(&pages);
    net_heap_limit(MIN(MAX(pages.total * PAGE_SIZE / 8, HEAP_MIN), HEAP_MAX));
    net_next_mailbox_uses(&netdev_event);
    tcpip_init(NULL, NULL);
    net_lock();
    net_follow_devices();
    net_unlock();
    return 0;
}

DRIVER(net_driver) = { "net", DRIVER_CLASS, net_start };
