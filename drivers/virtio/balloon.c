/* SPDX-License-Identifier: MIT */
/*
 * The traditional memory balloon (§5.5). One kernel thread follows the size that
 * the host wishes, num_pages, whenever it changes: it takes the highest and
 * largest free blocks and lends their pages to the host, or takes them back in
 * the opposite order. It works in batches of a few thousand pages, one
 * notification each, and looks at the newest wish before every batch, so a
 * storm of wishes costs no more than the last one.
 *
 * A page is ours again only after the device has acknowledged it, whether
 * MUST_TELL_HOST was negotiated or not. When the guest has no more to give, the
 * balloon stays as large as it could get and goes on when memory becomes free.
 *
 * A device that has to be reset may or may not have seen the batch under way. An
 * inflation is repeated: the host gets what it was promised, and pages that it
 * took already are still untouched. A deflation is cut off: its pages stay in the
 * balloon, until they are given back anew.
 *
 * Pages in the balloon are never touched: which ones they are is kept in a
 * stack of blocks beside them, 8 bytes a block of up to 2 MiB.
 *
 * Concurrency: the balloon thread; probe, remove and follow in other kernel
 * threads, between its waits.
 */
#include "drivers/virtio/balloon.h"

#include "drivers/virtio/device.h"
#include "drivers/virtio/spec/balloon.h"
#include "drivers/virtio/spec/ids.h"
#include "kernel/alloc.h"
#include "kernel/clock.h"
#include "kernel/cmdline.h"
#include "kernel/dma.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/patience.h"
#include "kernel/report.h"
#include "kernel/rounds.h"
#include "kernel/thread.h"
#include "kernel/vmem.h"
#include "lib/base/errno.h"

#define QUEUE_INFLATE 0 /* §5.5.2 */
#define QUEUE_DEFLATE 1
#define QUEUE_STATS   2 /* with STATS_VQ only */

#define BATCH_BUFFERS  4
#define BUFFER_PAGES   512
#define BLOCK_ORDER    PAGE_ORDER_2M /* the largest block: one buffer full */
#define QUEUE_SIZE_MAX 8
#define RETRY_PAGES                                                              \
    256 /* as many must have become free before a balloon that got stuck goes on \
         */

/*
 * After so many rounds without a pause the thread makes one: a device that wants
 * something all the time does not keep the CPU from the application. Any wait
 * that long is a pause.
 */

_Static_assert(PAGE_SHIFT == VIRTIO_BALLOON_PFN_SHIFT, "pages are the balloon's pages");

enum mode { MODE_AUTO, MODE_MANUAL, MODE_OFF };

/* A page full of blocks: physical address with the order in its low bits. */
#define CHUNK_BLOCKS 510

struct chunk {
    struct chunk *below;
    uint64_t n;
    uint64_t blocks[CHUNK_BLOCKS];
};

_Static_assert(sizeof(struct chunk) == PAGE_SIZE, "a chunk is a page");

enum phase { IDLE, INFLATING, DEFLATING };

struct balloon {
    struct list link; /* in balloons, retired or lost */
    struct virtio_device *device;
    struct virtio_queue inflate, deflate, stats;
    bool has_stats, dead;
    bool limited;             /* the last try to grow got nothing; told once a wish */
    bool out_of_reach;        /* what is free has no page number of 32 bits: no use in waiting */
    struct patience patience; /* with resets */
    uint64_t wish;            /* pages, as the host says */
    uint64_t target;          /* pages, as we follow it */
    uint64_t pages;           /* in the balloon, acknowledged */
    struct chunk *top;        /* of the stack of blocks, those of the batch among them */
    enum phase phase;         /* what the batch under way does */
    unsigned in_flight;       /* its buffers that have not come back */
    uint64_t batch_pages;     /* its pages */
    uint64_t batch_blocks;    /* its blocks, the topmost of the stack */
    unsigned n_buffers;       /* an inflation's buffers ... */
    unsigned buffer_pages[BATCH_BUFFERS]; /* ... and how many pages each holds */
    le32 (*pfns)[BUFFER_PAGES];           /* read by the device */
    struct virtio_balloon_stat *stat;     /* read by the device */
};

static const struct virtio_feature features[] = {
    VIRTIO_FEATURE(VIRTIO_BALLOON_F_MUST_TELL_HOST),
    VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ),
};

static struct list balloons = LIST_INIT(balloons);
static struct list retired = LIST_INIT(retired);
static struct list lost = LIST_INIT(lost); /* as what was lent to them: no reset ended */
static struct event balloon_event = EVENT_INIT(balloon_event); /* whatever may need work */
static struct thread *thread;
static enum mode mode;

/* ---- the stack of blocks */

static phys_addr_t block_start(uint64_t block)
{
    return ALIGN_DOWN(block, PAGE_SIZE);
}

static unsigned block_order(uint64_t block)
{
    return block % PAGE_SIZE;
}

/* Room for one more block on top; false: no memory for a chunk. */
static bool make_room(struct balloon *balloon)
{
    struct chunk *chunk;

    if (balloon->top && balloon->top->n < CHUNK_BLOCKS)
        return true;
    chunk = (struct chunk *)(uintptr_t)page_alloc(0);
    if (!chunk)
        return false;
    chunk->below = balloon->top;
    chunk->n = 0;
    balloon->top = chunk;
    return true;
}

static void push(struct balloon *balloon, phys_addr_t start, unsigned order)
{
    struct chunk *chunk = balloon->top;

    chunk->blocks[chunk->n++] = start | order;
}

static void drop_empty_chunks(struct balloon *balloon)
{
    while (balloon->top && balloon->top->n == 0) {
        struct chunk *empty = balloon->top;

        balloon->top = empty->below;
        page_free((uintptr_t)empty, 0);
    }
}

/* The topmost block goes back to the page allocator. */
static void free_top_block(struct balloon *balloon)
{
    uint64_t block = balloon->top->blocks[--balloon->top->n];

    page_free_top(block_start(block), block_order(block));
    drop_empty_chunks(balloon);
}

/* Halves the topmost block; the upper half lies on top then. false: no memory for its entry. */
static bool split_top_block(struct balloon *balloon)
{
    uint64_t *block = &balloon->top->blocks[balloon->top->n - 1];
    unsigned order = block_order(*block) - 1;
    phys_addr_t start = block_start(*block);

    if (!make_room(balloon))
        return false;
    *block = start | order;
    push(balloon, start + PAGE_BYTES(order), order);
    return true;
}

/* ---- batches */

static unsigned write_pfns(le32 *to, unsigned n, phys_addr_t start, unsigned order)
{
    uint32_t pfn = (uint32_t)(start >> PAGE_SHIFT);

    for (unsigned i = 0; i < 1u << order; i++)
        to[n++] = pfn + i;
    return n;
}

/* A buffer of n pages. false: the ring is broken. */
static bool lend(struct balloon *balloon, struct virtio_queue *queue, unsigned index, unsigned n)
{
    const struct virtq_elem elem = {
        .addr = dma_address(balloon->pfns[index]),
        .len = n * (uint32_t)sizeof(le32),
    };
    const struct virtq_buffer buffer = { .elem = &elem, .n_readable = 1, .cookie = balloon };

    if (virtq_add(&queue->ring, &buffer, 1) != 1)
        return false;
    balloon->in_flight++;
    return true;
}

static unsigned buffers_of(const struct virtio_queue *queue)
{
    return MIN(queue->ring.size, BATCH_BUFFERS);
}

static unsigned order_within(uint64_t pages)
{
    return 63 - (unsigned)__builtin_clzll(pages);
}

/* A free block of at most so many pages onto the stack: its address. 0: there is none to give. */
static phys_addr_t take_block(struct balloon *balloon, uint64_t pages, unsigned *order)
{
    phys_addr_t start;

    if (!make_room(balloon))
        return 0;
    start = page_alloc_top(MIN(order_within(pages), BLOCK_ORDER), order);
    if (!start)
        return 0;
    if (start >> PAGE_SHIFT > UINT32_MAX) { /* the balloon's page numbers end at 16 TiB */
        page_free_top(start, *order);
        balloon->out_of_reach = true;
        return 0;
    }
    balloon->out_of_reach = false;
    push(balloon, start, *order);
    balloon->batch_blocks++;
    balloon->batch_pages += UINT64_C(1) << *order;
    return start;
}

/* Takes memory for one buffer, at most `wanted` pages: how many it holds. */
static unsigned fill(struct balloon *balloon, unsigned index, uint64_t wanted)
{
    unsigned n = 0, order;

    wanted = MIN(wanted, BUFFER_PAGES);
    while (n < wanted) {
        phys_addr_t start = take_block(balloon, wanted - n, &order);

        if (!start)
            break;
        n = write_pfns(balloon->pfns[index], n, start, order);
    }
    return n;
}

/* Shows the batch to the device, if there is anything in it. */
static void send(struct balloon *balloon, struct virtio_queue *queue, enum phase phase)
{
    if (balloon->batch_pages) /* also if the ring broke: recover() then knows whose they are */
        balloon->phase = phase;
    if (virtq_publish(&queue->ring))
        virtq_notify(&queue->ring);
}

/* The buffers as they were filled, for the first time or once more. */
static void lend_inflation(struct balloon *balloon)
{
    for (unsigned i = 0; i < balloon->n_buffers; i++) {
        if (!lend(balloon, &balloon->inflate, i, balloon->buffer_pages[i]))
            break;
    }
    send(balloon, &balloon->inflate, INFLATING);
}

static void grow(struct balloon *balloon, uint64_t wanted)
{
    unsigned n = 1;

    balloon->n_buffers = 0;
    while (balloon->n_buffers < buffers_of(&balloon->inflate) && wanted && n) {
        n = fill(balloon, balloon->n_buffers, wanted);
        if (n)
            balloon->buffer_pages[balloon->n_buffers++] = n;
        wanted -= n;
    }
    drop_empty_chunks(balloon);
    lend_inflation(balloon);
}

/*
 * From the top of the stack down, whole blocks of together at most `surplus`
 * pages; they leave the stack when the device has acknowledged all of them.
 */
static void shrink(struct balloon *balloon, uint64_t surplus)
{
    struct virtio_queue *queue = &balloon->deflate;
    struct chunk *chunk;
    uint64_t at;
    unsigned index = 0, n = 0;

    while (UINT64_C(1) << block_order(balloon->top->blocks[balloon->top->n - 1]) > surplus) {
        if (!split_top_block(balloon))
            return;
    }
    chunk = balloon->top;
    at = chunk->n;
    while (chunk) {
        uint64_t block = chunk->blocks[at - 1], pages = UINT64_C(1) << block_order(block);

        if (balloon->batch_pages + pages > surplus)
            break;
        if (n + pages > BUFFER_PAGES) { /* each buffer holds whole blocks */
            if (index + 1 == buffers_of(queue) || !lend(balloon, queue, index, n))
                break;
            index++;
            n = 0;
        }
        n = write_pfns(balloon->pfns[index], n, block_start(block), block_order(block));
        balloon->batch_blocks++;
        balloon->batch_pages += pages;
        if (--at == 0) {
            chunk = chunk->below;
            at = chunk ? chunk->n : 0;
        }
    }
    lend(balloon, queue, index, n);
    send(balloon, queue, DEFLATING);
}

static void write_actual(struct balloon *balloon)
{
    virtio_config_write(balloon->device, offsetof(struct virtio_balloon_config, actual),
                        (uint32_t)balloon->pages, sizeof(le32));
}

/* The batch is the balloon's, or ours again. */
static void finish_batch(struct balloon *balloon)
{
    if (balloon->phase == INFLATING) {
        balloon->pages += balloon->batch_pages;
    } else {
        balloon->pages -= balloon->batch_pages;
        while (balloon->batch_blocks--)
            free_top_block(balloon);
    }
    balloon->phase = IDLE;
    balloon->batch_pages = balloon->batch_blocks = 0;
    write_actual(balloon);
}

/* 0, or -EIO: the device lied. */
static int reap(struct balloon *balloon, struct virtio_queue *queue)
{
    struct virtq_done done[BATCH_BUFFERS];
    int n = virtq_get(&queue->ring, done, BATCH_BUFFERS);

    if (n < 0)
        return n;
    balloon->in_flight -= (unsigned)n;
    if (n && !balloon->in_flight)
        finish_batch(balloon);
    return 0;
}

/* ---- statistics, §5.5.6.3 */

#define N_STATS 8

static void fill_stats(struct virtio_balloon_stat *stat)
{
    struct page_stats pages;
    struct vmem_stats window;

    page_get_stats(&pages);
    vmem_get_stats(&window);
    const struct virtio_balloon_stat now[N_STATS] = {
        { VIRTIO_BALLOON_S_SWAP_IN, 0 },
        { VIRTIO_BALLOON_S_SWAP_OUT, 0 },
        { VIRTIO_BALLOON_S_MAJFLT, 0 },
        { VIRTIO_BALLOON_S_MINFLT, window.faults },
        { VIRTIO_BALLOON_S_MEMFREE, pages.free * PAGE_SIZE },
        { VIRTIO_BALLOON_S_MEMTOT, (pages.total - pages.ballooned) * PAGE_SIZE },
        { VIRTIO_BALLOON_S_AVAIL, page_available() * PAGE_SIZE },
        { VIRTIO_BALLOON_S_CACHES, 0 },
    };

    for (unsigned i = 0; i < N_STATS; i++)
        stat[i] = now[i];
}

/* The device keeps the buffer until it wants new numbers. */
static void send_stats(struct balloon *balloon)
{
    struct virtq *ring = &balloon->stats.ring;
    const struct virtq_elem elem = {
        .addr = dma_address(balloon->stat),
        .len = N_STATS * sizeof(*balloon->stat),
    };
    const struct virtq_buffer buffer = { .elem = &elem, .n_readable = 1, .cookie = balloon };

    fill_stats(balloon->stat);
    virtq_add(ring, &buffer, 1);
    if (virtq_publish(ring))
        virtq_notify(ring);
}

static int answer_stats(struct balloon *balloon)
{
    struct virtq_done done;
    int n = balloon->has_stats ? virtq_get(&balloon->stats.ring, &done, 1) : 0;

    if (n > 0)
        send_stats(balloon);
    return MIN(n, 0);
}

/* ---- following the host's wish */

/* 0, or -EIO: it does not settle. A device without configuration wishes nothing. */
static int read_wish(struct balloon *balloon)
{
    le32 num_pages;
    int error =
        virtio_config_read(balloon->device, offsetof(struct virtio_balloon_config, num_pages),
                           &num_pages, sizeof(num_pages));

    if (error)
        return error == -ERANGE ? 0 : error;
    balloon->wish = num_pages;
    if (mode == MODE_AUTO && balloon->target != num_pages) {
        balloon->target = num_pages;
        balloon->limited = false;
    }
    return 0;
}

/* There is nothing to give now: said once a wish, tried again when memory is free. */
static void wait_for_memory(struct balloon *balloon)
{
    uint64_t missing = balloon->target - balloon->pages;

    if (!balloon->limited)
        log_info("balloon: the host wishes %llu MiB, %llu MiB is all there is to give now",
                 (unsigned long long)(balloon->target * PAGE_SIZE / MIB),
                 (unsigned long long)(balloon->pages * PAGE_SIZE / MIB));
    balloon->limited = true;
    if (!balloon->out_of_reach)
        page_watch(MIN(missing, RETRY_PAGES), &balloon_event);
}

static void follow(struct balloon *balloon)
{
    if (balloon->pages > balloon->target)
        shrink(balloon, balloon->pages - balloon->target);
    else if (balloon->pages < balloon->target)
        grow(balloon, balloon->target - balloon->pages);
    if (balloon->phase != IDLE)
        return;
    if (balloon->pages < balloon->target)
        wait_for_memory(balloon);
    else if (balloon->pages > balloon->target)
        page_watch(1, &balloon_event); /* for the note that a block was halved */
    else
        balloon->limited = false;
}

/* ---- a device that lost its way */

static void drain(struct virtio_queue *queue)
{
    void *cookies[BATCH_BUFFERS];

    while (virtq_drain(&queue->ring, cookies, BATCH_BUFFERS) > 0)
        ;
}

/* Initialization is over, for the first time or again: what the device has to know. */
static int begin(struct balloon *balloon)
{
    int error = virtio_start(balloon->device);

    if (error)
        return error;
    write_actual(balloon);
    if (balloon->has_stats)
        send_stats(balloon);
    return read_wish(balloon);
}

/* The pages stay in the balloon, and are acknowledged on their way out, before they are used. */
static void cut_off_deflation(struct balloon *balloon)
{
    balloon->in_flight = 0;
    if (balloon->phase != DEFLATING)
        return;
    balloon->phase = IDLE;
    balloon->batch_pages = balloon->batch_blocks = 0;
}

/* Whatever the device still has is never used again. */
static void give_up(struct balloon *balloon, const char *why)
{
    balloon->dead = true;
    if (balloon->phase == INFLATING)
        balloon->pages += balloon->batch_pages;
    balloon->phase = IDLE;
    balloon->batch_pages = balloon->batch_blocks = 0;
    if (!balloon->device->failure) /* else the core has told it */
        virtio_fail(balloon->device, why);
}

static void recover(struct balloon *balloon, const char *why)
{
    bool answers;

    virtio_trouble(balloon->device, why);
    answers = virtio_reset(balloon->device) == 0;
    if (balloon->dead) /* removed meanwhile: retire() has done the rest */
        return;
    cut_off_deflation(balloon);
    if (!answers) {
        give_up(balloon, "the device does not answer a reset, what was lent to it stays lost");
        return;
    }
    drain(&balloon->inflate);
    drain(&balloon->deflate);
    if (balloon->has_stats)
        drain(&balloon->stats);
    if (!patience_lasts(&balloon->patience)) {
        give_up(balloon, "the device was reset too often");
    } else if (virtio_reinit(balloon->device) || begin(balloon)) {
        give_up(balloon, "the device did not come back after a reset");
    } else {
        log_info("balloon: reset and started again");
        if (balloon->phase == INFLATING)
            lend_inflation(balloon);
    }
}

static const char *what_is_broken(const struct balloon *balloon)
{
    const char *why = virtq_broken_reason(&balloon->inflate.ring);

    if (!why)
        why = virtq_broken_reason(&balloon->deflate.ring);
    return why ? why : virtq_broken_reason(&balloon->stats.ring);
}

/* ---- the thread */

/* Takes in what the device has to tell. NULL; or why it has to be reset. */
static const char *look(struct balloon *balloon)
{
    if (virtio_config_changed(balloon->device)) {
        const char *why = virtio_needs_reset(balloon->device);

        if (why)
            return why;
        if (read_wish(balloon))
            return "the device's configuration does not settle";
    }
    if (reap(balloon, &balloon->inflate) || reap(balloon, &balloon->deflate) ||
        answer_stats(balloon))
        return what_is_broken(balloon);
    return NULL;
}

static void work(struct balloon *balloon)
{
    const char *trouble = look(balloon);

    if (trouble)
        recover(balloon, trouble);
    if (!balloon->dead && balloon->phase == IDLE)
        follow(balloon);
}

/* true: safe to sleep, as far as this balloon goes. */
static bool arm(struct balloon *balloon)
{
    bool busy = virtq_arm(&balloon->inflate.ring, 1);

    busy |= virtq_arm(&balloon->deflate.ring, 1);
    if (balloon->has_stats)
        busy |= virtq_arm(&balloon->stats.ring, 1);
    return !busy;
}

static bool work_on_all(void)
{
    bool may_sleep = true;
    struct list *link;

    LIST_FOR_EACH (link, &balloons) {
        struct balloon *balloon = CONTAINER_OF(link, struct balloon, link);

        if (balloon->dead)
            continue;
        work(balloon);
        if (balloon->dead) /* and perhaps removed from this list */
            return false;
        may_sleep &= arm(balloon);
    }
    return may_sleep;
}

static void run(void *unused)
{
    struct rounds rounds = { 0 };

    (void)unused;
    for (;;)
        rounds_end(&rounds, &balloon_event, work_on_all());
}

void virtio_balloon_follow(void)
{
    struct list *link;

    LIST_FOR_EACH (link, &balloons) {
        struct balloon *balloon = CONTAINER_OF(link, struct balloon, link);

        balloon->target = balloon->wish;
        balloon->limited = false;
    }
    event_signal(&balloon_event);
}

/* ---- bringing it up */

static int set_up_queues(struct balloon *balloon)
{
    struct virtio_device *device = balloon->device;
    int error;

    balloon->has_stats = virtio_has(device, VIRTIO_BALLOON_F_STATS_VQ);
    error = virtio_queue_setup(device, &balloon->inflate, QUEUE_INFLATE, QUEUE_SIZE_MAX, 0,
                               &balloon_event);
    if (!error)
        error = virtio_queue_setup(device, &balloon->deflate, QUEUE_DEFLATE, QUEUE_SIZE_MAX, 0,
                                   &balloon_event);
    if (!error && balloon->has_stats)
        error = virtio_queue_setup(device, &balloon->stats, QUEUE_STATS, 1, 0, &balloon_event);
    if (error)
        return error;
    virtio_queue_ignore_lengths(&balloon->inflate); /* §5.5.6.2.1 */
    virtio_queue_ignore_lengths(&balloon->deflate);
    if (balloon->has_stats)
        virtio_queue_ignore_lengths(&balloon->stats);
    return 0;
}

static int start_thread(void)
{
    if (!thread)
        thread = thread_create("balloon", run, NULL);
    return thread ? 0 : -ENOMEM;
}

static int start(struct balloon *balloon)
{
    dma_addr_t addr;
    int error = set_up_queues(balloon);

    if (error)
        return error;
    balloon->pfns = dma_alloc(BATCH_BUFFERS * sizeof(*balloon->pfns), &addr);
    balloon->stat = kalloc(N_STATS * sizeof(*balloon->stat));
    if (!balloon->pfns || !balloon->stat)
        return -ENOMEM;
    virtio_config_watch(balloon->device, &balloon_event);
    error = start_thread();
    return error ? error : begin(balloon);
}

/*
 * Ends a device, working or half started. Once it has forgotten us, the memory
 * that it was lent is ours again, the balloon's pages too. The struct stays until
 * the next probe: the core still has the queues in it.
 */
static void retire(struct balloon *balloon)
{
    bool forgotten;

    balloon->dead = true; /* before the reset, during which others run */
    forgotten = virtio_reset(balloon->device) == 0;
    list_append(forgotten ? &retired : &lost, &balloon->link);
    if (!forgotten)
        return;
    while (balloon->top)
        free_top_block(balloon);
    if (balloon->pfns)
        dma_free(balloon->pfns, BATCH_BUFFERS * sizeof(*balloon->pfns));
    kfree(balloon->stat);
}

static void free_retired(void)
{
    struct list *link;

    while ((link = list_pop(&retired)))
        kfree(CONTAINER_OF(link, struct balloon, link));
}

static enum mode wanted_mode(void)
{
    static const char *const names[] = { "auto", "manual", "off" };
    int choice = cmdline_choice("balloon", names, ARRAY_SIZE(names));

    return choice < 0 ? MODE_AUTO : (enum mode)choice;
}

static int probe(struct virtio_device *device)
{
    struct balloon *balloon;
    int error;

    mode = wanted_mode();
    if (mode == MODE_OFF) {
        log_info("balloon: off, as the command line wants it");
        return 0;
    }
    free_retired();
    balloon = kalloc(sizeof(*balloon));
    if (!balloon)
        return -ENOMEM;
    device->driver_state = balloon;
    balloon->device = device;
    error = start(balloon);
    if (error) {
        retire(balloon);
        return error;
    }
    list_append(&balloons, &balloon->link);
    event_signal(&balloon_event);
    return 0;
}

static void remove(struct virtio_device *device)
{
    struct balloon *balloon = device->driver_state;

    if (!balloon)
        return;
    list_remove(&balloon->link);
    retire(balloon);
}

const struct virtio_driver virtio_balloon_driver LINKER_SET(virtio_drivers) = {
    .name = "virtio-balloon",
    .type = VIRTIO_ID_BALLOON,
    .features = features,
    .n_features = ARRAY_SIZE(features),
    .patient = true,
    .probe = probe,
    .remove = remove,
};

/* ---- for reports */

static void tell(struct report *report)
{
    struct list *link;
    unsigned number = 0;

    report_open_list(report, "device");
    LIST_FOR_EACH (link, &balloons) {
        const struct balloon *balloon = CONTAINER_OF(link, struct balloon, link);

        report_open_item(report, "balloon%u", number++);
        report_number(report, "wish_bytes", balloon->wish * PAGE_SIZE);
        report_number(report, "target_bytes", balloon->target * PAGE_SIZE);
        report_number(report, "actual_bytes", balloon->pages * PAGE_SIZE);
        report_number(report, "limited", balloon->limited);
        report_close(report);
    }
    report_close(report);
}

REPORTER(balloon_reporter) = { "balloon", 60, tell };
