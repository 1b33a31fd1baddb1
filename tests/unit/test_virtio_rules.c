/* SPDX-License-Identifier: MIT */
/*
 * Rules of the standard that hold for every driver, checked on the real ones
 * for disks and networks: what they accept of all that could be offered, which
 * configuration fields they look at, when they take back what they lent, what
 * they believe of a frame.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/spec/blk.h"
#include "drivers/virtio/spec/config.h"
#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/net.h"
#include "drivers/virtio/transport.h"
#include "kernel/blkdev.h"
#include "kernel/netdev.h"
#include "lib/base/errno.h"
#include "tests/host/event.h"
#include "tests/host/fake_transport.h"
#include "tests/host/proves.h"

static struct fake_transport fake;
static const struct virtio_transport *behind;
static struct virtio_transport watched;

static void prepare(uint32_t type)
{
    static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
    struct virtio_blk_config disk = { .capacity = 2048, .seg_max = 126, .blk_size = 512 };
    struct virtio_net_config network = { .status = VIRTIO_NET_S_LINK_UP, .mtu = 1500 };

    fake_transport_init(&fake, type);
    memcpy(network.mac, mac, sizeof(mac));
    disk.size_max = 65536;
    if (type == VIRTIO_ID_BLOCK)
        memcpy(fake.config, &disk, fake.device.config_bytes = sizeof(disk));
    else
        memcpy(fake.config, &network, fake.device.config_bytes = sizeof(network));
    for (unsigned i = 0; i < 3; i++)
        fake.queues[i].size_max = 128;
    behind = fake.device.transport;
    watched = *behind;
    fake.device.transport = &watched;
}

static int tear_down(void **state)
{
    (void)state;
    fake_transport_check(&fake);
    virtio_remove(&fake.device);
    host_idle = NULL;
    return 0;
}

static int set_up(void **state)
{
    prepare((uint32_t)(uintptr_t)*state);
    return 0;
}

static void start(void)
{
    assert_int_equal(virtio_add(&fake.device), 0);
    fake_transport_check(&fake);
}

/* ---- features */

/* What no driver of ours can do, whatever a device offers. */
static const unsigned refused[] = { VIRTIO_F_SR_IOV, VIRTIO_F_ADMIN_VQ, VIRTIO_F_SUSPEND };
static const unsigned refused_of_disks[] = { VIRTIO_BLK_F_BARRIER,      VIRTIO_BLK_F_SCSI,
                                             VIRTIO_BLK_F_CONFIG_WCE,   VIRTIO_BLK_F_DISCARD,
                                             VIRTIO_BLK_F_WRITE_ZEROES, VIRTIO_BLK_F_SECURE_ERASE,
                                             VIRTIO_BLK_F_ZONED };
static const unsigned refused_of_networks[] = { VIRTIO_NET_F_GSO,
                                                VIRTIO_NET_F_HOST_TSO4,
                                                VIRTIO_NET_F_HOST_TSO6,
                                                VIRTIO_NET_F_HOST_UFO,
                                                VIRTIO_NET_F_HOST_USO,
                                                VIRTIO_NET_F_HOST_ECN,
                                                VIRTIO_NET_F_GUEST_TSO4,
                                                VIRTIO_NET_F_GUEST_TSO6,
                                                VIRTIO_NET_F_GUEST_UFO,
                                                VIRTIO_NET_F_GUEST_USO4,
                                                VIRTIO_NET_F_GUEST_USO6,
                                                VIRTIO_NET_F_GUEST_HDRLEN,
                                                VIRTIO_NET_F_MQ,
                                                VIRTIO_NET_F_CTRL_VQ,
                                                VIRTIO_NET_F_CTRL_RX_EXTRA,
                                                VIRTIO_NET_F_HASH_REPORT,
                                                VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO,
                                                VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM,
                                                VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO,
                                                VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM,
                                                VIRTIO_NET_F_OUT_NET_HEADER,
                                                VIRTIO_NET_F_IPSEC,
                                                VIRTIO_NET_F_SPEED_DUPLEX,
                                                VIRTIO_NET_F_STANDBY };

static void offer_everything(void)
{
    for (unsigned bit = 0; bit < VIRTIO_FEATURE_BITS; bit++)
        fake_offer(&fake, bit);
}

static void assert_refused(const unsigned *bits, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_false(virtio_features_have(&fake.accepted, bits[i]));
}

static void what_nobody_can_do_is_never_accepted(void **state)
{
    PROVES("CORE-FEAT-05", "CORE-FEAT-08");
    (void)state;
    offer_everything();
    start();
    assert_true(virtio_features_have(&fake.accepted, VIRTIO_F_VERSION_1));
    assert_refused(refused, ARRAY_SIZE(refused));
    if (fake.device.type == VIRTIO_ID_BLOCK) {
        PROVES("BLK-INIT-05");
        assert_refused(refused_of_disks, ARRAY_SIZE(refused_of_disks));
    } else {
        PROVES("NET-CFG-13", "NET-CFG-14");
        assert_refused(refused_of_networks, ARRAY_SIZE(refused_of_networks));
    }
}

/* ---- configuration */

#define BLK(field, feature)                                           \
    {                                                                 \
        VIRTIO_ID_BLOCK, offsetof(struct virtio_blk_config, field),   \
            sizeof(((struct virtio_blk_config *)0)->field), (feature) \
    }
#define NET(field, feature)                                           \
    {                                                                 \
        VIRTIO_ID_NET, offsetof(struct virtio_net_config, field),     \
            sizeof(((struct virtio_net_config *)0)->field), (feature) \
    }
#define ALWAYS VIRTIO_F_VERSION_1

/* The fields that drivers look at, and the feature with which each is there. */
static const struct field {
    uint32_t type;
    size_t offset, bytes;
    unsigned feature;
} fields[] = {
    BLK(capacity, ALWAYS),
    BLK(size_max, VIRTIO_BLK_F_SIZE_MAX),
    BLK(seg_max, VIRTIO_BLK_F_SEG_MAX),
    BLK(blk_size, VIRTIO_BLK_F_BLK_SIZE),
    NET(mac, VIRTIO_NET_F_MAC),
    NET(status, VIRTIO_NET_F_STATUS),
    NET(mtu, VIRTIO_NET_F_MTU),
};

static unsigned reads[ARRAY_SIZE(fields)];

static uint32_t read_what_is_there(struct virtio_device *dev, uint32_t offset, unsigned bytes)
{
    assert_true(fake.status & VIRTIO_CONFIG_S_FEATURES_OK);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        const struct field *field = &fields[i];

        if (field->type != dev->type || offset < field->offset ||
            offset + bytes > field->offset + field->bytes)
            continue;
        if (!virtio_features_have(&fake.offered, field->feature))
            fail_msg("the field at %u was read, but is not there", offset);
        reads[i]++;
        return behind->config_read(dev, offset, bytes);
    }
    fail_msg("a field at %u that nobody knows was read", offset);
    return 0;
}

static void refuse_write(struct virtio_device *dev, uint32_t offset, unsigned bytes, uint32_t value)
{
    (void)dev, (void)bytes, (void)value;
    fail_msg("the configuration was written at %u", offset);
}

/* With each feature alone, and with none. */
static void fields_are_looked_at_only_where_their_feature_is_offered(void **state)
{
    PROVES("CORE-CFG-03");
    if (fake.device.type == VIRTIO_ID_BLOCK)
        PROVES("BLK-INIT-04");
    else
        PROVES("NET-CFG-01");
    memset(reads, 0, sizeof(reads));
    for (size_t i = 0; i <= ARRAY_SIZE(fields); i++) {
        set_up(state);
        watched.config_read = read_what_is_there;
        watched.config_write = refuse_write;
        if (i < ARRAY_SIZE(fields))
            fake_offer(&fake, fields[i].feature);
        start();
        fake_transport_config_changed(&fake);
        virtio_remove(&fake.device);
    }
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        assert_int_equal(reads[i] != 0, fields[i].type == fake.device.type);
    set_up(state);
    start();
}

/* ---- taking back */

static struct blk_client client;
static unsigned looks_while_resetting;

/* Nobody has anything back as long as the reset goes on. */
static uint8_t look_for_requests(struct virtio_device *dev)
{
    if (fake.resetting) {
        looks_while_resetting++;
        assert_true(list_empty(&client.done));
    }
    return behind->get_status(dev);
}

/* A disk of zeros. */
static void answer_reads(struct fake_transport *of, unsigned queue)
{
    static const uint8_t zeros[512 + 1]; /* and the status */
    struct fake_queue *ring = &of->queues[queue].ring;
    struct fake_chain *chain;

    while ((chain = fake_pop(ring))) {
        fake_write(chain, 0, zeros, sizeof(zeros));
        fake_push(ring, chain, sizeof(zeros));
    }
    fake_want_notification(ring);
    fake_transport_interrupt(of, queue);
}

/* What the device did not answer is asked again after its reset. */
static void requests_come_back_only_when_the_reset_has_ended(void **state)
{
    static uint8_t memory[8][512];
    struct blk_elem elems[8];
    struct blk_request requests[8], *done[8];

    PROVES("CORE-STAT-04", "CORE-CLEAN-02");
    (void)state;
    start();
    looks_while_resetting = 0;
    watched.get_status = look_for_requests;
    blk_client_init(&client, blkdev_next(NULL));
    for (unsigned i = 0; i < 8; i++) {
        struct blk_request *request = &requests[i];

        elems[i] = (struct blk_elem){ memory[i], 512 };
        *request = (struct blk_request){
            .operation = BLK_READ, .n_elem = 1, .elem = &elems[i], .sector = i
        };
        assert_int_equal(blk_submit(&client, &request, 1), 1);
    }
    fake.reset_polls = 40;
    fake_transport_ask_for_reset(&fake);
    fake.kicked = answer_reads;
    for (unsigned back = 0; back < 8;) {
        int n = blk_wait(&client, done, 8);

        assert_true(n > 0);
        back += (unsigned)n;
        while (n-- > 0)
            assert_int_equal(done[n]->status, 0);
    }
    assert_true(looks_while_resetting >= 40);
}

/* ---- frames */

#define HEADER 12
#define FRAME  60
#define WHOLE  (HEADER + FRAME)

static struct netdev *network;
static uint8_t sent[HEADER + 2000];

static void start_network(void)
{
    unsigned n = 0;

    start();
    while (netdev_get(n)) /* those of earlier tests are there still */
        network = netdev_get(n++);
    assert_non_null(network);
}

static int send(uint32_t bytes)
{
    static struct net_elem elem;
    struct net_packet packet = { .elem = &elem, .n_elem = 1, .headroom = HEADER };

    elem = (struct net_elem){ sent + HEADER, bytes };
    return network->ops->transmit(network, &packet, 1);
}

static void no_frame_is_larger_than_the_mtu(void **state)
{
    struct virtio_net_config *told = (void *)fake.config;

    PROVES("NET-CFG-07", "NET-CFG-09");
    (void)state;
    fake_offer(&fake, VIRTIO_NET_F_MTU);
    told->mtu = 1000;
    start_network();
    assert_int_equal(send(1014), 1);
    assert_int_equal(send(1015), -EMSGSIZE);
    assert_int_equal(send(1514), -EMSGSIZE);
}

static void without_csum_the_header_asks_for_nothing(void **state)
{
    struct virtio_net_hdr header;

    PROVES("NET-TX-03", "NET-TX-31");
    (void)state;
    start_network();
    assert_false(network->offloads & NETDEV_TX_CHECKSUM);
    assert_int_equal(send(FRAME), 1);
    assert_int_equal(fake_read(fake_pop(&fake.queues[1].ring), 0, &header, HEADER), HEADER);
    assert_int_equal(header.flags, 0);
    assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
}

static uint8_t lent_memory[2048];
static struct net_buffer lent = { lent_memory, sizeof(lent_memory) };

static void give_buffer(void)
{
    struct net_buffer *list[1] = { &lent };

    assert_int_equal(network->ops->give(network, list, 1), 1);
}

/*
 * How many frames are handed up when the device says that it has written so
 * much of a header and a frame; it has written all.
 */
static int received_behind(struct virtio_net_hdr header, uint32_t written)
{
    struct net_received received[1];
    struct fake_queue *ring = &fake.queues[0].ring;
    struct fake_chain *chain = fake_pop(ring);
    uint8_t frame[FRAME];
    int n;

    memset(frame, 0x5a, sizeof(frame));
    assert_non_null(chain);
    fake_write(chain, 0, &header, HEADER);
    fake_write(chain, HEADER, frame, FRAME);
    fake_push(ring, chain, written);
    n = network->ops->receive(network, received, 1);
    fake_transport_check(&fake);
    if (n != 1)
        return n; /* a dropped frame's buffer is with the device again */
    assert_ptr_equal(received[0].buffer, &lent);
    assert_int_equal(received[0].bytes, FRAME);
    assert_memory_equal(lent_memory + received[0].offset, frame, FRAME);
    give_buffer();
    return n;
}

static void a_header_length_is_not_relied_on(void **state)
{
    static const le16 lengths[] = { 0, 1, FRAME, FRAME + 1, 2048, 0xffff };

    PROVES("NET-RX-06");
    (void)state;
    start_network();
    give_buffer();
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++)
        assert_int_equal(received_behind((struct virtio_net_hdr){ .hdr_len = lengths[i] }, WHOLE),
                         1);
}

/* Tunnels among them, with any word on checksums. */
static void no_kind_of_segment_is_accepted(void **state)
{
    PROVES("NET-RX-08", "NET-RX-10");
    (void)state;
    start_network();
    give_buffer();
    assert_int_equal(received_behind((struct virtio_net_hdr){ 0 }, WHOLE), 1);
    for (unsigned type = 1; type <= UINT8_MAX; type++) {
        for (uint8_t flags = 0; flags <= 3; flags++) {
            struct virtio_net_hdr header = { .flags = flags, .gso_type = (uint8_t)type };

            assert_int_equal(received_behind(header, WHOLE), 0);
        }
    }
}

/* What stands there would cost the device a reset: a frame of no buffers. */
static void what_the_device_did_not_write_is_not_read(void **state)
{
    struct net_received received[1];

    PROVES("SPLIT-USED-01", "SPLIT-USED-02");
    (void)state;
    fake_offer(&fake, VIRTIO_NET_F_MRG_RXBUF);
    start_network();
    give_buffer();
    for (uint32_t written = 0; written < HEADER; written++) {
        assert_int_equal(received_behind((struct virtio_net_hdr){ 0 }, written), 0);
        assert_int_equal(network->ops->receive(network, received, 1), 0);
        assert_int_equal(fake.resets, 1);
    }
    assert_int_equal(network->counters.rx_errors, HEADER);
}

#define TEST(test, what, type)                                                  \
    {                                                                           \
#test " (" what ")", test, set_up, tear_down, (void *)(uintptr_t)(type) \
    }
#define DISK(test)    TEST(test, "disk", VIRTIO_ID_BLOCK)
#define NETWORK(test) TEST(test, "network", VIRTIO_ID_NET)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK(what_nobody_can_do_is_never_accepted),
        NETWORK(what_nobody_can_do_is_never_accepted),
        DISK(fields_are_looked_at_only_where_their_feature_is_offered),
        NETWORK(fields_are_looked_at_only_where_their_feature_is_offered),
        DISK(requests_come_back_only_when_the_reset_has_ended),
        NETWORK(no_frame_is_larger_than_the_mtu),
        NETWORK(without_csum_the_header_asks_for_nothing),
        NETWORK(a_header_length_is_not_relied_on),
        NETWORK(no_kind_of_segment_is_accepted),
        NETWORK(what_the_device_did_not_write_is_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
