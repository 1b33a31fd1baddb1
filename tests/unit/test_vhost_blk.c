/* SPDX-License-Identifier: MIT */
/*
 * The block driver, the device core and the rings, unchanged, against QEMU's
 * block device: qemu-storage-daemon exports a file by vhost-user, and what the
 * driver wrote must stand in that file.
 */
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

#include "drivers/virtio/blk.h"
#include "drivers/virtio/spec/blk.h"
#include "drivers/virtio/spec/ids.h"
#include "kernel/blkdev.h"
#include "kernel/clock.h"
#include "kernel/dma.h"
#include "kernel/page.h"
#include "kernel/page_audit.h"
#include "lib/base/errno.h"
#include "tests/host/log.h"
#include "tests/host/program.h"
#include "tests/host/proves.h"
#include "tests/host/shared_dma.h"
#include "tests/host/vhost_transport.h"

#define DAEMON      "qemu-storage-daemon"
#define DISK_BYTES  (8 * MIB)
#define SECTORS     (DISK_BYTES / BLK_SECTOR_BYTES)
#define DEADLINE_S  120
#define TIMEOUT_MS  20000
#define FEATURE(b)  (UINT64_C(1) << (b))
#define IN_FLIGHT   200 /* more than the ring holds: the rest waits in the driver */
#define PIECE_BYTES 4096

static char folder[64], image[96], writable_socket[96], read_only_socket[96], daemon_log[96];
static struct program exporter;
static struct vhost_transport foreign;
static struct blkdev *dev;
static uint8_t *memory;   /* DISK_BYTES, where the device reaches */
static uint8_t *expected; /* DISK_BYTES, what the disk should hold */
static uint64_t seed;

/* ---- the other side */

static void start_daemon(void)
{
    char file[128], writable[192], read_only[192];
    const char *const arguments[] = { DAEMON,   "--blockdev", file,      "--export",
                                      writable, "--export",   read_only, NULL };

    snprintf(file, sizeof(file), "driver=file,node-name=disk,filename=%s", image);
    snprintf(writable, sizeof(writable),
             "type=vhost-user-blk,id=writable,node-name=disk,addr.type=unix,addr.path=%s,"
             "writable=on",
             writable_socket);
    snprintf(read_only, sizeof(read_only),
             "type=vhost-user-blk,id=read-only,node-name=disk,addr.type=unix,addr.path=%s",
             read_only_socket);
    unlink(writable_socket);
    unlink(read_only_socket);
    program_start(&exporter, daemon_log, arguments);
}

/* ---- random bytes, the same in every run */

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

static void write_image(const uint8_t *from)
{
    FILE *file = fopen(image, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(from, 1, DISK_BYTES, file), DISK_BYTES);
    assert_int_equal(fclose(file), 0);
}

static void assert_image_is(const uint8_t *bytes)
{
    static uint8_t found[DISK_BYTES];
    FILE *file = fopen(image, "r");

    assert_non_null(file);
    assert_int_equal(fread(found, 1, DISK_BYTES, file), DISK_BYTES);
    fclose(file);
    assert_memory_equal(found, bytes, DISK_BYTES);
}

/* ---- fixture: a disk of random bytes and a device of which the driver sees all but `hidden` */

static void prepare(const char *socket, uint64_t hidden)
{
    vhost_transport_init(&foreign, VIRTIO_ID_BLOCK, socket);
    foreign.hidden = hidden;
    foreign.n_queues = 1;
    foreign.device.config_bytes = offsetof(struct virtio_blk_config, max_secure_erase_sectors);
}

static void bring_up(void)
{
    host_log_clear();
    if (virtio_add(&foreign.device))
        fail_msg("%s%s", host_log_text(), foreign.peer.error);
    dev = blkdev_next(NULL);
    assert_non_null(dev);
}

static int set_up(void **state)
{
    (void)state;
    if (!program_exists(DAEMON)) {
        print_message(DAEMON " is missing: apt-get install qemu-system-common\n");
        return 0;
    }
    alarm(DEADLINE_S);
    seed = UINT64_C(0x9e3779b97f4a7c15);
    fill(expected, DISK_BYTES);
    write_image(expected);
    if (!exporter.pid)
        start_daemon();
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

#define NEED_DAEMON()                \
    do {                             \
        if (!program_exists(DAEMON)) \
            skip();                  \
    } while (0)

/* ---- requests */

struct job {
    struct blk_request request;
    struct blk_elem elem[4];
};

static struct job jobs[IN_FLIGHT];

/* A transfer of n elements that lie apart in memory, at a random place of the disk. */
static uint32_t shape(struct job *job, enum blk_operation operation, unsigned n, uint8_t *at,
                      uint64_t sector)
{
    uint32_t bytes = 0;

    for (unsigned i = 0; i < n; i++) {
        uint32_t piece = (uint32_t)(1 + next_random() % 8) * BLK_SECTOR_BYTES;

        job->elem[i] = (struct blk_elem){ at + bytes, piece };
        bytes += piece;
    }
    job->request = (struct blk_request){
        .operation = operation, .n_elem = n, .elem = job->elem, .sector = sector, .cookie = job
    };
    return bytes;
}

/* Submits n jobs at once and takes all back. */
static void run_all(unsigned n)
{
    struct blk_request *requests[IN_FLIGHT], *done[IN_FLIGHT];
    struct blk_client client;
    unsigned back = 0;
    int got;

    for (unsigned i = 0; i < n; i++)
        requests[i] = &jobs[i].request;
    blk_client_init(&client, dev);
    assert_int_equal(blk_submit(&client, requests, n), n);
    while ((got = blk_wait(&client, done, ARRAY_SIZE(done))) > 0) {
        for (int i = 0; i < got; i++)
            assert_int_equal(done[i]->status, 0);
        back += (unsigned)got;
    }
    assert_int_equal(back, n);
}

/* Pieces of the disk that do not touch, all written at once; a flush; then all read again. */
static void write_and_compare(void)
{
    const uint64_t stride = SECTORS / IN_FLIGHT;

    memcpy(memory, expected, DISK_BYTES);
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        uint8_t *at = memory + i * stride * BLK_SECTOR_BYTES;
        uint32_t bytes = shape(&jobs[i], BLK_WRITE, 1 + i % 4, at, i * stride);

        fill(at, bytes);
    }
    memcpy(expected, memory, DISK_BYTES);
    run_all(IN_FLIGHT);
    assert_int_equal(blkdev_flush(dev), 0);
    assert_image_is(expected);

    memset(memory, 0xee, DISK_BYTES);
    assert_int_equal(blkdev_read(dev, 0, memory, DISK_BYTES), 0);
    assert_memory_equal(memory, expected, DISK_BYTES);
    assert_int_equal(dev->counters.errors, 0);
}

/* ---- tests */

static void the_capacity_is_that_of_the_exported_file(void **state)
{
    (void)state;
    NEED_DAEMON();
    prepare(writable_socket, 0);
    bring_up();
    assert_int_equal(dev->sectors, SECTORS);
    assert_false(dev->read_only);
    assert_true(dev->write_back);
    assert_int_equal(dev->block_bytes, BLK_SECTOR_BYTES);
    print_message("# offered: %#llx\n", (unsigned long long)foreign.peer.offered);
}

static void the_daemon_tells_its_name(void **state)
{
    (void)state;
    NEED_DAEMON();
    prepare(writable_socket, 0);
    bring_up();
    assert_string_equal(blkdev_identity(dev), "vhost_user_blk");
}

#define PLAIN (FEATURE(VIRTIO_F_EVENT_IDX) | FEATURE(VIRTIO_F_INDIRECT_DESC))

/* Armed before the request is submitted, so that nothing but an interrupt can tell of its return.
 */
static void a_request_that_comes_back_interrupts(void)
{
    struct blk_request *request = &jobs[0].request;
    struct blk_client client;

    assert_false(dev->ops->arm(dev, dev->queues));
    shape(&jobs[0], BLK_READ, 1, memory, 0);
    blk_client_init(&client, dev);
    assert_int_equal(blk_submit(&client, &request, 1), 1);
    assert_int_equal(
        event_wait(&dev->queues[0].event, clock_monotonic_ns() + TIMEOUT_MS * NSEC_PER_MSEC), 0);
    assert_true(foreign.queues[0].calls > 0);
    assert_int_equal(blk_wait(&client, &request, 1), 1);
    assert_int_equal(request->status, 0);
}

static void write_and_compare_without(uint64_t hidden)
{
    NEED_DAEMON();
    prepare(writable_socket, hidden | FEATURE(VIRTIO_F_RING_PACKED));
    bring_up();
    assert_int_equal(virtio_has(&foreign.device, VIRTIO_F_EVENT_IDX),
                     !(hidden & FEATURE(VIRTIO_F_EVENT_IDX)));
    assert_int_equal(virtio_has(&foreign.device, VIRTIO_F_INDIRECT_DESC),
                     !(hidden & FEATURE(VIRTIO_F_INDIRECT_DESC)));
    a_request_that_comes_back_interrupts();
    write_and_compare();
}

static void what_was_written_stands_in_the_file(void **state)
{
    (void)state;
    write_and_compare_without(PLAIN);
}

static void what_was_written_stands_in_the_file_with_event_idx(void **state)
{
    (void)state;
    write_and_compare_without(FEATURE(VIRTIO_F_INDIRECT_DESC));
}

static void what_was_written_stands_in_the_file_with_indirect_desc(void **state)
{
    (void)state;
    write_and_compare_without(FEATURE(VIRTIO_F_EVENT_IDX));
}

static void what_was_written_stands_in_the_file_with_event_idx_and_indirect_desc(void **state)
{
    (void)state;
    write_and_compare_without(0);
}

static void what_was_written_stands_in_the_file_by_packed_rings(void **state)
{
    (void)state;
    NEED_DAEMON();
    prepare(writable_socket, 0);
    bring_up();
    if (!(foreign.peer.offered & FEATURE(VIRTIO_F_RING_PACKED))) {
        print_message("this " DAEMON " offers no packed ring\n");
        skip();
    }
    assert_true(virtio_has(&foreign.device, VIRTIO_F_RING_PACKED));
    write_and_compare();
}

static void a_device_without_interrupts_is_looked_after_by_a_timer(void **state)
{
    (void)state;
    NEED_DAEMON();
    prepare(writable_socket, 0);
    foreign.silent = true;
    bring_up();
    write_and_compare();
    assert_int_equal(foreign.queues[0].calls, 0);
}

/* ---- a smaller ring than requests */

static void a_ring_of_four_descriptors_serves_two_hundred_requests(void **state)
{
    (void)state;
    NEED_DAEMON();
    prepare(writable_socket, 0);
    foreign.queue_size_max = 4;
    bring_up();
    write_and_compare();
}

static void reads_in_flight_bring_each_its_own_sectors(void **state)
{
    (void)state;
    NEED_DAEMON();
    prepare(writable_socket, 0);
    bring_up();
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < IN_FLIGHT; i++) {
            uint64_t sector = next_random() % (SECTORS - 32);

            shape(&jobs[i], BLK_READ, 1 + i % 4, memory + i * 32 * BLK_SECTOR_BYTES, sector);
        }
        memset(memory, 0xee, DISK_BYTES);
        run_all(IN_FLIGHT);
        for (unsigned i = 0; i < IN_FLIGHT; i++) {
            const uint8_t *from = expected + jobs[i].request.sector * BLK_SECTOR_BYTES;

            for (unsigned k = 0; k < jobs[i].request.n_elem; k++) {
                assert_memory_equal(jobs[i].elem[k].memory, from, jobs[i].elem[k].bytes);
                from += jobs[i].elem[k].bytes;
            }
        }
    }
}

static void a_read_only_export_is_read_and_never_written(void **state)
{
    (void)state;
    NEED_DAEMON();
    prepare(read_only_socket, 0);
    bring_up();
    assert_true(dev->read_only);
    assert_int_equal(blkdev_read(dev, 0, memory, DISK_BYTES), 0);
    assert_memory_equal(memory, expected, DISK_BYTES);
    memset(memory, 0x55, PIECE_BYTES);
    assert_int_equal(blkdev_write(dev, 0, memory, PIECE_BYTES), -EROFS);
    dev->read_only = false; /* past our own check, the device itself must refuse */
    assert_int_equal(blkdev_write(dev, 0, memory, PIECE_BYTES), -EIO);
    dev->read_only = true;
    assert_image_is(expected);
}

/* The driver repeats reads after a reset, so that the application does not even notice. */
static void what_a_daemon_left_undone_when_it_died_its_successor_does(void **state)
{
    static struct blk_request *requests[IN_FLIGHT], *done[IN_FLIGHT];
    static struct blk_client client;
    unsigned back = 0;
    int got;

    (void)state;
    NEED_DAEMON();
    prepare(writable_socket, 0);
    bring_up();
    program_kill(&exporter);
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        shape(&jobs[i], BLK_READ, 1, memory + i * PIECE_BYTES, next_random() % (SECTORS - 8));
        requests[i] = &jobs[i].request;
    }
    blk_client_init(&client, dev);
    assert_int_equal(blk_submit(&client, requests, IN_FLIGHT), IN_FLIGHT);
    start_daemon();
    while ((got = blk_wait(&client, done, ARRAY_SIZE(done))) > 0) {
        for (int i = 0; i < got; i++) {
            const struct blk_request *request = done[i];

            assert_int_equal(request->status, 0);
            assert_memory_equal(request->elem->memory,
                                expected + request->sector * BLK_SECTOR_BYTES,
                                request->elem->bytes);
        }
        back += (unsigned)got;
    }
    assert_int_equal(back, IN_FLIGHT);
    assert_int_equal(foreign.connections, 2);
    write_and_compare();
}

/* ---- rings taken back while requests are under way, without the driver */

struct frame {
    struct virtio_blk_req header;
    uint8_t status;
};

#define RAW_RING 256

static void lend_reads(struct virtq *q, struct frame *frames, dma_addr_t frames_at, dma_addr_t to,
                       unsigned from, unsigned end)
{
    for (unsigned i = from; i < end; i++) {
        dma_addr_t frame_at = frames_at + i * sizeof(struct frame);
        const struct virtq_elem elem[] = {
            { frame_at, sizeof(struct virtio_blk_req) },
            { to + (uint64_t)i * PIECE_BYTES, PIECE_BYTES },
            { frame_at + offsetof(struct frame, status), 1 },
        };
        const struct virtq_buffer buffer = { elem, 1, 2, &frames[i] };

        frames[i] = (struct frame){ { .type = VIRTIO_BLK_T_IN,
                                      .sector = (uint64_t)i * (PIECE_BYTES / BLK_SECTOR_BYTES) },
                                    0xff };
        assert_int_equal(virtq_add(q, &buffer, 1), 1);
    }
}

/* What came back finished holds what the disk holds there; how many. */
static unsigned take(struct virtq *q, const struct frame *frames)
{
    struct virtq_done done[32];
    unsigned taken = 0;
    int n;

    while ((n = virtq_get(q, done, ARRAY_SIZE(done))) > 0) {
        for (int i = 0; i < n; i++) {
            const struct frame *frame = done[i].cookie;

            assert_int_equal(frame->status, VIRTIO_BLK_S_OK);
            assert_int_equal(done[i].len, PIECE_BYTES + 1);
            assert_memory_equal(memory + (frame - frames) * PIECE_BYTES,
                                expected + (frame - frames) * PIECE_BYTES, PIECE_BYTES);
        }
        taken += (unsigned)n;
    }
    assert_int_equal(n, 0);
    return taken;
}

/*
 * The position that the daemon tells is where it took its last request, but it
 * answers while some of those are still under way (QEMU 7.2): they come back a
 * little later. With what it never took they are all that was lent, each once.
 */
static void a_ring_taken_back_in_the_middle_loses_nothing(void **state)
{
    const unsigned lent = RAW_RING / 3;
    struct vhost_user peer;
    dma_addr_t frames_at, to;
    struct frame *frames;
    unsigned interrupted = 0, late = 0;

    (void)state;
    NEED_DAEMON();
    frames = dma_alloc(RAW_RING * sizeof(*frames), &frames_at);
    to = dma_address(memory);
    for (unsigned round = 0; round < 20; round++) {
        struct shared_memory rings = host_shared; /* queue_start() takes from what pages are not */
        struct virtq q;
        void *cookies[RAW_RING];
        dma_addr_t block_at;
        void *block = dma_alloc(16 * PAGE_SIZE, &block_at);
        uint32_t base;
        unsigned back;
        int n;

        rings.taken_bytes = (size_t)((uint8_t *)block - rings.start);
        if (!vhost_user_connect(&peer, writable_socket, TIMEOUT_MS) ||
            !vhost_user_share(&peer, &rings) ||
            !vhost_user_set_features(&peer, FEATURE(VIRTIO_F_VERSION_1)) ||
            !vhost_user_queue_start(
                &peer, 0, &(struct virtq_config){ .format = VIRTQ_SPLIT, .size = RAW_RING }, &q))
            fail_msg("%s", peer.error);
        memset(memory, 0xee, DISK_BYTES);
        lend_reads(&q, frames, frames_at, to, 0, lent / 2);
        if (virtq_publish(&q))
            virtq_notify(&q);
        usleep((useconds_t)(next_random() % 400));
        lend_reads(&q, frames, frames_at, to, lent / 2, lent);
        virtq_publish(&q); /* but nobody tells the device, which may look all the same */
        if (!vhost_user_ring_stop(&peer, 0, &base))
            fail_msg("%s", peer.error);
        back = take(&q, frames);
        assert_true(base >= back);
        late += base - back;
        for (unsigned looks = 0; back < base && looks < TIMEOUT_MS; looks++) {
            usleep(1000);
            back += take(&q, frames);
        }
        assert_int_equal(back, base);
        interrupted += back < lent;
        while ((n = virtq_drain(&q, cookies, ARRAY_SIZE(cookies))) > 0)
            back += (unsigned)n;
        assert_int_equal(back, lent);
        memset(memory, 0xee, DISK_BYTES); /* ours again */
        usleep(2000);
        assert_memory_equal(memory, memory + DISK_BYTES / 2, DISK_BYTES / 2);
        vhost_user_close(&peer);
        dma_free(block, 16 * PAGE_SIZE);
    }
    print_message("# %u of 20 rings were stopped before they were empty, %u requests came late\n",
                  interrupted, late);
    dma_free(frames, RAW_RING * sizeof(*frames));
}

/* ---- the end */

static int group_set_up(void **state)
{
    dma_addr_t unused;

    (void)state;
    strcpy(folder, "/tmp/aerostat-blk-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(image, sizeof(image), "%s/disk", folder);
    snprintf(writable_socket, sizeof(writable_socket), "%s/writable", folder);
    snprintf(read_only_socket, sizeof(read_only_socket), "%s/read-only", folder);
    snprintf(daemon_log, sizeof(daemon_log), "%s/log", folder);
    host_shared_init(32 * MIB);
    memory = dma_alloc(DISK_BYTES, &unused);
    expected = malloc(DISK_BYTES);
    return memory && expected ? 0 : 1;
}

static int group_tear_down(void **state)
{
    (void)state;
    program_kill(&exporter);
    unlink(image);
    unlink(writable_socket);
    unlink(read_only_socket);
    unlink(daemon_log);
    rmdir(folder);
    free(expected);
    return page_audit() ? 0 : 1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_capacity_is_that_of_the_exported_file),
        TEST(the_daemon_tells_its_name),
        TEST(what_was_written_stands_in_the_file),
        TEST(what_was_written_stands_in_the_file_with_event_idx),
        TEST(what_was_written_stands_in_the_file_with_indirect_desc),
        TEST(what_was_written_stands_in_the_file_with_event_idx_and_indirect_desc),
        TEST(what_was_written_stands_in_the_file_by_packed_rings),
        TEST(a_device_without_interrupts_is_looked_after_by_a_timer),
        TEST(a_ring_of_four_descriptors_serves_two_hundred_requests),
        TEST(reads_in_flight_bring_each_its_own_sectors),
        TEST(a_read_only_export_is_read_and_never_written),
        TEST(what_a_daemon_left_undone_when_it_died_its_successor_does),
        TEST(a_ring_taken_back_in_the_middle_loses_nothing),
    };

    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
