/* SPDX-License-Identifier: MIT */
/*
 * Frames of the input through lib/net/netif.c and lwIP, above a fake network
 * device. So that parsing goes deep, a frame may be put right before it is
 * delivered: addresses, lengths and the IP header's checksum, TCP's numbers as
 * the last segment sent asks for them, DHCP's and DNS's ids; and the device
 * vouches for checksums. TCP and UDP have listeners that answer.
 *
 * lwIP's heap is malloc() here, and what lies behind a frame in its buffer is
 * poisoned: each byte read or written too many shows. Between two inputs all
 * connections end and time passes: nothing may be left.
 */
#include "kernel/clock.h"
#include "kernel/cmdline.h"
#include "kernel/driver.h"
#include "kernel/netdev.h"
#include "kernel/random.h"
#include "kernel/thread.h"
#include "lib/base/errno.h"
#include "lib/net/heap.h"
#include "lib/net/stack.h"
#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"
#include "lwip/udp.h"
#include "tests/fuzz/input.h"
#include "tests/host/clock.h"

#include <sanitizer/asan_interface.h>

#define DEVICES      2 /* one with an address of its own, one that asks for it */
#define RX_BUFFERS   32
#define FRAME_MAX    1536
#define OFFSET       12
#define OUT_MAX      64
#define MESSAGES_MAX 64 /* handled in one go; what we send to ourselves is one */
#define FRAMES_MAX   64
#define PEER         0x0a000202u /* 10.0.2.2 */
#define OUR_ADDRESS  0x0a00020fu
#define TCP_PORT     80
#define UDP_PORT     7

/* What is put right in a frame. */
enum { ETHERNET = 1, IP = 2, FOLLOW = 4, VOUCHED = 8, SECOND = 16, TIME = 32, TO_SERVICE = 64 };

static struct netdev devices[DEVICES];
static struct {
    struct net_buffer *lent[RX_BUFFERS];
    unsigned n_lent;
    struct net_buffer *arrived; /* NULL: none */
    uint32_t bytes;
    uint8_t checksum;
    void *sent[OUT_MAX];
    unsigned n_sent;
} side[DEVICES];
static uint8_t last_tcp[FRAME_MAX], last_dhcp[FRAME_MAX], last_dns[FRAME_MAX]; /* sent by us */

/* ---- numbers, the same for each input */

static uint64_t random_state;

void random_bytes(void *to, size_t bytes)
{
    uint8_t *at = to;

    while (bytes-- > 0) {
        random_state = random_state * UINT64_C(6364136223846793005) + 1;
        *at++ = (uint8_t)(random_state >> 56);
    }
}

/* ---- lwIP's heap */

static uint64_t heap_used;

void *net_heap_alloc(size_t bytes)
{
    void *object = heap_used < 4096 ? malloc(bytes) : NULL;

    heap_used += object != NULL;
    return object;
}

void *net_heap_calloc(size_t n, size_t bytes)
{
    void *object = net_heap_alloc(n * bytes);

    if (object)
        memset(object, 0, n * bytes);
    return object;
}

void net_heap_free(void *object)
{
    heap_used -= object != NULL;
    free(object);
}

void net_heap_limit(uint64_t bytes)
{
    (void)bytes;
}

/* ---- the devices */

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

/* Keeps what answers have to refer to. */
static void look_at(const uint8_t *frame, unsigned bytes)
{
    bool is_ip = bytes >= 42 && get16(frame + 12) == 0x0800 && frame[14] == 0x45;

    if (is_ip && frame[23] == 6 && bytes >= 54)
        memcpy(last_tcp, frame, 54);
    else if (is_ip && frame[23] == 17 && get16(frame + 36) == 67 && bytes >= 50)
        memcpy(last_dhcp, frame, 50);
    else if (is_ip && frame[23] == 17 && get16(frame + 36) == 53 && bytes >= 54)
        memcpy(last_dns, frame, MIN(bytes, FRAME_MAX));
}

static int transmit(struct netdev *dev, const struct net_packet *packets, unsigned n)
{
    unsigned i = 0, which = (unsigned)(dev - devices);

    for (; i < n && side[which].n_sent < OUT_MAX; i++) {
        static uint8_t frame[65536];
        unsigned bytes = 0;

        expect(packets[i].n_elem >= 1 && packets[i].n_elem <= NET_ELEMS_MAX, "a frame has pieces");
        memset((uint8_t *)(uintptr_t)packets[i].elem[0].start - packets[i].headroom, 0xee,
               packets[i].headroom);
        for (unsigned k = 0; k < packets[i].n_elem; k++) {
            expect(packets[i].elem[k].bytes > 0 &&
                       bytes + packets[i].elem[k].bytes <= sizeof(frame),
                   "no piece is empty, no frame too large");
            memcpy(frame + bytes, packets[i].elem[k].start, packets[i].elem[k].bytes);
            bytes += packets[i].elem[k].bytes;
        }
        expect(bytes >= NETDEV_ETHERNET_HEADER && bytes <= NETDEV_ETHERNET_HEADER + dev->mtu,
               "a frame that is sent is no larger than the MTU");
        expect(packets[i].checksum_start == 0 ||
                   packets[i].checksum_start + packets[i].checksum_offset + 2u <= bytes,
               "a checksum's place is in the frame");
        look_at(frame, bytes);
        side[which].sent[side[which].n_sent++] = packets[i].cookie;
    }
    return i ? (int)i : -EAGAIN;
}

static int reap(struct netdev *dev, void **cookies, unsigned max)
{
    unsigned which = (unsigned)(dev - devices), n = 0;

    while (n < max && side[which].n_sent)
        cookies[n++] = side[which].sent[--side[which].n_sent];
    return (int)n;
}

static int give(struct netdev *dev, struct net_buffer *const *buffers, unsigned n)
{
    unsigned which = (unsigned)(dev - devices), i = 0;

    for (; i < n && side[which].n_lent < RX_BUFFERS; i++) {
        ASAN_UNPOISON_MEMORY_REGION(buffers[i]->start, buffers[i]->bytes);
        side[which].lent[side[which].n_lent++] = buffers[i];
    }
    return (int)i;
}

static int receive(struct netdev *dev, struct net_received *batch, unsigned max)
{
    unsigned which = (unsigned)(dev - devices);

    (void)max;
    if (!side[which].arrived)
        return 0;
    batch[0] = (struct net_received){ side[which].arrived, OFFSET, side[which].bytes, 1,
                                      side[which].checksum };
    side[which].arrived = NULL;
    return 1;
}

static bool arm(struct netdev *dev)
{
    return side[dev - devices].arrived != NULL;
}

static void disarm(struct netdev *dev)
{
    (void)dev;
}

static bool arm_transmit(struct netdev *dev)
{
    return side[dev - devices].n_sent > 0;
}

static const struct netdev_ops operations = { .transmit = transmit,
                                              .reap = reap,
                                              .give = give,
                                              .receive = receive,
                                              .arm = arm,
                                              .disarm = disarm,
                                              .arm_transmit = arm_transmit };

/* ---- the kernel and the network thread */

int tcpip_thread_poll_one(void); /* with TCPIP_THREAD_TEST: handles a message, 0: there is none */

char image_name[] = "fuzz";

struct thread *thread_create(const char *name, void (*entry)(void *argument), void *argument)
{
    (void)name;
    (void)entry;
    (void)argument;
    return (struct thread *)&devices;
}

extern const struct driver __start_drivers[], __stop_drivers[];

static void run(void)
{
    net_lock();
    for (unsigned i = 0; i < 100; i++) {
        sys_check_timeouts();
        if (sys_timeouts_sleeptime() > 0)
            break;
    }
    net_unlock();
    for (unsigned i = 0; i < MESSAGES_MAX && tcpip_thread_poll_one(); i++)
        ;
}

static void let_pass(unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        host_clock_ns += NSEC_PER_SEC;
        run();
    }
}

/* ---- who listens: TCP and UDP give back what they get */

static err_t on_received(void *argument, struct tcp_pcb *pcb, struct pbuf *packet, err_t error)
{
    (void)argument;
    (void)error;
    if (!packet) {
        tcp_close(pcb);
        return ERR_OK;
    }
    for (const struct pbuf *part = packet; part; part = part->next)
        tcp_write(pcb, part->payload, part->len, TCP_WRITE_FLAG_COPY);
    tcp_recved(pcb, packet->tot_len);
    pbuf_free(packet);
    return ERR_OK;
}

static err_t on_connection(void *argument, struct tcp_pcb *pcb, err_t error)
{
    (void)argument;
    if (error != ERR_OK || !pcb)
        return ERR_VAL;
    tcp_recv(pcb, on_received);
    return ERR_OK;
}

static void on_datagram(void *argument, struct udp_pcb *pcb, struct pbuf *packet,
                        const ip_addr_t *from, u16_t port)
{
    (void)argument;
    if (port != UDP_PORT) /* one like us would answer for ever */
        udp_sendto(pcb, packet, from, port);
    pbuf_free(packet);
}

static void on_name(const char *name, const ip_addr_t *address, void *argument)
{
    (void)name;
    (void)address;
    (void)argument;
}

static void listen(void)
{
    struct udp_pcb *udp = udp_new();
    struct tcp_pcb *tcp = tcp_new();
    ip_addr_t server = IPADDR4_INIT(PP_HTONL(PEER));

    udp_bind(udp, IP_ADDR_ANY, UDP_PORT);
    udp_recv(udp, on_datagram, NULL);
    tcp_bind(tcp, IP_ADDR_ANY, TCP_PORT);
    tcp = tcp_listen(tcp);
    tcp_accept(tcp, on_connection);
    dns_setserver(0, &server);
}

/* ---- frames */

static unsigned sum16(uint32_t sum, const uint8_t *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 9 };

static void put_ethernet(uint8_t *frame, unsigned which)
{
    if (!(frame[0] & 1))
        memcpy(frame, devices[which].mac, 6);
    memcpy(frame + 6, peer_mac, 6);
}

/* Answers the segment that was sent last; what the frame says is added to the right numbers. */
static void follow_tcp(uint8_t *frame)
{
    uint8_t *tcp = frame + 34, *sent = last_tcp + 34;
    unsigned header = (sent[12] >> 4) * 4u, flags = sent[13];
    uint32_t ours =
        get32(sent + 4) + get16(last_tcp + 16) - 20 - header + (flags & 1) + (flags >> 1 & 1);

    memcpy(tcp, sent + 2, 2);
    memcpy(tcp + 2, sent, 2);
    put32(tcp + 4, get32(sent + 8) + (uint32_t)(int8_t)tcp[7]);
    put32(tcp + 8, ours + (uint32_t)(int8_t)tcp[11]);
}

static void follow_udp(uint8_t *frame, const uint8_t *sent, unsigned id_bytes)
{
    memcpy(frame + 34, sent + 36, 2);
    memcpy(frame + 36, sent + 34, 2);
    if (id_bytes == 4)
        memcpy(frame + 46, sent + 46, 4);
    else
        memcpy(frame + 42, sent + 42, 2);
}

static void put_ip(uint8_t *frame, size_t bytes, uint8_t how)
{
    uint8_t *ip = frame + 14, *ports = frame + 34;
    unsigned header = (ip[0] & 15) * 4u, protocol = ip[9];

    put16(frame + 12, 0x0800);
    ip[0] = 0x40 | (ip[0] & 15);
    if (header < 20 || 14 + header > bytes) {
        ip[0] = 0x45;
        header = 20;
    }
    put16(ip + 2, (unsigned)bytes - 14);
    if (!(ip[16] & 0xf0))
        put32(ip + 16, OUR_ADDRESS);
    if (how & TO_SERVICE && bytes >= 42)
        put16(ports + 2, protocol == 6 ? TCP_PORT : UDP_PORT);
    if (how & FOLLOW && protocol == 6 && bytes >= 54)
        follow_tcp(frame);
    if (how & FOLLOW && protocol == 17 && bytes >= 50)
        follow_udp(frame, how & SECOND ? last_dhcp : last_dns, how & SECOND ? 4 : 2);
    if (protocol == 17 && header == 20 && bytes >= 42)
        put16(ports + 4, (unsigned)bytes - 34);
    if (protocol == 1 && header == 20 && bytes >= 42) {
        put16(ports + 2, 0);
        put16(ports + 2, ~sum16(0, ports, bytes - 34) & 0xffff);
    }
    put16(ip + 10, 0);
    put16(ip + 10, ~sum16(0, ip, header) & 0xffff);
}

static void deliver(unsigned which, const uint8_t *frame, size_t bytes, bool vouched)
{
    struct net_buffer *buffer;

    if (!side[which].n_lent)
        return;
    buffer = side[which].lent[--side[which].n_lent];
    expect(buffer->bytes >= OFFSET + bytes, "a buffer holds a frame");
    memcpy(buffer->start + OFFSET, frame, bytes);
    ASAN_POISON_MEMORY_REGION(buffer->start + OFFSET + bytes, buffer->bytes - OFFSET - bytes);
    side[which].arrived = buffer;
    side[which].bytes = (uint32_t)bytes;
    side[which].checksum = vouched ? NET_CHECKSUM_GOOD : NET_CHECKSUM_UNKNOWN;
    run();
}

static void step(struct input *input)
{
    uint8_t frame[FRAME_MAX] = { 0 }, how = take8(input);
    uint16_t bytes = take8(input), more = how & 128 ? take16(input) % (1514 - 255) : 0;
    unsigned which = how & SECOND ? 1 : 0;

    take(input, frame, bytes);
    bytes = (uint16_t)MAX(bytes + more, NETDEV_ETHERNET_HEADER);
    if (how & TIME)
        let_pass(1);
    if (how & (ETHERNET | IP))
        put_ethernet(frame, which);
    if (how & IP && bytes >= 34)
        put_ip(frame, bytes, how);
    deliver(which, frame, bytes, how & VOUCHED);
}

/* ---- the beginning and the end */

static void start_stack(void)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        devices[i] =
            (struct netdev){ .ops = &operations,
                             .driver = "fuzz",
                             .bus = "nowhere",
                             .mac = { 0x52, 0x54, 0, 1, 2, (uint8_t)i },
                             .mtu = 1500,
                             .rx_buffers = RX_BUFFERS,
                             .rx_buffer_bytes = FRAME_MAX,
                             .rx_batch_min = 1,
                             .link_up = true,
                             .offloads = NETDEV_TX_CHECKSUM | NETDEV_RX_CHECKSUM | NETDEV_SCATTER };
        netdev_register(&devices[i]);
    }
    cmdline_parse("ip=10.0.2.15/24,10.0.2.2 ip=dhcp");
    expect(__stop_drivers - __start_drivers == 1 && __start_drivers[0].start() == 0,
           "the stack starts");
    net_lock();
    listen();
    net_unlock();
    run();
}

static void ask_for_a_name(void)
{
    ip_addr_t address;

    net_lock();
    dns_gethostbyname("fuzz.example", &address, on_name, NULL);
    net_unlock();
}

/* Ends connections, and lets leases, fragments, names and neighbours grow old. */
static void forget_everything(void)
{
    net_lock();
    while (tcp_active_pcbs)
        tcp_abort(tcp_active_pcbs);
    while (tcp_tw_pcbs)
        tcp_abort(tcp_tw_pcbs);
    for (unsigned i = 0; i < DEVICES; i++)
        etharp_cleanup_netif(&net_interface_get(i)->netif);
    dhcp_release_and_stop(&net_interface_get(1)->netif);
    net_unlock();
    let_pass(40);
    net_lock();
    dhcp_start(&net_interface_get(1)->netif);
    net_unlock();
    run();
}

static void nothing_is_left(uint64_t used_before)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        const struct net_interface *interface = net_interface_get(i);

        expect(interface->n_held == 0, "no received packet is kept");
        expect(interface->out_count == 0 && side[i].n_sent == 0, "no frame waits to be sent");
        expect(side[i].n_lent == interface->n_lent, "every buffer is accounted for");
    }
    expect(heap_used == used_before, "no memory is left behind");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = { bytes, size };
    static uint64_t used_before;

    if (!used_before) {
        start_stack();
        forget_everything();
        used_before = heap_used;
    }
    random_state = 1;
    ask_for_a_name();
    for (unsigned i = 0; input.left && i < FRAMES_MAX; i++)
        step(&input);
    forget_everything();
    nothing_is_left(used_before);
    return 0;
}
