/* SPDX-License-Identifier: MIT */
/*
 * The network driver, the device core and the rings, unchanged, against DPDK's
 * network device: dpdk-testpmd with a vhost-user port, which counts what we
 * send, sends by itself, or sends each frame back.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "drivers/virtio/net.h"
#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/net.h"
#include "kernel/clock.h"
#include "kernel/dma.h"
#include "kernel/netdev.h"
#include "kernel/page.h"
#include "kernel/page_audit.h"
#include "kernel/thread.h"
#include "lib/base/errno.h"
#include "tests/host/log.h"
#include "tests/host/program.h"
#include "tests/host/shared_dma.h"
#include "tests/host/vhost_transport.h"

#define TESTPMD    "dpdk-testpmd"
#define DEADLINE_S 120
#define TIMEOUT_MS 30000
#define FEATURE(b) (UINT64_C(1) << (b))

#define MTU_JUMBO    9000
#define FRAME_MIN    60
#define PLACE_BYTES  10240 /* of a frame in memory */
#define BUFFER_BYTES 2048
#define BUFFERS      128
#define WINDOW       16   /* frames on their way: the ring has room for all, even large ones */
#define FRAMES       3000 /* in one test */
#define HEADROOM     16

static char folder[64], port_socket[96], testpmd_log[96];
static struct program testpmd;
static struct vhost_transport foreign;
static struct netdev *dev;
static uint8_t *places; /* WINDOW frames of ours */
static uint8_t *room;   /* BUFFERS of BUFFER_BYTES */
static struct net_buffer buffers[BUFFERS];
static uint64_t seed;

/* ---- the other side */

/* The first CPUs that we may use: its two threads listen and forward on any of them. */
static void list_cpus(char *text, size_t bytes)
{
    cpu_set_t ours;
    size_t length = 0;

    sched_getaffinity(0, sizeof(ours), &ours);
    for (int cpu = 0; cpu < CPU_SETSIZE && length + 6 < bytes; cpu++)
        if (CPU_ISSET(cpu, &ours))
            length += (size_t)sprintf(text + length, "%s%d", length ? "," : "", cpu);
}

static void start_testpmd(void)
{
    char port[128], runtime[96], threads[128], cpus[48];
    const char *const arguments[] = { "env",
                                      runtime,
                                      "stdbuf", /* else its answers stay with it */
                                      "-oL",
                                      TESTPMD,
                                      "--lcores",
                                      threads,
                                      "--no-huge",
                                      "-m",
                                      "128",
                                      "--no-pci",
                                      "--no-telemetry",
                                      "--no-shconf",
                                      "--log-level=lib.vhost.config:warning",
                                      "--vdev",
                                      port,
                                      "--",
                                      "--interactive",
                                      "--disable-link-check",
                                      "--no-lsc-interrupt",
                                      "--total-num-mbufs=2048",
                                      "--mbuf-size=10240",
                                      NULL };

    list_cpus(cpus, sizeof(cpus));
    snprintf(threads, sizeof(threads), "0@(%s),1@(%s)", cpus, cpus);
    snprintf(runtime, sizeof(runtime), "RUNTIME_DIRECTORY=%s", folder);
    snprintf(port, sizeof(port), "net_vhost0,iface=%s,queues=1", port_socket);
    unlink(port_socket);
    program_start(&testpmd, testpmd_log, arguments);
}

/* Waits for the answer; what follows it is dropped. */
static void expect(const char *text)
{
    char *rest = program_await(&testpmd, text, TIMEOUT_MS);

    assert_non_null(rest);
    free(rest);
}

static void forward(const char *mode)
{
    char line[64];

    snprintf(line, sizeof(line), "set fwd %s", mode);
    program_tell(&testpmd, "stop");
    program_tell(&testpmd, line);
    program_tell(&testpmd, "clear port stats all");
    program_tell(&testpmd, "start");
    snprintf(line, sizeof(line), "%s packet forwarding - ports=1", mode);
    expect(line);
}

/* One of the port's counters now, such as "RX-packets: ". */
static uint64_t port_count(const char *name)
{
    char *rest;
    uint64_t count;

    program_tell(&testpmd, "show port stats 0");
    expect("NIC statistics for port 0");
    rest = program_await(&testpmd, name, TIMEOUT_MS);
    assert_non_null(rest);
    count = strtoull(rest, NULL, 10);
    free(rest);
    return count;
}

/* testpmd counts a burst a moment after it has given the buffers back. */
static void expect_count(const char *name, uint64_t wanted)
{
    for (unsigned looks = 0; looks < 2000 && port_count(name) < wanted; looks++)
        usleep(10000);
    assert_int_equal(port_count(name), wanted);
}

/* ---- frames of random bytes, the same in every run */

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void fill(uint8_t *to, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
        uint64_t word = next_random();

        memcpy(to + i, &word, MIN(sizeof(word), bytes - i));
    }
}

/* ---- fixture */

static void prepare(uint64_t hidden, uint16_t mtu)
{
    struct virtio_net_config config = {
        .mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 },
        .status = VIRTIO_NET_S_LINK_UP,
        .mtu = mtu,
    };

    vhost_transport_init(&foreign, VIRTIO_ID_NET, port_socket);
    foreign.hidden = hidden;
    foreign.own_features = FEATURE(VIRTIO_NET_F_MAC) | FEATURE(VIRTIO_NET_F_STATUS);
    memcpy(foreign.own_config, &config, sizeof(config));
    foreign.device.config_bytes = sizeof(config);
}

static struct netdev *newest_netdev(void)
{
    unsigned n = 0;

    while (netdev_get(n + 1))
        n++;
    return netdev_get(n);
}

static void bring_up(void)
{
    host_log_clear();
    if (virtio_add(&foreign.device))
        fail_msg("%s%s", host_log_text(), foreign.peer.error);
    dev = newest_netdev();
    assert_non_null(dev);
    for (unsigned i = 0; i < BUFFERS; i++) {
        struct net_buffer *buffer = &buffers[i];

        *buffer = (struct net_buffer){ room + i * BUFFER_BYTES, BUFFER_BYTES };
        assert_int_equal(dev->ops->give(dev, &buffer, 1), 1);
    }
}

static int set_up(void **state)
{
    (void)state;
    if (!program_exists(TESTPMD)) {
        print_message(TESTPMD " is missing: apt-get install dpdk-dev librte-net-vhost23\n");
        return 0;
    }
    alarm(DEADLINE_S);
    seed = UINT64_C(0x9e3779b97f4a7c15);
    if (!testpmd.pid)
        start_testpmd();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (foreign.device.transport) {
        virtio_remove(&foreign.device);
        vhost_transport_close(&foreign);
    }
    foreign.device.transport = NULL;
    alarm(0);
    return 0;
}

#define NEED_TESTPMD()                \
    do {                              \
        if (!program_exists(TESTPMD)) \
            skip();                   \
    } while (0)

/* ---- traffic */

/* What is under way. The oldest frame is the next to come back: one queue keeps the order. */
struct traffic {
    uint32_t bytes[WINDOW]; /* of the frames by number modulo WINDOW */
    unsigned sent, reaped, received;
};

static uint8_t *place(unsigned number)
{
    return places + (number % WINDOW) * PLACE_BYTES + HEADROOM;
}

/* One frame in up to three pieces, with and without room for the header in front. */
static bool send_one(struct traffic *traffic)
{
    uint8_t *frame = place(traffic->sent);
    uint32_t most = dev->mtu + NETDEV_ETHERNET_HEADER;
    uint32_t bytes = FRAME_MIN + (uint32_t)(next_random() % (most - FRAME_MIN + 1));
    uint32_t third = bytes / 3;
    struct net_elem pieces[] = { { frame, third },
                                 { frame + third, third },
                                 { frame + 2 * third, bytes - 2 * third } };
    struct net_packet packet = {
        .elem = pieces, .n_elem = 3, .headroom = traffic->sent % 2 ? HEADROOM : 0, .cookie = frame
    };

    if (traffic->sent % 3) {
        pieces[0].bytes = bytes;
        packet.n_elem = 1;
    }
    fill(frame, bytes);
    traffic->bytes[traffic->sent % WINDOW] = bytes;
    if (dev->ops->transmit(dev, &packet, 1) != 1)
        return false;
    traffic->sent++;
    return true;
}

static void reap(struct traffic *traffic)
{
    void *cookies[WINDOW];
    int n = dev->ops->reap(dev, cookies, WINDOW);

    assert_true(n >= 0);
    traffic->reaped += (unsigned)n;
}

static void give_back(const struct net_received *parts, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(dev->ops->give(dev, &parts[i].buffer, 1), 1);
}

/* Puts a frame together; its bytes. */
static uint32_t assemble(const struct net_received *parts, uint8_t *to)
{
    uint32_t bytes = 0;

    for (unsigned i = 0; i < parts[0].n_buffers; i++) {
        assert_true(bytes + parts[i].bytes <= PLACE_BYTES);
        memcpy(to + bytes, parts[i].buffer->start + parts[i].offset, parts[i].bytes);
        bytes += parts[i].bytes;
    }
    return bytes;
}

static void await_event(void)
{
    if (event_wait(&netdev_event, clock_monotonic_ns() + TIMEOUT_MS * NSEC_PER_MSEC))
        fail_msg("nothing came for %d ms\n%s", TIMEOUT_MS, host_log_text());
}

static void await_device(void)
{
    if (!dev->ops->arm(dev))
        await_event();
    dev->ops->disarm(dev);
}

/* Hands each frame that came to look(). */
static unsigned receive(void (*look)(const uint8_t *frame, uint32_t bytes, unsigned number),
                        unsigned number)
{
    static uint8_t frame[PLACE_BYTES];
    struct net_received batch[32];
    unsigned frames = 0;
    int n = dev->ops->receive(dev, batch, ARRAY_SIZE(batch));

    for (int i = 0; i < n; i += batch[i].n_buffers) {
        uint32_t bytes = assemble(&batch[i], frame);

        look(frame, bytes, number + frames++);
    }
    if (n > 0)
        give_back(batch, (unsigned)n);
    return frames;
}

static struct traffic traffic;

static void look_for_the_same(const uint8_t *frame, uint32_t bytes, unsigned number)
{
    assert_int_equal(bytes, traffic.bytes[number % WINDOW]);
    assert_memory_equal(frame, place(number), bytes);
}

static void look_for_swapped_addresses(const uint8_t *frame, uint32_t bytes, unsigned number)
{
    const uint8_t *sent = place(number);

    assert_int_equal(bytes, traffic.bytes[number % WINDOW]);
    assert_memory_equal(frame, sent + 6, 6);
    assert_memory_equal(frame + 6, sent, 6);
    assert_memory_equal(frame + 12, sent + 12, bytes - 12);
}

static unsigned sent_and_not_back(void)
{
    return traffic.sent - traffic.received;
}

/* One way only: sleeps until the device has taken some. */
static void send_frames(unsigned n)
{
    traffic = (struct traffic){ 0 };
    while (traffic.reaped < n) {
        while (traffic.sent < n && traffic.sent - traffic.reaped < WINDOW && send_one(&traffic))
            ;
        if (!dev->ops->arm_transmit(dev))
            await_event();
        reap(&traffic);
    }
}

static void look_away(const uint8_t *frame, uint32_t bytes, unsigned number)
{
    (void)frame;
    (void)bytes;
    (void)number;
}

/* testpmd drops what it takes before it may also send: goes on until a frame has come back. */
static void await_both_ways(void)
{
    unsigned came = 0, quiet = 0;

    traffic = (struct traffic){ 0 };
    for (unsigned looks = 0; came == 0 || quiet < 20 || traffic.reaped < traffic.sent; looks++) {
        if (came == 0 && looks % 20 == 0 && traffic.sent - traffic.reaped < WINDOW)
            assert_true(send_one(&traffic));
        thread_sleep_until(clock_monotonic_ns() + NSEC_PER_MSEC);
        reap(&traffic);
        traffic.received = receive(look_away, 0);
        came += traffic.received;
        quiet = traffic.received ? 0 : quiet + 1;
        assert_true(looks < TIMEOUT_MS);
    }
    dev->counters = (struct netdev_counters){ 0 };
}

/* Every frame that goes out comes back, in order; n of them. */
static void loop_frames(void (*look)(const uint8_t *frame, uint32_t bytes, unsigned number),
                        unsigned n)
{
    traffic = (struct traffic){ 0 };
    while (traffic.received < n) {
        while (traffic.sent < n && sent_and_not_back() < WINDOW &&
               traffic.sent - traffic.reaped < WINDOW && send_one(&traffic))
            ;
        if (sent_and_not_back())
            await_device();
        traffic.received += receive(look, traffic.received);
        reap(&traffic);
    }
    while (traffic.reaped < n)
        reap(&traffic);
    assert_int_equal(dev->counters.rx_packets, n);
    assert_int_equal(dev->counters.tx_packets, n);
    assert_int_equal(dev->counters.rx_errors + dev->counters.rx_dropped, 0);
}

/* ---- tests: each frame comes back byte for byte */

#define ORDER FEATURE(VIRTIO_F_IN_ORDER)
#define MERGE FEATURE(VIRTIO_NET_F_MRG_RXBUF)
#define EVENT FEATURE(VIRTIO_F_EVENT_IDX)
#define PACK  FEATURE(VIRTIO_F_RING_PACKED)
#define MTU   FEATURE(VIRTIO_NET_F_MTU)

static void assert_negotiated(unsigned bit)
{
    assert_int_equal(virtio_has(&foreign.device, bit), !(foreign.hidden >> bit & 1));
}

/* Armed before the frame is sent, so that nothing but an interrupt can tell of its return. */
static void a_frame_that_comes_back_interrupts(void)
{
    /* Interrupts of what came before are none of this one's. */
    thread_sleep_until(clock_monotonic_ns() + NSEC_PER_MSEC);
    foreign.queues[0].calls = 0;
    traffic = (struct traffic){ 0 };
    assert_false(dev->ops->arm(dev));
    assert_true(send_one(&traffic));
    while (!foreign.queues[0].calls) /* the event may bear a mark of an earlier device */
        await_event();
    assert_int_equal(receive(look_for_the_same, 0), 1);
    while (traffic.reaped < 1)
        reap(&traffic);
    dev->counters = (struct netdev_counters){ 0 };
}

static void frames_come_back_without(uint64_t hidden, uint16_t mtu)
{
    NEED_TESTPMD();
    forward("io");
    prepare(hidden, mtu);
    bring_up();
    assert_negotiated(VIRTIO_F_RING_PACKED);
    assert_negotiated(VIRTIO_F_EVENT_IDX);
    assert_negotiated(VIRTIO_NET_F_MRG_RXBUF);
    assert_int_equal(dev->mtu, mtu);
    await_both_ways();
    a_frame_that_comes_back_interrupts();
    loop_frames(look_for_the_same, FRAMES);
}

static void frames_come_back_by_split_rings(void **state)
{
    (void)state;
    frames_come_back_without(PACK | ORDER | EVENT | MERGE | MTU, NETDEV_MTU_DEFAULT);
}

static void frames_come_back_by_split_rings_with_event_idx(void **state)
{
    (void)state;
    frames_come_back_without(PACK | ORDER | MERGE | MTU, NETDEV_MTU_DEFAULT);
}

static void frames_come_back_by_split_rings_with_event_idx_and_mrg_rxbuf(void **state)
{
    (void)state;
    frames_come_back_without(PACK | ORDER | MTU, NETDEV_MTU_DEFAULT);
}

static void large_frames_come_back_in_several_buffers_by_split_rings(void **state)
{
    (void)state;
    frames_come_back_without(PACK | ORDER, MTU_JUMBO);
}

static void frames_come_back_by_packed_rings(void **state)
{
    (void)state;
    frames_come_back_without(ORDER | EVENT | MERGE | MTU, NETDEV_MTU_DEFAULT);
}

static void frames_come_back_by_packed_rings_with_event_idx(void **state)
{
    (void)state;
    frames_come_back_without(ORDER | MERGE | MTU, NETDEV_MTU_DEFAULT);
}

static void frames_come_back_by_packed_rings_with_event_idx_and_mrg_rxbuf(void **state)
{
    (void)state;
    frames_come_back_without(ORDER | MTU, NETDEV_MTU_DEFAULT);
}

static void large_frames_come_back_in_several_buffers_by_packed_rings(void **state)
{
    (void)state;
    frames_come_back_without(ORDER, MTU_JUMBO);
}

/* The core decides whether it takes IN_ORDER. */
static void frames_come_back_in_order_without(uint64_t hidden)
{
    NEED_TESTPMD();
    forward("io");
    prepare(hidden, NETDEV_MTU_DEFAULT);
    bring_up();
    assert_true(foreign.peer.offered & ORDER);
    if (!virtio_has(&foreign.device, VIRTIO_F_IN_ORDER)) {
        print_message("the device core does not accept IN_ORDER\n");
        skip();
    }
    await_both_ways();
    loop_frames(look_for_the_same, FRAMES);
}

static void frames_come_back_by_split_rings_with_in_order(void **state)
{
    (void)state;
    frames_come_back_in_order_without(PACK | MTU);
}

static void frames_come_back_by_packed_rings_with_in_order(void **state)
{
    (void)state;
    frames_come_back_in_order_without(MTU);
}

static void a_port_without_interrupts_is_looked_after_by_a_timer(void **state)
{
    (void)state;
    NEED_TESTPMD();
    forward("io");
    prepare(ORDER | MTU, NETDEV_MTU_DEFAULT);
    foreign.silent = true;
    bring_up();
    await_both_ways();
    loop_frames(look_for_the_same, FRAMES / 4);
    assert_int_equal(foreign.queues[0].calls + foreign.queues[1].calls, 0);
}

static void rings_of_four_descriptors_carry_frames(void **state)
{
    (void)state;
    NEED_TESTPMD();
    forward("rxonly");
    prepare(ORDER | MTU, NETDEV_MTU_DEFAULT);
    foreign.queue_size_max = 4;
    host_log_clear();
    assert_int_equal(virtio_add(&foreign.device), 0);
    dev = newest_netdev();
    send_frames(FRAMES / 10);
    expect_count("RX-packets: ", FRAMES / 10);
}

static void addresses_come_back_swapped(void **state)
{
    (void)state;
    NEED_TESTPMD();
    forward("macswap");
    prepare(ORDER | MTU, NETDEV_MTU_DEFAULT);
    bring_up();
    await_both_ways();
    loop_frames(look_for_swapped_addresses, FRAMES);
}

/* ---- one way */

static void testpmd_counts_what_was_sent_by(uint64_t hidden)
{
    NEED_TESTPMD();
    forward("rxonly");
    prepare(hidden, NETDEV_MTU_DEFAULT);
    bring_up();
    send_frames(FRAMES);
    expect_count("RX-packets: ", FRAMES);
    expect_count("RX-bytes: ", dev->counters.tx_bytes);
}

static void testpmd_counts_what_was_sent_by_split_rings(void **state)
{
    (void)state;
    testpmd_counts_what_was_sent_by(PACK | ORDER | MTU);
}

static void testpmd_counts_what_was_sent_by_packed_rings(void **state)
{
    (void)state;
    testpmd_counts_what_was_sent_by(ORDER | MTU);
}

static uint32_t sum_words(const uint8_t *from, unsigned bytes)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < bytes; i += 2)
        sum += (uint32_t)from[i] << 8 | from[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* What testpmd makes by itself: UDP from 198.18.0.1 to 198.18.0.2, 64 bytes a frame. */
static void look_for_a_datagram(const uint8_t *frame, uint32_t bytes, unsigned number)
{
    static const uint8_t addresses[] = { 198, 18, 0, 1, 198, 18, 0, 2 };

    (void)number;
    assert_int_equal(bytes, 64);
    assert_int_equal(frame[12] << 8 | frame[13], 0x0800);
    assert_int_equal(frame[14], 0x45);
    assert_int_equal(frame[16] << 8 | frame[17], bytes - NETDEV_ETHERNET_HEADER);
    assert_int_equal(frame[23], 17);
    assert_int_equal(sum_words(frame + 14, 20), 0xffff);
    assert_memory_equal(frame + 26, addresses, sizeof(addresses));
}

static void testpmd_sends_by(uint64_t hidden)
{
    unsigned received = 0;

    NEED_TESTPMD();
    forward("txonly");
    prepare(hidden, NETDEV_MTU_DEFAULT);
    bring_up();
    while (received < FRAMES) {
        await_device();
        received += receive(look_for_a_datagram, received);
    }
    assert_int_equal(dev->counters.rx_errors + dev->counters.rx_dropped, 0);
}

static void what_testpmd_sends_arrives_by_split_rings(void **state)
{
    (void)state;
    testpmd_sends_by(PACK | ORDER | MTU);
}

static void what_testpmd_sends_arrives_by_packed_rings(void **state)
{
    (void)state;
    testpmd_sends_by(ORDER | MTU);
}

/* ---- a device that goes away */

static void a_testpmd_that_dies_is_replaced_by_another(void **state)
{
    (void)state;
    NEED_TESTPMD();
    forward("io");
    prepare(ORDER | MTU, NETDEV_MTU_DEFAULT);
    bring_up();
    await_both_ways();
    loop_frames(look_for_the_same, 100);
    program_kill(&testpmd);
    traffic = (struct traffic){ 0 };
    while (traffic.sent < WINDOW && send_one(&traffic))
        ;
    assert_int_equal(traffic.sent, WINDOW);
    start_testpmd();
    forward("io"); /* a port that is connected to while it starts may never forward */
    while (traffic.reaped < traffic.sent) { /* each comes back, by the reset at the latest */
        if (foreign.connections < 2)
            await_device();
        receive(look_for_the_same, 0);
        reap(&traffic);
    }
    assert_int_equal(foreign.connections, 2);
    assert_true(dev->link_up);
    await_both_ways();
    loop_frames(look_for_the_same, FRAMES);
}

/* ---- rings taken back while frames are under way, without the driver */

#define RAW_RING   256
#define RAW_SENT   100
#define RAW_ROUNDS 20
#define RAW_FRAME  (sizeof(struct virtio_net_hdr) + 64)

struct raw {
    struct vhost_user peer;
    struct virtq rx, tx;
    struct shared_memory rings;
    uint8_t *frames; /* RAW_RING to send, then as many to receive */
    dma_addr_t frames_at;
    unsigned next; /* the least number that the next frame may have */
};

static void raw_start(struct raw *raw, enum virtq_format format)
{
    const struct virtq_config config = { .format = format, .size = RAW_RING };

    if (!vhost_user_queue_start(&raw->peer, 0, &config, &raw->rx) ||
        !vhost_user_queue_start(&raw->peer, 1, &config, &raw->tx) ||
        !vhost_user_set_status(&raw->peer, VHOST_USER_RUNNING))
        fail_msg("%s", raw->peer.error);
}

static void raw_lend(struct raw *raw)
{
    for (unsigned i = 0; i < RAW_RING; i++) {
        uint8_t *sent = raw->frames + i * BUFFER_BYTES;
        uint8_t *received = sent + RAW_RING * BUFFER_BYTES;
        struct virtq_elem out = { raw->frames_at + i * BUFFER_BYTES, RAW_FRAME };
        struct virtq_elem in = { out.addr + RAW_RING * BUFFER_BYTES, BUFFER_BYTES };
        struct virtq_buffer out_buffer = { &out, 1, 0, sent }, in_buffer = { &in, 0, 1, received };

        fill(sent, RAW_FRAME);
        memset(sent, 0, sizeof(struct virtio_net_hdr));
        memcpy(sent + sizeof(struct virtio_net_hdr), &i, sizeof(i));
        assert_int_equal(virtq_add(&raw->rx, &in_buffer, 1), 1);
        if (i < RAW_SENT)
            assert_int_equal(virtq_add(&raw->tx, &out_buffer, 1), 1);
    }
    if (virtq_publish(&raw->rx))
        virtq_notify(&raw->rx);
    if (virtq_publish(&raw->tx))
        virtq_notify(&raw->tx);
}

/* What came back used; frames received are some that were sent, in their order. */
static unsigned raw_take(struct raw *raw, struct virtq *q)
{
    const size_t header = sizeof(struct virtio_net_hdr);
    struct virtq_done done[RAW_RING];
    int n = virtq_get(q, done, RAW_RING);
    unsigned number;

    assert_true(n >= 0);
    for (int i = 0; i < n && q == &raw->rx; i++) {
        assert_int_equal(done[i].len, RAW_FRAME);
        memcpy(&number, (uint8_t *)done[i].cookie + header, sizeof(number));
        assert_in_range(number, raw->next, RAW_SENT - 1);
        assert_memory_equal((uint8_t *)done[i].cookie + header,
                            raw->frames + number * BUFFER_BYTES + header, RAW_FRAME - header);
        raw->next = number + 1;
    }
    return (unsigned)n;
}

/* Stops the ring: used and never touched are all that was lent. How many were used. */
static unsigned raw_stop(struct raw *raw, unsigned index, unsigned so_far, unsigned lent)
{
    struct virtq *q = index ? &raw->tx : &raw->rx;
    uint32_t base, lap = q->format == VIRTQ_PACKED ? 0x8000 : 0;
    unsigned back, used;
    void *cookies[RAW_RING];
    int n;

    if (!vhost_user_ring_stop(&raw->peer, index, &base))
        fail_msg("%s", raw->peer.error);
    used = back = so_far + raw_take(raw, q);
    assert_int_equal(base & 0xffff, used == RAW_RING ? (lap ? 0 : RAW_RING) : lap | used);
    while ((n = virtq_drain(q, cookies, RAW_RING)) > 0)
        back += (unsigned)n;
    assert_int_equal(back, lent);
    return used;
}

static void rings_taken_back_lose_nothing(enum virtq_format format)
{
    const uint64_t wanted = FEATURE(VIRTIO_F_VERSION_1) | MERGE |
                            (format == VIRTQ_PACKED ? FEATURE(VIRTIO_F_RING_PACKED) : 0);
    const size_t rings_bytes = 1 * MIB, frames_bytes = 2 * RAW_RING * BUFFER_BYTES;
    struct raw raw = { .rings = host_shared };
    unsigned received = 0;
    dma_addr_t unused;
    void *block;

    NEED_TESTPMD();
    forward("io");
    block = dma_alloc(rings_bytes, &unused);
    raw.frames = dma_alloc(frames_bytes, &raw.frames_at);
    if (!vhost_user_connect(&raw.peer, port_socket, TIMEOUT_MS) ||
        !vhost_user_share(&raw.peer, &raw.rings) || !vhost_user_set_features(&raw.peer, wanted))
        fail_msg("%s", raw.peer.error);
    for (unsigned round = 0; round < RAW_ROUNDS; round++) {
        unsigned looks = (unsigned)(next_random() % (round % 2 ? 400 : 4)), back = 0;

        raw.rings.taken_bytes = (size_t)((uint8_t *)block - raw.rings.start);
        raw_start(&raw, format);
        raw.next = 0;
        raw_lend(&raw);
        for (; looks; looks--) {
            back += raw_take(&raw, &raw.rx);
            usleep(10);
        }
        raw_stop(&raw, 1, 0, RAW_SENT);
        received += raw_stop(&raw, 0, back, RAW_RING);
    }
    assert_true(received > 0);
    print_message("# %u of %u frames had come back when their rings were stopped\n", received,
                  RAW_ROUNDS * RAW_SENT);
    vhost_user_close(&raw.peer);
    dma_free(raw.frames, frames_bytes);
    dma_free(block, rings_bytes);
}

static void split_rings_taken_back_in_the_middle_lose_nothing(void **state)
{
    (void)state;
    rings_taken_back_lose_nothing(VIRTQ_SPLIT);
}

static void packed_rings_taken_back_in_the_middle_lose_nothing(void **state)
{
    (void)state;
    rings_taken_back_lose_nothing(VIRTQ_PACKED);
}

/* ---- all together */

static int group_set_up(void **state)
{
    dma_addr_t unused;

    (void)state;
    strcpy(folder, "/tmp/aerostat-net-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(port_socket, sizeof(port_socket), "%s/port", folder);
    snprintf(testpmd_log, sizeof(testpmd_log), "%s/log", folder);
    host_shared_init(32 * MIB);
    places = dma_alloc(WINDOW * PLACE_BYTES, &unused);
    room = dma_alloc(BUFFERS * BUFFER_BYTES, &unused);
    return places && room ? 0 : 1;
}

static int group_tear_down(void **state)
{
    char left[96];

    (void)state;
    program_kill(&testpmd);
    unlink(port_socket);
    unlink(testpmd_log);
    rmdir(strcat(strcpy(left, folder), "/dpdk/rte"));
    rmdir(strcat(strcpy(left, folder), "/dpdk"));
    rmdir(folder);
    return page_audit() ? 0 : 1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frames_come_back_by_split_rings),
        TEST(frames_come_back_by_split_rings_with_event_idx),
        TEST(frames_come_back_by_split_rings_with_event_idx_and_mrg_rxbuf),
        TEST(large_frames_come_back_in_several_buffers_by_split_rings),
        TEST(frames_come_back_by_packed_rings),
        TEST(frames_come_back_by_packed_rings_with_event_idx),
        TEST(frames_come_back_by_packed_rings_with_event_idx_and_mrg_rxbuf),
        TEST(large_frames_come_back_in_several_buffers_by_packed_rings),
        TEST(frames_come_back_by_split_rings_with_in_order),
        TEST(frames_come_back_by_packed_rings_with_in_order),
        TEST(a_port_without_interrupts_is_looked_after_by_a_timer),
        TEST(rings_of_four_descriptors_carry_frames),
        TEST(addresses_come_back_swapped),
        TEST(testpmd_counts_what_was_sent_by_split_rings),
        TEST(testpmd_counts_what_was_sent_by_packed_rings),
        TEST(what_testpmd_sends_arrives_by_split_rings),
        TEST(what_testpmd_sends_arrives_by_packed_rings),
        TEST(a_testpmd_that_dies_is_replaced_by_another),
        TEST(split_rings_taken_back_in_the_middle_lose_nothing),
        TEST(packed_rings_taken_back_in_the_middle_lose_nothing),
    };

    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
