/* SPDX-License-Identifier: MIT */
/*
 * Our ring as a network driver of a foreign device (vhost-user):
 *     ring_net tx|rx CPU WINDOWS SECONDS split|packed SOCKET
 *
 * tx: takes buffers from the pool, writes the frame, lends them; what did not
 * fit is tried again; what came back goes to the pool. rx: receives into
 * buffers of the pool, and gives them back to it. The peer is ring_dpdk.c.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/spec/config.h"
#include "drivers/virtio/spec/net.h"
#include "drivers/virtio/virtq.h"
#include "tests/bench/ring_measure.h"
#include "tests/bench/ring_traffic.h"
#include "tests/host/shared_memory.h"
#include "tests/host/vhost_user.h"

#define DEADLINE_MS 5000
#define HEADER      sizeof(struct virtio_net_hdr)

/*
 * In whole cache lines, and an odd number of them, so that all sets of the cache
 * are used. The frame begins a line: the header before it lies in a line that
 * neither side writes when a packet is sent.
 */
#define BUFFER_BYTES  (2048 + 64)
#define HEADER_OFFSET (64 - HEADER)

struct net_buffer {
    uint8_t pad[HEADER_OFFSET];
    struct virtio_net_hdr header;
    uint8_t frame[BUFFER_BYTES - 64];
};

struct driver {
    struct virtq rx, tx;
    struct net_buffer *pool[TRAFFIC_POOL];
    unsigned n_free;
    unsigned n_pending;     /* tx: written, not lent yet */
    uint64_t device_offset; /* of an address as the device sees it to a pointer */
    struct virtq_elem elem[TRAFFIC_BURST];
    struct virtq_buffer buffers[TRAFFIC_BURST];
};

static void take_back(struct driver *driver, const struct virtq_done *done, int n)
{
    for (int i = 0; i < n; i++)
        driver->pool[driver->n_free++] = done[i].cookie;
}

static void must_work(const struct virtq *q, int n)
{
    if (n < 0)
        errx(1, "the queue broke: %s", virtq_broken_reason(q) ?: "a buffer that never fits");
}

static uint64_t device_address(const struct driver *driver, const void *pointer)
{
    return (uint64_t)pointer + driver->device_offset;
}

/* What the device wrote when the buffer received is cleared, and nothing stored where nothing was.
 */
static void clear_header(struct virtio_net_hdr *header)
{
    static const struct virtio_net_hdr zero;

    if (memcmp(header, &zero, sizeof(zero)) != 0)
        *header = zero;
}

static void write_pending(struct driver *driver)
{
    for (unsigned i = driver->n_pending; i < TRAFFIC_BURST && driver->n_free; i++) {
        struct net_buffer *buffer = driver->pool[--driver->n_free];

        clear_header(&buffer->header);
        memcpy(buffer->frame, traffic_frame, TRAFFIC_FRAME);
        driver->elem[i].addr = device_address(driver, &buffer->header);
        driver->elem[i].len = HEADER + TRAFFIC_FRAME;
        driver->buffers[i].cookie = buffer;
        driver->n_pending = i + 1;
    }
}

/* Lends the first n of the buffers, and shows them to the device; returns how many fitted. */
static unsigned lend(struct virtq *q, const struct virtq_buffer *buffers, unsigned n)
{
    int added = virtq_add(q, buffers, n);

    must_work(q, added);
    if (virtq_publish(q))
        virtq_notify(q);
    return (unsigned)added;
}

static unsigned transmit(void *argument)
{
    struct driver *driver = argument;
    struct virtq_done done[TRAFFIC_BURST];
    unsigned sent;

    /* Not before they are needed: the longer ago the device wrote them, the more at once. */
    if (virtq_free_count(&driver->tx) < TRAFFIC_BURST) {
        int got = virtq_get(&driver->tx, done, TRAFFIC_BURST);

        must_work(&driver->tx, got);
        take_back(driver, done, got);
    }
    write_pending(driver);
    sent = lend(&driver->tx, driver->buffers, driver->n_pending);
    for (unsigned i = sent; i < driver->n_pending; i++) {
        driver->elem[i - sent] = driver->elem[i];
        driver->buffers[i - sent].cookie = driver->buffers[i].cookie;
    }
    driver->n_pending -= sent;
    return sent;
}

static void fill_receive(struct driver *driver, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct net_buffer *buffer = driver->pool[--driver->n_free];

        driver->elem[i].addr = device_address(driver, &buffer->header);
        driver->elem[i].len = sizeof(*buffer) - HEADER_OFFSET;
        driver->buffers[i].cookie = buffer;
    }
    if (lend(&driver->rx, driver->buffers, n) != n)
        errx(1, "the receive queue has no room for what came out of it");
}

static unsigned receive(void *argument)
{
    struct driver *driver = argument;
    struct virtq_done done[TRAFFIC_BURST];
    int got = virtq_get(&driver->rx, done, TRAFFIC_BURST);

    must_work(&driver->rx, got);
    for (int i = 0; i < got; i++) {
        if (done[i].len != HEADER + TRAFFIC_FRAME)
            errx(1, "received %u bytes", done[i].len);
    }
    take_back(driver, done, got);
    if (got)
        fill_receive(driver, (unsigned)got);
    return (unsigned)got;
}

static void make_pool(struct driver *driver, struct shared_memory *memory)
{
    dma_addr_t addr;
    struct net_buffer *buffers =
        shared_memory_take(memory, TRAFFIC_POOL * sizeof(struct net_buffer), &addr);

    if (!buffers)
        errx(1, "no memory for packets");
    driver->device_offset = addr - (uint64_t)buffers;
    for (unsigned i = 0; i < TRAFFIC_POOL; i++)
        driver->pool[driver->n_free++] = &buffers[i];
    for (unsigned i = 0; i < TRAFFIC_BURST; i++)
        driver->buffers[i].elem = &driver->elem[i];
}

static bool connect_device(struct vhost_user *device, struct shared_memory *memory,
                           struct driver *driver, const char *path, enum virtq_format format)
{
    uint64_t wanted = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_IN_ORDER;
    struct virtq_config config = { .format = format, .size = TRAFFIC_RING, .in_order = true };

    if (format == VIRTQ_PACKED)
        wanted |= 1ull << VIRTIO_F_RING_PACKED;
    if (!vhost_user_connect(device, path, DEADLINE_MS) || !vhost_user_share(device, memory))
        return false;
    if (wanted & ~device->offered)
        errx(1, "the device does not offer features 0x%llx",
             (unsigned long long)(wanted & ~device->offered));
    return vhost_user_set_features(device, wanted) &&
           vhost_user_queue_start(device, 0, &config, &driver->rx) &&
           vhost_user_queue_start(device, 1, &config, &driver->tx) &&
           vhost_user_set_status(device, VHOST_USER_RUNNING);
}

int main(int argc, char **argv)
{
    static struct driver driver;
    static struct shared_memory memory;
    static struct vhost_user device;
    bool receives;

    if (argc != 7)
        errx(2, "usage: ring_net tx|rx CPU WINDOWS SECONDS split|packed SOCKET");
    receives = strcmp(argv[1], "rx") == 0;
    measure_pin((unsigned)atoi(argv[2]));
    if (!shared_memory_open(&memory, 16 * MIB, NULL, SHARED_MEMORY_DEVICE_START))
        err(1, "shared memory");
    make_pool(&driver, &memory);
    if (!connect_device(&device, &memory, &driver, argv[6],
                        strcmp(argv[5], "packed") ? VIRTQ_SPLIT : VIRTQ_PACKED))
        errx(1, "vhost-user: %s", device.error);
    for (unsigned i = 0; i < TRAFFIC_BURST; i++)
        driver.buffers[i].n_writable = receives;
    for (unsigned i = 0; i < TRAFFIC_BURST; i++)
        driver.buffers[i].n_readable = !receives;
    for (unsigned n = 0; receives && n < TRAFFIC_RING; n += TRAFFIC_BURST)
        fill_receive(&driver, TRAFFIC_BURST);
    traffic_run(receives ? receive : transmit, &driver, (unsigned)atoi(argv[3]), atof(argv[4]));
    vhost_user_close(&device);
    shared_memory_close(&memory);
    return 0;
}
