/* SPDX-License-Identifier: MIT */
/* What the drivers of disks and networks do otherwise with legacy devices: §5.1.9.1, §5.1.9.8,
 * §5.2.6.3, §5.2.6.4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/blk.h"
#include "drivers/virtio/net.h"
#include "drivers/virtio/spec/blk.h"
#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/net.h"
#include "kernel/blkdev.h"
#include "kernel/netdev.h"
#include "lib/base/errno.h"
#include "tests/host/dma.h"
#include "tests/host/event.h"
#include "tests/host/fake_transport.h"
#include "tests/host/log.h"
#include "tests/host/proves.h"

#define RX        0
#define TX        1
#define RING_SIZE 1024 /* more than the drivers want */

static struct fake_transport fake;

static void prepare(uint32_t type)
{
    fake_transport_init(&fake, type);
    fake_make_legacy(&fake);
    host_dma_low = true;
    fake.queues[0].size_max = fake.queues[1].size_max = RING_SIZE;
    host_log_clear();
}

static int tear_down(void **state)
{
    (void)state;
    fake_transport_check(&fake);
    virtio_remove(&fake.device);
    host_dma_low = false;
    return 0;
}

static void add(void)
{
    assert_int_equal(virtio_add(&fake.device), 0);
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + (i >> 8) + 1);
}

/* ---- networks */

#define BUFFERS      128
#define BUFFER_BYTES 1984
#define FRAME        1000u

static struct netdev *net;
static unsigned n_networks;
static uint8_t rx_memory[BUFFERS][BUFFER_BYTES];
static struct net_buffer buffers[BUFFERS];
static struct net_received batch[BUFFERS];
static uint8_t out[64 + FRAME];
static struct net_elem out_piece = { out + 64, FRAME };

static int set_up_network(void **state)
{
    struct virtio_net_config config = { .mac = { 2, 3, 4, 5, 6, 7 } };

    (void)state;
    prepare(VIRTIO_ID_NET);
    fake_offer(&fake, VIRTIO_NET_F_MAC);
    fake_offer(&fake, VIRTIO_NET_F_MRG_RXBUF);
    fake_offer(&fake, VIRTIO_NET_F_CSUM);
    fake.device.config_bytes = sizeof(config);
    memcpy(fake.config, &config, sizeof(config));
    return 0;
}

static void start_network(void)
{
    struct net_buffer *list[BUFFERS];

    add();
    net = netdev_get(n_networks++);
    assert_non_null(net);
    for (unsigned i = 0; i < net->rx_buffers; i++) {
        buffers[i] = (struct net_buffer){ rx_memory[i], BUFFER_BYTES };
        list[i] = &buffers[i];
    }
    assert_int_equal(net->ops->give(net, list, net->rx_buffers), net->rx_buffers);
}

/* The frame with room in front of it, none of which but the header's may change. */
static struct fake_chain *send(bool room, uint32_t header_bytes)
{
    struct net_packet packet = { .elem = &out_piece,
                                 .n_elem = 1,
                                 .headroom = room ? 64 : 0,
                                 .checksum_start = 34,
                                 .checksum_offset = 16,
                                 .cookie = out };
    struct fake_chain *chain;

    memset(out, 0xee, 64);
    for (size_t i = 0; i < FRAME; i++)
        out[64 + i] = pattern(i);
    assert_int_equal(net->ops->transmit(net, &packet, 1), 1);
    for (unsigned i = 0; i < 64 - header_bytes; i++)
        assert_int_equal(out[i], 0xee);
    chain = fake_pop(&fake.queues[TX].ring);
    assert_non_null(chain);
    return chain;
}

static void check_sent(struct fake_chain *chain, uint32_t header_bytes)
{
    struct virtio_net_hdr header = { 0 };
    uint8_t frame[FRAME];

    assert_int_equal(chain->readable_bytes, header_bytes + FRAME);
    fake_read(chain, 0, &header, header_bytes);
    assert_int_equal(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    assert_int_equal(header.csum_start, 34);
    assert_int_equal(header.csum_offset, 16);
    assert_int_equal(header.num_buffers, 0);
    assert_int_equal(fake_read(chain, header_bytes, frame, FRAME), FRAME);
    for (size_t i = 0; i < FRAME; i++)
        assert_int_equal(frame[i], pattern(i));
}

static void end_sent(struct fake_chain *chain, uint32_t told_length)
{
    void *cookie = NULL;

    fake_push(&fake.queues[TX].ring, chain, told_length);
    assert_int_equal(net->ops->reap(net, &cookie, 1), 1);
    assert_ptr_equal(cookie, out);
}

/* A frame into one buffer of the device's choice. */
static void receive_one(uint32_t header_bytes, bool apart)
{
    struct fake_queue *ring = &fake.queues[RX].ring;
    struct fake_chain *chain = fake_pop(ring);
    struct virtio_net_hdr header = { .num_buffers = 1 };
    uint8_t frame[FRAME];

    assert_non_null(chain);
    assert_int_equal(chain->n_writable, apart ? 2 : 1);
    assert_int_equal(chain->writable_bytes, BUFFER_BYTES);
    if (apart)
        assert_int_equal(chain->pieces[0].bytes, header_bytes);
    for (size_t i = 0; i < FRAME; i++)
        frame[i] = pattern(i);
    fake_write(chain, 0, &header, header_bytes);
    fake_write(chain, header_bytes, frame, FRAME);
    fake_push(ring, chain, header_bytes + FRAME);
    assert_int_equal(net->ops->receive(net, batch, BUFFERS), 1);
    assert_int_equal(batch[0].bytes, FRAME);
    assert_memory_equal(batch[0].buffer->start + batch[0].offset, frame, FRAME);
    assert_int_equal(net->ops->give(net, &batch[0].buffer, 1), 1);
}

static void frames_travel(uint32_t header_bytes, bool apart)
{
    for (unsigned i = 0; i < 2 * RING_SIZE + 10; i++) {
        struct fake_chain *chain = send(i % 2, header_bytes);

        check_sent(chain, header_bytes);
        if (apart)
            assert_int_equal(chain->pieces[0].bytes, header_bytes);
        else if (i % 2)
            assert_int_equal(chain->n_readable, 1);
        end_sent(chain, 0);
        receive_one(header_bytes, apart);
    }
}

static void without_merging_the_header_is_ten_bytes(void **state)
{
    PROVES("NET-LEGOP-01", "NET-LEGCFG-01");
    (void)state;
    fake_withdraw(&fake, VIRTIO_NET_F_MRG_RXBUF);
    start_network();
    assert_memory_equal(net->mac, "\2\3\4\5\6\7", 6);
    assert_int_equal(net->rx_buffers, 128);
    frames_travel(10, false);
}

static void with_merging_the_header_is_twelve_bytes(void **state)
{
    PROVES("NET-LEGOP-01");
    (void)state;
    start_network();
    frames_travel(12, false);
}

static void without_any_layout_the_header_has_its_own_descriptor(void **state)
{
    PROVES("NET-LEGFRM-01");
    (void)state;
    fake_withdraw(&fake, VIRTIO_F_ANY_LAYOUT);
    fake_withdraw(&fake, VIRTIO_NET_F_MRG_RXBUF);
    start_network();
    assert_int_equal(net->rx_buffers, 64); /* two descriptors each */
    frames_travel(10, true);
}

static void without_any_layout_a_merged_frame_too_has_its_header_apart(void **state)
{
    PROVES("NET-LEGFRM-01");
    (void)state;
    fake_withdraw(&fake, VIRTIO_F_ANY_LAYOUT);
    start_network();
    frames_travel(12, true);
}

static void modern_devices_keep_twelve_bytes_in_front_of_the_frame(void **state)
{
    (void)state;
    fake_transport_init(&fake, VIRTIO_ID_NET);
    fake_offer(&fake, VIRTIO_NET_F_CSUM);
    fake.queues[RX].size_max = fake.queues[TX].size_max = RING_SIZE;
    start_network();
    frames_travel(12, false);
}

static void lengths_of_sent_frames_mean_nothing(void **state)
{
    PROVES("NET-LEGOP-02");
    static const uint32_t lengths[] = { 0, 10 + FRAME, 1, UINT32_MAX };

    (void)state;
    start_network();
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++)
        end_sent(send(true, 12), lengths[i]);
    assert_int_equal(fake.device.recoveries, 0);
}

static void lengths_of_received_frames_still_do(void **state)
{
    (void)state;
    start_network();
    fake_push(&fake.queues[RX].ring, fake_pop(&fake.queues[RX].ring), BUFFER_BYTES + 1);
    assert_int_equal(net->ops->receive(net, batch, BUFFERS), 0);
    net->ops->receive(net, batch, BUFFERS);
    assert_int_equal(fake.device.recoveries, 1);
}

static void a_frame_that_ends_in_its_header_is_dropped(void **state)
{
    (void)state;
    fake_withdraw(&fake, VIRTIO_NET_F_MRG_RXBUF);
    start_network();
    for (uint32_t length = 0; length <= 10; length++) {
        fake_push(&fake.queues[RX].ring, fake_pop(&fake.queues[RX].ring), length);
        assert_int_equal(net->ops->receive(net, batch, BUFFERS), 0);
    }
    assert_int_equal(net->counters.rx_errors, 11);
    receive_one(10, false);
}

static void a_ring_that_holds_no_buffer_with_its_header_apart_is_refused(void **state)
{
    (void)state;
    fake_withdraw(&fake, VIRTIO_F_ANY_LAYOUT);
    fake.queues[RX].size_max = 1;
    assert_int_equal(virtio_add(&fake.device), -EINVAL);
}

/* ---- disks */

#define SECTORS 64

static uint8_t disk[SECTORS * 512], memory[SECTORS * 512];
static struct blkdev *blk;
static uint32_t told_length; /* UINT32_MAX: the truth */
static bool status_kept;
static const char *violation;

static void violate(bool condition, const char *what)
{
    if (condition && !violation)
        violation = what;
}

static void serve(struct fake_transport *transport, unsigned queue)
{
    struct fake_queue *ring = &transport->queues[queue].ring;
    struct fake_chain *chain;

    while ((chain = fake_pop(ring))) {
        unsigned last = chain->n_readable + chain->n_writable - 1;
        struct virtio_blk_req header;
        uint64_t bytes;

        violate(chain->pieces[0].bytes != sizeof(header), "the header is not alone");
        violate(chain->pieces[last].bytes != 1, "the status is not alone");
        fake_read(chain, 0, &header, sizeof(header));
        bytes = chain->readable_bytes + chain->writable_bytes - sizeof(header) - 1;
        violate(header.type != VIRTIO_BLK_T_IN && header.type != VIRTIO_BLK_T_OUT &&
                    header.type != VIRTIO_BLK_T_FLUSH && header.type != VIRTIO_BLK_T_GET_ID,
                "a type that modern devices do not know");
        violate(header.sector * 512 + bytes > sizeof(disk), "beyond the disk");
        if (violation)
            return;
        if (header.type == VIRTIO_BLK_T_OUT)
            fake_read(chain, sizeof(header), disk + header.sector * 512, bytes);
        else if (header.type == VIRTIO_BLK_T_IN)
            fake_write(chain, 0, disk + header.sector * 512, bytes);
        if (!status_kept)
            fake_write(chain, chain->writable_bytes - 1, "", 1);
        fake_push(ring, chain, told_length);
    }
    fake_want_notification(ring);
    fake_transport_interrupt(transport, queue);
}

static int set_up_disk(void **state)
{
    struct virtio_blk_config config = { .capacity = SECTORS, .seg_max = 4 };

    (void)state;
    prepare(VIRTIO_ID_BLOCK);
    for (size_t i = 0; i < sizeof(disk); i++)
        disk[i] = pattern(i);
    fake_offer(&fake, VIRTIO_BLK_F_SEG_MAX);
    fake_offer(&fake, VIRTIO_BLK_F_FLUSH);
    fake_offer(&fake, VIRTIO_BLK_F_BARRIER);
    fake_offer(&fake, VIRTIO_BLK_F_SCSI);
    fake_offer(&fake, VIRTIO_BLK_F_CONFIG_WCE);
    fake.device.config_bytes = sizeof(config);
    memcpy(fake.config, &config, sizeof(config));
    fake.kicked = serve;
    told_length = 0;
    status_kept = false;
    violation = NULL;
    return 0;
}

static int tear_down_disk(void **state)
{
    if (violation)
        print_error("%s\n", violation);
    return tear_down(state) || violation;
}

static void start_disk(void)
{
    add();
    blk = blkdev_next(NULL);
    assert_non_null(blk);
}

static void check_disk(void)
{
    for (unsigned round = 0; round < 40; round++) {
        memset(memory, 0, sizeof(memory));
        assert_int_equal(blkdev_read(blk, 0, memory, sizeof(memory)), 0);
        assert_memory_equal(memory, disk, sizeof(memory));
        memset(memory, (int)round, 4096);
        assert_int_equal(blkdev_write(blk, 8, memory, 4096), 0);
        assert_memory_equal(memory, disk + 8 * 512, 4096);
        assert_int_equal(blkdev_flush(blk), 0);
    }
}

static void a_disk_works_with_a_long_ring_and_any_length(void **state)
{
    PROVES("BLK-LEGCFG-01", "BLK-LEGOP-01", "BLK-LEGOP-02");
    static const uint32_t lengths[] = { 0, 1, 512, 16 + 512 + 1, UINT32_MAX };

    (void)state;
    start_disk();
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        told_length = lengths[i];
        check_disk();
    }
    assert_int_equal(fake.device.recoveries, 0);
}

static void header_and_status_are_always_apart(void **state)
{
    PROVES("BLK-LEGFRM-01");
    (void)state;
    fake_withdraw(&fake, VIRTIO_F_ANY_LAYOUT);
    fake_withdraw(&fake, VIRTIO_F_INDIRECT_DESC);
    start_disk();
    check_disk();
}

static void barriers_scsi_and_cache_modes_are_not_accepted(void **state)
{
    (void)state;
    start_disk();
    assert_int_equal(fake.accepted.word[0], 1u << VIRTIO_BLK_F_SEG_MAX | 1u << VIRTIO_BLK_F_FLUSH |
                                                1u << VIRTIO_F_ANY_LAYOUT |
                                                1u << VIRTIO_F_INDIRECT_DESC |
                                                1u << VIRTIO_F_EVENT_IDX);
}

static void a_request_without_a_status_has_failed(void **state)
{
    (void)state;
    start_disk();
    status_kept = true;
    assert_int_equal(blkdev_read(blk, 0, memory, 512), -EIO);
}

#define NETWORK(name) cmocka_unit_test_setup_teardown(name, set_up_network, tear_down)
#define DISK(name)    cmocka_unit_test_setup_teardown(name, set_up_disk, tear_down_disk)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NETWORK(without_merging_the_header_is_ten_bytes),
        NETWORK(with_merging_the_header_is_twelve_bytes),
        NETWORK(without_any_layout_the_header_has_its_own_descriptor),
        NETWORK(without_any_layout_a_merged_frame_too_has_its_header_apart),
        NETWORK(modern_devices_keep_twelve_bytes_in_front_of_the_frame),
        NETWORK(lengths_of_sent_frames_mean_nothing),
        NETWORK(lengths_of_received_frames_still_do),
        NETWORK(a_frame_that_ends_in_its_header_is_dropped),
        NETWORK(a_ring_that_holds_no_buffer_with_its_header_apart_is_refused),
        DISK(a_disk_works_with_a_long_ring_and_any_length),
        DISK(header_and_status_are_always_apart),
        DISK(barriers_scsi_and_cache_modes_are_not_accepted),
        DISK(a_request_without_a_status_has_failed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
