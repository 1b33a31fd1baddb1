/* SPDX-License-Identifier: MIT */
/*
 * The entropy device (§5.4), as a source of kernel/random. It is asked for one
 * small buffer when it is found, and again whenever random numbers want fresh
 * entropy. Nobody waits for it, and no interrupt tells of its answer: that is
 * looked for when numbers are given out, so a device costs no thread and no
 * vector. One that never answers is left alone with its buffer.
 *
 * Concurrency: as kernel/random; a device in trouble is reset in a thread of its
 * own, because that may wait.
 */
#include "drivers/virtio/device.h"
#include "drivers/virtio/spec/ids.h"
#include "kernel/alloc.h"
#include "kernel/dma.h"
#include "kernel/log.h"
#include "kernel/patience.h"
#include "kernel/random.h"
#include "kernel/thread.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

#define QUEUE_REQUEST 0 /* §5.4.2 */

#define ASKED_BYTES 64
#define KEPT_BYTES  16 /* of the answer before: a source that repeats itself is none */

struct rng {
    struct list link; /* in retired or lost */
    struct random_supplier supplier;
    struct virtio_device *device;
    struct virtio_queue queue;
    struct patience patience; /* with resets */
    uint8_t *buffer;          /* ASKED_BYTES, written by the device */
    uint8_t last[KEPT_BYTES];
    bool told;       /* that its answers are ignored */
    bool recovering; /* a thread is about to reset it */
    bool dead;
};

static struct list retired = LIST_INIT(retired);
static struct list lost = LIST_INIT(lost); /* as what was lent to them: no reset ended */

static struct rng *rng_of(struct random_supplier *supplier)
{
    return CONTAINER_OF(supplier, struct rng, supplier);
}

static void lend(struct rng *rng)
{
    struct virtq *ring = &rng->queue.ring;
    const struct virtq_elem elem = { .addr = dma_address(rng->buffer), .len = ASKED_BYTES };
    const struct virtq_buffer buffer = { .elem = &elem, .n_writable = 1, .cookie = rng };

    rng->supplier.awaited = virtq_add(ring, &buffer, 1) == 1;
    if (virtq_publish(ring))
        virtq_notify(ring);
}

/* ---- a device that lost its way */

static void give_up(struct rng *rng, const char *why)
{
    rng->dead = true;
    random_part(&rng->supplier);
    if (!rng->device->failure) /* else the core has told it */
        virtio_fail(rng->device, why);
}

static void recover(void *argument)
{
    struct rng *rng = argument;
    void *cookie;

    if (rng->dead)
        return;
    if (virtio_reset(rng->device)) {
        if (!rng->dead)
            give_up(rng, "the device does not answer a reset, what was lent to it stays lost");
        return;
    }
    if (rng->dead) /* removed meanwhile */
        return;
    while (virtq_drain(&rng->queue.ring, &cookie, 1) > 0)
        ;
    rng->recovering = false;
    if (!patience_lasts(&rng->patience))
        give_up(rng, "the device was reset too often");
    else if (virtio_reinit(rng->device) || virtio_start(rng->device))
        give_up(rng, "the device did not come back after a reset");
    else
        lend(rng);
}

static void in_trouble(struct rng *rng, const char *why)
{
    virtio_trouble(rng->device, why);
    rng->supplier.awaited = false;
    rng->recovering = true;
    if (!thread_create("rng", recover, rng))
        give_up(rng, "no memory to reset the device");
}

/* ---- asking and answers */

/* A host's source that is stuck must not count. */
static bool is_plausible(const struct rng *rng, uint32_t bytes)
{
    bool varies = false;

    for (uint32_t i = 1; i < bytes; i++)
        varies |= rng->buffer[i] != rng->buffer[0];
    return (varies || bytes < 4) &&
           (bytes < KEPT_BYTES || memcmp(rng->buffer, rng->last, KEPT_BYTES) != 0);
}

/* §5.4.6: so many bytes as it says are random, which may be fewer than were asked for. */
static void take(struct rng *rng, uint32_t bytes)
{
    if (!is_plausible(rng, bytes)) {
        if (!rng->told)
            log_error("random: virtio%u repeats itself, ignored", rng->device->number);
        rng->told = true;
        return;
    }
    if (bytes >= KEPT_BYTES)
        memcpy(rng->last, rng->buffer, KEPT_BYTES);
    random_add(rng->buffer, bytes, bytes * 8, "virtio-rng");
    memset(rng->buffer, 0, ASKED_BYTES);
}

static void look(struct random_supplier *supplier)
{
    struct rng *rng = rng_of(supplier);
    struct virtq_done done;
    int n = virtq_get(&rng->queue.ring, &done, 1);

    if (n < 0) {
        in_trouble(rng, virtq_broken_reason(&rng->queue.ring));
    } else if (n) {
        supplier->awaited = false;
        if (done.len)
            take(rng, done.len);
    }
}

/* One that still has not answered is asked whether it wants a reset. */
static void ask(struct random_supplier *supplier)
{
    struct rng *rng = rng_of(supplier);
    const char *why;

    if (rng->recovering)
        return;
    if (supplier->awaited)
        look(supplier);
    if (rng->recovering)
        return;
    if (!supplier->awaited)
        lend(rng);
    else if ((why = virtio_needs_reset(rng->device)) != NULL)
        in_trouble(rng, why);
}

/* ---- bringing it up */

static int start(struct rng *rng)
{
    int error = virtio_queue_setup(rng->device, &rng->queue, QUEUE_REQUEST, 1, 0, NULL);

    if (error)
        return error;
    rng->buffer = kalloc(ASKED_BYTES);
    if (!rng->buffer)
        return -ENOMEM;
    return virtio_start(rng->device);
}

/* The struct stays until the next probe: the core still has the queue in it. */
static void retire(struct rng *rng)
{
    bool forgotten;

    rng->dead = true; /* before the reset, during which others run */
    forgotten = virtio_reset(rng->device) == 0;
    list_append(forgotten && !rng->recovering ? &retired : &lost, &rng->link);
    if (forgotten)
        kfree(rng->buffer);
}

static void free_retired(void)
{
    struct list *link;

    while ((link = list_pop(&retired)))
        kfree(CONTAINER_OF(link, struct rng, link));
}

static int probe(struct virtio_device *device)
{
    struct rng *rng;
    int error;

    free_retired();
    rng = kalloc(sizeof(*rng));
    if (!rng)
        return -ENOMEM;
    device->driver_state = rng;
    rng->device = device;
    rng->supplier = (struct random_supplier){ .ask = ask, .look = look };
    error = start(rng);
    if (error) {
        retire(rng);
        return error;
    }
    random_join(&rng->supplier);
    return 0;
}

static void remove(struct virtio_device *device)
{
    struct rng *rng = device->driver_state;

    if (!rng->dead)
        random_part(&rng->supplier);
    retire(rng);
}

const struct virtio_driver virtio_rng_driver LINKER_SET(virtio_drivers) = {
    .name = "virtio-rng",
    .type = VIRTIO_ID_RNG,
    .patient = true,
    .probe = probe,
    .remove = remove,
};
