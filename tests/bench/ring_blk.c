/* SPDX-License-Identifier: MIT */
/*
 * Our ring as a block driver of a foreign device (vhost-user): random reads of
 * 4 KiB, DEPTH at a time.
 *     ring_blk poll|sleep DEPTH CPU WINDOWS SECONDS numbered|any SOCKET
 *
 * poll looks for finished reads without end; sleep waits for the device's
 * interrupt. numbered: each block of the image begins with its number (le64),
 * which is compared. Prints "rate READS" (a second) for each window.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/spec/blk.h"
#include "drivers/virtio/spec/config.h"
#include "drivers/virtio/virtq.h"
#include "tests/bench/ring_measure.h"
#include "tests/host/shared_memory.h"
#include "tests/host/vhost_user.h"

#define DEADLINE_MS  5000
#define WARM_SECONDS 0.2
#define LOOK_TURNS   16 /* between two looks at the clock */
#define BLOCK        4096
#define SECTOR       512
#define DEPTH_MAX    64
#define RING         256
#define ELEMENTS     3

struct request {
    struct virtio_blk_req header;
    uint8_t status;
    uint64_t block;
    uint8_t *content;
    struct virtq_elem elem[ELEMENTS];
};

struct driver {
    struct vhost_user device;
    struct virtq q;
    struct request *requests;
    uint64_t blocks; /* of the image */
    uint64_t random;
    bool sleeps, numbered;
};

static uint64_t random_block(struct driver *driver)
{
    uint64_t x = driver->random; /* xorshift */

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    driver->random = x;
    return x % driver->blocks;
}

static void submit(struct driver *driver, struct request *request)
{
    struct virtq_buffer buffer = { request->elem, 1, ELEMENTS - 1, request };

    request->block = random_block(driver);
    request->header.sector = request->block * (BLOCK / SECTOR);
    request->status = 0xff;
    if (virtq_add(&driver->q, &buffer, 1) != 1)
        errx(1, "the queue does not take a request");
}

static void publish(struct driver *driver)
{
    if (virtq_publish(&driver->q))
        virtq_notify(&driver->q);
}

static void check(const struct driver *driver, const struct request *request, uint32_t len)
{
    uint64_t number;

    memcpy(&number, request->content, sizeof(number));
    if (request->status != VIRTIO_BLK_S_OK || len != BLOCK + 1)
        errx(1, "a read failed: status %u, %u bytes", request->status, len);
    if (driver->numbered && number != request->block)
        errx(1, "block %llu was read for block %llu", (unsigned long long)number,
             (unsigned long long)request->block);
}

static void wait_for_interrupt(struct driver *driver)
{
    if (virtq_arm(&driver->q, 1))
        return;
    if (vhost_user_wait(&driver->device, 0, DEADLINE_MS) != VHOST_USER_CALLED)
        errx(1, "no interrupt in %d ms", DEADLINE_MS);
}

/* Takes what is finished, and asks for as much again; returns how many reads that were. */
static unsigned turn(struct driver *driver)
{
    struct virtq_done done[DEPTH_MAX];
    int n = virtq_get(&driver->q, done, DEPTH_MAX);

    if (n < 0)
        errx(1, "the queue broke: %s", virtq_broken_reason(&driver->q));
    for (int i = 0; i < n; i++) {
        check(driver, done[i].cookie, done[i].len);
        submit(driver, done[i].cookie);
    }
    publish(driver);
    if (n == 0 && driver->sleeps)
        wait_for_interrupt(driver);
    return (unsigned)n;
}

static uint64_t run_for(struct driver *driver, double seconds)
{
    double end = measure_seconds() + seconds;
    uint64_t reads = 0;

    do {
        for (unsigned i = 0; i < LOOK_TURNS; i++)
            reads += turn(driver);
    } while (measure_seconds() < end);
    return reads;
}

static bool connect_device(struct driver *driver, struct shared_memory *memory, const char *path)
{
    struct vhost_user *device = &driver->device;
    uint64_t wanted =
        1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_INDIRECT_DESC | 1ull << VIRTIO_F_EVENT_IDX;
    struct virtq_config config = {
        .format = VIRTQ_SPLIT, .size = RING, .indirect_max = ELEMENTS, .event_idx = true
    };
    le64 capacity; /* the configuration's first field */

    if (!vhost_user_connect(device, path, DEADLINE_MS) || !vhost_user_share(device, memory) ||
        !vhost_user_set_features(device, device->offered & wanted))
        return false;
    if (device->accepted != wanted)
        errx(1, "the device does not offer features 0x%llx",
             (unsigned long long)(wanted & ~device->offered));
    if (!vhost_user_get_config(device, &capacity, sizeof(capacity)) ||
        !vhost_user_queue_start(device, 0, &config, &driver->q) ||
        !vhost_user_set_status(device, VHOST_USER_RUNNING))
        return false;
    driver->blocks = capacity / (BLOCK / SECTOR);
    return true;
}

static void make_requests(struct driver *driver, struct shared_memory *memory, unsigned depth)
{
    dma_addr_t addr, content;

    driver->requests = shared_memory_take(memory, depth * sizeof(struct request), &addr);
    for (unsigned i = 0; i < depth; i++) {
        struct request *request = &driver->requests[i];
        dma_addr_t at = addr + i * sizeof(*request);

        request->content = shared_memory_take(memory, BLOCK, &content);
        if (!request->content)
            errx(1, "no memory for requests");
        request->header.type = VIRTIO_BLK_T_IN;
        request->elem[0] =
            (struct virtq_elem){ at + offsetof(struct request, header), sizeof(request->header) };
        request->elem[1] = (struct virtq_elem){ content, BLOCK };
        request->elem[2] = (struct virtq_elem){ at + offsetof(struct request, status), 1 };
    }
}

int main(int argc, char **argv)
{
    static struct driver driver = { .random = 88172645463325252u };
    static struct shared_memory memory;
    unsigned depth;

    if (argc != 8)
        errx(2, "usage: ring_blk poll|sleep DEPTH CPU WINDOWS SECONDS numbered|any SOCKET");
    driver.sleeps = strcmp(argv[1], "sleep") == 0;
    driver.numbered = strcmp(argv[6], "numbered") == 0;
    depth = MIN((unsigned)atoi(argv[2]), DEPTH_MAX);
    measure_pin((unsigned)atoi(argv[3]));
    if (!shared_memory_open(&memory, 4 * MIB, NULL, SHARED_MEMORY_DEVICE_START))
        err(1, "shared memory");
    if (!connect_device(&driver, &memory, argv[7]))
        errx(1, "vhost-user: %s", driver.device.error);
    make_requests(&driver, &memory, depth);
    for (unsigned i = 0; i < depth; i++)
        submit(&driver, &driver.requests[i]);
    publish(&driver);
    run_for(&driver, WARM_SECONDS);
    for (int i = 0; i < atoi(argv[4]); i++) {
        double start = measure_seconds();
        uint64_t reads = run_for(&driver, atof(argv[5]));

        printf("rate %.0f\n", (double)reads / (measure_seconds() - start));
    }
    vhost_user_close(&driver.device);
    shared_memory_close(&memory);
    return 0;
}
