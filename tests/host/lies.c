/* SPDX-License-Identifier: MIT */
#include "tests/host/lies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drivers/virtio/spec/ring.h"
#include "tests/host/alloc.h"
#include "tests/host/dma.h"
#include "tests/host/irq.h"

void (*host_honest)(struct fake_transport *fake, unsigned queue, struct fake_chain *chain);

/* ---- lies */

static struct fake_chain *pop(struct fake_queue *ring)
{
    struct fake_chain *chain = fake_pop(ring);

    if (!chain)
        chain = ring->held;
    assert_non_null(chain); /* nothing is lent: the test's mistake */
    return chain;
}

static unsigned pop_all(struct fake_queue *ring)
{
    unsigned n = 0;

    while (fake_pop(ring))
        ;
    for (const struct fake_chain *chain = ring->held; chain; chain = chain->next)
        n++;
    return n;
}

static bool is_held(const struct fake_queue *ring, uint32_t id)
{
    for (const struct fake_chain *chain = ring->held; chain; chain = chain->next)
        if (chain->id == id)
            return true;
    return false;
}

static void index_ahead_by_one(struct fake_transport *fake, unsigned queue)
{
    struct fake_queue *ring = &fake->queues[queue].ring;

    fake_lie_used_jump(ring, (uint16_t)(pop_all(ring) + 1));
}

static void index_back(struct fake_transport *fake, unsigned queue)
{
    fake_lie_used_jump(&fake->queues[queue].ring, 65535);
}

static void index_half_round(struct fake_transport *fake, unsigned queue)
{
    fake_lie_used_jump(&fake->queues[queue].ring, 32768);
}

static void id_beyond(struct fake_transport *fake, unsigned queue)
{
    struct fake_queue *ring = &fake->queues[queue].ring;

    fake_lie_used(ring, ring->config.size, 0, 1);
}

static void id_largest(struct fake_transport *fake, unsigned queue)
{
    fake_lie_used(&fake->queues[queue].ring, UINT32_MAX, 0, 1);
}

/* Right in its lower half. */
static void id_in_17_bits(struct fake_transport *fake, unsigned queue)
{
    struct fake_queue *ring = &fake->queues[queue].ring;
    struct fake_chain *chain = pop(ring);

    fake_lie_used(ring, 0x10000u | chain->id, 0, chain->descriptors);
}

/* Idle, or inside a chain. With all of them lent: one that has just been finished. */
static void id_not_lent(struct fake_transport *fake, unsigned queue)
{
    struct fake_queue *ring = &fake->queues[queue].ring;
    uint32_t id = 0;

    pop_all(ring);
    while (is_held(ring, id))
        id++;
    if (id == ring->config.size) {
        id = ring->held->id;
        host_honest(fake, queue, ring->held);
    }
    fake_lie_used(ring, id, 0, 1);
}

static void twice(struct fake_transport *fake, unsigned queue)
{
    struct fake_queue *ring = &fake->queues[queue].ring;
    struct fake_chain *chain = pop(ring);
    uint32_t id = chain->id;
    uint16_t descriptors = chain->descriptors;

    host_honest(fake, queue, chain);
    fake_lie_used(ring, id, 0, descriptors);
}

static void length_one_too_much(struct fake_transport *fake, unsigned queue)
{
    struct fake_chain *chain = pop(&fake->queues[queue].ring);

    fake_push(&fake->queues[queue].ring, chain, (uint32_t)chain->writable_bytes + 1);
}

static void length_largest(struct fake_transport *fake, unsigned queue)
{
    fake_push(&fake->queues[queue].ring, pop(&fake->queues[queue].ring), UINT32_MAX);
}

/* Marks the next position as the lap before or after this one would. */
static void wrong_wrap(struct fake_transport *fake, unsigned queue)
{
    struct fake_queue *ring = &fake->queues[queue].ring;
    struct pvirtq_desc *desc = (struct pvirtq_desc *)ring->desc + ring->used_next;

    desc->flags = ring->used_wrap ? 0 : VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED;
}

/* One flag of two. */
static void half_used(struct fake_transport *fake, unsigned queue)
{
    struct fake_queue *ring = &fake->queues[queue].ring;
    struct pvirtq_desc *desc = (struct pvirtq_desc *)ring->desc + ring->used_next;

    desc->flags = ring->used_wrap ? VIRTQ_DESC_F_USED : VIRTQ_DESC_F_AVAIL;
}

/* As it may have answered, but to an id that is beyond all, behind one good answer. */
static void lie_behind_the_truth(struct fake_transport *fake, unsigned queue)
{
    host_honest(fake, queue, pop(&fake->queues[queue].ring));
    id_beyond(fake, queue);
}

static void nothing(struct fake_transport *fake, unsigned queue)
{
    (void)fake;
    (void)queue;
}

/* Until about the next reset. */
static void unsettled(struct fake_transport *fake, unsigned queue)
{
    (void)queue;
    fake->unsettled_reads = 130;
    fake_transport_config_changed(fake);
}

const struct lie host_lies[] = {
    { .name = "the index is one ahead", .tell = index_ahead_by_one, .split_only = true },
    { .name = "the index goes back", .tell = index_back, .split_only = true },
    { .name = "the index goes half round", .tell = index_half_round, .split_only = true },
    { .name = "an id one beyond the ring", .tell = id_beyond },
    { .name = "the largest id", .tell = id_largest },
    { .name = "an id of 17 bits", .tell = id_in_17_bits, .split_only = true },
    { .name = "an id that was not lent", .tell = id_not_lent, .two_entries = true },
    { .name = "a buffer twice", .tell = twice, .two_entries = true },
    { .name = "a length one too much", .tell = length_one_too_much },
    { .name = "the largest length", .tell = length_largest },
    { .name = "the wrong lap", .tell = wrong_wrap, .packed_only = true, .unseen = true },
    { .name = "one flag of two", .tell = half_used, .packed_only = true, .unseen = true },
    { .name = "a lie behind the truth", .tell = lie_behind_the_truth, .two_entries = true },
    { .name = "it asks for a reset", .tell = nothing, .unseen = true },
    { .name = "its configuration does not settle", .tell = unsettled },
};

const unsigned host_n_lies = ARRAY_SIZE(host_lies);

bool host_lie_fits(const struct lie *lie, bool packed)
{
    return packed ? !lie->split_only : !lie->packed_only;
}

void host_tell(struct fake_transport *fake, const struct lie *lie, unsigned queue)
{
    lie->tell(fake, queue);
    fake_transport_interrupt_always(fake, queue);
    if (lie->unseen)
        fake_transport_ask_for_reset(fake);
}

/* ---- what comes after */

static void offer_more(struct fake_transport *fake)
{
    for (unsigned bit = 0; bit < VIRTIO_FEATURE_BITS; bit++)
        fake_offer(fake, bit);
}

static void offer_less(struct fake_transport *fake)
{
    fake_withdraw(fake, VIRTIO_F_VERSION_1);
}

static void offer_nothing(struct fake_transport *fake)
{
    fake->offered = (struct virtio_features){ 0 };
}

static void refuse_features(struct fake_transport *fake)
{
    fake->refuse_features_ok = true;
}

static void size_queues(struct fake_transport *fake, uint32_t size)
{
    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        if (fake->queues[i].size_max)
            fake->queues[i].size_max = size;
}

static void have_no_queues(struct fake_transport *fake)
{
    size_queues(fake, 0);
}

static void have_small_queues(struct fake_transport *fake)
{
    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        fake->queues[i].size_max = fake->queues[i].size / 2u;
}

static void have_huge_queues(struct fake_transport *fake)
{
    size_queues(fake, 65535);
}

static void never_settle(struct fake_transport *fake)
{
    fake->never_settles = true;
}

static void reset_slowly(struct fake_transport *fake)
{
    fake->reset_polls = 100;
}

static void never_reset(struct fake_transport *fake)
{
    fake->reset_never_ends = true;
}

static void complain_again(struct fake_transport *fake)
{
    fake->started = fake_transport_ask_for_reset;
}

const struct aftermath host_aftermaths[] = {
    { .name = "works again", .arrange = NULL, .survives = true },
    { .name = "resets slowly", .arrange = reset_slowly, .survives = true },
    { .name = "offers more", .arrange = offer_more, .survives = true },
    { .name = "has queues of 65535", .arrange = have_huge_queues, .survives = true },
    { .name = "offers less", .arrange = offer_less },
    { .name = "offers nothing", .arrange = offer_nothing },
    { .name = "refuses what it offered", .arrange = refuse_features },
    { .name = "has no queues", .arrange = have_no_queues },
    { .name = "has smaller queues", .arrange = have_small_queues },
    { .name = "does not settle", .arrange = never_settle },
    { .name = "asks again and again", .arrange = complain_again },
    { .name = "lies again and again", .arrange = NULL, .lies_again = true },
    { .name = "does not answer the reset", .arrange = never_reset, .stuck = true },
};

const unsigned host_n_aftermaths = ARRAY_SIZE(host_aftermaths);

static const struct lie *habit;
static unsigned habitual_queue;

static void lie_at_each_doorbell(struct fake_transport *fake, unsigned queue)
{
    if (queue == habitual_queue)
        host_tell(fake, habit, queue);
}

void host_arrange(struct fake_transport *fake, const struct aftermath *aftermath,
                  const struct lie *lie, unsigned queue)
{
    habit = lie;
    habitual_queue = queue;
    if (aftermath->arrange)
        aftermath->arrange(fake);
    if (aftermath->lies_again)
        fake->kicked = lie_at_each_doorbell;
}

void host_take_away(struct fake_transport *fake)
{
    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        if (fake->queues[i].live)
            fake_queue_stop(&fake->queues[i].ring);
}

/* ---- what is left */

struct host_left host_left(void)
{
    return (struct host_left){ host_allocs_live, host_dma_live, HOST_IRQS - host_irqs_free };
}

void host_assert_nothing_left(struct host_left before, unsigned allocations)
{
    struct host_left now = host_left();

    assert_int_equal(now.dma_blocks, before.dma_blocks);
    assert_int_equal(now.irqs, before.irqs);
    assert_int_equal(now.allocations, before.allocations + allocations);
}

void host_assert_queues_idle_but(const struct fake_transport *fake, int but)
{
    struct list *link;

    LIST_FOR_EACH (link, &fake->device.queues) {
        const struct virtio_queue *queue = CONTAINER_OF(link, struct virtio_queue, link);
        const struct virtq *ring = &queue->ring;

        if (queue->index == but)
            continue;
        assert_int_equal(virtq_in_flight(ring), 0);
        if (!virtq_broken_reason(ring))
            assert_int_equal(virtq_free_count(ring), ring->size);
    }
}

void host_assert_queues_idle(const struct fake_transport *fake)
{
    host_assert_queues_idle_but(fake, -1);
}
