/* SPDX-License-Identifier: MIT */
/*
 * A queue against a device thread that runs beside the CPU: publish against the
 * device's going to sleep, arm against its completions (§2.7.13.4.1,
 * §2.8.21.3.1). Where the barrier between a store and the look behind it does not
 * hold, each side ends up waiting for the other, and with EVENT_IDX for ever.
 *
 * The device is a block device that is asked for its name: QEMU answers at once,
 * so that it is soon about to sleep again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/device.h"
#include "drivers/virtio/spec/blk.h"
#include "drivers/virtio/spec/ids.h"
#include "kernel/clock.h"
#include "kernel/dma.h"
#include "kernel/event.h"
#include "kernel/hypervisor.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"
#include "lib/libc/kernel_call.h"
#include "tests/guest/ringtest/ringtest.h"

#define ELEMENTS    2 /* of a buffer */
#define DEPTH_MAX   128
#define STEPS       1024 /* batches in the kernel without a break */
#define LOST_NS     (5 * NSEC_PER_SEC)
#define QUICK_LOOKS (1u << 18) /* without an answer, from one look at the clock to the next */
#define NOT_WRITTEN 0xff

/* By trial, so that a missing barrier shows soon: mostly within a million buffers. */
#define BATCH_MAX 32
#define REST_MAX  8
#define WAIT_MAX  100

/* One buffer's memory. */
struct question {
    struct virtio_blk_req header; /* read by the device */
    char name[VIRTIO_BLK_ID_BYTES];
    uint8_t status;
    uint8_t unused[27];
};

#define ANSWER_BYTES (VIRTIO_BLK_ID_BYTES + sizeof(uint8_t))

enum outcome { WELL, LIED, LOST_NOTIFICATION, LOST_INTERRUPT };

static struct {
    struct virtio_device *device; /* NULL: none was found */
    struct virtio_queue queue;
    struct event event;

    bool may_sleep; /* waits for interrupts half of the time, else it looks again and again */
    bool may_reset; /* takes the queue back now and then, with what the device has */
    unsigned resets;
    struct question *idle[DEPTH_MAX];
    unsigned n_idle;
    uint64_t total, added, published, answered; /* buffers */
    uint64_t publishes, notifications, sleeps;
    uint32_t random;
} race = { .random = 1 };

static int probe(struct virtio_device *device)
{
    struct question *questions;
    dma_addr_t unused;
    int error;

    if (race.device)
        return -EBUSY;
    questions = dma_alloc(DEPTH_MAX * sizeof(*questions), &unused);
    if (!questions)
        return -ENOMEM;
    while (race.n_idle < DEPTH_MAX)
        race.idle[race.n_idle++] = questions++;
    event_init(&race.event);
    error = virtio_queue_setup(device, &race.queue, 0, ELEMENTS * DEPTH_MAX, 0, &race.event);
    if (error)
        return error;
    race.device = device;
    return virtio_start(device);
}

static const struct virtio_driver driver LINKER_SET(virtio_drivers) = {
    .name = "ringtest",
    .type = VIRTIO_ID_BLOCK,
    .probe = probe,
};

/* xorshift: the same at every run. */
static unsigned up_to(unsigned most)
{
    race.random ^= race.random << 13;
    race.random ^= race.random >> 17;
    race.random ^= race.random << 5;
    return race.random % (most + 1);
}

/* Lends n buffers, which the device does not see yet. */
static void add(unsigned n)
{
    for (; n > 0; n--, race.added++) {
        struct question *question = race.idle[--race.n_idle];
        struct virtq_elem elem[] = { { dma_address(&question->header), sizeof(question->header) },
                                     { dma_address(question->name), ANSWER_BYTES } };
        struct virtq_buffer buffer = { elem, 1, 1, question };

        question->header = (struct virtio_blk_req){ .type = VIRTIO_BLK_T_GET_ID };
        question->status = NOT_WRITTEN;
        virtq_add(&race.queue.ring, &buffer, 1); /* there is room */
    }
}

static void publish(void)
{
    race.published = race.added;
    race.publishes++;
    if (virtq_publish(&race.queue.ring)) {
        race.notifications++;
        virtq_notify(&race.queue.ring);
    }
}

/* How many answers came; -EIO: one that is none. */
static int take(void)
{
    struct virtq_done done[DEPTH_MAX];
    int n = virtq_get(&race.queue.ring, done, DEPTH_MAX);

    for (int i = 0; i < n; i++) {
        struct question *question = done[i].cookie;

        if (done[i].len != ANSWER_BYTES || load_once(&question->status) != VIRTIO_BLK_S_OK)
            return -EIO;
        race.idle[race.n_idle++] = question;
        race.answered++;
    }
    return n;
}

/* Looks again and again; the clock costs too much to be asked each time. */
static enum outcome look_until(uint64_t rest)
{
    uint64_t looks = 0, deadline_ns = CLOCK_NEVER;

    while (race.published - race.answered > rest) {
        int n = take();

        if (n < 0)
            return LIED;
        looks = n ? 0 : looks + 1;
        if (looks == QUICK_LOOKS)
            deadline_ns = clock_monotonic_ns() + LOST_NS;
        else if (looks && looks % QUICK_LOOKS == 0 && clock_monotonic_ns() > deadline_ns)
            return LOST_NOTIFICATION;
    }
    return WELL;
}

/* The same by interrupts, which come after some of what is missing. */
static enum outcome sleep_until(uint64_t rest)
{
    struct virtq *ring = &race.queue.ring;
    unsigned missing;

    while (race.published - race.answered > rest) {
        if (take() < 0)
            return LIED;
        if (race.published - race.answered <= rest)
            break;
        missing = (unsigned)(race.published - race.answered - rest);
        if (virtq_arm(ring, (uint16_t)(1 + up_to(missing - 1))))
            continue;
        race.sleeps++;
        if (event_wait(&race.event, clock_monotonic_ns() + LOST_NS))
            return virtq_arm(ring, 1) ? LOST_INTERRUPT : LOST_NOTIFICATION;
    }
    return WELL;
}

static enum outcome wait_until(uint64_t rest)
{
    return race.may_sleep && up_to(1) ? sleep_until(rest) : look_until(rest);
}

/*
 * The next batch is ready when the device comes to the end of the one before,
 * and goes out about when it looks for more for the last time: a little earlier
 * or later, by chance.
 */
static enum outcome step(void)
{
    unsigned batch = 1 + up_to(BATCH_MAX - 1), rest = up_to(REST_MAX), wait = up_to(WAIT_MAX);
    enum outcome outcome;

    add((unsigned)MIN(batch, race.total - race.added));
    outcome = wait_until(rest);
    while (wait-- > 0)
        barrier_compiler();
    publish();
    return outcome;
}

/* §2.6.1: the device forgets the queue, and all that it had comes back and is lent anew. */
static enum outcome reset(void)
{
    void *cookies[DEPTH_MAX];
    int n;

    if (virtio_queue_reset(&race.queue))
        return LIED;
    while ((n = virtq_drain(&race.queue.ring, cookies, DEPTH_MAX)) > 0) {
        race.added -= (unsigned)n;
        while (n > 0)
            race.idle[race.n_idle++] = cookies[--n];
    }
    race.published = race.added;
    race.resets++;
    return race.added != race.answered || virtio_queue_restart(&race.queue) ? LIED : WELL;
}

static enum outcome some_steps(void)
{
    enum outcome outcome = WELL;

    for (unsigned i = 0; i < STEPS && race.added < race.total && outcome == WELL; i++)
        outcome = step();
    if (race.may_reset && outcome == WELL && race.added < race.total)
        return reset();
    return outcome == WELL && race.added == race.total ? wait_until(0) : outcome;
}

/* Whether it was only the notification that the device lacked. */
static bool comes_back_when_rung(void)
{
    uint64_t deadline_ns = clock_monotonic_ns() + LOST_NS;

    virtq_notify(&race.queue.ring);
    while (race.answered < race.published && clock_monotonic_ns() < deadline_ns && take() >= 0)
        ;
    return race.answered == race.published;
}

static int tell(enum outcome outcome)
{
    unsigned long long answered = race.answered;

    switch (outcome) {
    case WELL:
        return 0;
    case LIED:
        printf("after %llu buffers the device lied\n", answered);
        return 1;
    case LOST_INTERRUPT:
        printf("lost after %llu buffers: an interrupt\n", answered);
        return EXIT_LOST_INTERRUPT;
    case LOST_NOTIFICATION:
        break;
    }
    if (!KERNEL_CALL(bool, comes_back_when_rung())) {
        printf("after %llu buffers the device stands still\n", answered);
        return 1;
    }
    printf("lost after %llu buffers: a notification; rung by hand, the device goes on\n", answered);
    return EXIT_LOST_NOTIFICATION;
}

static int run(void)
{
    enum outcome outcome = WELL;

    while (race.answered < race.total && outcome == WELL)
        outcome = KERNEL_CALL(enum outcome, some_steps());
    printf("race ring=%s hypervisor=%s buffers=%llu publishes=%llu notifications=%llu sleeps=%llu "
           "resets=%u\n",
           virtio_ring_text(race.device), hypervisor_name(), (unsigned long long)race.answered,
           (unsigned long long)race.publishes, (unsigned long long)race.notifications,
           (unsigned long long)race.sleeps, race.resets);
    return tell(outcome);
}

int run_race(int argc, char **argv)
{
    if (argc < 2)
        return EXIT_USAGE;
    for (int i = 2; i < argc; i++) {
        race.may_sleep |= !strcmp(argv[i], "sleep");
        race.may_reset |= !strcmp(argv[i], "reset");
    }
    if (!race.device) {
        printf("there is no block device\n");
        return 1;
    }
    race.total = strtoull(argv[1], NULL, 0);
    return run();
}
