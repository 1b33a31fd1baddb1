/* SPDX-License-Identifier: MIT */
/*
 * The network device, §5.1: frames in and out through a struct netdev. See
 * net.h for what it is shaped for, kernel/netdev.h for the contracts of the
 * operations.
 *
 * What the device says about a received frame is checked before the frame is
 * handed up; a frame that is only wrong is dropped and counted, while a device
 * whose words would let the queue and us lose step is reset and started again,
 * a few times, then given up.
 *
 * Concurrency: kernel context, one caller at a time.
 */
#include "drivers/virtio/net.h"

#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/net.h"
#include "drivers/virtio/transport.h"
#include "kernel/alloc.h"
#include "kernel/dma.h"
#include "kernel/log.h"
#include "kernel/netdev.h"
#include "kernel/panic.h"
#include "kernel/patience.h"
#include "kernel/random.h"
#include "lib/base/errno.h"
#include "lib/base/format.h"
#include "lib/base/string.h"

#define QUEUE_RX       0 /* §5.1.2 */
#define QUEUE_TX       1
#define QUEUE_SIZE_MAX 128 /* frames each way: 190 KB, more than a TCP window */

/* With VERSION_1 always all of it, §5.1.9; a legacy device may know no num_buffers, §5.1.9.1. */
#define HEADER_BYTES       sizeof(struct virtio_net_hdr)
#define SHORT_HEADER_BYTES offsetof(struct virtio_net_hdr, num_buffers)

#define MTU_MAX        65500 /* keeps a frame with its headers below 64 KiB */
#define FRAME_BYTES(m) ((uint32_t)(m) + NETDEV_ETHERNET_HEADER + NETDEV_VLAN_TAG)

#define RX_BATCH 32
#define TX_BATCH 16
#define TX_ELEMS 64 /* pieces in one batch */

/* A frame under way. Its header lies in the header table at the same index, unless in front of it.
 */
struct tx_slot {
    void *cookie;
    struct tx_slot *next; /* in `free` or `finished` */
};

struct virtio_net {
    struct netdev netdev;
    struct virtio_device *dev;
    struct virtio_queue rx, tx;
    bool mergeable, guest_checksum;
    bool lost; /* the device has lied: to be reset by the next receive() */
    bool dead; /* given up */
    bool tx_armed;
    struct patience patience;   /* with resets */
    uint16_t frame_buffers_max; /* that the largest frame may span */
    uint8_t header_bytes;
    bool header_apart; /* in a descriptor of its own: a legacy device without ANY_LAYOUT */

    struct tx_slot *slots, *free; /* tx.size of them */
    struct tx_slot *finished;     /* came back by a reset, wait for reap() */
    struct net_buffer **stash;    /* rx.size places: buffers that wait to be lent again */
    unsigned n_stash;
    struct virtio_net_hdr *headers;

    /* Scratch for one batch; here because kernel stacks are small. */
    struct virtq_elem elem[TX_ELEMS];
    struct virtq_buffer frames[TX_BATCH];

    char bus[24];
};

static const struct virtio_feature features[] = {
    VIRTIO_FEATURE(VIRTIO_NET_F_CSUM),   VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM),
    VIRTIO_FEATURE(VIRTIO_NET_F_MTU),    VIRTIO_FEATURE(VIRTIO_NET_F_MAC),
    VIRTIO_FEATURE(VIRTIO_NET_F_STATUS), VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF),
};

/* Devices that went, or failed while they were brought up: the core still had their queues. */
static struct list failed = LIST_INIT(failed);

static struct virtio_net *net_of(struct netdev *netdev)
{
    return CONTAINER_OF(netdev, struct virtio_net, netdev);
}

static void publish(struct virtio_queue *queue)
{
    if (virtq_publish(&queue->ring))
        virtq_notify(&queue->ring);
}

/* The device is out of step with us: nothing more is done with its queues until it was reset. */
static void lose(struct virtio_net *net, const char *why)
{
    if (net->lost || net->dead)
        return;
    net->lost = true;
    virtio_trouble(net->dev, why);
    event_signal(&netdev_event);
}

/* ---- out */

/* The frame's pieces as the device sees them, behind n that are there; how many now, 0: too many.
 */
static unsigned add_piece(struct virtio_net *net, unsigned n, const uint8_t *start, size_t bytes)
{
    while (bytes > 0) {
        dma_addr_t addr;
        size_t run;

        if (n == TX_ELEMS)
            return 0;
        run = dma_translate(start, bytes, &addr);
        if (run == 0)
            return 0;
        net->elem[n++] = (struct virtq_elem){ addr, (uint32_t)run };
        start += run;
        bytes -= run;
    }
    return n;
}

static struct virtio_net_hdr make_header(const struct net_packet *packet)
{
    struct virtio_net_hdr header = { .gso_type = VIRTIO_NET_HDR_GSO_NONE };

    if (packet->checksum_start) {
        header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        header.csum_start = packet->checksum_start;
        header.csum_offset = packet->checksum_offset;
    }
    return header;
}

static bool may_send(const struct virtio_net *net, const struct net_packet *packet)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < packet->n_elem; i++)
        bytes += packet->elem[i].bytes;
    return bytes >= NETDEV_ETHERNET_HEADER &&
           bytes <= (uint64_t)net->netdev.mtu + NETDEV_ETHERNET_HEADER &&
           packet->n_elem <= NET_ELEMS_MAX;
}

/* Behind a short header may stand what nobody may write over. */
static void write_header(const struct virtio_net *net, void *to,
                         const struct virtio_net_hdr *header)
{
    memcpy(to, header, SHORT_HEADER_BYTES);
    if (net->header_bytes == HEADER_BYTES)
        memcpy((uint8_t *)to + SHORT_HEADER_BYTES, &header->num_buffers, sizeof(le16));
}

/*
 * Describes the packet in the scratch behind n pieces; how many there are
 * then, 0: it has too many. The header goes in front of the frame where the
 * stack left room, which saves a descriptor (§2.7.4: framing is ours to choose,
 * but not with old devices, §5.1.9.8).
 */
static unsigned describe(struct virtio_net *net, unsigned n, const struct net_packet *packet,
                         struct virtio_net_hdr *slot_header)
{
    struct virtio_net_hdr header = make_header(packet);
    const uint8_t *start = packet->elem[0].start;
    size_t bytes = packet->elem[0].bytes;

    if (packet->headroom >= net->header_bytes && !net->header_apart) {
        start -= net->header_bytes;
        bytes += net->header_bytes;
        write_header(net, (void *)(uintptr_t)start, &header);
    } else {
        *slot_header = header;
        n = add_piece(net, n, (const uint8_t *)slot_header, net->header_bytes);
    }
    if (n < TX_ELEMS)
        n = add_piece(net, n, start, bytes);
    for (unsigned i = 1; i < packet->n_elem && n > 0; i++)
        n = add_piece(net, n, packet->elem[i].start, packet->elem[i].bytes);
    return n;
}

static struct tx_slot *take_slot(struct virtio_net *net, void *cookie)
{
    struct tx_slot *slot = net->free;

    net->free = slot->next;
    slot->cookie = cookie;
    return slot;
}

static void free_slot(struct virtio_net *net, struct tx_slot *slot)
{
    slot->next = net->free;
    net->free = slot;
}

/* Hands over n described frames; those that did not fit give their slots back. How many fitted. */
static int add_frames(struct virtio_net *net, unsigned n)
{
    int added = virtq_add(&net->tx.ring, net->frames, n);

    for (unsigned i = MAX(added, 0); i < n; i++)
        free_slot(net, net->frames[i].cookie);
    if (added == -EIO)
        lose(net, virtq_broken_reason(&net->tx.ring));
    return added;
}

/* As many of n packets as the scratch and the slots hold; how many were sent, or a negative errno.
 */
static int transmit_batch(struct virtio_net *net, const struct net_packet *packets, unsigned n)
{
    unsigned described = 0, elems = 0;
    int added;

    while (described < MIN(n, TX_BATCH) && net->free && may_send(net, &packets[described])) {
        struct tx_slot *slot = take_slot(net, packets[described].cookie);
        unsigned end = describe(net, elems, &packets[described], &net->headers[slot - net->slots]);

        if (end == 0) {
            free_slot(net, slot);
            break;
        }
        net->frames[described++] =
            (struct virtq_buffer){ &net->elem[elems], (uint16_t)(end - elems), 0, slot };
        elems = end;
    }
    if (described == 0)
        return net->free ? -EMSGSIZE : -EAGAIN;
    added = add_frames(net, described);
    for (int i = 0; i < added; i++) {
        net->netdev.counters.tx_packets++;
        for (unsigned k = 0; k < packets[i].n_elem; k++)
            net->netdev.counters.tx_bytes += packets[i].elem[k].bytes;
    }
    return added == 0 ? -EAGAIN : added;
}

static int virtio_net_transmit(struct netdev *netdev, const struct net_packet *packets, unsigned n)
{
    struct virtio_net *net = net_of(netdev);
    unsigned sent = 0;
    int more = 0;

    if (net->lost || net->dead)
        return net->dead ? -EIO : -EAGAIN;
    while (sent < n) {
        more = transmit_batch(net, packets + sent, n - sent);
        if (more < 0)
            break;
        sent += (unsigned)more;
    }
    if (sent == 0)
        return more;
    publish(&net->tx);
    return (int)sent;
}

static int virtio_net_reap(struct netdev *netdev, void **cookies, unsigned max)
{
    struct virtio_net *net = net_of(netdev);
    struct virtq_done done[TX_BATCH];
    unsigned reaped = 0;

    for (; net->finished && reaped < max; reaped++) {
        struct tx_slot *slot = net->finished;

        net->finished = slot->next;
        cookies[reaped] = slot->cookie;
        free_slot(net, slot);
    }
    if (net->tx_armed && !net->lost && !net->dead) {
        virtq_disarm(&net->tx.ring);
        net->tx_armed = false;
    }
    while (!net->lost && !net->dead && reaped < max) {
        int n = virtq_get(&net->tx.ring, done, MIN(max - reaped, TX_BATCH));

        if (n < 0)
            lose(net, virtq_broken_reason(&net->tx.ring));
        if (n <= 0)
            break;
        for (int i = 0; i < n; i++) {
            struct tx_slot *slot = done[i].cookie;

            cookies[reaped++] = slot->cookie;
            free_slot(net, slot);
        }
    }
    return (int)reaped;
}

static bool virtio_net_arm_transmit(struct netdev *netdev)
{
    struct virtio_net *net = net_of(netdev);
    uint16_t in_flight = virtq_in_flight(&net->tx.ring);

    if (net->finished)
        return true;
    if (net->lost || net->dead || in_flight == 0)
        return false;
    net->tx_armed = true;
    return virtq_arm(&net->tx.ring, MAX(in_flight / 2, 1));
}

/* ---- in */

/* A buffer of ours that is not in the ring: from a dropped frame, or while the device is reset. */
static void stash(struct virtio_net *net, struct net_buffer *buffer)
{
    assert(net->n_stash < net->rx.size);
    net->stash[net->n_stash++] = buffer;
}

/* Descriptors that an empty buffer takes. */
static unsigned rx_elems(const struct virtio_net *net)
{
    return net->header_apart ? 2 : 1;
}

static void describe_empty(const struct virtio_net *net, const struct net_buffer *buffer,
                           struct virtq_elem *elem)
{
    const uint32_t apart = net->header_apart ? net->header_bytes : 0;
    const dma_addr_t start = dma_address(buffer->start);

    if (apart)
        *elem++ = (struct virtq_elem){ start, apart };
    *elem = (struct virtq_elem){ start + apart, buffer->bytes - apart };
}

/* Lends the first of n buffers that fit; the device does not see them yet. */
static unsigned lend(struct virtio_net *net, struct net_buffer *const *buffers, unsigned n)
{
    struct virtq_elem elem[RX_BATCH];
    struct virtq_buffer lent[RX_BATCH];
    int added = 1;
    unsigned given = 0, per_buffer = rx_elems(net);

    while (given < n && added > 0) {
        unsigned batch = MIN(n - given, RX_BATCH / per_buffer);

        for (unsigned i = 0; i < batch; i++) {
            struct net_buffer *buffer = buffers[given + i];

            assert(buffer->bytes >= net->netdev.rx_buffer_bytes);
            describe_empty(net, buffer, &elem[i * per_buffer]);
            lent[i] =
                (struct virtq_buffer){ &elem[i * per_buffer], 0, (uint16_t)per_buffer, buffer };
        }
        added = virtq_add(&net->rx.ring, lent, batch);
        given += (unsigned)MAX(added, 0);
    }
    return given;
}

static void lend_stash(struct virtio_net *net)
{
    unsigned lent = lend(net, net->stash, net->n_stash);

    for (unsigned i = lent; i < net->n_stash; i++)
        net->stash[i - lent] = net->stash[i];
    net->n_stash -= lent;
}

static int virtio_net_give(struct netdev *netdev, struct net_buffer *const *buffers, unsigned n)
{
    struct virtio_net *net = net_of(netdev);
    unsigned room, given;

    if (net->lost || net->dead)
        return 0;
    room = net->rx.size - virtq_in_flight(&net->rx.ring) - net->n_stash;
    given = lend(net, buffers, MIN(n, room));
    publish(&net->rx);
    return (int)given;
}

/* What came back from the receive queue and was not looked at yet. */
struct rx_run {
    struct virtq_done done[RX_BATCH];
    int n, at;
};

/* The next buffer that came back, at most `max` of them at once from the ring; NULL: there is none.
 */
static const struct virtq_done *next_done(struct virtio_net *net, struct rx_run *run, unsigned max)
{
    if (run->at == run->n) {
        run->at = 0;
        run->n = virtq_get(&net->rx.ring, run->done, MIN(max, RX_BATCH));
        if (run->n < 0) {
            run->n = 0;
            lose(net, virtq_broken_reason(&net->rx.ring));
        }
        if (run->n == 0)
            return NULL;
    }
    return &run->done[run->at++];
}

/* What the header in front of a frame says, each field loaded once and judged. */
struct rx_head {
    uint16_t n_buffers; /* 0: nonsense */
    bool good;          /* the frame may be handed up */
    uint8_t checksum;
};

static struct rx_head read_head(const struct virtio_net *net, const struct virtq_done *done)
{
    const struct net_buffer *buffer = done->cookie;
    struct rx_head head = { 1, false, NET_CHECKSUM_UNKNOWN };
    struct virtio_net_hdr header;

    /* Without a whole header there is nothing to go by; what stands there is from another frame. */
    if (done->len < net->header_bytes)
        return head;
    memcpy(&header, buffer->start, sizeof(header));
    if (net->mergeable)
        head.n_buffers = header.num_buffers;
    if (net->guest_checksum &&
        (header.flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID)))
        head.checksum = NET_CHECKSUM_GOOD;
    head.good = header.gso_type == VIRTIO_NET_HDR_GSO_NONE && head.n_buffers > 0 &&
                head.n_buffers <= net->frame_buffers_max;
    return head;
}

/* Gathers a frame's buffers, n_buffers of them or fewer, into parts; true: it is a good one. */
static bool gather(struct virtio_net *net, struct rx_run *run, const struct virtq_done *done,
                   struct rx_head head, struct net_received *parts)
{
    uint32_t bytes = 0, offset = net->header_bytes;
    bool good = head.good;

    for (unsigned i = 0;;) {
        struct net_buffer *buffer = done->cookie;
        uint32_t length = done->len - MIN(offset, done->len);

        bytes += length;
        if (head.good)
            parts[i] = (struct net_received){ buffer, offset, length, i ? 0 : head.n_buffers,
                                              head.checksum };
        else
            stash(net, buffer);
        if (++i >= head.n_buffers)
            break;
        /* All but the last one are full, and all come together (§5.1.9.4.1). Were one missing,
         * every later frame would be taken for a part of this one. */
        good = good && done->len == buffer->bytes;
        offset = 0;
        done = next_done(net, run, 1);
        if (!done) {
            lose(net, "a frame lacks buffers that its header announced");
            if (head.good)
                parts[0].n_buffers = (uint16_t)i;
            return false;
        }
    }
    if (head.n_buffers == 0)
        lose(net, "a frame says that it takes no buffer");
    if (!good || done->len == 0 || bytes < NETDEV_ETHERNET_HEADER ||
        bytes > FRAME_BYTES(net->netdev.mtu))
        return false;
    net->netdev.counters.rx_packets++;
    net->netdev.counters.rx_bytes += bytes;
    return true;
}

/* Takes the frame that begins with `done`; how many places of the batch it fills, 0: dropped. */
static unsigned take_frame(struct virtio_net *net, struct rx_run *run,
                           const struct virtq_done *done, struct net_received *parts)
{
    struct rx_head head = read_head(net, done);

    if (gather(net, run, done, head, parts))
        return head.n_buffers;
    net->netdev.counters.rx_errors++;
    for (unsigned i = 0; head.good && i < parts[0].n_buffers; i++)
        stash(net, parts[i].buffer);
    return 0;
}

/* ---- the device's state */

static void read_link(struct virtio_net *net)
{
    bool up = true;
    le16 status;
    int error = -ENOENT;

    if (virtio_has(net->dev, VIRTIO_NET_F_STATUS))
        error = virtio_config_read(net->dev, offsetof(struct virtio_net_config, status), &status,
                                   sizeof(status));
    if (error == 0)
        up = status & VIRTIO_NET_S_LINK_UP;
    else if (error == -EIO)
        lose(net, "the device's status does not settle");
    if (up != net->netdev.link_up)
        log_info("%s: link %s", net->netdev.name, up ? "up" : "down");
    net->netdev.link_up = up;
}

static void give_up(struct virtio_net *net, const char *why)
{
    net->dead = true;
    net->netdev.link_up = false;
    if (!net->dev->failure) /* else the core has told it */
        virtio_fail(net->dev, why);
}

/* What was lent comes back: receive buffers for the queue's next life, frames for reap(). */
static void take_back(struct virtio_net *net, struct virtio_queue *queue)
{
    void *cookies[RX_BATCH];
    int n;

    while ((n = virtq_drain(&queue->ring, cookies, RX_BATCH)) > 0) {
        for (int i = 0; i < n; i++) {
            struct tx_slot *slot = cookies[i];

            if (queue == &net->rx) {
                stash(net, cookies[i]);
                continue;
            }
            slot->next = net->finished;
            net->finished = slot;
            net->netdev.counters.tx_errors++;
        }
    }
    if (queue == &net->tx)
        net->tx_armed = false;
}

/* Whether the queue works again, alone (§2.6.1); one that is not broken does. */
static bool restart_queue(struct virtio_net *net, struct virtio_queue *queue)
{
    if (!virtq_broken_reason(&queue->ring))
        return true;
    if (virtio_queue_reset(queue) || net->dead)
        return false;
    take_back(net, queue);
    return virtio_queue_restart(queue) == 0;
}

/* A lie about one queue need not disturb the other. Else the whole device has to be reset. */
static bool restart_queues(struct virtio_net *net)
{
    bool broken = virtq_broken_reason(&net->rx.ring) || virtq_broken_reason(&net->tx.ring);

    return broken && virtio_has(net->dev, VIRTIO_F_RING_RESET) && !virtio_needs_reset(net->dev) &&
           restart_queue(net, &net->rx) && restart_queue(net, &net->tx);
}

/* NULL: the device works again; else why it does not. Without patience it only gives back. */
static const char *restart_device(struct virtio_net *net, bool patient)
{
    if (virtio_reset(net->dev) < 0)
        return "the device does not answer a reset, what was lent to it stays lost";
    if (net->dead) /* removed meanwhile: virtio_net_remove() has done the rest */
        return "the device is gone";
    take_back(net, &net->rx);
    take_back(net, &net->tx);
    if (!patient)
        return "the device was reset too often";
    if (virtio_reinit(net->dev) < 0 || virtio_start(net->dev) < 0)
        return "the device did not come back after a reset";
    return NULL;
}

/* The device has lied or asks for it: reset, and start again with the same buffers. */
static void recover(struct virtio_net *net)
{
    bool patient = patience_lasts(&net->patience);
    const char *why = NULL;

    /* Removed while a queue's reset slept, there is no device to reset any more. */
    if (!patient || (!restart_queues(net) && !net->dead))
        why = restart_device(net, patient);
    if (net->dead)
        return;
    if (why) {
        give_up(net, why);
        return;
    }
    net->lost = false;
    lend_stash(net);
    publish(&net->rx);
    log_info("%s: reset and started again", net->netdev.name);
    read_link(net);
}

/* ---- more of in */

static int virtio_net_receive(struct netdev *netdev, struct net_received *batch, unsigned max)
{
    struct virtio_net *net = net_of(netdev);
    struct rx_run run = { .n = 0, .at = 0 };
    const struct virtq_done *done;
    unsigned filled = 0;

    if (net->dead)
        return 0;
    if (virtio_config_changed(net->dev)) {
        const char *why = virtio_needs_reset(net->dev);

        read_link(net);
        if (why)
            lose(net, why);
    }
    if (net->lost)
        recover(net);
    if (net->dead)
        return 0;

    /* A frame whose first buffer is taken always finds places for the others. */
    while (!net->lost && filled + (unsigned)(run.n - run.at) + net->frame_buffers_max <= max) {
        done = next_done(net, &run, max - filled - net->frame_buffers_max + 1);
        if (!done)
            break;
        filled += take_frame(net, &run, done, batch + filled);
    }
    while (run.at < run.n)
        filled += take_frame(net, &run, &run.done[run.at++], batch + filled);
    if (net->n_stash > 0 && !net->lost) {
        lend_stash(net);
        publish(&net->rx);
    }
    return (int)filled;
}

static bool virtio_net_arm(struct netdev *netdev)
{
    struct virtio_net *net = net_of(netdev);

    if (net->dead)
        return false;
    return net->lost || virtq_arm(&net->rx.ring, 1);
}

static void virtio_net_disarm(struct netdev *netdev)
{
    struct virtio_net *net = net_of(netdev);

    if (!net->lost && !net->dead)
        virtq_disarm(&net->rx.ring);
}

static int virtio_net_give_back(struct netdev *netdev, struct net_buffer **buffers, unsigned max)
{
    struct virtio_net *net = net_of(netdev);
    unsigned n = 0;

    while (n < max && net->n_stash > 0)
        buffers[n++] = net->stash[--net->n_stash];
    return (int)n;
}

/* The struct stays until the next probe: the core may still have the queues in it. */
static void virtio_net_release(struct netdev *netdev)
{
    struct virtio_net *net = net_of(netdev);

    kfree(net->slots);
    kfree(net->stash);
    list_append(&failed, &netdev->link);
}

static const struct netdev_ops operations = {
    .transmit = virtio_net_transmit,
    .reap = virtio_net_reap,
    .give = virtio_net_give,
    .receive = virtio_net_receive,
    .arm = virtio_net_arm,
    .disarm = virtio_net_disarm,
    .arm_transmit = virtio_net_arm_transmit,
    .give_back = virtio_net_give_back,
    .release = virtio_net_release,
};

/* ---- start */

static void read_mac(struct virtio_net *net)
{
    uint8_t *mac = net->netdev.mac;

    if (virtio_has(net->dev, VIRTIO_NET_F_MAC) &&
        virtio_config_read(net->dev, offsetof(struct virtio_net_config, mac), mac, 6) == 0) {
        if (!(mac[0] & 1) && (mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]))
            return;
        log_error("%s: %02x:%02x:%02x:%02x:%02x:%02x is no address of a station", net->bus, mac[0],
                  mac[1], mac[2], mac[3], mac[4], mac[5]);
    }
    random_bytes(mac, 6);
    mac[0] = (uint8_t)((mac[0] & ~1U) | 2U); /* of one station, locally administered */
}

static void read_mtu(struct virtio_net *net)
{
    le16 mtu;

    net->netdev.mtu = NETDEV_MTU_DEFAULT;
    if (!virtio_has(net->dev, VIRTIO_NET_F_MTU) ||
        virtio_config_read(net->dev, offsetof(struct virtio_net_config, mtu), &mtu, sizeof(mtu)))
        return;
    if (mtu < NETDEV_MTU_MIN)
        log_error("%s: an MTU of %u is nonsense, using %u", net->bus, mtu, NETDEV_MTU_DEFAULT);
    else
        net->netdev.mtu = MIN(mtu, MTU_MAX);
}

/*
 * A buffer holds a whole frame, be they merged or not (§5.1.9.3.1): merging
 * pays where frames are larger than a page, and those take several buffers.
 */
static void choose_buffers(struct virtio_net *net)
{
    uint32_t whole = net->header_bytes + MAX(FRAME_BYTES(net->netdev.mtu), 1514);

    net->netdev.rx_buffer_bytes = net->mergeable ? MIN(whole, 1536) : whole;
    net->frame_buffers_max =
        (uint16_t)((whole + net->netdev.rx_buffer_bytes - 1) / net->netdev.rx_buffer_bytes);
    net->netdev.rx_batch_min = net->frame_buffers_max;
}

static int allocate(struct virtio_net *net)
{
    dma_addr_t unused;

    net->slots = kalloc(net->tx.size * sizeof(*net->slots));
    net->stash = kalloc(net->rx.size * sizeof(struct net_buffer *));
    net->headers = dma_alloc(net->tx.size * sizeof(*net->headers), &unused);
    if (!net->slots || !net->stash || !net->headers)
        return -ENOMEM;
    for (unsigned i = 0; i < net->tx.size; i++)
        free_slot(net, &net->slots[i]);
    return 0;
}

static int start(struct virtio_net *net)
{
    struct virtio_device *dev = net->dev;
    int error;

    error = virtio_queue_setup(dev, &net->rx, QUEUE_RX, QUEUE_SIZE_MAX, 0, &netdev_event);
    if (error == 0)
        error = virtio_queue_setup(dev, &net->tx, QUEUE_TX, QUEUE_SIZE_MAX, 0, &netdev_event);
    if (error == 0)
        error = allocate(net);
    if (error < 0)
        return error;
    virtio_queue_ignore_lengths(&net->tx); /* §5.1.9.1 */
    net->netdev.rx_buffers = (uint16_t)(net->rx.size / rx_elems(net));
    if (!net->netdev.rx_buffers)
        return -EINVAL;
    virtio_config_watch(dev, &netdev_event);
    return virtio_start(dev);
}

static void free_headers(struct virtio_net *net)
{
    if (net->headers)
        dma_free(net->headers, net->tx.size * sizeof(*net->headers));
    net->headers = NULL;
}

/* All but the struct itself: the core takes its queues back from it when probe() has failed. */
static void release(struct virtio_net *net)
{
    if (virtio_reset(net->dev) == 0)
        free_headers(net);
    kfree(net->slots);
    kfree(net->stash);
    list_append(&failed, &net->netdev.link);
}

static void free_failed(void)
{
    struct list *link;

    while ((link = list_pop(&failed)))
        kfree(CONTAINER_OF(link, struct virtio_net, netdev.link));
}

static int virtio_net_probe(struct virtio_device *dev)
{
    struct virtio_net *net;
    struct text bus;
    int error;

    free_failed();
    net = kalloc(sizeof(*net));
    if (!net)
        return -ENOMEM;
    net->dev = dev;
    dev->driver_state = net;
    text_init(&bus, net->bus, sizeof(net->bus));
    dev->transport->locate(dev, &bus);
    net->mergeable = virtio_has(dev, VIRTIO_NET_F_MRG_RXBUF);
    net->header_bytes = dev->legacy && !net->mergeable ? SHORT_HEADER_BYTES : HEADER_BYTES;
    net->header_apart = dev->legacy && !virtio_has(dev, VIRTIO_F_ANY_LAYOUT);
    net->guest_checksum = virtio_has(dev, VIRTIO_NET_F_GUEST_CSUM);
    net->netdev.ops = &operations;
    net->netdev.driver = "virtio_net";
    net->netdev.bus = net->bus;
    net->netdev.offloads = NETDEV_SCATTER |
                           (virtio_has(dev, VIRTIO_NET_F_CSUM) ? NETDEV_TX_CHECKSUM : 0) |
                           (net->guest_checksum ? NETDEV_RX_CHECKSUM : 0);
    read_mac(net);
    read_mtu(net);
    choose_buffers(net);
    error = start(net);
    if (error < 0) {
        release(net);
        return error;
    }
    net->netdev.link_up = true;
    netdev_register(&net->netdev);
    read_link(net);
    return 0;
}

/* The device goes; the stack gets back what it had lent, then lets go of the rest. */
static void virtio_net_remove(struct virtio_device *dev)
{
    struct virtio_net *net = dev->driver_state;

    net->dead = true; /* before the reset, during which others run */
    net->netdev.link_up = false;
    if (virtio_reset(dev) == 0) {
        take_back(net, &net->rx);
        take_back(net, &net->tx);
        free_headers(net);
    }
    netdev_unregister(&net->netdev);
}

const struct virtio_driver virtio_net_driver LINKER_SET(virtio_drivers) = {
    .name = "virtio-net",
    .type = VIRTIO_ID_NET,
    .features = features,
    .n_features = ARRAY_SIZE(features),
    .probe = virtio_net_probe,
    .remove = virtio_net_remove,
};
