/* SPDX-License-Identifier: MIT */
/*
 * The device side of one virtqueue, split (§2.7) or packed (§2.8), for hosted
 * tests. It shares only drivers/virtio/spec with the drivers, so that a common
 * misreading of the standard shows.
 *
 *     struct fake_queue queue;
 *     fake_queue_start(&queue, &config);
 *
 *     struct fake_chain *chain;
 *     while ((chain = fake_pop(&queue))) {        may be held, and finished in any order
 *         fake_read(chain, 0, &request, sizeof(request));
 *         fake_write(chain, 0, &answer, sizeof(answer));
 *         fake_push(&queue, chain, sizeof(answer));
 *     }
 *     if (fake_interrupt_wanted(&queue))          once after a batch of pushes
 *         ...                                     call the driver's handler
 *     assert_null(queue.violation);
 *     fake_queue_stop(&queue);
 *
 * It watches the driver: the first rule of the standard that the driver breaks
 * is kept in `violation`, and the queue gives no more chains. And it lies on
 * request: see fake_lie_...().
 */
#ifndef TESTS_HOST_FAKE_DEVICE_H
#define TESTS_HOST_FAKE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_queue_config {
    bool packed;
    bool event_idx, indirect, in_order;           /* negotiated */
    bool notification_data;                       /* negotiated */
    uint16_t size;                                /* descriptors */
    uint64_t desc_addr, driver_addr, device_addr; /* as the transport was told */
    /* Device address to host pointer, NULL: not memory. NULL here: addresses are pointers. */
    void *(*memory)(uint64_t addr, uint64_t bytes);
};

/* A contiguous piece of a buffer. */
struct fake_piece {
    uint8_t *start;
    uint32_t bytes;
};

/* A buffer that the driver made available. */
struct fake_chain {
    uint16_t id;
    uint16_t descriptors; /* of the ring, 1 when indirect */
    bool indirect;
    unsigned n_readable, n_writable;
    uint64_t readable_bytes, writable_bytes;
    struct fake_piece *pieces; /* n_readable, then n_writable of them */
    struct fake_chain *next;   /* in fake_queue.held */
};

struct fake_queue {
    struct fake_queue_config config;
    void *desc, *driver, *device;   /* the areas as host pointers */
    uint16_t avail_next, used_next; /* split: free-running; packed: ring positions */
    bool avail_wrap, used_wrap;     /* packed */
    uint16_t used_asked;     /* split: where used_next was when an interrupt was last decided */
    unsigned used_since;     /* packed: descriptors used since then */
    struct fake_chain *held; /* popped and not pushed yet */
    uint16_t desc_next;      /* split with IN_ORDER: the next chain's first descriptor */
    unsigned popped, pushed; /* buffers, in sum */
    const char *violation;   /* what the driver did wrong; NULL: nothing */
};

/* Starts on areas that a driver has set up; notifications are wanted. */
void fake_queue_start(struct fake_queue *queue, const struct fake_queue_config *config);

/* A reset: forgets everything, and touches the areas no more. */
void fake_queue_stop(struct fake_queue *queue);

/* The next available buffer, checked against the standard; NULL: none, or a violation. */
struct fake_chain *fake_pop(struct fake_queue *queue);

/* How many buffers or (packed) whether any is available, without taking it. */
bool fake_available(struct fake_queue *queue);

/* Finishes a buffer with len bytes written, whatever len is; the chain is gone. */
void fake_push(struct fake_queue *queue, struct fake_chain *chain, uint32_t len);

/*
 * IN_ORDER: finishes n buffers, the oldest ones, by a used entry for the last
 * of them alone, with its length; the chains are gone.
 */
void fake_push_batch(struct fake_queue *queue, struct fake_chain **chains, unsigned n,
                     uint32_t len);

/* What the doorbell carried; with NOTIFICATION_DATA it must tell where the ring stands (2.9). */
void fake_notified(struct fake_queue *queue, uint32_t value);

/* Whether the pushes since the last call are to interrupt, by flags or EVENT_IDX. */
bool fake_interrupt_wanted(struct fake_queue *queue);

/*
 * Notifications: wanted at the next buffer (EVENT_IDX: exactly at that one and
 * not again before the next call; else: at all from now on), or not at all.
 */
void fake_want_notification(struct fake_queue *queue);
void fake_refuse_notification(struct fake_queue *queue);

/* EVENT_IDX: wanted when the driver makes the n-th descriptor (packed) or buffer (split) from
 * here available, n >= 1. */
void fake_want_notification_at(struct fake_queue *queue, uint16_t n);

/*
 * Copies out of the readable, or into the writable part of a buffer, from an
 * offset on; returns how many bytes there were.
 */
size_t fake_read(const struct fake_chain *chain, size_t offset, void *to, size_t bytes);
size_t fake_write(const struct fake_chain *chain, size_t offset, const void *from, size_t bytes);

/* Lies: a used entry with any id and length (packed: `descriptors` are skipped after it). */
void fake_lie_used(struct fake_queue *queue, uint32_t id, uint32_t len, uint16_t descriptors);

/* Split: the used index jumps by this many entries that nobody wrote. */
void fake_lie_used_jump(struct fake_queue *queue, uint16_t entries);

#endif
