/* SPDX-License-Identifier: MIT */
/* The class of block devices: names, checks, and completions sorted to their clients. */
#include "kernel/blkdev.h"

#include "kernel/clock.h"
#include "kernel/smp.h"
#include "kernel/vmem.h"
#include "lib/base/errno.h"
#include "lib/base/format.h"
#include "lib/base/string.h"

static struct list devices = LIST_INIT(devices);
static unsigned n_named;

/* As Linux counts: vda to vdz, vdaa, vdab ... */
static void name_device(struct blkdev *dev, unsigned index)
{
    char letters[4] = "";
    unsigned at = sizeof(letters) - 1;

    for (index++; index && at; index = (index - 1) / 26)
        letters[--at] = (char)('a' + (index - 1) % 26);
    format(dev->name, sizeof(dev->name), "%s%s", dev->prefix, letters + at);
}

void blkdev_register(struct blkdev *dev)
{
    dev->number = n_named++;
    name_device(dev, dev->number);
    list_append(&devices, &dev->link);
}

void blkdev_unregister(struct blkdev *dev)
{
    dev->gone = true;
    list_remove(&dev->link);
}

unsigned blkdev_numbers(void)
{
    return n_named;
}

struct blkdev *blkdev_next(const struct blkdev *dev)
{
    const struct list *link = dev ? &dev->link : &devices;

    if (dev && dev->gone)
        return NULL;
    return link->next == &devices ? NULL : CONTAINER_OF(link->next, struct blkdev, link);
}

struct blk_queue *blkdev_queue(struct blkdev *dev)
{
    return &dev->queues[smp_current() % dev->n_queues];
}

void blk_client_init(struct blk_client *client, struct blkdev *dev)
{
    client->dev = dev;
    client->queue = blkdev_queue(dev);
    client->in_flight = 0;
    list_init(&client->done);
}

/* The sum of the elements in *bytes. -EINVAL: none, an empty one, or more than 2^63. */
static int count_bytes(const struct blk_request *request, uint64_t *bytes)
{
    *bytes = 0;
    for (uint32_t i = 0; i < request->n_elem; i++) {
        if (!request->elem[i].bytes || *bytes >> 63)
            return -EINVAL;
        *bytes += request->elem[i].bytes;
    }
    return *bytes ? 0 : -EINVAL;
}

/* The device would answer with an error, or worse, with what lies beyond its end. */
static int check_transfer(const struct blkdev *dev, const struct blk_request *request,
                          uint64_t *bytes)
{
    uint64_t sectors_per_block = dev->block_bytes / BLK_SECTOR_BYTES;
    uint64_t sectors;

    if (count_bytes(request, bytes) || *bytes % dev->block_bytes ||
        request->sector % sectors_per_block)
        return -EINVAL;
    sectors = *bytes / BLK_SECTOR_BYTES;
    if (request->sector > dev->sectors || sectors > dev->sectors - request->sector)
        return -EINVAL;
    return 0;
}

static int check(struct blkdev *dev, const struct blk_request *request)
{
    struct blkdev_counters *counters = &dev->counters;
    uint64_t bytes;

    switch (request->operation) {
    case BLK_READ:
        if (check_transfer(dev, request, &bytes))
            return -EINVAL;
        counters->reads++;
        counters->read_bytes += bytes;
        return 0;
    case BLK_WRITE:
        if (dev->read_only)
            return -EROFS;
        if (check_transfer(dev, request, &bytes))
            return -EINVAL;
        counters->writes++;
        counters->written_bytes += bytes;
        return 0;
    case BLK_FLUSH:
        counters->flushes++;
        return request->n_elem ? -EINVAL : 0;
    case BLK_IDENTIFY:
        return request->n_elem == 1 && request->elem[0].bytes == BLK_IDENTITY_BYTES ? 0 : -EINVAL;
    }
    return -EINVAL;
}

void blk_rewind(struct blk_request *request)
{
    request->next_sector = request->sector;
    request->next_elem = request->next_offset = request->parts = 0;
}

static void prepare(struct blk_client *client, struct blk_request *request)
{
    request->client = client;
    request->status = 0;
    request->repeats = 0;
    request->covers = client->dev->written;
    blk_rewind(request);
    list_init(&request->link);
}

/* What we have taken off the device may be another's, and it may have been us whom it woke. */
static void wake_next(struct blk_queue *queue)
{
    if (queue->waiting)
        event_signal(&queue->event);
}

void blkdev_wake_all(struct blkdev *dev)
{
    for (unsigned i = 0; i < dev->n_queues; i++)
        wake_next(&dev->queues[i]);
}

/* To the driver, in runs between the flushes that have to fail. */
static void hand_on(struct blk_client *client, struct blk_request *const *requests, unsigned n)
{
    struct blkdev *dev = client->dev;
    unsigned first = 0;

    for (unsigned i = 0; i < n; i++) {
        if (!blk_tells_of_loss(requests[i]))
            continue;
        if (i > first)
            dev->ops->submit(dev, client->queue, requests + first, i - first);
        blk_complete(requests[i], -EIO);
        first = i + 1;
    }
    if (n > first)
        dev->ops->submit(dev, client->queue, requests + first, n - first);
}

int blk_submit(struct blk_client *client, struct blk_request *const *requests, unsigned n)
{
    struct blkdev *dev = client->dev;
    int error = 0;
    unsigned sound;

    /* What it has to tell, such as a new capacity, counts from here on. */
    dev->ops->poll(dev, client->queue);
    wake_next(client->queue);
    for (sound = 0; sound < n; sound++) {
        error = check(dev, requests[sound]);
        if (error)
            break;
        prepare(client, requests[sound]);
    }
    if (!sound)
        return error;
    client->in_flight += sound;
    vmem_pins += sound;
    hand_on(client, requests, sound);
    return (int)sound;
}

/* What is durable, and whether a loss has been told: by each flush, as far as it reaches. */
static void note_durability(struct blkdev *dev, const struct blk_request *request, int status)
{
    if (request->operation == BLK_WRITE && !status)
        dev->written++;
    if (request->operation != BLK_FLUSH)
        return;
    if (!status) {
        dev->flushed = MAX(dev->flushed, request->covers);
    } else if (dev->lost && request->covers >= dev->lost) {
        dev->flushed = dev->lost;
        dev->lost = 0;
    }
}

void blk_complete(struct blk_request *request, int status)
{
    struct blkdev *dev = request->client->dev;

    request->status = status;
    request->client->queue->completions++;
    if (status)
        dev->counters.errors++;
    note_durability(dev, request, status);
    list_append(&request->client->done, &request->link);
}

bool blkdev_lose_cache(struct blkdev *dev)
{
    if (!dev->write_back || dev->flushed == dev->written)
        return false;
    dev->lost = dev->written;
    return true;
}

bool blk_tells_of_loss(const struct blk_request *request)
{
    const struct blkdev *dev = request->client->dev;

    return request->operation == BLK_FLUSH && dev->lost && request->covers > dev->flushed;
}

static int collect(struct blk_client *client, struct blk_request **done, unsigned max)
{
    unsigned n = 0;

    while (n < max && !list_empty(&client->done))
        done[n++] = CONTAINER_OF(list_pop(&client->done), struct blk_request, link);
    client->in_flight -= n;
    vmem_pins -= n;
    return (int)n;
}

int blk_reap(struct blk_client *client, struct blk_request **done, unsigned max)
{
    struct blkdev *dev = client->dev;

    if (list_empty(&client->done))
        dev->ops->poll(dev, client->queue);
    wake_next(client->queue);
    return collect(client, done, max);
}

/*
 * A wake-up goes round all who wait, each passes it on once for what has come
 * back since: the one whom it is for may wait behind others.
 */
int blk_wait(struct blk_client *client, struct blk_request **done, unsigned max)
{
    struct blkdev *dev = client->dev;
    struct blk_queue *queue = client->queue;
    uint64_t passed_on = queue->completions;

    while (list_empty(&client->done) && client->in_flight) {
        dev->ops->poll(dev, queue);
        if (!list_empty(&client->done) || dev->ops->arm(dev, queue))
            continue;
        if (passed_on != queue->completions)
            wake_next(queue);
        passed_on = queue->completions;
        queue->waiting++;
        event_wait(&queue->event, CLOCK_NEVER);
        queue->waiting--;
        dev->ops->disarm(dev, queue);
    }
    wake_next(queue);
    return collect(client, done, max);
}

void blkdev_update(struct blkdev *dev)
{
    struct blk_queue *queue = blkdev_queue(dev);

    dev->ops->poll(dev, queue);
    wake_next(queue);
}

static int run(struct blkdev *dev, struct blk_request *request)
{
    struct blk_client client;
    int error;

    blk_client_init(&client, dev);
    error = blk_submit(&client, &request, 1);
    if (error < 0)
        return error;
    blk_wait(&client, &request, 1);
    request->client = NULL; /* which ends here */
    return request->status;
}

static int transfer(struct blkdev *dev, enum blk_operation operation, uint64_t sector, void *memory,
                    uint32_t bytes)
{
    struct blk_elem elem = { memory, bytes };
    struct blk_request request = {
        .operation = operation, .n_elem = 1, .elem = &elem, .sector = sector
    };

    return run(dev, &request);
}

int blkdev_read(struct blkdev *dev, uint64_t sector, void *to, uint32_t bytes)
{
    return transfer(dev, BLK_READ, sector, to, bytes);
}

int blkdev_write(struct blkdev *dev, uint64_t sector, const void *from, uint32_t bytes)
{
    return transfer(dev, BLK_WRITE, sector, (void *)from, bytes);
}

int blkdev_flush(struct blkdev *dev)
{
    struct blk_request request = { .operation = BLK_FLUSH };

    return run(dev, &request);
}

/* Only what prints stays: the text goes to consoles and reports. */
static void keep_printable(char *text)
{
    for (; *text; text++) {
        if (*text < ' ' || *text > '~')
            *text = '?';
    }
}

const char *blkdev_identity(struct blkdev *dev)
{
    if (dev->identity_known)
        return dev->identity;
    if (transfer(dev, BLK_IDENTIFY, 0, dev->identity, BLK_IDENTITY_BYTES))
        dev->identity[0] = '\0';
    dev->identity[BLK_IDENTITY_BYTES] = '\0';
    keep_printable(dev->identity);
    dev->identity_known = true;
    return dev->identity;
}
