/* SPDX-License-Identifier: MIT */
/* Free page hinting, see balloon_hint.h. */
#include "drivers/virtio/balloon_hint.h"

#include "drivers/virtio/spec/balloon.h"
#include "kernel/alloc.h"
#include "kernel/dma.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

#define QUEUE_SIZE_MAX  128
#define HINT_ORDER      (PAGE_ORDER_2M + 2) /* the largest piece, so the most that is written over */
#define ROUND_BUFFERS   32                  /* lent or given back before others run */
#define OVERWRITE_PAGES (32 * MIB / PAGE_SIZE)

enum { COMMAND_ID, COMMAND_STOP, N_COMMANDS };

int balloon_hint_init(struct balloon_hint *hint, struct virtio_device *device, uint16_t index,
                      struct event *event)
{
    int error = virtio_queue_setup(device, &hint->queue, index, QUEUE_SIZE_MAX, 0, event);

    if (error)
        return error;
    virtio_queue_ignore_lengths(&hint->queue);
    hint->device = device;
    hint->commands = kalloc(N_COMMANDS * sizeof(*hint->commands));
    if (!hint->commands)
        return -ENOMEM;
    hint->commands[COMMAND_STOP] = VIRTIO_BALLOON_CMD_ID_STOP;
    return 0;
}

int balloon_hint_read(struct balloon_hint *hint)
{
    le32 id;
    int error = virtio_config_read(hint->device,
                                   offsetof(struct virtio_balloon_config, free_page_hint_cmd_id),
                                   &id, sizeof(id));

    if (!error)
        hint->wanted = id;
    return error == -ERANGE ? 0 : error;
}

/* false: no room in the ring, or it is broken. */
static bool lend(struct balloon_hint *hint, const void *memory, uint64_t bytes, bool readable)
{
    const struct virtq_elem elem = { .addr = dma_address(memory), .len = (uint32_t)bytes };
    const struct virtq_buffer buffer = {
        .elem = &elem, .n_readable = readable, .n_writable = !readable, .cookie = hint
    };

    if (virtq_add(&hint->queue.ring, &buffer, 1) != 1)
        return false;
    hint->in_flight++;
    return true;
}

static bool lend_command(struct balloon_hint *hint, unsigned which)
{
    return lend(hint, &hint->commands[which], sizeof(*hint->commands), true);
}

static void open_round(struct balloon_hint *hint)
{
    hint->commands[COMMAND_ID] = hint->wanted;
    if (!lend_command(hint, COMMAND_ID))
        return;
    hint->round = hint->wanted;
    hint->open = true;
    hint->keep = page_available() / 16;
}

/* The next free block, held and lent. false: there is none to give, or no room in the ring. */
static bool hint_block(struct balloon_hint *hint)
{
    unsigned order;
    phys_addr_t start;

    if (page_available() < hint->keep || !block_make_room(&hint->held))
        return false;
    start = page_alloc_hint(HINT_ORDER, &order);
    if (!start) {
        block_drop_room(&hint->held);
        return false;
    }
    block_push(&hint->held, start, order);
    hint->pages += UINT64_C(1) << order;
    return lend(hint, (const void *)(uintptr_t)start, PAGE_BYTES(order), false);
}

/* The topmost block goes back, written over where the host might still drop what it holds. */
static uint64_t give_back(struct balloon_hint *hint, bool overwrite)
{
    uint64_t block = block_pop(&hint->held);

    if (overwrite)
        memset((void *)(uintptr_t)block_start(block), 0, PAGE_BYTES(block_order(block)));
    page_free_hint(block_start(block), block_order(block));
    hint->pages -= UINT64_C(1) << block_order(block);
    return UINT64_C(1) << block_order(block);
}

/* Some buffers more. STOP keeps a place in the ring. true: there is more to do. */
static bool go_on_with_round(struct balloon_hint *hint, bool is_short)
{
    unsigned room = hint->queue.ring.size - 1;
    unsigned n = 0;

    if (hint->wanted == hint->round && !is_short) {
        while (hint->in_flight < room && n < ROUND_BUFFERS) {
            if (!hint_block(hint))
                break;
            n++;
        }
        if (n == ROUND_BUFFERS || (room && hint->in_flight >= room))
            return n == ROUND_BUFFERS;
    }
    if (lend_command(hint, COMMAND_STOP))
        hint->open = false;
    return false;
}

/* true: there is more to do. */
static bool overwrite_some(struct balloon_hint *hint, uint64_t pages, uint64_t *gave)
{
    while (hint->pages && pages) {
        uint64_t back = give_back(hint, true);

        pages -= MIN(back, pages);
        *gave += back;
    }
    return hint->pages != 0;
}

/* Nothing of ours is with the device. true: there is more to do. */
static bool go_on_between_rounds(struct balloon_hint *hint, uint64_t needed, uint64_t *gave)
{
    if (hint->wanted == VIRTIO_BALLOON_CMD_ID_DONE) {
        while (hint->pages)
            *gave += give_back(hint, false);
        hint->overwrites = false;
    }
    if (hint->wanted <= VIRTIO_BALLOON_CMD_ID_DONE)
        hint->round = VIRTIO_BALLOON_CMD_ID_STOP; /* the id may come again */
    if (hint->overwrites)
        return hint->overwrites = overwrite_some(hint, OVERWRITE_PAGES, gave);
    if (needed)
        return overwrite_some(hint, MIN(needed, OVERWRITE_PAGES), gave) && needed > OVERWRITE_PAGES;
    if (hint->wanted > VIRTIO_BALLOON_CMD_ID_DONE && hint->wanted != hint->round)
        open_round(hint);
    return hint->open;
}

int balloon_hint_work(struct balloon_hint *hint, uint64_t needed, uint64_t *gave, bool *again)
{
    struct virtq *ring = &hint->queue.ring;
    struct virtq_done done[ROUND_BUFFERS];
    int n = virtq_get(ring, done, ROUND_BUFFERS);

    if (n < 0)
        return n;
    hint->in_flight -= (unsigned)n;
    if (hint->open)
        *again |= go_on_with_round(hint, needed != 0);
    else if (!hint->in_flight)
        *again |= go_on_between_rounds(hint, needed, gave);
    if (virtq_publish(ring))
        virtq_notify(ring);
    return 0;
}

void balloon_hint_cut_off(struct balloon_hint *hint)
{
    hint->in_flight = 0;
    hint->open = false;
    hint->round = VIRTIO_BALLOON_CMD_ID_STOP;
    hint->overwrites = hint->pages != 0;
}

void balloon_hint_release(struct balloon_hint *hint)
{
    while (hint->pages)
        give_back(hint, true);
}

void balloon_hint_free(struct balloon_hint *hint)
{
    balloon_hint_release(hint);
    kfree(hint->commands);
}
