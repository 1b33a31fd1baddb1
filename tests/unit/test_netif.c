/* SPDX-License-Identifier: MIT */
/* lwIP and its port above a fake network device: the test is the device and every peer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel/clock.h"
#include "kernel/cmdline.h"
#include "kernel/driver.h"
#include "kernel/thread.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"
#include "lib/net/heap.h"
#include "lib/net/ping.h"
#include "lib/net/stack.h"
#include "lwip/dhcp.h"
#include "lwip/ip.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "lwip/tcpip.h"
#include "lwip/timeouts.h"
#include "lwip/udp.h"
#include "tests/host/alloc.h"
#include "tests/host/clock.h"
#include "tests/host/event.h"
#include "tests/host/proves.h"

#define FRAME_MAX   2048
#define HELD_MAX    512
#define OFFSET      12
#define OUR_ADDRESS 0x0a00020fU /* 10.0.2.15 */
#define PEER        0x0a000202U

static const uint8_t our_mac[6] = { 0x52, 0x54, 0, 1, 2, 3 }, peer_mac[6] = { 2, 0, 0, 0, 0, 9 };

/* ---- the device */

struct sent {
    uint8_t bytes[FRAME_MAX];
    unsigned length, elems;
    uint16_t checksum_start, checksum_offset, headroom;
    void *cookie;
    const void *payload;
};

static struct netdev dev;
static struct net_buffer *lent[HELD_MAX];
static unsigned n_lent;
static struct {
    struct net_buffer *buffer;
    uint32_t bytes;
    uint8_t checksum;
} arrived[HELD_MAX];
static unsigned n_arrived;
static struct sent sent[HELD_MAX]; /* what the device took, in order */
static unsigned n_sent, n_reaped, n_looked_at;
static unsigned room = HELD_MAX; /* frames that it takes before it is full */
static bool armed, completes = true;

static int fake_transmit(struct netdev *netdev, const struct net_packet *packets, unsigned n)
{
    unsigned i = 0;

    (void)netdev;
    for (; i < n && n_sent - n_reaped < room; i++) {
        struct sent *frame = &sent[n_sent++ % HELD_MAX];

        *frame = (struct sent){ .elems = packets[i].n_elem,
                                .checksum_start = packets[i].checksum_start,
                                .checksum_offset = packets[i].checksum_offset,
                                .headroom = packets[i].headroom,
                                .cookie = packets[i].cookie,
                                .payload = packets[i].elem[0].start };
        memset((uint8_t *)(uintptr_t)frame->payload - frame->headroom, 0xee, frame->headroom);
        for (unsigned k = 0; k < packets[i].n_elem; k++) {
            memcpy(frame->bytes + frame->length, packets[i].elem[k].start,
                   packets[i].elem[k].bytes);
            frame->length += packets[i].elem[k].bytes;
        }
    }
    return i ? (int)i : -EAGAIN;
}

static int fake_reap(struct netdev *netdev, void **cookies, unsigned max)
{
    unsigned n = 0;

    (void)netdev;
    while (completes && n < max && n_reaped < n_sent)
        cookies[n++] = sent[n_reaped++ % HELD_MAX].cookie;
    return (int)n;
}

static int fake_give(struct netdev *netdev, struct net_buffer *const *buffers, unsigned n)
{
    unsigned i = 0;

    for (; i < n && n_lent < netdev->rx_buffers; i++)
        lent[n_lent++] = buffers[i];
    return (int)i;
}

static int fake_receive(struct netdev *netdev, struct net_received *batch, unsigned max)
{
    unsigned n = 0;

    (void)netdev;
    for (; n < n_arrived && n < max; n++)
        batch[n] = (struct net_received){ arrived[n].buffer, OFFSET, arrived[n].bytes, 1,
                                          arrived[n].checksum };
    memmove(arrived, arrived + n, (n_arrived - n) * sizeof(arrived[0]));
    n_arrived -= n;
    return (int)n;
}

static bool fake_arm(struct netdev *netdev)
{
    (void)netdev;
    armed = true;
    return n_arrived > 0;
}

static void fake_disarm(struct netdev *netdev)
{
    (void)netdev;
    armed = false;
}

static bool fake_arm_transmit(struct netdev *netdev)
{
    (void)netdev;
    return completes && n_reaped < n_sent;
}

static bool released;

static int fake_give_back(struct netdev *netdev, struct net_buffer **buffers, unsigned max)
{
    unsigned n = 0;

    (void)netdev;
    while (n < max && n_lent > 0)
        buffers[n++] = lent[--n_lent];
    return (int)n;
}

static void fake_release(struct netdev *netdev)
{
    (void)netdev;
    released = true;
}

static const struct netdev_ops operations = { fake_transmit,     fake_reap,      fake_give,
                                              fake_receive,      fake_arm,       fake_disarm,
                                              fake_arm_transmit, fake_give_back, fake_release };

/* ---- the kernel */

char image_name[] = "test";

struct thread *thread_create(const char *name, void (*entry)(void *argument), void *argument)
{
    (void)entry;
    (void)argument;
    assert_string_equal(name, "net");
    return (struct thread *)&dev;
}

extern const struct driver __start_drivers[], __stop_drivers[];

/* What the network thread does when it is woken. */
static void run(void)
{
    net_lock();
    for (unsigned i = 0; i < 100; i++) {
        sys_check_timeouts();
        if (sys_timeouts_sleeptime() > 0)
            break;
    }
    net_unlock();
}

static void let_pass(unsigned ms)
{
    for (unsigned i = 0; i < ms; i += 50) {
        host_clock_ns += 50 * NSEC_PER_MSEC;
        run();
    }
}

/* ---- frames */

static uint32_t sum16(uint32_t sum, const uint8_t *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
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

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

/* The sum over pseudo header and all behind the IP header; 0xffff where the checksum is right. */
static uint16_t transport_sum(const uint8_t *frame, size_t length)
{
    const uint8_t *ip = frame + 14;
    size_t bytes = length - 34;

    return fold(sum16(sum16(ip[9] + (uint32_t)bytes, ip + 12, 8), ip + 20, bytes));
}

static bool deliver(const void *frame, size_t bytes, uint8_t checksum)
{
    struct net_buffer *buffer;

    if (n_lent == 0)
        return false;
    buffer = lent[--n_lent];
    assert_true(buffer->bytes >= OFFSET + bytes);
    memcpy(buffer->start + OFFSET, frame, bytes);
    arrived[n_arrived].buffer = buffer;
    arrived[n_arrived].bytes = (uint32_t)bytes;
    arrived[n_arrived++].checksum = checksum;
    run();
    return true;
}

static void put_ethernet(uint8_t *frame, const uint8_t *to, unsigned type)
{
    memcpy(frame, to, 6);
    memcpy(frame + 6, peer_mac, 6);
    put16(frame + 12, type);
}

/* An IP header in front of `bytes` bytes of the transport's. */
static size_t put_ip(uint8_t *frame, unsigned protocol, size_t bytes)
{
    uint8_t *ip = frame + 14;

    put_ethernet(frame, our_mac, 0x0800);
    memset(ip, 0, 20);
    ip[0] = 0x45;
    put16(ip + 2, (unsigned)(20 + bytes));
    ip[8] = 64;
    ip[9] = (uint8_t)protocol;
    put32(ip + 12, PEER);
    put32(ip + 16, OUR_ADDRESS);
    put16(ip + 10, (uint16_t)~fold(sum16(0, ip, 20)));
    return 34 + bytes;
}

/* The next frame that was sent, NULL: there is none. */
static struct sent *next_sent(void)
{
    return n_looked_at < n_sent ? &sent[n_looked_at++ % HELD_MAX] : NULL;
}

/* The next one that is not ARP. */
static struct sent *next_ip(void)
{
    struct sent *frame;

    do
        frame = next_sent();
    while (frame && get16(frame->bytes + 12) != 0x0800);
    return frame;
}

static size_t put_arp(uint8_t *frame, unsigned operation, const uint8_t *to)
{
    uint8_t *arp = frame + 14;

    put_ethernet(frame, to, 0x0806);
    put32(arp, 0x00010800);
    put32(arp + 4, 0x06040000 | operation);
    memcpy(arp + 8, peer_mac, 6);
    put32(arp + 14, PEER);
    memset(arp + 18, 0, 6);
    put32(arp + 24, OUR_ADDRESS);
    return 42;
}

static unsigned buffers_of_lwip(void)
{
    return net_interface_get(0)->n_held;
}

static uint64_t heap_used(void)
{
    struct net_heap_stats stats;

    net_heap_get_stats(&stats);
    return stats.used;
}

/* Nothing of a test may stay: buffers, memory, frames that wait. */
static uint64_t used_before;

static int begin(void **state)
{
    (void)state;
    run();
    n_looked_at = n_sent;
    used_before = heap_used();
    return 0;
}

static int nothing_is_left(void **state)
{
    (void)state;
    completes = true;
    room = HELD_MAX;
    dev.offloads = NETDEV_TX_CHECKSUM | NETDEV_RX_CHECKSUM | NETDEV_SCATTER;
    let_pass(3000);
    assert_int_equal(buffers_of_lwip(), 0);
    assert_int_equal(net_interface_get(0)->out_count, 0);
    assert_int_equal(n_reaped, n_sent);
    assert_int_equal(n_lent, dev.rx_buffers);
    assert_int_equal(heap_used(), used_before);
    return 0;
}

static int start_stack(void **state)
{
    (void)state;
    memcpy(dev.mac, our_mac, 6);
    dev.ops = &operations;
    dev.driver = "fake";
    dev.bus = "nowhere";
    dev.mtu = 1500;
    dev.rx_buffers = 32;
    dev.rx_buffer_bytes = 1536;
    dev.rx_batch_min = 1;
    dev.link_up = true;
    dev.offloads = NETDEV_TX_CHECKSUM | NETDEV_RX_CHECKSUM | NETDEV_SCATTER;
    netdev_register(&dev);
    cmdline_parse("ip=10.0.2.15/24,10.0.2.2");
    assert_int_equal(__stop_drivers - __start_drivers, 1);
    return __start_drivers[0].start();
}

/* ---- ARP and ICMP */

static void arp_requests_are_answered(void **state)
{
    uint8_t frame[60] = { 0 };
    struct sent *answer;

    (void)state;
    put_arp(frame, 1, (const uint8_t *)"\xff\xff\xff\xff\xff\xff");
    assert_true(deliver(frame, 60, NET_CHECKSUM_UNKNOWN));
    answer = next_sent();
    assert_non_null(answer);
    assert_int_equal(get16(answer->bytes + 20), 2);
    assert_memory_equal(answer->bytes, peer_mac, 6);
    assert_memory_equal(answer->bytes + 22, our_mac, 6);
    assert_int_equal(get32(answer->bytes + 28), OUR_ADDRESS);
}

static size_t put_echo(uint8_t *frame, size_t payload)
{
    uint8_t *icmp = frame + 34;

    memset(icmp, 0, 8);
    icmp[0] = 8;
    put32(icmp + 4, 0x12340001);
    for (size_t i = 0; i < payload; i++)
        icmp[8 + i] = (uint8_t)i;
    put16(icmp + 2, (uint16_t)~fold(sum16(0, icmp, 8 + payload)));
    return put_ip(frame, 1, 8 + payload);
}

static void echoes_are_answered_in_the_buffer_they_came_in(void **state)
{
    static uint8_t frame[1514];

    (void)state;
    for (size_t payload = 0; payload <= 1472; payload += 368) {
        size_t bytes = put_echo(frame, payload);
        const uint8_t *where = lent[n_lent - 1]->start + OFFSET;
        struct sent *answer;

        assert_true(deliver(frame, bytes, NET_CHECKSUM_UNKNOWN));
        answer = next_ip();
        assert_non_null(answer);
        assert_ptr_equal(answer->payload, where);
        assert_int_equal(answer->length, bytes);
        assert_int_equal(answer->bytes[34], 0);
        assert_int_equal(get32(answer->bytes + 30), PEER);
        assert_int_equal(fold(sum16(0, answer->bytes + 14, 20)), 0xffff);
        assert_int_equal(fold(sum16(0, answer->bytes + 34, bytes - 34)), 0xffff);
        assert_memory_equal(answer->bytes + 42, frame + 42, payload);
    }
}

static void an_echo_with_a_wrong_checksum_is_not_answered(void **state)
{
    uint8_t frame[100];
    size_t bytes = put_echo(frame, 20);

    (void)state;
    frame[50] ^= 1;
    deliver(frame, bytes, NET_CHECKSUM_UNKNOWN);
    assert_null(next_ip());
}

static size_t ping_answer_bytes;

static void answer_ping(void)
{
    uint8_t frame[FRAME_MAX];
    struct sent *request = next_ip();

    if (!request)
        return;
    memcpy(frame, request->bytes, request->length);
    frame[34] = 0;
    put16(frame + 36, 0);
    put16(frame + 36, (uint16_t)~fold(sum16(0, frame + 34, request->length - 34)));
    ping_answer_bytes = put_ip(frame, 1, request->length - 34);
    host_clock_ns += 70000;
    deliver(frame, ping_answer_bytes, NET_CHECKSUM_UNKNOWN);
}

static void our_ping_measures_the_round_trip(void **state)
{
    static const size_t sizes[] = { 0, 56, 1400 };
    uint64_t ns = 0;

    (void)state;
    host_idle = answer_ping;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(net_ping(lwip_htonl(PEER), sizes[i], host_clock_ns + NSEC_PER_SEC, &ns),
                         0);
        assert_int_equal(ns, 70000);
        assert_int_equal(ping_answer_bytes, 42 + sizes[i]);
    }
    host_idle = NULL;
}

static void our_ping_gives_up(void **state)
{
    uint64_t ns;

    (void)state;
    assert_int_equal(net_ping(lwip_htonl(PEER), 56, host_clock_ns + NSEC_PER_SEC, &ns), -ETIMEDOUT);
    assert_int_equal(net_ping(lwip_htonl(PEER), 1401, CLOCK_NEVER, &ns), -EINVAL);
    assert_int_equal(net_ping(0, 56, CLOCK_NEVER, &ns), -EINVAL);
}

/* ---- TCP */

struct peer {
    uint32_t seq, ack;
    uint16_t port;
};

static bool closed_window; /* the peer takes nothing */

/* A segment from the peer to our port 80. */
static size_t put_tcp(uint8_t *frame, const struct peer *peer, unsigned flags, const uint8_t *text,
                      size_t bytes)
{
    uint8_t *tcp = frame + 34;

    memset(tcp, 0, 20);
    put16(tcp, peer->port);
    put16(tcp + 2, 80);
    put32(tcp + 4, peer->seq);
    put32(tcp + 8, peer->ack);
    tcp[12] = 0x50;
    tcp[13] = (uint8_t)flags;
    put16(tcp + 14, closed_window ? 0 : 65535);
    if (bytes)
        memcpy(tcp + 20, text, bytes);
    put_ip(frame, 6, 20 + bytes);
    put16(tcp + 16, (uint16_t)~transport_sum(frame, 54 + bytes));
    return 54 + bytes;
}

#define FIN 1
#define SYN 2
#define RST 4
#define ACK 16

static void send_tcp(const struct peer *peer, unsigned flags, const void *text, size_t bytes)
{
    uint8_t frame[FRAME_MAX];
    size_t length = put_tcp(frame, peer, flags, text, bytes);

    assert_true(deliver(frame, length, NET_CHECKSUM_UNKNOWN));
}

/* A TCP frame of ours: its checksum is finished as the device would, and must be right then. */
static const uint8_t *next_segment(size_t *payload)
{
    struct sent *frame = next_ip();
    uint8_t *tcp;

    if (!frame)
        return NULL;
    tcp = frame->bytes + 34;
    if (dev.offloads & NETDEV_TX_CHECKSUM) {
        assert_int_equal(frame->checksum_start, 34);
        assert_int_equal(frame->checksum_offset, 16);
        put16(tcp + 16, (uint16_t)~fold(sum16(0, tcp, frame->length - 34)));
    } else {
        assert_int_equal(frame->checksum_start, 0);
    }
    assert_int_equal(transport_sum(frame->bytes, frame->length), 0xffff);
    *payload = frame->length - 34 - 4 * (tcp[12] >> 4);
    return tcp;
}

static struct tcp_pcb *accepted;
static uint8_t received[200000];
static size_t n_received;

static err_t on_receive(void *argument, struct tcp_pcb *pcb, struct pbuf *packet, err_t error)
{
    (void)argument;
    assert_int_equal(error, ERR_OK);
    if (!packet) {
        accepted = NULL;
        return tcp_close(pcb);
    }
    pbuf_copy_partial(packet, received + n_received, packet->tot_len, 0);
    n_received += packet->tot_len;
    tcp_recved(pcb, packet->tot_len);
    pbuf_free(packet);
    return ERR_OK;
}

static void on_error(void *argument, err_t error)
{
    (void)argument;
    (void)error;
    accepted = NULL;
}

static err_t on_accept(void *argument, struct tcp_pcb *pcb, err_t error)
{
    (void)argument;
    (void)error;
    accepted = pcb;
    tcp_recv(pcb, on_receive);
    tcp_err(pcb, on_error);
    return ERR_OK;
}

static struct tcp_pcb *listener;

static void start_server(void)
{
    net_lock();
    listener = tcp_new();
    assert_int_equal(tcp_bind(listener, IP_ADDR_ANY, 80), ERR_OK);
    listener = tcp_listen(listener);
    tcp_accept(listener, on_accept);
    net_unlock();
    n_received = 0;
    accepted = NULL;
}

static void stop_server(void)
{
    net_lock();
    if (accepted)
        tcp_abort(accepted);
    tcp_close(listener);
    net_unlock();
}

static void connect_peer(struct peer *peer)
{
    uint8_t arp[60] = { 0 };
    const uint8_t *tcp;
    size_t payload;

    put_arp(arp, 2, our_mac);
    deliver(arp, 60, NET_CHECKSUM_UNKNOWN);
    *peer = (struct peer){ 1000, 0, (uint16_t)(peer->port ? peer->port : 40000) };
    send_tcp(peer, SYN, NULL, 0);
    tcp = next_segment(&payload);
    assert_non_null(tcp);
    assert_int_equal(tcp[13], SYN | ACK);
    assert_int_equal(get32(tcp + 8), 1001);
    peer->seq++;
    peer->ack = get32(tcp + 4) + 1;
    send_tcp(peer, ACK, NULL, 0);
    assert_non_null(accepted);
}

static void close_peer(struct peer *peer)
{
    send_tcp(peer, RST | ACK, NULL, 0);
    assert_null(accepted);
    stop_server();
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 13 + (i >> 9));
}

static void transfer(size_t total)
{
    struct peer peer = { 0 };
    uint8_t text[1460];
    size_t done = 0;

    start_server();
    connect_peer(&peer);
    while (done < total) {
        size_t part = MIN(1 + done % 1460, total - done);

        for (size_t i = 0; i < part; i++)
            text[i] = pattern(done + i);
        send_tcp(&peer, ACK, text, part);
        peer.seq += (uint32_t)part;
        done += part;
    }
    assert_int_equal(n_received, total);
    for (size_t i = 0; i < total; i++)
        assert_int_equal(received[i], pattern(i));
    close_peer(&peer);
}

static void tcp_receives_what_was_sent(void **state)
{
    (void)state;
    transfer(150000);
}

static void a_segment_with_a_wrong_checksum_is_ignored_unless_the_device_vouches(void **state)
{
    PROVES("NET-RX-07");
    struct peer peer = { 0 };
    uint8_t frame[FRAME_MAX];
    size_t bytes;

    (void)state;
    start_server();
    connect_peer(&peer);
    bytes = put_tcp(frame, &peer, ACK, (const uint8_t *)"hello", 5);
    put16(frame + 50, 0x1234);
    deliver(frame, bytes, NET_CHECKSUM_UNKNOWN);
    assert_int_equal(n_received, 0);
    deliver(frame, bytes, NET_CHECKSUM_GOOD);
    assert_int_equal(n_received, 5);
    put16(frame + 50, 0x4321);
    deliver(frame, bytes, NET_CHECKSUM_UNKNOWN);
    peer.seq += 5;
    close_peer(&peer);
}

/* Sends through the socket as much as it takes, and acknowledges as the peer, until all arrived. */
static void serve(size_t total)
{
    static uint8_t text[100000];
    struct peer peer = { 0 };
    size_t given = 0, arrived_bytes = 0;

    for (size_t i = 0; i < total; i++)
        text[i] = pattern(i);
    start_server();
    connect_peer(&peer);
    for (unsigned idle = 0; arrived_bytes < total; idle++) {
        const uint8_t *tcp;
        size_t payload;

        assert_true(idle < 5000);
        net_lock();
        if (accepted && given < total) {
            size_t part = MIN(total - given, tcp_sndbuf(accepted));

            if (part &&
                tcp_write(accepted, text + given, (u16_t)part, TCP_WRITE_FLAG_COPY) == ERR_OK)
                given += part;
            tcp_output(accepted);
        }
        net_unlock();
        run();
        while ((tcp = next_segment(&payload))) {
            if (get32(tcp + 4) != peer.ack)
                continue;
            for (size_t i = 0; i < payload; i++)
                assert_int_equal(tcp[4 * (tcp[12] >> 4) + i], pattern(arrived_bytes + i));
            arrived_bytes += payload;
            peer.ack += (uint32_t)payload;
        }
        send_tcp(&peer, ACK, NULL, 0);
    }
    close_peer(&peer);
}

static void tcp_sends_what_was_written(void **state)
{
    PROVES("NET-TX-28", "NET-TX-29", "NET-TX-30");
    (void)state;
    serve(100000);
}

static void tcp_sends_without_offloads(void **state)
{
    PROVES("NET-TX-04");
    struct netif *netif = &net_interface_get(0)->netif;
    u16_t flags = netif->chksum_flags;

    (void)state;
    dev.offloads = 0;
    netif->chksum_flags |= NETIF_CHECKSUM_GEN_TCP | NETIF_CHECKSUM_GEN_UDP;
    serve(100000);
    netif->chksum_flags = flags;
}

static void a_full_device_delays_frames_and_loses_none(void **state)
{
    struct netdev_counters before = dev.counters;

    (void)state;
    room = 2;
    serve(100000);
    assert_int_equal(dev.counters.tx_dropped, before.tx_dropped);
}

/* The peer's window was 0 when something was written; another write comes after it has spoken. */
static void write_before_and_after(const uint8_t *options, size_t bytes, uint16_t window)
{
    struct peer peer = { 0 };
    uint8_t frame[FRAME_MAX];
    size_t length;
    u16_t mss;

    closed_window = true;
    start_server();
    connect_peer(&peer);
    mss = accepted->mss;
    net_lock();
    assert_int_equal(tcp_write(accepted, received, 100, TCP_WRITE_FLAG_COPY), ERR_OK);
    tcp_output(accepted);
    net_unlock();
    length = put_tcp(frame, &peer, ACK, options, bytes);
    frame[34 + 12] = (uint8_t)(0x50 + (bytes << 2));
    put16(frame + 34 + 14, window);
    deliver(frame, length, NET_CHECKSUM_GOOD);
    assert_int_equal(accepted->mss, mss);
    net_lock();
    assert_int_equal(tcp_write(accepted, received, 100, TCP_WRITE_FLAG_COPY), ERR_OK);
    tcp_output(accepted);
    net_unlock();
    closed_window = false;
    close_peer(&peer);
    while (next_sent())
        ;
}

static void a_window_that_opens_late_and_little_panics_nobody(void **state)
{
    (void)state;
    for (uint16_t window = 1; window < 400; window += 13)
        write_before_and_after(NULL, 0, window);
}

static void a_peer_that_changes_its_mss_panics_nobody(void **state)
{
    (void)state;
    write_before_and_after((const uint8_t *)"\2\4\0\1", 4, 0);
}

static void a_probe_that_was_all_there_was_to_send_ends_the_probing(void **state)
{
    struct peer peer = { 0 };
    const uint8_t *tcp = NULL;
    size_t payload = 0;

    (void)state;
    closed_window = true;
    start_server();
    connect_peer(&peer);
    net_lock();
    assert_int_equal(tcp_write(accepted, "x", 1, TCP_WRITE_FLAG_COPY), ERR_OK);
    tcp_output(accepted);
    net_unlock();
    for (unsigned i = 0; i < 20 && !tcp; i++) {
        let_pass(500);
        tcp = next_segment(&payload);
    }
    assert_non_null(tcp);
    assert_int_equal(payload, 1);
    peer.ack++;
    send_tcp(&peer, ACK, NULL, 0);
    let_pass(5000);
    assert_null(next_segment(&payload));
    closed_window = false;
    close_peer(&peer);
}

static void segments_leave_in_one_piece_with_room_for_the_driver(void **state)
{
    struct peer peer = { 0 };
    struct sent *frame;

    (void)state;
    start_server();
    connect_peer(&peer);
    net_lock();
    tcp_write(accepted, received, 3000, TCP_WRITE_FLAG_COPY);
    tcp_output(accepted);
    net_unlock();
    for (unsigned i = 0; i < 2; i++) {
        frame = next_ip();
        assert_non_null(frame);
        assert_int_equal(frame->elems, 1);
        assert_true(frame->headroom >= 12);
    }
    close_peer(&peer);
}

static void what_the_device_has_not_sent_is_not_sent_again(void **state)
{
    struct peer peer = { 0 };
    size_t payload;

    (void)state;
    start_server();
    connect_peer(&peer);
    completes = false;
    net_lock();
    tcp_write(accepted, "abc", 3, TCP_WRITE_FLAG_COPY);
    tcp_output(accepted);
    net_unlock();
    assert_non_null(next_segment(&payload));
    let_pass(5000);
    assert_null(next_segment(&payload));
    completes = true;
    let_pass(10000);
    assert_non_null(next_segment(&payload));
    assert_int_equal(payload, 3);
    close_peer(&peer);
}

static void two_thousand_connections_at_once_end_in_refusals(void **state)
{
    struct net_heap_stats stats;
    uint64_t limit;

    (void)state;
    net_heap_get_stats(&stats);
    limit = stats.limit_bytes;
    net_heap_limit(256 * KIB);
    start_server();
    for (unsigned i = 0; i < 2000; i++) {
        struct peer peer = { 1000, 0, (uint16_t)(2000 + i) };

        send_tcp(&peer, SYN, NULL, 0);
        net_heap_get_stats(&stats);
        assert_true(stats.held_bytes <= 256 * KIB);
        n_looked_at = n_sent;
    }
    stop_server();
    let_pass(60000);
    n_looked_at = n_sent;
    net_heap_limit(limit);
    serve(5000);
}

/* ---- UDP, and buffers that lwIP keeps */

static struct pbuf *kept[HELD_MAX];
static unsigned n_kept;

static void keep(void *argument, struct udp_pcb *pcb, struct pbuf *packet, const ip_addr_t *from,
                 u16_t port)
{
    (void)argument;
    (void)pcb;
    (void)from;
    (void)port;
    kept[n_kept++] = packet;
}

static size_t put_udp(uint8_t *frame, size_t payload)
{
    uint8_t *udp = frame + 34;

    put16(udp, 5000);
    put16(udp + 2, 7);
    put16(udp + 4, (unsigned)(8 + payload));
    put16(udp + 6, 0);
    memset(udp + 8, 0x5a, payload);
    return put_ip(frame, 17, 8 + payload);
}

static void packets_that_are_kept_do_not_starve_the_device(void **state)
{
    struct udp_pcb *pcb;
    uint8_t frame[FRAME_MAX];
    size_t bytes = put_udp(frame, 1000);

    (void)state;
    net_lock();
    pcb = udp_new();
    udp_bind(pcb, IP_ADDR_ANY, 7);
    udp_recv(pcb, keep, NULL);
    net_unlock();
    n_kept = 0;
    for (unsigned i = 0; i < 200; i++) {
        assert_true(deliver(frame, bytes, NET_CHECKSUM_UNKNOWN));
        assert_int_equal(n_lent, dev.rx_buffers);
    }
    assert_int_equal(n_kept, 200);
    assert_true(buffers_of_lwip() > 0 && buffers_of_lwip() < 100);
    for (unsigned i = 0; i < n_kept; i++) {
        assert_int_equal(kept[i]->tot_len, 1000);
        assert_int_equal(pbuf_get_at(kept[i], 999), 0x5a);
        pbuf_free(kept[i]);
    }
    net_lock();
    udp_remove(pcb);
    net_unlock();
}

static void without_memory_frames_are_dropped_and_counted(void **state)
{
    struct net_heap_stats stats;
    uint64_t dropped = dev.counters.rx_dropped;
    struct udp_pcb *pcb;
    uint8_t frame[FRAME_MAX];
    size_t bytes = put_udp(frame, 1400);

    (void)state;
    net_heap_get_stats(&stats);
    net_lock();
    pcb = udp_new();
    udp_bind(pcb, IP_ADDR_ANY, 7);
    udp_recv(pcb, keep, NULL);
    net_unlock();
    net_heap_limit(stats.held_bytes + 64 * KIB);
    n_kept = 0;
    for (unsigned i = 0; i < 300; i++)
        assert_true(deliver(frame, bytes, NET_CHECKSUM_UNKNOWN));
    assert_true(n_kept < 200);
    assert_int_equal(dev.counters.rx_dropped - dropped, 300 - n_kept);
    while (n_kept > 0)
        pbuf_free(kept[--n_kept]);
    net_heap_limit(stats.limit_bytes);
    net_lock();
    udp_remove(pcb);
    net_unlock();
}

/* An application's datagram may change once it was sent: it is copied, exactly once. */
static void volatile_memory_is_copied_and_constant_memory_is_not(void **state)
{
    static uint8_t text[100];
    uint8_t arp[60] = { 0 };
    ip_addr_t to;
    struct udp_pcb *pcb;
    struct pbuf *packet;
    struct sent *frame;

    (void)state;
    put_arp(arp, 2, our_mac);
    deliver(arp, 60, NET_CHECKSUM_UNKNOWN);
    ip_addr_set_ip4_u32(&to, lwip_htonl(PEER));
    for (unsigned type = 0; type < 2; type++) {
        memset(text, 0x11, sizeof(text));
        net_lock();
        pcb = udp_new();
        packet = pbuf_alloc(PBUF_RAW, sizeof(text), type ? PBUF_ROM : PBUF_REF);
        packet->payload = text;
        assert_int_equal(udp_sendto(pcb, packet, &to, 9), ERR_OK);
        pbuf_free(packet);
        udp_remove(pcb);
        net_unlock();
        frame = next_ip();
        assert_int_equal(frame->elems, type ? 2 : 1);
        assert_int_equal(frame->bytes[42], 0x11);
        assert_int_equal(frame->checksum_start, 34);
        assert_int_equal(frame->checksum_offset, 6);
        put16(frame->bytes + 40, (uint16_t)~fold(sum16(0, frame->bytes + 34, frame->length - 34)));
        assert_int_equal(transport_sum(frame->bytes, frame->length), 0xffff);
    }
}

static void a_device_that_stays_full_pushes_back(void **state)
{
    uint8_t arp[60] = { 0 };
    ip_addr_t to;
    struct udp_pcb *pcb;
    unsigned taken = 0;
    err_t error;

    (void)state;
    put_arp(arp, 2, our_mac);
    deliver(arp, 60, NET_CHECKSUM_UNKNOWN);
    ip_addr_set_ip4_u32(&to, lwip_htonl(PEER));
    room = 0;
    completes = false;
    net_lock();
    pcb = udp_new();
    do {
        struct pbuf *packet = pbuf_alloc(PBUF_TRANSPORT, 100, PBUF_RAM);

        memset(packet->payload, (int)taken, 100);
        error = udp_sendto(pcb, packet, &to, 9);
        pbuf_free(packet);
    } while (error == ERR_OK && ++taken < 1000);
    net_unlock();
    assert_int_equal(error, ERR_WOULDBLOCK);
    assert_int_equal(taken, NET_OUT_MAX);
    room = HELD_MAX;
    completes = true;
    run();
    for (unsigned i = 0; i < taken; i++) {
        struct sent *frame = next_ip();

        assert_non_null(frame);
        assert_int_equal(frame->bytes[42], (uint8_t)i);
    }
    net_lock();
    udp_remove(pcb);
    net_unlock();
}

/* Our own segments come back with no sum but the pseudo header's: nobody finishes them. */
static void what_we_send_to_ourselves_is_not_verified_whatever_came_before(void **state)
{
    struct netif *netif = &net_interface_get(0)->netif;
    struct peer peer = { 0 };
    uint8_t frame[FRAME_MAX], arp[60] = { 0 };
    struct pbuf *packet;
    size_t length;

    (void)state;
    start_server();
    connect_peer(&peer);
    put_arp(arp, 2, our_mac);
    deliver(arp, 60, NET_CHECKSUM_UNKNOWN);
    length = put_tcp(frame, &peer, ACK, (const uint8_t *)"abc", 3);
    put16(frame + 50, 0);
    net_lock();
    packet = pbuf_alloc(PBUF_LINK, (u16_t)(length - 14), PBUF_RAM);
    pbuf_take(packet, frame + 14, (u16_t)(length - 14));
    assert_int_equal(ip_input(packet, netif), ERR_OK); /* as netif_poll() does */
    net_unlock();
    assert_int_equal(n_received, 3);
    peer.seq += 3;
    close_peer(&peer);
    n_looked_at = n_sent;
}

static void what_a_full_device_pushed_back_goes_out_when_it_has_room(void **state)
{
    struct peer peer = { 0 };
    struct udp_pcb *pcb;
    ip_addr_t to;
    size_t payload;
    const uint8_t *tcp = NULL;

    (void)state;
    start_server();
    connect_peer(&peer);
    ip_addr_set_ip4_u32(&to, lwip_htonl(PEER));
    room = 0;
    completes = false;
    net_lock();
    pcb = udp_new();
    for (unsigned i = 0; i < NET_OUT_MAX; i++) {
        struct pbuf *packet = pbuf_alloc(PBUF_TRANSPORT, 100, PBUF_RAM);

        assert_int_equal(udp_sendto(pcb, packet, &to, 9), ERR_OK);
        pbuf_free(packet);
    }
    udp_remove(pcb);
    tcp_write(accepted, "abc", 3, TCP_WRITE_FLAG_COPY);
    tcp_output(accepted);
    net_unlock();
    room = HELD_MAX;
    completes = true;
    run();
    n_looked_at = n_sent - 1;
    tcp = next_segment(&payload);
    assert_int_equal(payload, 3);
    assert_memory_equal(tcp + 20, "abc", 3);
    close_peer(&peer);
}

static unsigned count_connections(void)
{
    unsigned n = 0;

    for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
        n++;
    return n;
}

/* The peer's window is closed for good, and it answers every probe. */
static void a_closed_connection_that_nobody_reads_is_forgotten(void **state)
{
    struct peer peer = { 0 };
    uint8_t frame[FRAME_MAX];
    unsigned seconds = 0;

    (void)state;
    start_server();
    connect_peer(&peer);
    closed_window = true;
    send_tcp(&peer, ACK, NULL, 0);
    net_lock();
    tcp_write(accepted, received, 3000, TCP_WRITE_FLAG_COPY);
    tcp_err(accepted, NULL);
    tcp_recv(accepted, NULL);
    tcp_close(accepted);
    accepted = NULL;
    net_unlock();
    for (; seconds < 300 && count_connections() > 0; seconds++) {
        let_pass(1000);
        deliver(frame, put_tcp(frame, &peer, ACK, NULL, 0), NET_CHECKSUM_UNKNOWN);
    }
    closed_window = false;
    assert_in_range(seconds, 50, 70);
    n_looked_at = n_sent;
    stop_server();
}

/* We close the accepted connection first, whole or for sending alone: it stays in TIME_WAIT. */
static struct tcp_pcb *end_in_time_wait(struct peer *peer, bool whole)
{
    struct tcp_pcb *pcb = accepted;
    const uint8_t *tcp;
    size_t payload;

    accepted = NULL;
    net_lock();
    tcp_recv(pcb, NULL);
    if (whole)
        tcp_err(pcb, NULL);
    assert_int_equal(whole ? tcp_close(pcb) : tcp_shutdown(pcb, 0, 1), ERR_OK);
    net_unlock();
    tcp = next_segment(&payload);
    assert_non_null(tcp);
    assert_int_equal(tcp[13], FIN | ACK);
    peer->ack = get32(tcp + 4) + 1;
    send_tcp(peer, FIN | ACK, NULL, 0);
    peer->seq++;
    tcp = next_segment(&payload);
    assert_non_null(tcp);
    assert_int_equal(get32(tcp + 8), peer->seq);
    assert_int_equal(pcb->state, TIME_WAIT);
    return pcb;
}

static void a_client_takes_its_port_again_at_once(void **state)
{
    struct peer peer = { 0 };
    const uint8_t *tcp;
    size_t payload;

    (void)state;
    start_server();
    connect_peer(&peer);
    /* As after a GB in a moment: behind what the clock gives to the next connection. */
    accepted->snd_nxt = accepted->snd_lbb = accepted->lastack = accepted->snd_wl2 =
        peer.ack + 1000000000;
    peer.ack += 1000000000;
    end_in_time_wait(&peer, true);

    /* A late repetition of the old one's SYN, or of its end, begins nothing. */
    for (uint32_t back = 0; back < 3; back++) {
        struct peer late = { peer.seq - back, peer.ack, peer.port };

        send_tcp(&late, SYN, NULL, 0);
        tcp = next_segment(&payload);
        assert_non_null(tcp);
        assert_false(tcp[13] & SYN);
        assert_null(accepted);
    }

    struct peer again = { peer.seq + 64000, 0, peer.port };
    send_tcp(&again, SYN, NULL, 0);
    tcp = next_segment(&payload);
    assert_non_null(tcp);
    assert_int_equal(tcp[13], SYN | ACK);
    assert_int_equal(get32(tcp + 8), again.seq + 1);
    assert_true((int32_t)(get32(tcp + 4) - peer.ack) >= 0);
    again.seq++;
    again.ack = get32(tcp + 4) + 1;
    send_tcp(&again, ACK, "hello", 5);
    assert_non_null(accepted);
    assert_int_equal(n_received, 5);
    assert_memory_equal(received, "hello", 5);
    again.seq += 5;
    close_peer(&again);
}

static void a_port_that_nobody_serves_any_more_is_refused_out_of_time_wait(void **state)
{
    struct peer peer = { 0 };
    const uint8_t *tcp;
    size_t payload;

    (void)state;
    start_server();
    connect_peer(&peer);
    end_in_time_wait(&peer, true);
    stop_server();
    peer.seq += 64000;
    send_tcp(&peer, SYN, NULL, 0);
    tcp = next_segment(&payload);
    assert_non_null(tcp);
    assert_true(tcp[13] & RST);
}

static bool connection_ended;

static void note_end(void *argument, err_t error)
{
    (void)argument;
    connection_ended = error == ERR_ABRT || error == ERR_CLSD;
}

/* Half closed, it is the application's until it closes it whole, or is told. */
static void an_application_is_told_that_its_connection_left_time_wait(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        struct peer peer = { 0, 0, (uint16_t)(41000 + way) };
        struct tcp_pcb *pcb;

        start_server();
        connect_peer(&peer);
        tcp_err(accepted, note_end);
        connection_ended = false;
        pcb = end_in_time_wait(&peer, false);
        assert_false(connection_ended);
        if (way == 0) {
            let_pass(121000);
        } else if (way == 1) {
            net_lock();
            tcp_abort(pcb);
            net_unlock();
        } else {
            peer.seq += 64000;
            send_tcp(&peer, SYN, NULL, 0);
            peer.seq++;
            send_tcp(&peer, RST, NULL, 0);
        }
        assert_true(connection_ended);
        n_looked_at = n_sent;
        stop_server();
    }
}

static void a_server_of_short_connections_keeps_no_more_than_a_thousand(void **state)
{
    unsigned most = 0, n;

    (void)state;
    start_server();
    for (unsigned i = 0; i < TCP_MAX_TIME_WAIT + 200; i++) {
        struct peer peer = { 0, 0, (uint16_t)(2000 + i) };

        connect_peer(&peer);
        end_in_time_wait(&peer, true);
        n = 0;
        for (const struct tcp_pcb *pcb = tcp_tw_pcbs; pcb; pcb = pcb->next)
            n++;
        most = MAX(most, n);
        n_looked_at = n_sent;
    }
    assert_int_equal(most, TCP_MAX_TIME_WAIT);
    stop_server();
    let_pass(121000);
    assert_null(tcp_tw_pcbs);
}

/* ---- garbage */

static uint32_t noise = 1;

static uint8_t next_noise(void)
{
    noise = noise * 1664525 + 1013904223;
    return (uint8_t)(noise >> 24);
}

static void garbage_harms_nothing(void **state)
{
    static uint8_t frame[1514];

    (void)state;
    start_server();
    for (unsigned i = 0; i < 20000; i++) {
        size_t bytes = 14 + (next_noise() << 8 | next_noise()) % 1501;

        for (size_t k = 0; k < bytes; k++)
            frame[k] = next_noise();
        if (i % 4 > 0)
            put_ethernet(frame, our_mac, i % 4 == 1 ? 0x0806 : 0x0800);
        if (i % 4 == 3 && bytes >= 34) {
            static const uint8_t protocols[] = { 1, 6, 17, 2 };

            put_ip(frame, protocols[i / 4 % 4], bytes - 34);
            if (i % 8 == 7)
                frame[14] = (uint8_t)(0x40 | next_noise() % 16);
        }
        assert_true(deliver(frame, bytes, i % 3 ? NET_CHECKSUM_GOOD : NET_CHECKSUM_UNKNOWN));
        n_looked_at = n_sent;
        host_clock_ns += 10 * NSEC_PER_MSEC;
    }
    stop_server();
    let_pass(30000);
    n_looked_at = n_sent;
}

static void short_frames_harm_nothing(void **state)
{
    uint8_t frame[64] = { 0 };

    (void)state;
    put_arp(frame, 1, our_mac);
    for (size_t bytes = 14; bytes < 42; bytes++)
        deliver(frame, bytes, NET_CHECKSUM_UNKNOWN);
    put_echo(frame, 0);
    for (size_t bytes = 14; bytes < 42; bytes++)
        deliver(frame, bytes, NET_CHECKSUM_UNKNOWN);
    assert_null(next_sent());
}

static void an_arp_request_is_not_completed_from_an_older_frame(void **state)
{
    uint8_t frame[60] = { 0 };

    (void)state;
    put_arp(frame, 1, our_mac);
    for (unsigned i = 0; i < dev.rx_buffers; i++) /* each buffer has one in it */
        deliver(frame, 42, NET_CHECKSUM_UNKNOWN);
    while (next_sent())
        ;
    for (size_t bytes = 14; bytes < 42; bytes++)
        deliver(frame, bytes, NET_CHECKSUM_UNKNOWN);
    assert_null(next_sent());
}

static void fragments_that_never_complete_are_forgotten(void **state)
{
    uint8_t frame[FRAME_MAX];

    (void)state;
    for (unsigned i = 0; i < 500; i++) {
        size_t bytes = put_echo(frame, 800);

        put16(frame + 18, i);
        put16(frame + 20, 0x2000 | (i % 50) * 101);
        put16(frame + 24, 0);
        put16(frame + 24, (uint16_t)~fold(sum16(0, frame + 14, 20)));
        assert_true(deliver(frame, bytes, NET_CHECKSUM_GOOD));
        assert_int_equal(n_lent, dev.rx_buffers);
    }
    let_pass(20000);
    n_looked_at = n_sent;
}

/* ---- the link, DHCP, sleep */

static void the_link_is_followed(void **state)
{
    struct netif *netif = &net_interface_get(0)->netif;

    (void)state;
    dev.link_up = false;
    run();
    assert_false(netif_is_link_up(netif));
    dev.link_up = true;
    run();
    assert_true(netif_is_link_up(netif));
}

static void an_idle_stack_sleeps_for_a_second(void **state)
{
    u32_t ms;

    (void)state;
    let_pass(2000);
    net_lock();
    host_clock_ns += NSEC_PER_SEC;
    sys_check_timeouts();
    ms = sys_timeouts_sleeptime();
    net_unlock();
    assert_in_range(ms, 900, 1000);
    assert_true(armed);
}

static void a_connection_wakes_the_thread_that_sleeps_too_long(void **state)
{
    ip_addr_t to;
    struct tcp_pcb *pcb;

    (void)state;
    host_clock_ns += NSEC_PER_SEC;
    run();
    netdev_event.marked = false;
    ip_addr_set_ip4_u32(&to, lwip_htonl(PEER));
    net_lock();
    pcb = tcp_new();
    assert_int_equal(tcp_connect(pcb, &to, 9, NULL), ERR_OK);
    net_unlock();
    assert_true(netdev_event.marked);
    net_lock();
    tcp_abort(pcb);
    net_unlock();
    n_looked_at = n_sent;
}

static void a_flood_leaves_time_for_the_application(void **state)
{
    unsigned rounds = 0;
    u32_t ms = 0;

    (void)state;
    net_lock();
    for (; rounds < 100 && ms == 0; rounds++) {
        /* As soon as one frame was taken the next one is there, and its interrupt has come. */
        arrived[0].buffer = lent[--n_lent];
        arrived[0].bytes = 14;
        n_arrived = 1;
        memset(arrived[0].buffer->start + OFFSET, 0, 14);
        if (rounds > 0)
            ms = sys_timeouts_sleeptime();
        if (ms > 0)
            break;
        host_clock_ns += 50 * NSEC_PER_USEC;
        netdev_event.marked = true;
        sys_check_timeouts();
    }
    assert_int_equal(ms, 1);
    assert_in_range(rounds, 8, 64);
    /* The turn lasts until the CPU has nothing else to do, and no mark from before ends it. */
    assert_false(netdev_event.marked);
    assert_true(host_event_is_polled(&netdev_event));
    sys_check_timeouts();
    assert_false(host_event_is_polled(&netdev_event));
    net_unlock();
}

static size_t put_dhcp(uint8_t *frame, const uint8_t *request, uint8_t type)
{
    uint8_t *bootp = frame + 42;
    static const uint8_t options[] = { 54, 4,   10,  0,   2, 2, 51, 4,  0, 0, 14, 16, 1,
                                       4,  255, 255, 255, 0, 3, 4,  10, 0, 2, 2,  255 };

    memset(bootp, 0, 300);
    memcpy(bootp, request, 44);
    bootp[0] = 2;
    put32(bootp + 16, 0x0a000233);
    put32(bootp + 236, 0x63825363);
    bootp[240] = 53;
    bootp[241] = 1;
    bootp[242] = type;
    memcpy(bootp + 243, options, sizeof(options));
    put16(frame + 34, 67);
    put16(frame + 36, 68);
    put16(frame + 38, 308);
    put16(frame + 40, 0);
    put_ip(frame, 17, 308);
    memset(frame, 0xff, 6);
    put32(frame + 30, 0xffffffff);
    put16(frame + 24, 0);
    put16(frame + 24, (uint16_t)~fold(sum16(0, frame + 14, 20)));
    return 342;
}

static void dhcp_leases_an_address(void **state)
{
    struct netif *netif = &net_interface_get(0)->netif;
    uint8_t frame[FRAME_MAX];
    struct sent *request;

    (void)state;
    net_lock();
    netif_set_addr(netif, NULL, NULL, NULL);
    assert_int_equal(dhcp_start(netif), ERR_OK);
    net_unlock();
    request = next_ip();
    assert_non_null(request);
    assert_int_equal(request->bytes[284], 1);
    deliver(frame, put_dhcp(frame, request->bytes + 42, 2), NET_CHECKSUM_UNKNOWN);
    request = next_ip();
    assert_non_null(request);
    assert_int_equal(request->bytes[284], 3);
    deliver(frame, put_dhcp(frame, request->bytes + 42, 5), NET_CHECKSUM_UNKNOWN);
    assert_int_equal(lwip_ntohl(ip4_addr_get_u32(netif_ip4_addr(netif))), 0x0a000233);
    assert_true(dhcp_supplied_address(netif));
    net_lock();
    dhcp_release_and_stop(netif);
    dhcp_cleanup(netif);
    net_unlock();
    n_looked_at = n_sent;
}

static void a_device_that_goes_gives_all_back_and_the_next_one_takes_its_place(void **state)
{
    struct net_interface *interface = net_interface_get(0);
    struct tcp_pcb *pcb = tcp_new();
    ip4_addr_t us, mask, peer;

    (void)state;
    ip4_addr_set_u32(&us, lwip_htonl(OUR_ADDRESS));
    ip4_addr_set_u32(&mask, lwip_htonl(0xffffff00));
    ip4_addr_set_u32(&peer, lwip_htonl(PEER));
    net_lock();
    netif_set_addr(&interface->netif, &us, &mask, &peer);
    assert_int_equal(tcp_bind(pcb, &us, 4000), ERR_OK);
    tcp_err(pcb, note_end);
    assert_int_equal(tcp_connect(pcb, &peer, 80, NULL), ERR_OK);
    net_unlock();
    run();
    room = 0; /* what is sent from here on waits for ever */
    completes = true;

    netdev_unregister(&dev);
    run();
    assert_true(connection_ended);
    assert_true(released);
    assert_null(net_interface_get(0));
    assert_null(netdev_get(0));
    assert_int_equal(n_lent, 0);
    assert_int_equal(interface->out_count, 0);

    dev.gone = false;
    room = HELD_MAX;
    netdev_register(&dev);
    run();
    assert_ptr_equal(net_interface_get(0), interface);
    assert_string_equal(dev.name, "eth1");
    assert_int_equal(n_lent, dev.rx_buffers);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, nothing_is_left)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arp_requests_are_answered),
        TEST(echoes_are_answered_in_the_buffer_they_came_in),
        TEST(an_echo_with_a_wrong_checksum_is_not_answered),
        TEST(our_ping_measures_the_round_trip),
        TEST(our_ping_gives_up),
        TEST(tcp_receives_what_was_sent),
        TEST(a_segment_with_a_wrong_checksum_is_ignored_unless_the_device_vouches),
        TEST(tcp_sends_what_was_written),
        TEST(tcp_sends_without_offloads),
        TEST(a_full_device_delays_frames_and_loses_none),
        TEST(a_window_that_opens_late_and_little_panics_nobody),
        TEST(a_peer_that_changes_its_mss_panics_nobody),
        TEST(segments_leave_in_one_piece_with_room_for_the_driver),
        TEST(what_the_device_has_not_sent_is_not_sent_again),
        TEST(two_thousand_connections_at_once_end_in_refusals),
        TEST(packets_that_are_kept_do_not_starve_the_device),
        TEST(without_memory_frames_are_dropped_and_counted),
        TEST(volatile_memory_is_copied_and_constant_memory_is_not),
        TEST(a_device_that_stays_full_pushes_back),
        TEST(what_we_send_to_ourselves_is_not_verified_whatever_came_before),
        TEST(what_a_full_device_pushed_back_goes_out_when_it_has_room),
        TEST(a_closed_connection_that_nobody_reads_is_forgotten),
        TEST(a_client_takes_its_port_again_at_once),
        TEST(a_port_that_nobody_serves_any_more_is_refused_out_of_time_wait),
        TEST(an_application_is_told_that_its_connection_left_time_wait),
        TEST(a_server_of_short_connections_keeps_no_more_than_a_thousand),
        TEST(garbage_harms_nothing),
        TEST(short_frames_harm_nothing),
        TEST(an_arp_request_is_not_completed_from_an_older_frame),
        TEST(fragments_that_never_complete_are_forgotten),
        TEST(the_link_is_followed),
        TEST(an_idle_stack_sleeps_for_a_second),
        TEST(a_connection_wakes_the_thread_that_sleeps_too_long),
        TEST(a_flood_leaves_time_for_the_application),
        TEST(a_probe_that_was_all_there_was_to_send_ends_the_probing),
        TEST(dhcp_leases_an_address),
        cmocka_unit_test(a_device_that_goes_gives_all_back_and_the_next_one_takes_its_place),
    };

    return cmocka_run_group_tests(tests, start_stack, NULL);
}
