/* SPDX-License-Identifier: MIT */
/*
 * lwIP's network interface above a struct netdev.
 *
 * Out: the device reads from lwIP's own packets, which are held by a reference
 * until it has; only memory that its owner may change at any time is copied.
 * Frames are gathered and go out in one batch when the lock is let go of; what
 * a full device does not take waits here, and then lwIP is told to wait.
 *
 * In: frames land in buffers that become lwIP's packets as they are. There are
 * more of them than the device holds; when lwIP sits on the surplus, frames are
 * copied, so that the device never starves.
 *
 * Checksums: where the device finishes them, TCP and UDP leave with the sum of
 * the pseudo header only. A received frame that the device did not vouch for
 * is verified by lwIP.
 *
 * Concurrency: kernel context, core lock held; packets may be freed without it.
 */
#include "kernel/alloc.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"
#include "lib/net/checksum.h"
#include "lib/net/config.h"
#include "lib/net/stack.h"
#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ip.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/tcp.h"
#include "lwip/prot/udp.h"
#include "netif/ethernet.h"

#define TX_BATCH       16
#define RX_BATCH       32
#define RX_FIRST       32 /* buffers to begin with; load brings more */
#define RX_SPARE_MIN   8
#define RX_BLOCK_ORDER 3
#define RX_ROUNDS      4 /* batches in one net_poll() of a device */
#define RX_FRAME_AT    ALIGN_UP(sizeof(struct net_rx), 64) /* where the device's memory begins */
#define RX_MEMORY_MAX  (512 * KIB)
#define VERIFY         (NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP)

static struct net_interface *interfaces[NET_INTERFACES_MAX];
static unsigned n_interfaces;
static struct net_interface *parted; /* without a device, for the next one that suits */
static bool armed;                   /* the devices were asked for interrupts */

struct net_interface *net_interface_get(unsigned index)
{
    return index < n_interfaces ? interfaces[index] : NULL;
}

/* ---- out */

/* The transport header of an unfragmented TCP or UDP packet over IPv4, if it lies in the first
 * pbuf. */
static uint8_t *transport_header(const struct pbuf *frame, unsigned *checksum_offset)
{
    const struct ip_hdr *ip = (const void *)((uint8_t *)frame->payload + SIZEOF_ETH_HDR);
    const struct eth_hdr *ethernet = frame->payload;
    unsigned header;

    if (frame->len < SIZEOF_ETH_HDR + IP_HLEN || ethernet->type != PP_HTONS(ETHTYPE_IP) ||
        (IPH_OFFSET(ip) & PP_HTONS(IP_OFFMASK | IP_MF)))
        return NULL;
    header = SIZEOF_ETH_HDR + IPH_HL_BYTES(ip);
    if (IPH_PROTO(ip) == IP_PROTO_TCP && frame->len >= header + TCP_HLEN)
        *checksum_offset = offsetof(struct tcp_hdr, chksum);
    else if (IPH_PROTO(ip) == IP_PROTO_UDP && frame->len >= header + UDP_HLEN)
        *checksum_offset = offsetof(struct udp_hdr, chksum);
    else
        return NULL;
    return (uint8_t *)frame->payload + header;
}

/* The pseudo header's sum (RFC 793, RFC 768), as it goes into the checksum's place. */
static uint16_t pseudo_header_sum(const struct ip_hdr *ip)
{
    struct {
        uint32_t source, destination;
        uint8_t zero, protocol;
        uint16_t bytes;
    } pseudo = { ip->src.addr, ip->dest.addr, 0, IPH_PROTO(ip),
                 lwip_htons((uint16_t)(lwip_ntohs(IPH_LEN(ip)) - IPH_HL_BYTES(ip))) };

    return net_checksum(&pseudo, sizeof(pseudo));
}

/* Prepares the checksum of a frame for the device; fills the packet's two fields. */
static void offload_checksum(const struct net_interface *interface, struct pbuf *frame,
                             struct net_packet *packet)
{
    unsigned offset;
    uint8_t *header;
    uint16_t sum;

    if (!(interface->dev->offloads & NETDEV_TX_CHECKSUM))
        return;
    header = transport_header(frame, &offset);
    if (!header)
        return;
    sum = pseudo_header_sum((const void *)((uint8_t *)frame->payload + SIZEOF_ETH_HDR));
    memcpy(header + offset, &sum, sizeof(sum));
    packet->checksum_start = (uint16_t)(header - (uint8_t *)frame->payload);
    packet->checksum_offset = (uint16_t)offset;
}

/* Bytes in front of the frame that nobody uses: lwIP leaves room in packets of its own making. */
static uint16_t headroom(const struct pbuf *frame)
{
    const uint8_t *first = (const uint8_t *)frame + LWIP_MEM_ALIGN_SIZE(sizeof(struct pbuf));
    const uint8_t *payload = frame->payload;

    if (!(frame->type_internal & PBUF_TYPE_FLAG_STRUCT_DATA_CONTIGUOUS) ||
        (frame->flags & PBUF_FLAG_IS_CUSTOM) || payload < first)
        return 0;
    return (uint16_t)MIN(payload - first, UINT16_MAX);
}

/* What of the batch is described where; the pieces' places may be used up before the packets'. */
struct tx_batch {
    struct net_packet packet[TX_BATCH];
    struct net_elem elem[TX_BATCH + NET_ELEMS_MAX];
    unsigned n, n_elem;
};

static void describe(struct net_interface *interface, struct tx_batch *batch, struct pbuf *frame)
{
    struct net_packet *packet = &batch->packet[batch->n++];

    *packet = (struct net_packet){ .elem = &batch->elem[batch->n_elem],
                                   .headroom = headroom(frame),
                                   .cookie = frame };
    offload_checksum(interface, frame, packet);
    for (const struct pbuf *part = frame; part; part = part->next) {
        if (part->len > 0) {
            batch->elem[batch->n_elem++] = (struct net_elem){ part->payload, part->len };
            packet->n_elem++;
        }
    }
}

static struct pbuf *first_out(struct net_interface *interface)
{
    return interface->out[interface->out_first % NET_OUT_MAX];
}

static void forget_first_out(struct net_interface *interface)
{
    interface->out_first++;
    interface->out_count--;
}

/* Sends the first frames that wait; how many the device took, or a negative errno. */
static int send_some(struct net_interface *interface)
{
    struct netdev *dev = interface->dev;
    struct tx_batch batch;
    int sent;

    batch.n = batch.n_elem = 0;
    while (batch.n < MIN(interface->out_count, TX_BATCH) && batch.n_elem < TX_BATCH)
        describe(interface, &batch, interface->out[(interface->out_first + batch.n) % NET_OUT_MAX]);
    sent = dev->ops->transmit(dev, batch.packet, batch.n);
    for (int i = 0; i < sent; i++)
        forget_first_out(interface);
    return sent;
}

/* A frame that the device will never take. */
static void refuse_first_out(struct net_interface *interface)
{
    struct pbuf *frame = first_out(interface);

    interface->dev->counters.tx_errors++;
    forget_first_out(interface);
    pbuf_free(frame);
}

/* Takes back what the device has sent; true: there was something. */
static bool reap(struct net_interface *interface)
{
    void *cookies[TX_BATCH];
    bool any = false;
    int n;

    while ((n = interface->dev->ops->reap(interface->dev, cookies, TX_BATCH)) > 0) {
        any = true;
        for (int i = 0; i < n; i++)
            pbuf_free(cookies[i]);
    }
    return any;
}

static void flush(struct net_interface *interface)
{
    while (interface->out_count > 0 && !interface->out_full) {
        int sent = send_some(interface);

        if (sent == -EAGAIN)
            interface->out_full =
                !reap(interface) && !interface->dev->ops->arm_transmit(interface->dev);
        else if (sent < 0)
            refuse_first_out(interface);
    }
}

void net_flush(void)
{
    for (unsigned i = 0; i < n_interfaces; i++)
        flush(interfaces[i]);
}

/* Whether the device may read the frame where it lies: in few pieces, none of them its owner's to
 * change, and the headers together where the checksum is to be prepared. */
static bool sendable_in_place(const struct net_interface *interface, const struct pbuf *frame)
{
    unsigned pieces = 0, unused;

    for (const struct pbuf *part = frame; part; part = part->next) {
        if (PBUF_NEEDS_COPY(part) || ++pieces > NET_ELEMS_MAX)
            return false;
    }
    return pieces == 1 ||
           ((interface->dev->offloads & NETDEV_SCATTER) &&
            (!(interface->dev->offloads & NETDEV_TX_CHECKSUM) || transport_header(frame, &unused)));
}

/* lwIP sends a frame: it is taken, or lwIP is told to try again. */
static err_t link_output(struct netif *netif, struct pbuf *frame)
{
    struct net_interface *interface = netif->state;

    if (interface->out_count == NET_OUT_MAX)
        flush(interface);
    if (interface->out_count == NET_OUT_MAX) {
        interface->dev->counters.tx_dropped++;
        interface->refused = true;
        return ERR_WOULDBLOCK;
    }
    if (sendable_in_place(interface, frame)) {
        pbuf_ref(frame);
    } else {
        frame = pbuf_clone(PBUF_RAW_TX, PBUF_RAM, frame);
        if (!frame)
            return ERR_MEM;
    }
    interface->out[(interface->out_first + interface->out_count++) % NET_OUT_MAX] = frame;
    return ERR_OK;
}

/* ---- in */

static void make_idle(struct net_rx *rx)
{
    rx->next = rx->interface->idle;
    rx->interface->idle = rx;
}

/* lwIP has done with a received packet. */
static void rx_free(struct pbuf *packet)
{
    struct net_rx *rx = CONTAINER_OF(packet, struct net_rx, pbuf.pbuf);

    rx->interface->n_held--;
    make_idle(rx);
}

/* Cuts a block of pages into buffers. */
static bool add_buffers(struct net_interface *interface)
{
    size_t cell = interface->cell_bytes;
    unsigned order = RX_BLOCK_ORDER;
    uint8_t *block;

    while (PAGE_BYTES(order) < cell)
        order++;
    block = (uint8_t *)page_alloc(order);
    if (!block)
        return false;
    for (size_t at = 0; at + cell <= PAGE_BYTES(order); at += cell) {
        struct net_rx *rx = (struct net_rx *)(block + at);

        *rx = (struct net_rx){
            .pbuf.custom_free_function = rx_free,
            .buffer = { block + at + RX_FRAME_AT, (uint32_t)(cell - RX_FRAME_AT) },
            .interface = interface,
        };
        make_idle(rx);
        interface->n_rx++;
    }
    return true;
}

/* More buffers, up to `wanted` and what the interface may have; three quarters for the device. */
static void grow(struct net_interface *interface, unsigned wanted)
{
    while (interface->n_rx < MIN(wanted, interface->n_rx_max) && add_buffers(interface))
        ;
    interface->rx_target = MIN(interface->dev->rx_buffers, interface->n_rx - interface->n_rx / 4);
}

/* Gives the device as many buffers as it is to have. */
static void refill(struct net_interface *interface)
{
    while (interface->n_lent < interface->rx_target && interface->idle) {
        struct net_buffer *buffers[RX_BATCH];
        unsigned want = MIN(interface->rx_target - interface->n_lent, RX_BATCH), n = 0, given;

        for (; n < want && interface->idle; n++) {
            buffers[n] = &interface->idle->buffer;
            interface->idle = interface->idle->next;
        }
        given = (unsigned)interface->dev->ops->give(interface->dev, buffers, n);
        interface->n_lent += given;
        for (unsigned i = given; i < n; i++)
            make_idle(CONTAINER_OF(buffers[i], struct net_rx, buffer));
        if (given < n)
            break;
    }
}

/* A frame as lwIP's own copy; its buffers are idle again. NULL: no memory. */
static struct pbuf *copy_frame(const struct net_received *frame)
{
    unsigned bytes = 0, at = 0;
    struct pbuf *copy;

    for (unsigned i = 0; i < frame->n_buffers; i++)
        bytes += frame[i].bytes;
    copy = pbuf_alloc(PBUF_RAW, (u16_t)bytes, PBUF_RAM);
    for (unsigned i = 0; i < frame->n_buffers; i++) {
        const struct net_received *part = &frame[i];

        if (copy)
            pbuf_take_at(copy, part->buffer->start + part->offset, (u16_t)part->bytes, (u16_t)at);
        at += part->bytes;
        make_idle(CONTAINER_OF(part->buffer, struct net_rx, buffer));
    }
    return copy;
}

/*
 * A frame in the buffers it came in. The type says that a pbuf's memory follows
 * it, so that headers which were taken off can be put on again and an echo is
 * answered in place.
 */
static struct pbuf *wrap_frame(const struct net_received *frame)
{
    struct pbuf *packet = NULL;

    for (unsigned i = 0; i < frame->n_buffers; i++) {
        const struct net_received *part = &frame[i];
        struct net_rx *rx = CONTAINER_OF(part->buffer, struct net_rx, buffer);
        struct pbuf *piece;

        rx->interface->n_held++;
        piece = pbuf_alloced_custom(PBUF_RAW, (u16_t)part->bytes, PBUF_POOL, &rx->pbuf,
                                    part->buffer->start + part->offset, (u16_t)part->bytes);
        if (packet)
            pbuf_cat(packet, piece);
        else
            packet = piece;
    }
    return packet;
}

/*
 * lwIP has no per-packet checksum state: what it verifies is set for each frame,
 * and nothing in rest, for what it sends to itself has no checksums.
 */
static void set_verification(struct netif *netif, const struct pbuf *packet, uint8_t checksum)
{
    unsigned offset;

    /* A fragment's device has not seen the whole datagram. */
    if (checksum != NET_CHECKSUM_GOOD || !transport_header(packet, &offset))
        netif->chksum_flags |= VERIFY;
}

static void input_frame(struct net_interface *interface, const struct net_received *frame)
{
    struct netif *netif = &interface->netif;
    unsigned spare = interface->n_rx - interface->rx_target;
    struct pbuf *packet;

    interface->n_lent -= frame->n_buffers;
    packet = interface->n_held + frame->n_buffers > spare ? copy_frame(frame) : wrap_frame(frame);
    if (!packet) {
        interface->dev->counters.rx_dropped++;
        return;
    }
    set_verification(netif, packet, frame->checksum);
    if (netif->input(packet, netif) != ERR_OK)
        pbuf_free(packet);
    netif->chksum_flags &= (u16_t)~VERIFY;
}

static bool receive(struct net_interface *interface)
{
    struct netdev *dev = interface->dev;
    bool any = false;

    for (unsigned round = 0; round < RX_ROUNDS; round++) {
        int n = dev->ops->receive(dev, interface->batch, interface->batch_max);

        if (n <= 0)
            break;
        any = true;
        /* Half of what it had was used up while we were away: it gets more to hold. */
        if ((unsigned)n >= interface->rx_target / 2)
            grow(interface, 2 * interface->n_rx);
        for (int i = 0; i < n; i += interface->batch[i].n_buffers)
            input_frame(interface, &interface->batch[i]);
        refill(interface);
    }
    return any;
}

/* The device's link is lwIP's, which then asks DHCP again. */
static void follow_link(struct net_interface *interface)
{
    struct netif *netif = &interface->netif;

    if (interface->dev->link_up && !netif_is_link_up(netif))
        netif_set_link_up(netif);
    else if (!interface->dev->link_up && netif_is_link_up(netif))
        netif_set_link_down(netif);
}

/* lwIP was told to wait: else its connections would try again only at their timers. */
static void resume(struct net_interface *interface)
{
    if (!interface->refused || interface->out_count > NET_OUT_MAX / 2)
        return;
    interface->refused = false;
    tcp_txnow();
}

bool net_poll(void)
{
    bool any = false;

    for (unsigned i = 0; i < n_interfaces; i++) {
        struct net_interface *interface = interfaces[i];

        if (armed)
            interface->dev->ops->disarm(interface->dev);
        any |= reap(interface);
        interface->out_full = false;
        any |= receive(interface);
        follow_link(interface);
        flush(interface);
        resume(interface);
    }
    armed = false;
    return any;
}

bool net_arm(void)
{
    bool any = false;

    armed = true;
    for (unsigned i = 0; i < n_interfaces; i++)
        any |= interfaces[i]->dev->ops->arm(interfaces[i]->dev);
    return any;
}

/* ---- start */

static void log_address(struct netif *netif)
{
    struct net_interface *interface = netif->state;
    const uint8_t *address = (const uint8_t *)netif_ip4_addr(netif);
    const uint8_t *gateway = (const uint8_t *)netif_ip4_gw(netif);

    if (ip4_addr_isany(netif_ip4_addr(netif)))
        return;
    log_info("%s: address %u.%u.%u.%u/%u, gateway %u.%u.%u.%u%s", interface->dev->name, address[0],
             address[1], address[2], address[3],
             net_prefix_length(lwip_ntohl(ip4_addr_get_u32(netif_ip4_netmask(netif)))), gateway[0],
             gateway[1], gateway[2], gateway[3], interface->dhcp ? " (dhcp)" : "");
}

static err_t init_netif(struct netif *netif)
{
    struct net_interface *interface = netif->state;
    struct netdev *dev = interface->dev;

    netif->name[0] = 'e';
    netif->name[1] = 't';
    netif->hostname = "aerostat";
    netif->output = etharp_output;
    netif->linkoutput = link_output;
    netif->mtu = dev->mtu;
    netif->hwaddr_len = ETH_HWADDR_LEN;
    memcpy(netif->hwaddr, dev->mac, ETH_HWADDR_LEN);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET |
                   (dev->link_up ? NETIF_FLAG_LINK_UP : 0);
    netif->chksum_flags = NETIF_CHECKSUM_ENABLE_ALL;
    if (dev->offloads & NETDEV_TX_CHECKSUM)
        netif->chksum_flags &= (u16_t) ~(NETIF_CHECKSUM_GEN_TCP | NETIF_CHECKSUM_GEN_UDP);
    netif->chksum_flags &= (u16_t)~VERIFY;
    netif_set_status_callback(netif, log_address);
    return ERR_OK;
}

static size_t cell_bytes_for(const struct netdev *dev)
{
    size_t bytes = 2048;

    while (bytes < RX_FRAME_AT + dev->rx_buffer_bytes)
        bytes *= 2;
    return bytes;
}

/* Buffers in keeping with the machine, a 32nd of its memory up to a limit; the first few of them.
 */
static bool make_buffers(struct net_interface *interface)
{
    struct netdev *dev = interface->dev;
    unsigned least = dev->rx_batch_min + RX_FIRST;
    struct page_stats pages;

    page_get_stats(&pages);
    interface->cell_bytes = cell_bytes_for(dev);
    interface->n_rx_max =
        (unsigned)(MIN(pages.total * PAGE_SIZE / 32, RX_MEMORY_MAX) / interface->cell_bytes);
    interface->n_rx_max = MIN(interface->n_rx_max, dev->rx_buffers + dev->rx_buffers / 2U);
    interface->n_rx_max = MAX(interface->n_rx_max, least);
    interface->batch_max = RX_BATCH + dev->rx_batch_min;
    interface->batch = kalloc(interface->batch_max * sizeof(*interface->batch));
    grow(interface, least);
    return interface->n_rx >= RX_SPARE_MIN && interface->batch;
}

/*
 * One whose device went, with its buffers, once lwIP has given back the last of them; in place of
 * freeing them one by one. A device that was not heard of again keeps what it had.
 */
static struct net_interface *take_parted(const struct netdev *dev)
{
    for (struct net_interface **at = &parted; *at; at = &(*at)->next) {
        struct net_interface *interface = *at;

        if (interface->n_held || interface->n_lent || interface->cell_bytes != cell_bytes_for(dev))
            continue;
        *at = interface->next;
        kfree(interface->batch);
        *interface = (struct net_interface){ .idle = interface->idle, .n_rx = interface->n_rx };
        return interface;
    }
    return NULL;
}

struct net_interface *net_interface_add(struct netdev *dev)
{
    struct net_interface *interface;

    if (n_interfaces == NET_INTERFACES_MAX)
        return NULL;
    interface = take_parted(dev);
    if (!interface)
        interface = kalloc(sizeof(*interface));
    if (!interface)
        return NULL;
    interface->dev = dev;
    if (!make_buffers(interface))
        return NULL; /* the machine is too small to go on; nothing is worth giving back */
    netif_add(&interface->netif, NULL, NULL, NULL, interface, init_netif, ethernet_input);
    interfaces[n_interfaces++] = interface;
    refill(interface);
    return interface;
}

/* Frames that will never be sent, sent ones that come back, and buffers that were lent. */
static void take_all_back(struct net_interface *interface)
{
    struct net_buffer *buffers[RX_BATCH];
    int n;

    while (interface->out_count > 0) {
        pbuf_free(interface->out[interface->out_first]);
        interface->out_first = (interface->out_first + 1) % NET_OUT_MAX;
        interface->out_count--;
    }
    reap(interface);
    while ((n = interface->dev->ops->give_back(interface->dev, buffers, RX_BATCH)) > 0) {
        interface->n_lent -= (unsigned)n;
        for (int i = 0; i < n; i++)
            make_idle(CONTAINER_OF(buffers[i], struct net_rx, buffer));
    }
}

static void unlist(const struct net_interface *interface)
{
    unsigned i = 0;

    while (interfaces[i] != interface)
        i++;
    for (n_interfaces--; i < n_interfaces; i++)
        interfaces[i] = interfaces[i + 1];
    if (!netif_default && n_interfaces > 0)
        netif_set_default(&interfaces[0]->netif);
}

void net_interface_remove(struct net_interface *interface)
{
    struct netif *netif = &interface->netif;

    log_info("%s: gone", interface->dev->name);
    netif_set_link_down(netif);
    dhcp_release_and_stop(netif);
    dhcp_cleanup(netif);
    netif_poll(netif);   /* what it had sent to itself */
    netif_remove(netif); /* ends the connections that had its address */
    unlist(interface);
    take_all_back(interface);
    netdev_forget(interface->dev);
    interface->dev = NULL;
    interface->next = parted;
    parted = interface;
}
