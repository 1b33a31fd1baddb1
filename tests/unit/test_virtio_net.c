/* SPDX-License-Identifier: MIT */
/* The network driver against a fake device, over split and packed rings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/net.h"
#include "drivers/virtio/spec/config.h"
#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/net.h"
#include "kernel/clock.h"
#include "kernel/netdev.h"
#include "kernel/timer.h"
#include "lib/base/errno.h"
#include "tests/host/alloc.h"
#include "tests/host/clock.h"
#include "tests/host/dma.h"
#include "tests/host/fake_transport.h"
#include "tests/host/lies.h"
#include "tests/host/log.h"
#include "tests/host/proves.h"

#define RX           0
#define TX           1
#define HEADER       12
#define BUFFERS      64
#define BUFFER_BYTES 1984
#define BATCH        128

static struct fake_transport fake;
static struct netdev *dev;
static unsigned n_devices;

static uint8_t memory[BUFFERS][BUFFER_BYTES];
static struct net_buffer buffers[BUFFERS];
static struct net_received batch[BATCH];

/* ---- the device's side */

static struct virtio_net_config *config(void)
{
    return (void *)fake.config;
}

static void prepare(bool packed)
{
    static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

    fake_transport_init(&fake, VIRTIO_ID_NET);
    if (packed)
        fake_offer(&fake, VIRTIO_F_RING_PACKED);
    fake_offer(&fake, VIRTIO_NET_F_MAC);
    fake_offer(&fake, VIRTIO_NET_F_STATUS);
    fake_offer(&fake, VIRTIO_NET_F_MRG_RXBUF);
    fake_offer(&fake, VIRTIO_NET_F_CSUM);
    fake_offer(&fake, VIRTIO_NET_F_GUEST_CSUM);
    /* What must not be taken. */
    fake_offer(&fake, VIRTIO_NET_F_CTRL_VQ);
    fake_offer(&fake, VIRTIO_NET_F_MQ);
    fake_offer(&fake, VIRTIO_NET_F_HOST_TSO4);
    fake_offer(&fake, VIRTIO_NET_F_GUEST_TSO4);
    fake.device.config_bytes = sizeof(struct virtio_net_config);
    memcpy(config()->mac, mac, sizeof(mac));
    config()->status = VIRTIO_NET_S_LINK_UP;
    fake.queues[RX].size_max = fake.queues[TX].size_max = 16;
}

static void start(void)
{
    assert_int_equal(virtio_add(&fake.device), 0);
    dev = netdev_get(n_devices++);
    assert_non_null(dev);
}

static void give(unsigned n)
{
    struct net_buffer *list[BUFFERS];

    for (unsigned i = 0; i < n; i++) {
        buffers[i] = (struct net_buffer){ memory[i], BUFFER_BYTES };
        list[i] = &buffers[i];
    }
    assert_int_equal(dev->ops->give(dev, list, n), n);
}

static int set_up(void **state)
{
    prepare(*state != NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_transport_check(&fake);
    virtio_remove(&fake.device);
    host_dma_run_bytes = 0;
    host_allocs_until_failure = -1;
    return 0;
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + (i >> 8));
}

/* Writes header and frame into as many buffers as it takes; how many, and what the header says of
 * it. */
static unsigned deliver_header(struct virtio_net_hdr header, size_t bytes, bool count)
{
    static uint8_t wire[HEADER + 70000];
    struct fake_queue *ring = &fake.queues[RX].ring;
    struct fake_chain *chains[64];
    size_t room = 0, at = 0;
    unsigned n = 0;

    while (room < HEADER + bytes || n == 0) {
        chains[n] = fake_pop(ring);
        assert_non_null(chains[n]);
        room += chains[n++]->writable_bytes;
    }
    if (count)
        header.num_buffers = (le16)n;
    memcpy(wire, &header, HEADER);
    for (size_t i = 0; i < bytes; i++)
        wire[HEADER + i] = pattern(i);
    for (unsigned i = 0; i < n; i++) {
        size_t part = MIN(chains[i]->writable_bytes, HEADER + bytes - at);

        fake_write(chains[i], 0, wire + at, part);
        at += part;
        fake_push(ring, chains[i], (uint32_t)part);
    }
    return n;
}

static unsigned deliver(size_t bytes)
{
    return deliver_header((struct virtio_net_hdr){ 0 }, bytes, true);
}

static int receive(void)
{
    return dev->ops->receive(dev, batch, BATCH);
}

static size_t frame_bytes(const struct net_received *frame)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < frame->n_buffers; i++)
        bytes += frame[i].bytes;
    return bytes;
}

static void assert_frame(const struct net_received *frame, size_t bytes)
{
    size_t at = 0;

    assert_int_equal(frame_bytes(frame), bytes);
    for (unsigned i = 0; i < frame->n_buffers; i++) {
        assert_true(frame[i].offset + frame[i].bytes <= frame[i].buffer->bytes);
        for (unsigned k = 0; k < frame[i].bytes; k++, at++)
            assert_int_equal(frame[i].buffer->start[frame[i].offset + k], pattern(at));
    }
}

static void give_back(int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(dev->ops->give(dev, &batch[i].buffer, 1), 1);
}

static unsigned lent(void)
{
    unsigned n = 0;

    while (fake_pop(&fake.queues[RX].ring))
        n++;
    return n;
}

/* A frame of one piece with room in front. */
static struct net_elem one_piece;
static uint8_t out_memory[70000];

static int send(size_t bytes, void *cookie)
{
    struct net_packet packet = {
        .elem = &one_piece, .n_elem = 1, .headroom = 64, .cookie = cookie
    };

    one_piece = (struct net_elem){ out_memory + 64, (uint32_t)bytes };
    for (size_t i = 0; i < bytes; i++)
        out_memory[64 + i] = pattern(i);
    return dev->ops->transmit(dev, &packet, 1);
}

static void *reap_one(void)
{
    void *cookie = NULL;

    return dev->ops->reap(dev, &cookie, 1) == 1 ? cookie : NULL;
}

/* ---- start */

static void probe_takes_what_it_uses_and_nothing_else(void **state)
{
    PROVES("NET-CFG-02", "NET-CFG-03");
    (void)state;
    start();
    assert_true(virtio_has(&fake.device, VIRTIO_NET_F_MAC));
    assert_true(virtio_has(&fake.device, VIRTIO_NET_F_MRG_RXBUF));
    assert_true(virtio_has(&fake.device, VIRTIO_NET_F_CSUM));
    assert_false(virtio_has(&fake.device, VIRTIO_NET_F_CTRL_VQ));
    assert_false(virtio_has(&fake.device, VIRTIO_NET_F_MQ));
    assert_false(virtio_has(&fake.device, VIRTIO_NET_F_HOST_TSO4));
    assert_false(virtio_has(&fake.device, VIRTIO_NET_F_GUEST_TSO4));
    assert_memory_equal(dev->mac, config()->mac, 6);
    assert_int_equal(dev->mtu, 1500);
    assert_true(dev->link_up);
    assert_int_equal(dev->offloads, NETDEV_TX_CHECKSUM | NETDEV_RX_CHECKSUM | NETDEV_SCATTER);
    assert_string_equal(dev->driver, "virtio_net");
    assert_string_equal(dev->bus, "fake");
}

static void a_device_without_an_address_gets_a_local_one(void **state)
{
    PROVES("NET-CFG-04");
    (void)state;
    fake_withdraw(&fake, VIRTIO_NET_F_MAC);
    start();
    assert_int_equal(dev->mac[0] & 3, 2);
}

static void a_multicast_address_is_no_address(void **state)
{
    (void)state;
    config()->mac[0] = 0x53;
    start();
    assert_int_equal(dev->mac[0] & 3, 2);
}

static void a_zero_address_is_no_address(void **state)
{
    (void)state;
    memset(config()->mac, 0, 6);
    start();
    assert_int_equal(dev->mac[0] & 3, 2);
}

static void without_status_the_link_is_up(void **state)
{
    PROVES("NET-CFG-05");
    (void)state;
    fake_withdraw(&fake, VIRTIO_NET_F_STATUS);
    config()->status = 0;
    start();
    assert_true(dev->link_up);
}

static void start_with_mtu(uint16_t mtu, uint16_t expected)
{
    fake_offer(&fake, VIRTIO_NET_F_MTU);
    config()->mtu = mtu;
    start();
    assert_int_equal(dev->mtu, expected);
}

static void an_mtu_of_68_is_taken(void **state)
{
    PROVES("NET-CFG-07");
    (void)state;
    start_with_mtu(68, 68);
}

static void an_mtu_of_67_is_nonsense(void **state)
{
    (void)state;
    start_with_mtu(67, 1500);
}

static void an_mtu_of_0_is_nonsense(void **state)
{
    (void)state;
    start_with_mtu(0, 1500);
}

static void an_mtu_that_does_not_settle_is_not_believed(void **state)
{
    (void)state;
    fake.never_settles = true;
    start_with_mtu(0, 1500);
}

static void an_mtu_of_65535_is_cut_to_what_a_packet_can_be(void **state)
{
    (void)state;
    start_with_mtu(65535, 65500);
}

static void a_large_mtu_without_merging_needs_large_buffers(void **state)
{
    PROVES("NET-CFG-08");
    (void)state;
    fake_withdraw(&fake, VIRTIO_NET_F_MRG_RXBUF);
    start_with_mtu(9000, 9000);
    assert_true(dev->rx_buffer_bytes >= 9000 + 14 + HEADER);
    assert_int_equal(dev->rx_batch_min, 1);
}

static void without_merging_buffers_hold_1526_bytes(void **state)
{
    PROVES("NET-RXB-02");
    (void)state;
    fake_withdraw(&fake, VIRTIO_NET_F_MRG_RXBUF);
    start();
    assert_true(dev->rx_buffer_bytes >= 1526);
}

static void a_device_without_queues_fails(void **state)
{
    (void)state;
    fake.queues[TX].size_max = 0;
    assert_true(virtio_add(&fake.device) < 0);
    assert_null(netdev_get(n_devices));
}

static void a_start_without_memory_fails_cleanly(void **state)
{
    int error = -1;

    (void)state;
    for (int i = 0; error < 0 && i < 40; i++) {
        host_allocs_until_failure = i;
        error = virtio_add(&fake.device);
        if (error < 0) {
            virtio_remove(&fake.device);
            prepare(*state != NULL);
        }
    }
    assert_int_equal(error, 0);
    dev = netdev_get(n_devices++);
    assert_null(netdev_get(n_devices));
}

/* ---- out */

static void assert_sent(struct fake_chain *chain, size_t bytes, struct virtio_net_hdr expected)
{
    struct virtio_net_hdr header;
    uint8_t byte;

    assert_non_null(chain);
    assert_int_equal(chain->n_writable, 0);
    assert_int_equal(chain->readable_bytes, HEADER + bytes);
    fake_read(chain, 0, &header, HEADER);
    assert_memory_equal(&header, &expected, HEADER);
    for (size_t i = 0; i < bytes; i++) {
        fake_read(chain, HEADER + i, &byte, 1);
        assert_int_equal(byte, pattern(i));
    }
}

static void a_frame_goes_out_behind_its_header_in_one_descriptor(void **state)
{
    PROVES("NET-TX-01", "NET-TX-02", "NET-TX-07", "NET-TX-09", "NET-TX-11", "NET-TX-13",
           "NET-TX-17", "NET-TX-22", "NET-TX-31", "NET-TX-42", "NET-TX-43", "NET-TX-45",
           "SPLIT-FRM-02");
    struct fake_chain *chain;

    (void)state;
    start();
    assert_int_equal(send(60, &fake), 1);
    chain = fake_pop(&fake.queues[TX].ring);
    assert_sent(chain, 60, (struct virtio_net_hdr){ 0 });
    assert_int_equal(chain->descriptors, 1);
    assert_null(reap_one());
    fake_push(&fake.queues[TX].ring, chain, 0);
    assert_ptr_equal(reap_one(), &fake);
    assert_null(reap_one());
    assert_int_equal(dev->counters.tx_packets, 1);
    assert_int_equal(dev->counters.tx_bytes, 60);
}

static void a_frame_without_room_in_front_gets_its_header_from_a_table(void **state)
{
    struct net_elem pieces[3];
    struct net_packet packet = { .elem = pieces, .n_elem = 3, .headroom = 11, .cookie = &fake };
    struct fake_chain *chain;

    (void)state;
    start();
    for (unsigned i = 0; i < 60; i++)
        out_memory[i] = pattern(i);
    pieces[0] = (struct net_elem){ out_memory, 14 };
    pieces[1] = (struct net_elem){ out_memory + 14, 1 };
    pieces[2] = (struct net_elem){ out_memory + 15, 45 };
    assert_int_equal(dev->ops->transmit(dev, &packet, 1), 1);
    chain = fake_pop(&fake.queues[TX].ring);
    assert_sent(chain, 60, (struct virtio_net_hdr){ 0 });
    fake_push(&fake.queues[TX].ring, chain, 0);
    assert_ptr_equal(reap_one(), &fake);
}

static void memory_in_pieces_is_sent_whole(void **state)
{
    (void)state;
    start();
    host_dma_run_bytes = 256;
    assert_int_equal(send(1514, NULL), 1);
    assert_sent(fake_pop(&fake.queues[TX].ring), 1514, (struct virtio_net_hdr){ 0 });
}

static void an_unfinished_checksum_is_announced(void **state)
{
    PROVES("NET-TX-27", "NET-TX-31");
    struct net_packet packet = {
        .elem = &one_piece, .n_elem = 1, .headroom = 12, .checksum_start = 34, .checksum_offset = 16
    };

    (void)state;
    start();
    send(100, NULL);
    assert_int_equal(dev->ops->transmit(dev, &packet, 1), 1);
    fake_pop(&fake.queues[TX].ring);
    assert_sent(fake_pop(&fake.queues[TX].ring), 100,
                (struct virtio_net_hdr){
                    .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16 });
}

static void frames_of_a_wrong_size_are_refused(void **state)
{
    (void)state;
    start();
    assert_int_equal(send(0, NULL), -EMSGSIZE);
    assert_int_equal(send(13, NULL), -EMSGSIZE);
    assert_int_equal(send(14, NULL), 1);
    assert_int_equal(send(1514, NULL), 1);
    assert_int_equal(send(1515, NULL), -EMSGSIZE);
    assert_int_equal(send(65535, NULL), -EMSGSIZE);
    assert_int_equal(dev->counters.tx_packets, 2);
}

static void a_frame_with_too_many_pieces_is_refused_and_harms_nothing(void **state)
{
    struct net_elem pieces[NET_ELEMS_MAX + 1];
    struct net_packet packet = { .elem = pieces, .n_elem = NET_ELEMS_MAX + 1, .headroom = 12 };

    (void)state;
    start();
    for (unsigned i = 0; i <= NET_ELEMS_MAX; i++)
        pieces[i] = (struct net_elem){ out_memory, 10 };
    assert_int_equal(dev->ops->transmit(dev, &packet, 1), -EMSGSIZE);
    host_dma_run_bytes = 16;
    assert_int_equal(send(1500, NULL), -EMSGSIZE);
    host_dma_run_bytes = 0;
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(send(60, NULL), 1);
}

static void a_full_ring_pushes_back_and_loses_nothing(void **state)
{
    struct fake_queue *ring = &fake.queues[TX].ring;
    uintptr_t sent = 0, back = 0;
    void *cookies[64];

    (void)state;
    start();
    for (unsigned round = 0; round < 100; round++) {
        int n;

        while ((n = send(60, (void *)(sent + 1))) == 1)
            sent++;
        assert_int_equal(n, -EAGAIN);
        assert_int_equal(sent - back, 16);
        for (unsigned i = 0; i <= round % 16; i++)
            fake_push(ring, fake_pop(ring), 0);
        n = dev->ops->reap(dev, cookies, 64);
        assert_int_equal(n, round % 16 + 1);
        for (int i = 0; i < n; i++)
            assert_int_equal((uintptr_t)cookies[i], ++back);
    }
}

static void a_batch_is_announced_once(void **state)
{
    struct net_packet packets[8];

    (void)state;
    start();
    one_piece = (struct net_elem){ out_memory + 64, 60 };
    for (unsigned i = 0; i < 8; i++)
        packets[i] = (struct net_packet){ .elem = &one_piece, .n_elem = 1, .headroom = 12 };
    assert_int_equal(dev->ops->transmit(dev, packets, 8), 8);
    assert_int_equal(fake.queues[TX].kicks, 1);
}

static void room_is_announced_only_on_request(void **state)
{
    struct fake_queue *ring = &fake.queues[TX].ring;

    (void)state;
    start();
    netdev_event.marked = false;
    for (unsigned i = 0; i < 16; i++)
        send(60, &fake);
    fake_push(ring, fake_pop(ring), 0);
    assert_false(fake_transport_interrupt(&fake, TX));
    assert_true(dev->ops->arm_transmit(dev));
    reap_one();
    assert_false(dev->ops->arm_transmit(dev));
    for (unsigned i = 0; i < 15; i++)
        fake_push(ring, fake_pop(ring), 0);
    assert_true(fake_transport_interrupt(&fake, TX));
    assert_true(netdev_event.marked);
}

/* ---- in */

static void frames_of_any_size_are_received_or_dropped(void **state)
{
    PROVES("NET-RXB-03", "NET-RXB-04");
    static const size_t sizes[] = {
        0, 1, 13, 14, 15, 60, 1514, 1518, 1519, 1972, 1973, 4000, 30000
    };

    (void)state;
    fake.queues[RX].size_max = 64;
    start();
    give(BUFFERS);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        bool good = sizes[i] >= 14 && sizes[i] <= 1518;
        int n;

        deliver(sizes[i]);
        n = receive();
        assert_int_equal(n, good);
        if (good)
            assert_frame(batch, sizes[i]);
        give_back(n);
    }
    assert_int_equal(dev->counters.rx_packets, 5);
    assert_int_equal(dev->counters.rx_errors, 8);
    assert_int_equal(fake.resets, 1);
    assert_int_equal(lent(), BUFFERS);
}

static void a_large_frame_comes_in_merged_buffers(void **state)
{
    (void)state;
    fake_offer(&fake, VIRTIO_NET_F_MTU);
    config()->mtu = 9000;
    fake.queues[RX].size_max = 64;
    start();
    give(BUFFERS);
    for (unsigned round = 0; round < 50; round++) {
        unsigned n = deliver(9014);

        n += deliver(60);
        n += deliver(9014 - round);
        assert_int_equal(receive(), n);
        assert_frame(batch, 9014);
        assert_frame(batch + batch[0].n_buffers, 60);
        assert_frame(batch + batch[0].n_buffers + 1, 9014 - round);
        give_back((int)n);
    }
    assert_int_equal(receive(), 0);
}

static void the_largest_frame_fits_the_largest_mtu(void **state)
{
    unsigned n;

    (void)state;
    fake_offer(&fake, VIRTIO_NET_F_MTU);
    config()->mtu = 65535;
    fake.queues[RX].size_max = 64;
    start();
    give(BUFFERS);
    n = deliver(65514);
    assert_true(n <= dev->rx_batch_min);
    assert_int_equal(dev->ops->receive(dev, batch, dev->rx_batch_min), n);
    assert_frame(batch, 65514);
    give_back((int)n);
    deliver(65535);
    assert_int_equal(receive(), 0);
}

static void a_small_batch_leaves_the_rest_for_the_next(void **state)
{
    (void)state;
    start();
    give(16);
    for (unsigned i = 0; i < 16; i++)
        deliver(60 + i);
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(dev->ops->receive(dev, batch, 1), 1);
        assert_frame(batch, 60 + i);
    }
    assert_int_equal(dev->ops->receive(dev, batch, 1), 0);
}

static void without_merging_the_count_is_not_looked_at(void **state)
{
    (void)state;
    fake_withdraw(&fake, VIRTIO_NET_F_MRG_RXBUF);
    start();
    give(4);
    deliver_header((struct virtio_net_hdr){ .num_buffers = 77 }, 60, false);
    assert_int_equal(receive(), 1);
    assert_frame(batch, 60);
}

static void checksum_flags_are_believed_only_when_negotiated(void **state)
{
    PROVES("NET-RX-04", "NET-RX-01", "NET-RX-07");
    static const struct {
        uint8_t flags, state;
    } cases[] = { { 0, NET_CHECKSUM_UNKNOWN },
                  { VIRTIO_NET_HDR_F_NEEDS_CSUM, NET_CHECKSUM_GOOD },
                  { VIRTIO_NET_HDR_F_DATA_VALID, NET_CHECKSUM_GOOD },
                  { 0xfc, NET_CHECKSUM_UNKNOWN } };

    (void)state;
    start();
    give(16);
    for (unsigned i = 0; i < 4; i++) {
        deliver_header((struct virtio_net_hdr){ .flags = cases[i].flags, .csum_start = 0xffff }, 60,
                       true);
        assert_int_equal(receive(), 1);
        assert_int_equal(batch[0].checksum, cases[i].state);
    }
}

static void without_guest_csum_no_flag_counts(void **state)
{
    PROVES("NET-RX-07");
    (void)state;
    fake_withdraw(&fake, VIRTIO_NET_F_GUEST_CSUM);
    start();
    give(4);
    deliver_header((struct virtio_net_hdr){ .flags = 0xff }, 60, true);
    assert_int_equal(receive(), 1);
    assert_int_equal(batch[0].checksum, NET_CHECKSUM_UNKNOWN);
}

static void a_segment_larger_than_agreed_is_dropped(void **state)
{
    PROVES("NET-RX-08");
    (void)state;
    start();
    give(4);
    deliver_header((struct virtio_net_hdr){ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 }, 60, true);
    deliver_header((struct virtio_net_hdr){ .gso_type = 0x60 }, 60, true);
    assert_int_equal(receive(), 0);
    assert_int_equal(dev->counters.rx_errors, 2);
    assert_int_equal(lent(), 4);
}

/* ---- lies */

/* The device was reset, holds all buffers again, and works. */
static void assert_recovered(unsigned n_buffers)
{
    unsigned resets = fake.resets;
    int n = receive();

    assert_int_equal(n, 0);
    assert_int_equal(fake.resets, resets + 1);
    deliver(60);
    assert_int_equal(receive(), 1);
    assert_frame(batch, 60);
    give_back(1);
    assert_int_equal(send(60, &fake), 1);
    assert_int_equal(lent(), n_buffers);
}

static void a_header_that_was_not_written_drops_the_frame(void **state)
{
    struct fake_queue *ring = &fake.queues[RX].ring;

    (void)state;
    start();
    give(8);
    for (unsigned len = 0; len < HEADER; len++) {
        fake_push(ring, fake_pop(ring), len);
        assert_int_equal(receive(), 0);
    }
    assert_int_equal(dev->counters.rx_errors, HEADER);
    assert_int_equal(fake.resets, 1);
    assert_int_equal(lent(), 8);
}

static void a_frame_of_no_buffers_costs_the_device_a_reset(void **state)
{
    (void)state;
    start();
    give(8);
    deliver(100);
    deliver_header((struct virtio_net_hdr){ .num_buffers = 0 }, 60, false);
    assert_int_equal(receive(), 1);
    assert_frame(batch, 100);
    give_back(0);
    assert_int_equal(dev->counters.rx_errors, 1);
    assert_recovered(7);
}

static void a_frame_of_more_buffers_than_came_costs_the_device_a_reset(void **state)
{
    static const le16 counts[] = { 2, 8, 9, 255, 32768, 65535 };

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        start();
        give(8);
        deliver_header((struct virtio_net_hdr){ .num_buffers = counts[i] }, 60, false);
        assert_int_equal(receive(), 0);
        assert_int_equal(dev->counters.rx_errors, 1);
        assert_recovered(8);
        fake_transport_check(&fake);
        virtio_remove(&fake.device);
        prepare(*state != NULL);
    }
    start();
}

static void a_frame_whose_middle_is_not_full_is_dropped(void **state)
{
    struct fake_queue *ring = &fake.queues[RX].ring;
    struct virtio_net_hdr header = { .num_buffers = 2 };
    struct fake_chain *first, *second;

    (void)state;
    fake_offer(&fake, VIRTIO_NET_F_MTU);
    config()->mtu = 9000;
    start();
    give(16);
    first = fake_pop(ring);
    second = fake_pop(ring);
    fake_write(first, 0, &header, HEADER);
    fake_push(ring, first, 100);
    fake_push(ring, second, 100);
    assert_int_equal(receive(), 0);
    assert_int_equal(dev->counters.rx_errors, 1);
    assert_int_equal(fake.resets, 1);
    deliver(60);
    assert_int_equal(receive(), 1);
    give_back(1);
    assert_int_equal(lent(), 16);
}

static void a_used_length_beyond_the_buffer_costs_the_device_a_reset(void **state)
{
    struct fake_queue *ring = &fake.queues[RX].ring;

    (void)state;
    start();
    give(8);
    fake_push(ring, fake_pop(ring), BUFFER_BYTES + 1);
    assert_int_equal(receive(), 0);
    assert_recovered(8);
}

static void an_id_that_was_never_lent_costs_the_device_a_reset(void **state)
{
    (void)state;
    start();
    give(8);
    fake_lie_used(&fake.queues[RX].ring, 15, 60, 1);
    assert_int_equal(receive(), 0);
    assert_recovered(8);
}

static void a_lie_about_transmission_gives_all_frames_back(void **state)
{
    unsigned back = 0;

    (void)state;
    start();
    give(8);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(send(60, &fake), 1);
    fake_lie_used(&fake.queues[TX].ring, 9, 0, 1);
    assert_null(reap_one());
    assert_int_equal(send(60, &fake), -EAGAIN);
    assert_int_equal(receive(), 0);
    while (reap_one())
        back++;
    assert_int_equal(back, 5);
    assert_int_equal(dev->counters.tx_errors, 5);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(send(60, &fake), 1);
}

/* Frames on their way out when the other queue lies stay with the device, and so do buffers. */
static void a_lie_about_one_queue_does_not_disturb_the_other(void **state)
{
    PROVES("CORE-VQR-01", "CORE-VQE-01", "CORE-CLEAN-02");
    unsigned back = 0;

    (void)state;
    fake_offer(&fake, VIRTIO_F_RING_RESET);
    start();
    give(8);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(send(60, &fake), 1);
    fake_lie_used(&fake.queues[RX].ring, 15, 60, 1);
    assert_int_equal(receive(), 0);
    assert_int_equal(receive(), 0);   /* resets the queue */
    assert_int_equal(fake.resets, 1); /* of the start */
    assert_null(reap_one());
    assert_true(fake_available(&fake.queues[TX].ring));
    deliver(60);
    assert_int_equal(receive(), 1);

    fake_lie_used(&fake.queues[TX].ring, 9, 0, 1);
    assert_null(reap_one());
    assert_int_equal(send(60, &fake), -EAGAIN);
    assert_int_equal(receive(), 0);
    while (reap_one())
        back++;
    assert_int_equal(back, 5);
    assert_int_equal(fake.resets, 1);
    deliver(60);
    assert_int_equal(receive(), 1);
    assert_int_equal(fake.device.recoveries, 2);
}

/* The device is reset as a whole. */
static void a_queue_that_cannot_be_reset_alone_takes_the_other_along(void **state)
{
    (void)state;
    fake_offer(&fake, VIRTIO_F_RING_RESET);
    start();
    give(8);
    fake.queue_reset_never_ends = true;
    fake_lie_used(&fake.queues[RX].ring, 15, 60, 1);
    assert_int_equal(receive(), 0);
    assert_int_equal(receive(), 0);
    assert_int_equal(fake.resets, 2);
    deliver(60);
    assert_int_equal(receive(), 1);
}

static void a_device_that_lies_for_ever_is_given_up(void **state)
{
    (void)state;
    start();
    give(8);
    for (unsigned i = 0; i < 20; i++) {
        if (dev->link_up)
            fake_lie_used(&fake.queues[RX].ring, 15, 60, 1);
        assert_int_equal(receive(), 0);
    }
    assert_false(dev->link_up);
    assert_int_equal(send(60, NULL), -EIO);
    assert_false(dev->ops->arm(dev));
    assert_null(reap_one());
}

static void a_device_that_does_not_answer_a_reset_is_given_up(void **state)
{
    (void)state;
    start();
    give(8);
    fake.reset_never_ends = true;
    fake_lie_used(&fake.queues[RX].ring, 15, 60, 1);
    receive();
    receive();
    assert_false(dev->link_up);
    assert_int_equal(send(60, NULL), -EIO);
    fake.reset_never_ends = false;
}

/* ---- state */

static void the_link_follows_the_configuration(void **state)
{
    PROVES("NET-CFG-06");
    (void)state;
    start();
    netdev_event.marked = false;
    config()->status = 0;
    fake_transport_config_changed(&fake);
    assert_true(netdev_event.marked);
    receive();
    assert_false(dev->link_up);
    config()->status = VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE;
    fake_transport_config_changed(&fake);
    receive();
    assert_true(dev->link_up);
}

static void a_request_for_a_reset_is_granted(void **state)
{
    PROVES("CORE-STAT-04");
    (void)state;
    start();
    give(8);
    fake_transport_ask_for_reset(&fake);
    assert_recovered(8);
}

static void the_device_interrupts_only_while_armed(void **state)
{
    (void)state;
    start();
    give(8);
    assert_false(dev->ops->arm(dev));
    netdev_event.marked = false;
    deliver(60);
    assert_true(fake_transport_interrupt(&fake, RX));
    assert_true(netdev_event.marked);
    dev->ops->disarm(dev);
    assert_int_equal(receive(), 1);
    deliver(60);
    assert_false(fake_transport_interrupt(&fake, RX));
    assert_true(dev->ops->arm(dev));
}

static void rings_of_one_descriptor_work(void **state)
{
    (void)state;
    fake.queues[RX].size_max = fake.queues[TX].size_max = 1;
    start();
    give(1);
    for (unsigned i = 0; i < 10; i++) {
        deliver(60);
        assert_int_equal(receive(), 1);
        assert_frame(batch, 60);
        give_back(1);
        assert_int_equal(send(60, &fake), 1);
        assert_int_equal(send(60, &fake), -EAGAIN);
        fake_push(&fake.queues[TX].ring, fake_pop(&fake.queues[TX].ring), 0);
        assert_ptr_equal(reap_one(), &fake);
    }
}

static void more_buffers_than_the_ring_holds_are_left(void **state)
{
    struct net_buffer *list[20];

    (void)state;
    start();
    for (unsigned i = 0; i < 20; i++) {
        buffers[i] = (struct net_buffer){ memory[i], BUFFER_BYTES };
        list[i] = &buffers[i];
    }
    assert_int_equal(dev->ops->give(dev, list, 20), 16);
    assert_int_equal(dev->ops->give(dev, list + 16, 4), 0);
}

/* ---- each lie, with each aftermath */

#define LENT     12
#define IN_PARTS 5 /* frames under way when it lies */

static const struct lie *told;
static const struct aftermath *followed;
static unsigned lying_queue;
static unsigned n_sent, n_back;
static unsigned char came_back[1000];
static struct net_buffer *ours[LENT]; /* that a device which is to be reset does not take */
static unsigned n_ours;

/* Where a case ended early, its name is what one wants to know. */
static int name_the_case(void **state)
{
    (void)state;
    if (told)
        print_message("in the case: \"%s\" in queue %u, then it \"%s\"\n", told->name, lying_queue,
                      followed->name);
    told = NULL;
    return 0;
}

static void finish_honestly(struct fake_transport *transport, unsigned queue,
                            struct fake_chain *chain)
{
    struct virtio_net_hdr header = { .num_buffers = 1 };

    if (queue == RX)
        fake_write(chain, 0, &header, HEADER);
    fake_push(&transport->queues[queue].ring, chain, queue == RX ? HEADER + 60 : 0);
}

static void send_next(void)
{
    if (n_sent < sizeof(came_back) && send(60, &came_back[n_sent]) == 1)
        n_sent++;
}

/* Each frame comes back once, if it comes back. */
static void reap_all(void)
{
    unsigned char *cookie;

    while ((cookie = reap_one())) {
        assert_in_range(cookie - came_back, 0, n_sent - 1);
        assert_int_equal((*cookie)++, 0);
        n_back++;
    }
}

/* As the network thread does. */
static void look(void)
{
    int n;

    reap_all();
    n = receive();
    for (int i = 0; i < n; i++)
        ours[n_ours++] = batch[i].buffer;
    while (n_ours && dev->ops->give(dev, &ours[n_ours - 1], 1) == 1)
        n_ours--;
    send_next();
    reap_all();
}

/* Each buffer is with the device, exactly once. */
static void assert_all_are_lent(unsigned n)
{
    unsigned char seen[BUFFERS] = { 0 };
    struct fake_chain *chain;

    while (fake_pop(&fake.queues[RX].ring))
        ;
    for (chain = fake.queues[RX].ring.held; chain; chain = chain->next) {
        size_t i = (size_t)(chain->pieces[0].start - memory[0]) / BUFFER_BYTES;

        assert_in_range(i, 0, n - 1);
        assert_ptr_equal(chain->pieces[0].start, memory[i]);
        assert_int_equal(seen[i]++, 0);
    }
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(seen[i], 1);
}

static void assert_works(void)
{
    struct fake_queue *tx = &fake.queues[TX].ring;
    struct fake_chain *chain;

    assert_null(fake.device.failure);
    assert_int_equal(fake.device.recoveries, 1);
    assert_true(dev->link_up);
    for (unsigned round = 0; round < 40; round++) {
        deliver(60);
        assert_int_equal(receive(), 1);
        assert_frame(batch, 60);
        give_back(1);
        send_next();
        while ((chain = fake_pop(tx)))
            fake_push(tx, chain, 0);
        reap_all();
    }
    assert_int_equal(n_back, n_sent);
    assert_int_equal(fake.device.recoveries, 1);
    assert_all_are_lent(LENT);
}

static void assert_is_dead(void)
{
    unsigned resets = fake.resets;

    assert_non_null(fake.device.failure);
    assert_non_null(strstr(host_log_text(), fake.device.failure));
    assert_in_range(fake.device.recoveries, 1, 9);
    assert_false(dev->link_up);
    assert_int_equal(send(60, NULL), -EIO);
    assert_int_equal(dev->ops->give(dev, &batch[0].buffer, 1), 0);
    assert_false(dev->ops->arm(dev));
    assert_false(dev->ops->arm_transmit(dev));
    assert_int_equal(receive(), 0);
    reap_all();
    if (followed->stuck) /* it may still read them */
        assert_in_range(n_sent - n_back, 1, IN_PARTS);
    else
        assert_int_equal(n_back, n_sent);
    assert_int_equal(fake.resets, resets);
}

static void run_case(bool packed, bool event_idx, unsigned queue)
{
    struct host_left before;
    struct fake_chain *chain;

    lying_queue = queue;
    prepare(packed);
    if (!event_idx)
        fake_withdraw(&fake, VIRTIO_F_EVENT_IDX);
    before = host_left();
    host_log_clear();
    start();
    memset(came_back, 0, sizeof(came_back));
    n_sent = n_back = n_ours = 0;
    give(LENT);
    for (unsigned i = 0; i < IN_PARTS + 2; i++)
        send_next();
    for (unsigned i = 0; i < 2; i++) { /* the rings have moved */
        deliver(60);
        chain = fake_pop(&fake.queues[TX].ring);
        fake_push(&fake.queues[TX].ring, chain, 0);
    }
    assert_int_equal(receive(), 2);
    give_back(2);
    reap_all();
    assert_int_equal(n_back, 2);
    host_honest = finish_honestly;
    host_arrange(&fake, followed, told, queue);
    host_tell(&fake, told, queue);
    for (unsigned i = 0; i < 40; i++)
        look();
    if (followed->survives)
        assert_works();
    else
        assert_is_dead();
    assert_non_null(fake.device.last_trouble);
    assert_non_null(strstr(host_log_text(), fake.device.last_trouble));
    fake_transport_check(&fake);
    virtio_remove(&fake.device);
    host_take_away(&fake);
    if (followed->stuck) { /* rings and headers stay lent, and our book of the rings stays too */
        before.dma_blocks += 3;
        before.allocations += 2;
    }
    host_assert_nothing_left(before, 3); /* the stack keeps the device, and frames may be in it */
}

static void run_all_cases(bool packed, unsigned queue)
{
    for (unsigned i = 0; i < host_n_lies * host_n_aftermaths * 2; i++) {
        told = &host_lies[i / 2 % host_n_lies];
        followed = &host_aftermaths[i / 2 / host_n_lies];
        if (host_lie_fits(told, packed))
            run_case(packed, i & 1, queue);
    }
    told = NULL;
}

static void no_lie_about_reception_leaks_a_buffer(void **state)
{
    PROVES("CORE-STAT-04", "CORE-CLEAN-02");
    run_all_cases(*state != NULL, RX);
}

static void no_lie_about_transmission_leaks_a_frame(void **state)
{
    PROVES("CORE-STAT-04", "CORE-CLEAN-02");
    run_all_cases(*state != NULL, TX);
}

/* ---- more of what a reset may bring */

static void the_mtu_of_before_a_reset_stays(void **state)
{
    PROVES("NET-CFG-09");
    static const uint16_t mtus[] = { 0, 67, 68, 65535 };

    (void)state;
    fake_offer(&fake, VIRTIO_NET_F_MTU);
    config()->mtu = 1400;
    start();
    give(8);
    for (unsigned i = 0; i < 4; i++) {
        config()->mtu = mtus[i];
        fake_transport_ask_for_reset(&fake);
        assert_recovered(8);
        assert_int_equal(dev->mtu, 1400);
        assert_int_equal(send(1415, NULL), -EMSGSIZE);
    }
}

static void a_link_that_is_down_after_a_reset_is_down(void **state)
{
    (void)state;
    start();
    give(8);
    config()->status = 0;
    fake_transport_ask_for_reset(&fake);
    assert_recovered(8);
    assert_false(dev->link_up);
}

static void frames_under_way_at_a_reset_count_as_errors(void **state)
{
    (void)state;
    start();
    give(8);
    for (unsigned i = 0; i < 5; i++)
        send(60, &fake);
    fake_transport_ask_for_reset(&fake);
    receive();
    for (unsigned i = 0; i < 5; i++)
        assert_ptr_equal(reap_one(), &fake);
    assert_null(reap_one());
    assert_int_equal(dev->counters.tx_errors, 5);
}

static void a_device_that_needs_a_reset_now_and_then_is_never_given_up(void **state)
{
    (void)state;
    start();
    give(8);
    for (unsigned i = 0; i < 40; i++) {
        host_clock_ns += 601 * NSEC_PER_SEC;
        fake_transport_ask_for_reset(&fake);
        assert_recovered(8);
        while (reap_one())
            ;
        assert_int_equal(fake.device.recoveries, i + 1);
    }
    assert_true(dev->link_up);
}

static struct timer while_it_sleeps;

static void remove_it(struct timer *timer)
{
    (void)timer;
    virtio_remove(&fake.device);
}

static void a_device_removed_while_it_is_reset_lets_go(void **state)
{
    unsigned back = 0;

    start();
    give(8);
    for (unsigned i = 0; i < 5; i++)
        send(60, &fake);
    fake.reset_polls = 100;
    timer_init(&while_it_sleeps, remove_it);
    timer_start(&while_it_sleeps, host_clock_ns + 1);
    fake_transport_ask_for_reset(&fake);
    assert_int_equal(receive(), 0);
    while (reap_one())
        back++;
    assert_int_equal(back, 5);
    assert_int_equal(fake.status, 0); /* nobody starts it again */
    assert_int_equal(send(60, NULL), -EIO);
    assert_int_equal(receive(), 0);
    prepare(*state != NULL);
    start();
}

/* It may still write to all that it was lent. */
static void what_a_stuck_device_holds_is_never_given_back(void **state)
{
    PROVES("CORE-CLEAN-01");
    uint8_t ring[16 * 16];

    start();
    give(8);
    for (unsigned i = 0; i < 5; i++)
        send(60, &fake);
    memcpy(ring, fake.queues[RX].ring.desc, sizeof(ring));
    fake.reset_never_ends = true;
    fake_transport_ask_for_reset(&fake);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(receive(), 0);
    assert_null(reap_one());
    assert_true(fake.cut_off);
    virtio_remove(&fake.device);
    assert_memory_equal(ring, fake.queues[RX].ring.desc, sizeof(ring));
    assert_null(reap_one());
    host_take_away(&fake);
    prepare(*state != NULL);
    start();
}

#define BOTH(test)                                        \
    { #test " (split)", test, set_up, tear_down, NULL },  \
    {                                                     \
#test " (packed)", test, set_up, tear_down, &fake \
    }

#define CASES(test)                                         \
    { #test " (split)", test, NULL, name_the_case, NULL },  \
    {                                                       \
#test " (packed)", test, NULL, name_the_case, &fake \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(probe_takes_what_it_uses_and_nothing_else),
        BOTH(a_device_without_an_address_gets_a_local_one),
        BOTH(a_multicast_address_is_no_address),
        BOTH(a_zero_address_is_no_address),
        BOTH(without_status_the_link_is_up),
        BOTH(an_mtu_of_68_is_taken),
        BOTH(an_mtu_of_67_is_nonsense),
        BOTH(an_mtu_of_0_is_nonsense),
        BOTH(an_mtu_that_does_not_settle_is_not_believed),
        BOTH(an_mtu_of_65535_is_cut_to_what_a_packet_can_be),
        BOTH(a_large_mtu_without_merging_needs_large_buffers),
        BOTH(without_merging_buffers_hold_1526_bytes),
        BOTH(a_device_without_queues_fails),
        BOTH(a_start_without_memory_fails_cleanly),
        BOTH(a_frame_goes_out_behind_its_header_in_one_descriptor),
        BOTH(a_frame_without_room_in_front_gets_its_header_from_a_table),
        BOTH(memory_in_pieces_is_sent_whole),
        BOTH(an_unfinished_checksum_is_announced),
        BOTH(frames_of_a_wrong_size_are_refused),
        BOTH(a_frame_with_too_many_pieces_is_refused_and_harms_nothing),
        BOTH(a_full_ring_pushes_back_and_loses_nothing),
        BOTH(a_batch_is_announced_once),
        BOTH(room_is_announced_only_on_request),
        BOTH(frames_of_any_size_are_received_or_dropped),
        BOTH(a_large_frame_comes_in_merged_buffers),
        BOTH(the_largest_frame_fits_the_largest_mtu),
        BOTH(a_small_batch_leaves_the_rest_for_the_next),
        BOTH(without_merging_the_count_is_not_looked_at),
        BOTH(checksum_flags_are_believed_only_when_negotiated),
        BOTH(without_guest_csum_no_flag_counts),
        BOTH(a_segment_larger_than_agreed_is_dropped),
        BOTH(a_header_that_was_not_written_drops_the_frame),
        BOTH(a_frame_of_no_buffers_costs_the_device_a_reset),
        BOTH(a_frame_of_more_buffers_than_came_costs_the_device_a_reset),
        BOTH(a_frame_whose_middle_is_not_full_is_dropped),
        BOTH(a_used_length_beyond_the_buffer_costs_the_device_a_reset),
        BOTH(an_id_that_was_never_lent_costs_the_device_a_reset),
        BOTH(a_lie_about_transmission_gives_all_frames_back),
        BOTH(a_lie_about_one_queue_does_not_disturb_the_other),
        BOTH(a_queue_that_cannot_be_reset_alone_takes_the_other_along),
        BOTH(a_device_that_lies_for_ever_is_given_up),
        BOTH(a_device_that_does_not_answer_a_reset_is_given_up),
        BOTH(the_link_follows_the_configuration),
        BOTH(a_request_for_a_reset_is_granted),
        BOTH(the_device_interrupts_only_while_armed),
        BOTH(rings_of_one_descriptor_work),
        BOTH(more_buffers_than_the_ring_holds_are_left),
        BOTH(the_mtu_of_before_a_reset_stays),
        BOTH(a_link_that_is_down_after_a_reset_is_down),
        BOTH(frames_under_way_at_a_reset_count_as_errors),
        BOTH(a_device_that_needs_a_reset_now_and_then_is_never_given_up),
        BOTH(a_device_removed_while_it_is_reset_lets_go),
        BOTH(what_a_stuck_device_holds_is_never_given_back),
        CASES(no_lie_about_reception_leaks_a_buffer),
        CASES(no_lie_about_transmission_leaks_a_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
