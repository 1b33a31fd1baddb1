/* SPDX-License-Identifier: MIT */
/*
 * The block device, §5.2. See blk.h for what it is shaped for, kernel/blkdev.h
 * for the contracts.
 *
 * A request passes through: the waiting list of its queue, from where it is handed to
 * the device in parts, each in a slot; it goes back to its client with the last of
 * them. The first part that fails stops the rest. A device that lies or asks
 * for it is reset, and gets what it had once more: whole requests, because it
 * may have forgotten what was done of them. See kernel/blkdev.h for flushes.
 * Each CPU has a queue of its own where the device has enough of them (MQ), and
 * its interrupt; they are independent but for the resets.
 *
 * Concurrency: kernel thread context; nothing here waits but a reset, during
 * which other threads submit to, and take from, a device that stands still.
 */
#include "drivers/virtio/blk.h"

#include "drivers/virtio/spec/blk.h"
#include "drivers/virtio/spec/ids.h"
#include "kernel/alloc.h"
#include "kernel/blkdev.h"
#include "kernel/dma.h"
#include "kernel/log.h"
#include "kernel/patience.h"
#include "kernel/smp.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

#define QUEUES_MAX     256
#define QUEUE_SIZE_MAX 128
#define REAP_BATCH     32
#define REPEATS_MAX    1 /* of one request: it may be what brings the device down */

/*
 * A part's elements: header, data, status. Tables hold eight pieces of data,
 * more than most requests have; a longer part takes descriptors of the ring.
 */
#define FRAME_ELEMS        2
#define TABLE_ELEMS        (8 + FRAME_ELEMS)
#define SEGMENTS_MAX       30         /* bounded by our stack */
#define SEGMENT_BYTES_MAX  (16 * MIB) /* keeps a part below 4 GiB (§2.7.5.2) */
#define BLOCK_BYTES_MAX    (64 * KIB)
#define STATUS_NOT_WRITTEN 0xff

_Static_assert(VIRTIO_BLK_ID_BYTES == BLK_IDENTITY_BYTES, "both are the text's length");

/* What a slot shares with the device. */
struct slot_memory {
    struct virtio_blk_req header; /* read by the device */
    uint8_t status;               /* written by the device */
    uint8_t unused[15];
};

/* One part of a request under way; out of the device's reach. */
struct slot {
    struct blk_request *request; /* NULL: free */
    struct slot *next_free;
    uint32_t answer_bytes; /* that the device has to write, the status among them */
};

/* What the device takes at once. */
struct limits {
    uint32_t segments, segment_bytes; /* data elements of a request, and bytes of each */
    uint32_t block_bytes;
};

/* Beside the class's queue of the same index. */
struct disk_queue {
    struct virtio_queue virtio;
    struct list waiting; /* requests with parts that the device does not have, oldest first */
    unsigned n_slots;
    struct slot *slots, *free;
    struct slot_memory *memory; /* n_slots of them, same index */
};

struct virtio_blk {
    struct blkdev blkdev;
    struct virtio_device *device;
    struct blk_request *repeated; /* goes alone, nothing else is handed over; NULL: there is none */
    bool others_may_go;           /* those that waited for its end, on all queues */
    struct limits limits;         /* for a part */
    bool dead;                    /* every request fails */
    bool recovering;              /* a reset may sleep: hands off the queue */
    struct patience patience;     /* with resets */
    struct disk_queue queues[];   /* blkdev.n_queues of them; behind them as many of the class's */
};

static const struct virtio_feature features[] = {
    VIRTIO_FEATURE(VIRTIO_BLK_F_SIZE_MAX), VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX),
    VIRTIO_FEATURE(VIRTIO_BLK_F_RO),       VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE),
    VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH),    VIRTIO_FEATURE(VIRTIO_BLK_F_MQ),
};

/* Devices that went or failed; see retire(). */
static struct list retired = LIST_INIT(retired);

static struct virtio_blk *blk_of(struct blkdev *blkdev)
{
    return CONTAINER_OF(blkdev, struct virtio_blk, blkdev);
}

static struct disk_queue *queue_of(struct blkdev *blkdev, const struct blk_queue *queue)
{
    return &blk_of(blkdev)->queues[queue - blkdev->queues];
}

static struct slot_memory *memory_of(const struct disk_queue *queue, const struct slot *slot)
{
    return &queue->memory[slot - queue->slots];
}

static bool is_transfer(const struct blk_request *request)
{
    return request->operation == BLK_READ || request->operation == BLK_WRITE;
}

/* ---- requests on their way back */

/* Back to its client, once no part of it is left with the device or to be handed over. */
static void finish_if_idle(struct virtio_blk *blk, struct blk_request *request)
{
    if (request->parts || !list_empty(&request->link))
        return;
    if (request == blk->repeated) {
        blk->repeated = NULL;
        blk->others_may_go = true;
    }
    blk_complete(request, request->status);
}

/* The first failure counts, and what was not handed over yet never will be. */
static void fail(struct blk_request *request, int error)
{
    if (!request->status)
        request->status = error;
    list_remove(&request->link);
}

static void free_slot(struct disk_queue *queue, struct slot *slot)
{
    slot->request = NULL;
    slot->next_free = queue->free;
    queue->free = slot;
}

static void end_part(struct virtio_blk *blk, struct disk_queue *queue, struct slot *slot,
                     int status)
{
    struct blk_request *request = slot->request;

    free_slot(queue, slot);
    request->parts--;
    if (status)
        fail(request, status);
    finish_if_idle(blk, request);
}

/*
 * What the device says of a part. Success counts only if it wrote as much as
 * was asked: else a reader would take for the disk's bytes what lay in memory.
 */
static int judge(const struct virtio_blk *blk, const struct disk_queue *queue,
                 const struct slot *slot, uint32_t written_bytes)
{
    uint8_t status = load_once(&memory_of(queue, slot)->status);

    if (status == VIRTIO_BLK_S_UNSUPP)
        return -EOPNOTSUPP;
    if (status != VIRTIO_BLK_S_OK)
        return -EIO;
    if (written_bytes < slot->answer_bytes) {
        log_debug("%s: the device wrote %u bytes of %u", blk->blkdev.name, written_bytes,
                  slot->answer_bytes);
        return -EIO;
    }
    return 0;
}

/* ---- requests on their way to the device */

/* Cuts the pieces back to whole blocks; how many are left. */
static uint32_t cut_to_blocks(uint32_t block_bytes, struct virtq_elem *elem, uint32_t n,
                              uint32_t *bytes)
{
    uint32_t excess = *bytes % block_bytes;

    *bytes -= excess;
    while (excess) {
        struct virtq_elem *last = &elem[n - 1];
        uint32_t cut = MIN(excess, last->len);

        last->len -= cut;
        excess -= cut;
        if (!last->len)
            n--;
    }
    return n;
}

/*
 * As much of what is left of the request as one part may carry, as the device
 * sees it: how many pieces; -EFAULT: not memory for devices; -EINVAL: the pieces are so
 * small that no whole block fits.
 */
static int next_pieces(const struct virtio_blk *blk, const struct blk_request *request,
                       struct virtq_elem *elem, uint32_t *bytes)
{
    uint32_t index = request->next_elem, offset = request->next_offset, n = 0;

    *bytes = 0;
    while (index < request->n_elem && n < blk->limits.segments) {
        const struct blk_elem *from = &request->elem[index];
        uint32_t most = MIN(from->bytes - offset, blk->limits.segment_bytes);
        uint32_t len = (uint32_t)dma_translate((char *)from->memory + offset, most, &elem[n].addr);

        if (!len)
            return -EFAULT;
        elem[n++].len = len;
        *bytes += len;
        offset += len;
        if (offset == from->bytes) {
            index++;
            offset = 0;
        }
    }
    if (is_transfer(request))
        n = cut_to_blocks(blk->blkdev.block_bytes, elem, n, bytes);
    return n || !request->n_elem ? (int)n : -EINVAL;
}

static void advance(struct blk_request *request, uint32_t bytes)
{
    request->next_sector += bytes / BLK_SECTOR_BYTES;
    while (bytes) {
        uint32_t step = MIN(bytes, request->elem[request->next_elem].bytes - request->next_offset);

        bytes -= step;
        request->next_offset += step;
        if (request->next_offset == request->elem[request->next_elem].bytes) {
            request->next_elem++;
            request->next_offset = 0;
        }
    }
}

static void write_header(struct slot_memory *memory, const struct blk_request *request)
{
    static const le32 types[] = {
        [BLK_READ] = VIRTIO_BLK_T_IN,
        [BLK_WRITE] = VIRTIO_BLK_T_OUT,
        [BLK_FLUSH] = VIRTIO_BLK_T_FLUSH,
        [BLK_IDENTIFY] = VIRTIO_BLK_T_GET_ID,
    };

    memory->header = (struct virtio_blk_req){
        .type = types[request->operation],
        .sector = is_transfer(request) ? request->next_sector : 0, /* §5.2.6.1 */
    };
    memory->status = STATUS_NOT_WRITTEN;
}

/* The disk may have shrunk since the request was checked (§5.2.6.1: never beyond the capacity). */
static bool is_on_disk(const struct virtio_blk *blk, const struct blk_request *request,
                       uint32_t bytes)
{
    uint64_t sectors = blk->blkdev.sectors;

    return !is_transfer(request) || (request->next_sector <= sectors &&
                                     bytes / BLK_SECTOR_BYTES <= sectors - request->next_sector);
}

/* Lends the next part. 1: done; 0: the ring has no room now; else why the request cannot go on. */
static int hand_over(struct virtio_blk *blk, struct disk_queue *queue, struct blk_request *request)
{
    struct virtq_elem elem[SEGMENTS_MAX + FRAME_ELEMS];
    struct slot *slot = queue->free;
    struct slot_memory *memory = memory_of(queue, slot);
    bool to_device = request->operation == BLK_WRITE;
    uint32_t bytes;
    int n = next_pieces(blk, request, elem + 1, &bytes), added;

    if (n < 0)
        return n;
    if (!is_on_disk(blk, request, bytes))
        return -EIO;
    write_header(memory, request);
    elem[0] = (struct virtq_elem){ dma_address(&memory->header), sizeof(memory->header) };
    elem[n + 1] = (struct virtq_elem){ dma_address(&memory->status), sizeof(memory->status) };

    const struct virtq_buffer buffer = {
        .elem = elem,
        .n_readable = (uint16_t)(1 + (to_device ? n : 0)),
        .n_writable = (uint16_t)(1 + (to_device ? 0 : n)),
        .cookie = slot,
    };
    added = virtq_add(&queue->virtio.ring, &buffer, 1);
    if (added != 1)
        return added == -EMSGSIZE ? -EINVAL : 0; /* of a broken ring poll() hears by itself */

    slot->answer_bytes = (uint32_t)sizeof(memory->status) + (to_device ? 0 : bytes);
    slot->request = request;
    queue->free = slot->next_free;
    request->parts++;
    advance(request, bytes);
    return 1;
}

/*
 * Whether the device may get this one now. What is repeated after a reset goes
 * alone: if that one brings the device down again, no other fails with it.
 */
static bool has_its_turn(struct virtio_blk *blk, struct blk_request *request)
{
    if (blk->repeated)
        return request == blk->repeated;
    if (request->repeats)
        blk->repeated = request;
    return true;
}

/* Hands over what waits, as far as there is room, and tells the device once. */
static void feed(struct virtio_blk *blk, struct disk_queue *queue)
{
    while (queue->free && !list_empty(&queue->waiting)) {
        struct blk_request *request = CONTAINER_OF(queue->waiting.next, struct blk_request, link);
        int handed = has_its_turn(blk, request) ? hand_over(blk, queue, request) : 0;

        if (handed == 0)
            break;
        if (handed < 0) {
            fail(request, handed);
            finish_if_idle(blk, request);
        } else if (request->next_elem == request->n_elem) {
            list_remove(&request->link);
        }
    }
    if (virtq_publish(&queue->virtio.ring))
        virtq_notify(&queue->virtio.ring);
}

/* The same; and for all queues, after what kept them all. */
static void go_on(struct virtio_blk *blk, struct disk_queue *queue)
{
    feed(blk, queue);
    while (blk->others_may_go) {
        blk->others_may_go = false;
        for (unsigned i = 0; i < blk->blkdev.n_queues; i++)
            feed(blk, &blk->queues[i]);
        blkdev_wake_all(&blk->blkdev); /* what failed on the way may be anybody's */
    }
}

/* ---- its configuration */

static int read_capacity(struct virtio_blk *blk)
{
    le64 sectors;
    int error = virtio_config_read(blk->device, offsetof(struct virtio_blk_config, capacity),
                                   &sectors, sizeof(sectors));

    if (error)
        return error;
    if (sectors != blk->blkdev.sectors && blk->blkdev.sectors)
        log_info("%s: now %llu sectors", blk->blkdev.name, (unsigned long long)sectors);
    blk->blkdev.sectors = sectors;
    return 0;
}

/* A field that is there only with its feature; otherwise when it is not, or cannot be read. */
static uint32_t read_limit(struct virtio_blk *blk, unsigned feature, uint32_t offset,
                           uint32_t otherwise)
{
    le32 value;

    if (!virtio_has(blk->device, feature) ||
        virtio_config_read(blk->device, offset, &value, sizeof(value)))
        return otherwise;
    return value;
}

/* Limits that leave no way to read a single block are refused before anything is tried. */
static int check_limits(const struct limits *limits)
{
    uint32_t block_bytes = limits->block_bytes;

    if (block_bytes < BLK_SECTOR_BYTES || block_bytes > BLOCK_BYTES_MAX ||
        (block_bytes & (block_bytes - 1))) {
        log_error("virtio-blk: a block of %u bytes is nonsense", block_bytes);
        return -EINVAL;
    }
    if ((uint64_t)limits->segments * limits->segment_bytes < block_bytes) {
        log_error("virtio-blk: %u segments of %u bytes hold no block of %u", limits->segments,
                  limits->segment_bytes, block_bytes);
        return -EINVAL;
    }
    return 0;
}

static uint32_t smallest_ring(const struct virtio_blk *blk)
{
    uint32_t size = UINT32_MAX;

    for (unsigned i = 0; i < blk->blkdev.n_queues; i++)
        size = MIN(size, (uint32_t)blk->queues[i].virtio.ring.size);
    return size;
}

/*
 * Without SEG_MAX a device is asked for a single segment: some can do no more.
 * The queues are set up. -EINVAL: nonsense.
 */
static int read_limits(struct virtio_blk *blk, struct limits *limits)
{
    uint32_t ring_holds = smallest_ring(blk) - (uint32_t)FRAME_ELEMS;
    uint32_t segments =
        read_limit(blk, VIRTIO_BLK_F_SEG_MAX, offsetof(struct virtio_blk_config, seg_max), 1);
    uint32_t segment_bytes =
        read_limit(blk, VIRTIO_BLK_F_SIZE_MAX, offsetof(struct virtio_blk_config, size_max),
                   SEGMENT_BYTES_MAX);

    limits->segments = MIN(MIN(MAX(segments, 1), SEGMENTS_MAX), ring_holds);
    /* QEMU's vhost-user export offers SIZE_MAX and says 0, meaning that it has no limit. */
    limits->segment_bytes =
        segment_bytes ? MIN(segment_bytes, SEGMENT_BYTES_MAX) : SEGMENT_BYTES_MAX;
    limits->block_bytes = read_limit(
        blk, VIRTIO_BLK_F_BLK_SIZE, offsetof(struct virtio_blk_config, blk_size), BLK_SECTOR_BYTES);
    return check_limits(limits);
}

/* ---- a device that lost its way */

static void fail_queue(struct virtio_blk *blk, struct disk_queue *queue)
{
    struct list *link;

    while ((link = list_pop(&queue->waiting))) {
        struct blk_request *request = CONTAINER_OF(link, struct blk_request, link);

        fail(request, -EIO);
        finish_if_idle(blk, request);
    }
    for (unsigned i = 0; i < queue->n_slots; i++) {
        if (queue->slots[i].request)
            end_part(blk, queue, &queue->slots[i], -EIO);
    }
}

static void fail_everything(struct virtio_blk *blk)
{
    for (unsigned i = 0; i < blk->blkdev.n_queues; i++)
        fail_queue(blk, &blk->queues[i]);
    blkdev_wake_all(&blk->blkdev);
}

static void give_up(struct virtio_blk *blk, const char *why)
{
    blk->dead = true;
    fail_everything(blk);
    if (!blk->device->failure) /* else the core has told it */
        virtio_fail(blk->device, why);
}

/* What was under way, at its beginning again, and in front of what only waits. */
static void take_parts_back(struct disk_queue *queue, struct list *under_way)
{
    for (unsigned i = 0; i < queue->n_slots; i++) {
        struct blk_request *request = queue->slots[i].request;

        if (!request)
            continue;
        free_slot(queue, &queue->slots[i]);
        if (!request->parts) /* seen by another part */
            continue;
        list_remove(&request->link); /* it waits with its rest */
        list_append(under_way, &request->link);
        blk_rewind(request);
        request->repeats++;
    }
}

/* 0: the device gets the request again; else what it ends with. */
static int fate_of(const struct blk_request *request)
{
    if (request->status) /* a part of it has failed already */
        return request->status;
    if (request->repeats > REPEATS_MAX || blk_tells_of_loss(request))
        return -EIO;
    return request->operation == BLK_FLUSH && request->repeats ? -EIO : 0;
}

/* Repeats what changes nothing by being repeated, fails the rest. */
static void requeue(struct disk_queue *queue)
{
    struct list all = LIST_INIT(all), *link;

    take_parts_back(queue, &all);
    while ((link = list_pop(&queue->waiting)))
        list_append(&all, link);
    while ((link = list_pop(&all))) {
        struct blk_request *request = CONTAINER_OF(link, struct blk_request, link);
        int error = fate_of(request);

        if (error)
            blk_complete(request, error);
        else
            list_append(&queue->waiting, link);
    }
}

static void requeue_all(struct virtio_blk *blk)
{
    blk->repeated = NULL;
    blk->others_may_go = true;
    if (blkdev_lose_cache(&blk->blkdev))
        log_error("%s: writes that were not flushed may be lost", blk->blkdev.name);
    for (unsigned i = 0; i < blk->blkdev.n_queues; i++)
        requeue(&blk->queues[i]);
}

/* The device as it is after a reset: with other blocks it is not the one that we knew. */
static int begin_again(struct virtio_blk *blk)
{
    struct limits limits;
    int error = virtio_reinit(blk->device);

    if (!error)
        error = read_limits(blk, &limits);
    if (!error && limits.block_bytes != blk->limits.block_bytes)
        error = -EINVAL;
    if (!error)
        error = virtio_start(blk->device);
    if (error)
        return error;
    blk->limits = limits;
    return read_capacity(blk); /* the reset swallowed what was not looked at yet */
}

static void drain(struct virtio_blk *blk)
{
    void *cookies[REAP_BATCH];

    for (unsigned i = 0; i < blk->blkdev.n_queues; i++)
        while (virtq_drain(&blk->queues[i].virtio.ring, cookies, REAP_BATCH) > 0)
            ; /* the slots know as well */
}

/*
 * Where the device does not even answer the reset, everything fails: whoever
 * waits for it is better off with an error than waiting for ever.
 */
static void recover(struct virtio_blk *blk, const char *why)
{
    bool answers;

    virtio_trouble(blk->device, why);
    blk->recovering = true;
    answers = virtio_reset(blk->device) == 0;
    blk->recovering = false;
    if (blk->dead) /* removed meanwhile: retire() has done the rest */
        return;
    if (!answers) {
        give_up(blk, "the device does not answer a reset, what was lent to it stays lost");
        return;
    }
    drain(blk);
    if (!patience_lasts(&blk->patience)) {
        give_up(blk, "the device was reset too often");
    } else if (begin_again(blk)) {
        give_up(blk, "the device did not come back after a reset");
    } else {
        log_info("%s: reset and started again", blk->blkdev.name);
        requeue_all(blk);
    }
}

/* ---- the class's operations */

static void look_at_config(struct virtio_blk *blk)
{
    const char *why;

    if (!virtio_config_changed(blk->device))
        return;
    why = virtio_needs_reset(blk->device);
    if (why)
        recover(blk, why);
    else if (read_capacity(blk))
        recover(blk, "the device's capacity cannot be read");
}

/* false: its queue is not there, not any more or not just now. */
static bool is_usable(const struct virtio_blk *blk)
{
    return !blk->dead && !blk->recovering;
}

/* -EIO: the device has lied. */
static int reap(struct virtio_blk *blk, struct disk_queue *queue)
{
    struct virtq_done done[REAP_BATCH];
    int n;

    while ((n = virtq_get(&queue->virtio.ring, done, REAP_BATCH)) > 0) {
        for (int i = 0; i < n; i++)
            end_part(blk, queue, done[i].cookie, judge(blk, queue, done[i].cookie, done[i].len));
    }
    return n;
}

static void poll(struct blkdev *blkdev, struct blk_queue *class_queue)
{
    struct virtio_blk *blk = blk_of(blkdev);
    struct disk_queue *queue = queue_of(blkdev, class_queue);

    if (!is_usable(blk))
        return;
    if (reap(blk, queue) < 0)
        recover(blk, virtq_broken_reason(&queue->virtio.ring));
    else
        look_at_config(blk);
    if (!blk->dead)
        go_on(blk, queue);
}

static void submit(struct blkdev *blkdev, struct blk_queue *class_queue,
                   struct blk_request *const *requests, unsigned n)
{
    struct virtio_blk *blk = blk_of(blkdev);
    struct disk_queue *queue = queue_of(blkdev, class_queue);

    for (unsigned i = 0; i < n; i++) {
        if (blk->dead)
            blk_complete(requests[i], -EIO);
        else if (requests[i]->operation == BLK_FLUSH && !blkdev->write_back)
            blk_complete(requests[i], 0); /* each write was durable when it came back */
        else
            list_append(&queue->waiting, &requests[i]->link);
    }
    if (is_usable(blk))
        go_on(blk, queue);
}

static bool arm(struct blkdev *blkdev, struct blk_queue *queue)
{
    return is_usable(blk_of(blkdev)) && virtq_arm(&queue_of(blkdev, queue)->virtio.ring, 1);
}

static void disarm(struct blkdev *blkdev, struct blk_queue *queue)
{
    if (is_usable(blk_of(blkdev)))
        virtq_disarm(&queue_of(blkdev, queue)->virtio.ring);
}

static const struct blkdev_ops operations = {
    .submit = submit,
    .poll = poll,
    .arm = arm,
    .disarm = disarm,
};

/* ---- bringing it up */

static int make_slots(struct disk_queue *queue)
{
    unsigned n = queue->virtio.ring.size;
    dma_addr_t unused;

    queue->slots = kalloc(n * sizeof(*queue->slots));
    queue->memory = dma_alloc(n * sizeof(*queue->memory), &unused);
    if (!queue->slots || !queue->memory)
        return -ENOMEM;
    queue->n_slots = n;
    while (n > 0)
        free_slot(queue, &queue->slots[--n]);
    return 0;
}

static int start_queue(struct virtio_blk *blk, unsigned index)
{
    struct disk_queue *queue = &blk->queues[index];
    struct event *event = &blk->blkdev.queues[index].event;
    int error = virtio_queue_setup_for(blk->device, &queue->virtio, (uint16_t)index, QUEUE_SIZE_MAX,
                                       TABLE_ELEMS, event, index);

    if (error)
        return error;
    virtio_queue_ignore_lengths(&queue->virtio); /* §5.2.6.3: only the status byte counts there */
    if (queue->virtio.ring.size <= FRAME_ELEMS) {
        log_error("virtio-blk: a queue of %u holds no request", queue->virtio.ring.size);
        return -EINVAL;
    }
    return make_slots(queue);
}

static int start_queues(struct virtio_blk *blk)
{
    int error = 0;

    for (unsigned i = 0; !error && i < blk->blkdev.n_queues; i++)
        error = start_queue(blk, i);
    return error;
}

static int start(struct virtio_blk *blk)
{
    int error = start_queues(blk);

    if (!error)
        error = read_limits(blk, &blk->limits);
    if (error)
        return error;
    blk->blkdev.block_bytes = blk->limits.block_bytes;
    virtio_config_watch_by_queues(blk->device);
    error = virtio_start(blk->device);
    /* Only from now on the device tells of changes: one between a read and this is not told. */
    return error ? error : read_capacity(blk);
}

/* Its slots; forgotten: by the device, which may else write to what was lent to it for ever. */
static void free_slots(struct disk_queue *queue, bool forgotten)
{
    if (forgotten && queue->memory)
        dma_free(queue->memory, queue->virtio.ring.size * sizeof(*queue->memory));
    kfree(queue->slots);
    queue->n_slots = 0;
}

/*
 * Ends a device, working or half started: the device forgets us first, then
 * its memory goes. The struct and its queues stay: the core still has those, and
 * clients may come back with them.
 */
static void retire(struct virtio_blk *blk)
{
    bool forgotten;

    blk->dead = true; /* before the reset, during which others run */
    forgotten = virtio_reset(blk->device) == 0;
    fail_everything(blk);
    list_append(&retired, &blk->blkdev.link);
    for (unsigned i = 0; i < blk->blkdev.n_queues; i++)
        free_slots(&blk->queues[i], forgotten);
}

/* How many can be of use: one for each CPU. */
static unsigned count_queues(struct virtio_device *device)
{
    unsigned useful = MIN(smp_wanted(), QUEUES_MAX);
    le16 theirs = 1;

    if (useful > 1 && virtio_has(device, VIRTIO_BLK_F_MQ) &&
        virtio_config_read(device, offsetof(struct virtio_blk_config, num_queues), &theirs,
                           sizeof(theirs)))
        return 1;
    return MAX(MIN(useful, theirs), 1u);
}

static struct virtio_blk *make(struct virtio_device *device)
{
    unsigned n = count_queues(device);
    struct virtio_blk *blk =
        kalloc(sizeof(*blk) + n * (sizeof(*blk->queues) + sizeof(*blk->blkdev.queues)));

    if (!blk)
        return NULL;
    blk->device = device;
    blk->blkdev.queues = (struct blk_queue *)&blk->queues[n];
    blk->blkdev.n_queues = n;
    for (unsigned i = 0; i < n; i++) {
        list_init(&blk->queues[i].waiting);
        event_init(&blk->blkdev.queues[i].event);
    }
    return blk;
}

static int probe(struct virtio_device *device)
{
    struct virtio_blk *blk = make(device);
    int error;

    if (!blk)
        return -ENOMEM;
    device->driver_state = blk;
    blk->blkdev.ops = &operations;
    blk->blkdev.prefix = "vd";
    blk->blkdev.read_only = virtio_has(device, VIRTIO_BLK_F_RO);
    blk->blkdev.write_back = virtio_has(device, VIRTIO_BLK_F_FLUSH);
    error = start(blk);
    if (error) {
        retire(blk);
        return error;
    }
    blkdev_register(&blk->blkdev);
    return 0;
}

static void remove(struct virtio_device *device)
{
    struct virtio_blk *blk = device->driver_state;

    blkdev_unregister(&blk->blkdev);
    retire(blk);
}

const struct virtio_driver virtio_blk_driver LINKER_SET(virtio_drivers) = {
    .name = "virtio-blk",
    .type = VIRTIO_ID_BLOCK,
    .features = features,
    .n_features = ARRAY_SIZE(features),
    .probe = probe,
    .remove = remove,
};
