/* SPDX-License-Identifier: MIT */
/*
 * Network devices as the rest of the system sees them: Ethernet frames out and
 * in, in batches. A driver fills a struct netdev and registers it; one network
 * stack opens it and owns all that is below. The driver knows nothing of the
 * stack, the stack nothing of the device.
 *
 * Shaped for frames that are copied at most once each way: what is sent is
 * described by pieces of the stack's own memory, what is received lands in
 * buffers that the stack gave.
 *
 *     dev->ops->give(dev, buffers, n);                    memory to receive into
 *     for (;;) {
 *         while ((n = dev->ops->receive(dev, batch, max)) > 0)
 *             ...                                         the stack's again, with frames in it
 *         if (!dev->ops->arm(dev))                        true: look again, it came meanwhile
 *             event_wait(&netdev_event, deadline);
 *         dev->ops->disarm(dev);
 *     }
 *
 * Concurrency: kernel context, one caller at a time for each device; no
 * function blocks. Interrupt handlers only signal netdev_event.
 */
#ifndef KERNEL_NETDEV_H
#define KERNEL_NETDEV_H

#include "kernel/event.h"
#include "lib/base/list.h"
#include "lib/base/types.h"

#define NETDEV_ETHERNET_HEADER 14
#define NETDEV_VLAN_TAG        4
#define NETDEV_MTU_MIN         68 /* RFC 791 */
#define NETDEV_MTU_DEFAULT     1500

struct netdev;

/* One contiguous piece of a frame that is sent; kernel or application memory, never empty. */
struct net_elem {
    const void *start;
    uint32_t bytes;
};

/*
 * A frame to send. The struct and the element array may die after transmit();
 * the memory they describe is the driver's until reap() gives the cookie back.
 */
struct net_packet {
    const struct net_elem *elem;
    uint16_t n_elem;   /* at least 1, at most NET_ELEMS_MAX */
    uint16_t headroom; /* bytes before the first element that the driver may overwrite */

    /*
     * NETDEV_TX_CHECKSUM only. checksum_start > 0: the device adds up the frame
     * from there to its end and stores the complement checksum_offset bytes
     * further on, where the pseudo header's sum stands already.
     */
    uint16_t checksum_start, checksum_offset;

    void *cookie;
};

#define NET_ELEMS_MAX 16

/* A receive buffer: the stack's, but for the time between give() and receive(). */
struct net_buffer {
    uint8_t *start; /* kernel memory */
    uint32_t bytes; /* at least rx_buffer_bytes of the device */
};

enum net_checksum {
    NET_CHECKSUM_UNKNOWN, /* the stack has to verify it */
    NET_CHECKSUM_GOOD,    /* TCP or UDP: the device verified it, or the frame never left the host */
};

/*
 * A buffer that came back. A frame is n_buffers of them in a row; all of them
 * are in the same batch.
 */
struct net_received {
    struct net_buffer *buffer;
    uint32_t offset, bytes; /* where the frame's bytes lie in it */
    uint16_t n_buffers;     /* in a frame's first buffer, at least 1; in the others 0 */
    uint8_t checksum;       /* enum net_checksum; in a frame's first buffer */
};

struct netdev_counters {
    uint64_t rx_packets, rx_bytes, rx_errors, rx_dropped;
    uint64_t tx_packets, tx_bytes, tx_errors, tx_dropped;
};

struct netdev_ops {
    /*
     * Sends the first of n frames that fit; returns how many. -EAGAIN: full,
     * retry after reap(). -EMSGSIZE: the first one is not a frame that this
     * device may send. -EIO: the device is broken.
     */
    int (*transmit)(struct netdev *dev, const struct net_packet *packets, unsigned n);

    /* The cookies of at most max frames that the device has done with; how many. */
    int (*reap)(struct netdev *dev, void **cookies, unsigned max);

    /* Lends the first of n buffers that fit; returns how many. */
    int (*give)(struct netdev *dev, struct net_buffer *const *buffers, unsigned n);

    /*
     * Received frames into at most max places, which must be enough for the
     * largest frame (rx_batch_min); returns how many places were filled, 0:
     * nothing came. Bad frames are dropped and counted, their buffers lent again.
     */
    int (*receive)(struct netdev *dev, struct net_received *batch, unsigned max);

    /*
     * Asks for netdev_event when frames come or the link changes. true: there
     * is something already, no event may come. disarm() is a hint.
     */
    bool (*arm)(struct netdev *dev);
    void (*disarm)(struct netdev *dev);

    /* Asks once for netdev_event when a full device has room again. true: it has. */
    bool (*arm_transmit)(struct netdev *dev);

    /*
     * Of a device that is gone: what receive() will not bring any more comes back, at most max
     * buffers; how many. release(): the stack has let go of the device, its struct may die.
     */
    int (*give_back)(struct netdev *dev, struct net_buffer **buffers, unsigned max);
    void (*release)(struct netdev *dev);
};

/* What the device does for the stack; names as `ethtool -k` prints them are in netdev.c. */
#define NETDEV_TX_CHECKSUM (1U << 0) /* net_packet.checksum_start may be used */
#define NETDEV_RX_CHECKSUM (1U << 1) /* net_received.checksum means something */
#define NETDEV_SCATTER     (1U << 2) /* net_packet.n_elem may be more than 1 */

#define NETDEV_OFFLOADS 3

extern const char *const netdev_offload_names[NETDEV_OFFLOADS];

struct netdev {
    struct list link; /* among all devices, set by netdev_register() */
    char name[8];     /* "eth0", set by netdev_register() */
    unsigned number;  /* 0 for the first one, never used again; set by netdev_register() */
    bool gone;        /* set by netdev_unregister(): its ops only give back */

    /* Set by the driver before netdev_register(). */
    const struct netdev_ops *ops;
    const char *driver; /* "virtio_net" */
    const char *bus;    /* where the device is, such as "0000:00:03.0" */
    uint32_t offloads;  /* NETDEV_TX_CHECKSUM ... */
    uint8_t mac[6];
    uint16_t mtu;             /* bytes behind the Ethernet header; at least NETDEV_MTU_MIN */
    uint16_t rx_batch_min;    /* the least max for receive() */
    uint16_t rx_buffers;      /* buffers that it can hold */
    uint32_t rx_buffer_bytes; /* the least size of a buffer */

    /* Written by the driver, in its calls. */
    bool link_up;
    struct netdev_counters counters; /* dropped ones also by the stack */
};

/* Marked by the interrupts of every network device: one stack waits for all. */
extern struct event netdev_event;

/* Names the device and puts it behind the others, and tells the stack. */
void netdev_register(struct netdev *dev);

/* The device is gone. It stays listed until the stack has taken back what is its own. */
void netdev_unregister(struct netdev *dev);

/* The stack's last word: unlists the device and calls its release(). */
void netdev_forget(struct netdev *dev);

/* Grows when a device comes or goes. */
extern unsigned netdev_changes;

/* The index-th device, NULL beyond the last. */
struct netdev *netdev_get(unsigned index);

#endif
