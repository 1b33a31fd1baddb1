/* SPDX-License-Identifier: MIT */
/*
 * What the files of the lwIP port share. One thread, lwIP's "net", receives,
 * handles lwIP's messages and runs its timeouts; it sleeps on netdev_event
 * until the next timeout. Application threads work in their own calls, under
 * the core lock; what they send goes out in one batch when they let go of it.
 *
 * Concurrency: kernel context; the core lock is held unless stated.
 */
#ifndef LIB_NET_STACK_H
#define LIB_NET_STACK_H

#include "kernel/event.h"
#include "kernel/netdev.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"

#define NET_INTERFACES_MAX 8
#define NET_OUT_MAX        128 /* frames that wait for a full device; a power of two */

/* A receive buffer and the pbuf that lends it to lwIP; the frame's memory lies behind it. */
struct net_rx {
    struct pbuf_custom pbuf;
    struct net_buffer buffer;
    struct net_interface *interface;
    struct net_rx *next; /* in `idle` */
};

struct net_interface {
    struct netif netif;
    struct netdev *dev;
    struct net_interface *next; /* among those without a device */

    struct net_rx *idle;        /* neither the driver's nor lwIP's */
    unsigned n_rx, n_rx_max;    /* all of them; how many there may be */
    size_t cell_bytes;          /* of a struct net_rx with its memory */
    unsigned n_lent;            /* the driver's */
    unsigned n_held;            /* lwIP's */
    unsigned rx_target;         /* how many the driver is to have */
    struct net_received *batch; /* places for dev->ops->receive() */
    unsigned batch_max;

    struct pbuf *out[NET_OUT_MAX]; /* frames for the device, each with a reference of ours */
    unsigned out_first, out_count;
    bool out_full; /* the device had no room: it signals when it has */
    bool refused;  /* not even here was room: lwIP is to try again */

    bool dhcp;
};

/* ---- netif.c: lwIP's interface above a struct netdev */

/* Adds the device as an lwIP interface, without an address, and gives it buffers. NULL: no memory.
 */
struct net_interface *net_interface_add(struct netdev *dev);

/* Its device is gone: connections over it end, the device gives back what it has. */
void net_interface_remove(struct net_interface *interface);

/* The index-th interface, NULL beyond the last. */
struct net_interface *net_interface_get(unsigned index);

/* Takes what came and what was sent off all devices, once; true: there was something. */
bool net_poll(void);

/* Asks all devices for netdev_event; true: there is something already. */
bool net_arm(void);

/* Hands what waits to the devices. */
void net_flush(void);

/* ---- start.c */

/* Starts interfaces for devices that came and ends those whose devices went. */
void net_follow_devices(void);

/* ---- timeouts.c */

/* The lock is about to be released: wakes the network thread if a timeout is nearer than it knows.
 */
void net_timeouts_changed(void);

/* ---- sys_arch.c */

/* The mailbox that is made next waits on this event, not on one of its own; lock not needed. */
void net_next_mailbox_uses(struct event *event);

#endif
