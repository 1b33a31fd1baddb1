/* SPDX-License-Identifier: MIT */
/* The network's state for reports and applications, see status.h. */
#include "lib/net/status.h"

#include "include/aerostat/net.h"
#include "kernel/clock.h"
#include "kernel/report.h"
#include "kernel/thread.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"
#include "lib/net/config.h"
#include "lib/net/heap.h"
#include "lib/net/stack.h"
#include "lwip/dhcp.h"
#include "lwip/dns.h"

#define LOOK_AGAIN_NS (10 * NSEC_PER_MSEC)

/* The arguments of %u.%u.%u.%u for an address in network order. */
#define ADDRESS_FORMAT "%u.%u.%u.%u"
#define ADDRESS(a)     (a) & 0xff, (a) >> 8 & 0xff, (a) >> 16 & 0xff, (a) >> 24

#define MAC_FORMAT "%02x:%02x:%02x:%02x:%02x:%02x"
#define MAC(m)     (m)[0], (m)[1], (m)[2], (m)[3], (m)[4], (m)[5]

int net_interface_status(unsigned index, struct aerostat_interface *status)
{
    struct net_interface *interface = net_interface_get(index);
    const struct netdev *dev;
    const struct dhcp *dhcp;

    if (!interface)
        return -ENODEV;
    dev = interface->dev;
    dhcp = netif_dhcp_data(&interface->netif);
    *status = (struct aerostat_interface){
        .link_up = dev->link_up,
        .dhcp = interface->dhcp,
        .mtu = dev->mtu,
        .address = ip4_addr_get_u32(netif_ip4_addr(&interface->netif)),
        .netmask = ip4_addr_get_u32(netif_ip4_netmask(&interface->netif)),
        .gateway = ip4_addr_get_u32(netif_ip4_gw(&interface->netif)),
        .rx_packets = dev->counters.rx_packets,
        .rx_bytes = dev->counters.rx_bytes,
        .rx_errors = dev->counters.rx_errors,
        .rx_dropped = dev->counters.rx_dropped,
        .tx_packets = dev->counters.tx_packets,
        .tx_bytes = dev->counters.tx_bytes,
        .tx_errors = dev->counters.tx_errors,
        .tx_dropped = dev->counters.tx_dropped,
    };
    memcpy(status->name, dev->name, sizeof(status->name));
    memcpy(status->mac, dev->mac, sizeof(status->mac));
    for (size_t i = 0; i < ARRAY_SIZE(status->dns); i++)
        status->dns[i] = ip4_addr_get_u32(ip_2_ip4(dns_getserver((u8_t)i)));
    if (dhcp && dhcp_supplied_address(&interface->netif))
        status->lease_seconds = dhcp->offered_t0_lease;
    return 0;
}

int net_wait_for_address(uint64_t deadline_ns)
{
    if (!net_interface_get(0))
        return -ENODEV;
    for (;;) {
        struct net_interface *interface;

        for (unsigned i = 0; (interface = net_interface_get(i)); i++) {
            if (!ip4_addr_isany(netif_ip4_addr(&interface->netif)))
                return 0;
        }
        if (clock_monotonic_ns() >= deadline_ns)
            return -ETIMEDOUT;
        thread_sleep_until(MIN(clock_monotonic_ns() + LOOK_AGAIN_NS, deadline_ns));
    }
}

/* ---- as ifconfig and ethtool */

static void describe_addresses(const struct aerostat_interface *i, struct text *text)
{
    text_add(text, "%s: flags=<UP,BROADCAST%s>  mtu %u\n", i->name, i->link_up ? ",RUNNING" : "",
             i->mtu);
    if (i->address)
        text_add(text,
                 "        inet " ADDRESS_FORMAT "  netmask " ADDRESS_FORMAT
                 "  broadcast " ADDRESS_FORMAT "\n",
                 ADDRESS(i->address), ADDRESS(i->netmask), ADDRESS(i->address | ~i->netmask));
    text_add(text, "        ether " MAC_FORMAT "  (Ethernet)\n", MAC(i->mac));
}

static void describe_counters(const struct aerostat_interface *i, struct text *text)
{
    text_add(text,
             "        RX packets %lu  bytes %lu\n"
             "        RX errors %lu  dropped %lu\n"
             "        TX packets %lu  bytes %lu\n"
             "        TX errors %lu  dropped %lu\n",
             i->rx_packets, i->rx_bytes, i->rx_errors, i->rx_dropped, i->tx_packets, i->tx_bytes,
             i->tx_errors, i->tx_dropped);
}

static void describe_driver(const struct netdev *dev, struct text *text)
{
    text_add(text, "driver: %s\nbus-info: %s\nFeatures for %s:\n", dev->driver, dev->bus,
             dev->name);
    for (unsigned bit = 0; bit < NETDEV_OFFLOADS; bit++)
        text_add(text, "%s: %s\n", netdev_offload_names[bit],
                 dev->offloads >> bit & 1 ? "on" : "off");
}

void net_describe(struct text *text)
{
    struct aerostat_interface status;

    for (unsigned i = 0; net_interface_status(i, &status) == 0; i++) {
        describe_addresses(&status, text);
        describe_counters(&status, text);
        describe_driver(net_interface_get(i)->dev, text);
    }
}

/* ---- in reports */

static void report_addresses(const struct aerostat_interface *i, struct report *report)
{
    report_text(report, "mac", MAC_FORMAT, MAC(i->mac));
    report_number(report, "mtu_bytes", i->mtu);
    report_number(report, "link_up", i->link_up);
    if (!i->address)
        return;
    report_text(report, "address", ADDRESS_FORMAT "/%u", ADDRESS(i->address),
                net_prefix_length(lwip_ntohl(i->netmask)));
    report_text(report, "configured_by", "%s", i->dhcp ? "dhcp" : "kernel word");
    if (i->gateway)
        report_text(report, "gateway", ADDRESS_FORMAT, ADDRESS(i->gateway));
    if (i->dns[0])
        report_text(report, "dns", ADDRESS_FORMAT, ADDRESS(i->dns[0]));
    if (i->lease_seconds)
        report_number(report, "lease_seconds", i->lease_seconds);
}

static void report_counters(const struct aerostat_interface *i, struct report *report)
{
    report_number(report, "rx_packets", i->rx_packets);
    report_number(report, "rx_bytes", i->rx_bytes);
    report_number(report, "rx_errors", i->rx_errors);
    report_number(report, "rx_dropped", i->rx_dropped);
    report_number(report, "tx_packets", i->tx_packets);
    report_number(report, "tx_bytes", i->tx_bytes);
    report_number(report, "tx_errors", i->tx_errors);
    report_number(report, "tx_dropped", i->tx_dropped);
}

static void report_driver(const struct netdev *dev, struct report *report)
{
    report_text(report, "driver", "%s", dev->driver);
    report_text(report, "bus", "%s", dev->bus);
    report_open_words(report, "offloads");
    for (unsigned bit = 0; bit < NETDEV_OFFLOADS; bit++) {
        if (dev->offloads >> bit & 1)
            report_word(report, netdev_offload_names[bit]);
    }
    report_close_words(report);
}

static void tell(struct report *report)
{
    struct aerostat_interface status;
    struct net_heap_stats heap;

    report_open_list(report, "interface");
    for (unsigned i = 0; net_interface_status(i, &status) == 0; i++) {
        report_open_item(report, "%s", status.name);
        report_addresses(&status, report);
        report_driver(net_interface_get(i)->dev, report);
        report_counters(&status, report);
        report_close(report);
    }
    report_close(report);
    net_heap_get_stats(&heap);
    report_number(report, "heap_held_bytes", heap.held_bytes);
    report_number(report, "heap_limit_bytes", heap.limit_bytes);
    report_number(report, "heap_refused", heap.refused);
}

REPORTER(net_reporter) = { "network", 70, tell };
