/* SPDX-License-Identifier: MIT */
/*
 * The network as an application sees it besides sockets: interfaces, addresses,
 * counters, ping. For applications whose app.mk says USES = net.
 *
 * Errors: -1 and errno. Addresses are in network byte order, as in struct
 * in_addr. What a function fills is the caller's; nothing is kept.
 *
 * Threads: for any thread of the application, not for signal handlers.
 */
#ifndef AEROSTAT_NET_H
#define AEROSTAT_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct aerostat_interface {
    char name[8]; /* "eth0" */
    bool link_up;
    bool dhcp; /* addressed by DHCP, not by a kernel word */
    uint8_t mac[6];
    uint16_t mtu;                       /* bytes */
    uint32_t address, netmask, gateway; /* 0: none (yet) */
    uint32_t dns[2];                    /* 0: none */
    uint32_t lease_seconds;             /* of the DHCP lease as it was given; 0: no lease */
    uint64_t rx_packets, rx_bytes, rx_errors, rx_dropped;
    uint64_t tx_packets, tx_bytes, tx_errors, tx_dropped;
};

/* Fills *interface with what the index-th, from 0, is now. 0; -1: ENODEV, there is none. */
int aerostat_interface_get(unsigned index, struct aerostat_interface *interface);

/* Waits until some interface has an address. 0; -1: ETIMEDOUT, or ENODEV: there is no interface. */
int aerostat_network_wait(unsigned timeout_ms);

/*
 * Writes all interfaces as `ifconfig` shows them, with driver and offloads as `ethtool -i` and
 * `-k` do, into the buffer, terminated. Returns the bytes written without the terminating zero;
 * -1 with errno EINVAL: size is 0, or ENOSPC: it did not fit and the buffer holds its start.
 */
int aerostat_network_describe(char *buffer, size_t size);

/*
 * Sends one ICMP echo request of `bytes` bytes of payload (at most 1400) and waits for the
 * answer; its round trip in *round_trip_ns, untouched when there was none. 0; -1 with errno
 * ETIMEDOUT, EHOSTUNREACH, EINVAL: too many bytes or no address, or ENOMEM.
 */
int aerostat_network_ping(uint32_t address, size_t bytes, unsigned timeout_ms,
                          uint64_t *round_trip_ns);

#ifdef __cplusplus
}
#endif

#endif
