/* SPDX-License-Identifier: MIT */
/*
 * The traditional memory balloon (§5.5). One kernel thread follows the size that
 * the host wishes, num_pages, whenever it changes: it takes the highest and
 * largest free blocks and lends their pages to the host, or takes them back in
 * the opposite order. It works in batches of up to 32 MiB, one notification and
 * one interrupt each, and looks at the newest wish before every batch, so a storm
 * of wishes costs no more than the last one.
 *
 * A page is ours again when the device has been told; with MUST_TELL_HOST, when it
 * has acknowledged it. The next batch waits for that in any case. When the guest has
 * no more to give, the balloon stays as large as it could get and goes on when memory
 * becomes free.
 *
 * A device that has to be reset may or may not have seen the batch under way. An
 * inflation is repeated: the host gets what it was promised, and pages that it
 * took already are still untouched. So is a deflation whose pages are in use again.
 * With MUST_TELL_HOST it is cut off: its pages stay in the balloon, until they are
 * given back anew.
 *
 * Pages in the balloon are never touched: which ones they are is kept in a
 * stack of blocks beside them, 8 bytes a block of up to 2 MiB.
 *
 * Concurrency: the balloon thread; probe and remove in other kernel threads, between its waits.
 */
#include "drivers/virtio/spec/balloon.h"
#include "drivers/virtio/balloon_blocks.h"
#include "drivers/virtio/balloon_hint.h"
#include "drivers/virtio/balloon_report.h"
#include "drivers/virtio/device.h"
#include "drivers/virtio/spec/ids.h"
#include "kernel/alloc.h"
#include "kernel/clock.h"
#include "kernel/cmdline.h"
#include "kernel/dma.h"
#include "kernel/footprint.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/page_audit.h"
#include "kernel/patience.h"
#include "kernel/pressure.h"
#include "kernel/report.h"
#include "kernel/rounds.h"
#include "kernel/thread.h"
#include "kernel/timer.h"
#include "kernel/vmem.h"
#include "lib/base/errno.h"

#define QUEUE_INFLATE 0 /* §5.5.2 */
#define QUEUE_DEFLATE 1 /* those behind it are numbered as far as they were negotiated */

/*
 * A buffer is as large as Linux makes it: there are devices that pass over a larger one.
 * The page numbers of a batch take 1/1024 of its own size: where there is little memory
 * the batch is smaller, 1/8 of memory.
 */
#define BUFFER_PAGES   256
#define BATCH_BUFFERS  32
#define QUEUE_SIZE_MAX BATCH_BUFFERS
#define BLOCK_ORDER    PAGE_ORDER_2M      /* the largest block */
#define POISON_ON      0xaa               /* `poison=on`: each byte of what is free */
#define HOLD_NS        (2 * NSEC_PER_SEC) /* before memory that was needed is taken again */
#define KEEP_MAX_NS    NSEC_PER_SEC       /* how long the device may keep memory that is needed */
#define ANSWER_NS      (5 * NSEC_PER_SEC) /* and a batch before that is told */
#define RETRY_PAGES                                                              \
    256 /* as many must have become free before a balloon that got stuck goes on \
         */

/*
 * After so many rounds without a pause the thread makes one: a device that wants
 * something all the time does not keep the CPU from the application. Any wait
 * that long is a pause.
 */

_Static_assert(PAGE_SHIFT == VIRTIO_BALLOON_PFN_SHIFT, "pages are the balloon's pages");

enum mode { MODE_AUTO, MODE_FOLLOW, MODE_OFF };

enum phase { IDLE, INFLATING, DEFLATING };

struct balloon {
    struct list link; /* in balloons, retired or lost */
    struct virtio_device *device;
    struct virtio_queue inflate, deflate, stats;
    bool has_stats, dead;
    bool limited;             /* the last try to grow got nothing; told once a wish */
    bool out_of_reach;        /* what is free has no page number of 32 bits: no use in waiting */
    struct patience patience; /* with resets */
    uint64_t target;          /* pages, as the host wishes ... */
    uint64_t ceiling;         /* ... but for what was taken back because memory was short */
    uint64_t full;            /* pages, when that began */
    uint64_t hold_end_ns;     /* not before then does the wish count again */
    struct timer hold;
    struct balloon_hint *hint;        /* NULL: not negotiated */
    struct balloon_report *report;    /* NULL: not negotiated, or another device does it */
    uint64_t pages;                   /* in the balloon, acknowledged */
    struct block_stack blocks;        /* those of the batch among them */
    enum phase phase;                 /* what the batch under way does */
    unsigned in_flight;               /* its buffers that have not come back */
    struct timer late;                /* until it has been with the device for long ... */
    bool is_late;                     /* ... and now it has */
    uint64_t batch_pages;             /* its pages */
    uint64_t batch_blocks;            /* its blocks, the topmost of the stack; 0: free again */
    uint64_t batch_max;               /* the most pages of a batch */
    le32 *pfns;                       /* those of the batch; read by the device */
    struct virtio_balloon_stat *stat; /* read by the device */
};

static const struct virtio_feature features[] = {
    VIRTIO_FEATURE(VIRTIO_BALLOON_F_MUST_TELL_HOST),
    VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ),
    VIRTIO_FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM),
    VIRTIO_FEATURE(VIRTIO_BALLOON_F_FREE_PAGE_HINT),
    VIRTIO_FEATURE(VIRTIO_BALLOON_F_PAGE_POISON),
    VIRTIO_FEATURE(VIRTIO_BALLOON_F_PAGE_REPORTING),
};

static struct list balloons = LIST_INIT(balloons);
static struct list retired = LIST_INIT(retired);
static struct list lost = LIST_INIT(lost); /* as what was lent to them: no reset ended */
static struct event balloon_event = EVENT_INIT(balloon_event); /* whatever may need work */
static struct thread *thread;
static uint8_t poison;           /* what free memory is filled with, with PAGE_POISON */
static uint64_t needed;          /* pages that the guest lacks ... */
static uint64_t needed_since_ns; /* ... from then on */

/* The topmost block goes back to the page allocator. */
static void free_top_block(struct balloon *balloon)
{
    uint64_t block = block_pop(&balloon->blocks);

    page_free_top(block_start(block), block_order(block));
}

/* ---- batches */

/* A block more, of those that the stack has. */
static void write_pfns(struct balloon *balloon, phys_addr_t start, unsigned order)
{
    le32 *to = &balloon->pfns[balloon->batch_pages];
    uint32_t pfn = (uint32_t)(start >> PAGE_SHIFT);

    for (unsigned i = 0; i < 1u << order; i++)
        to[i] = pfn + i;
    balloon->batch_blocks++;
    balloon->batch_pages += UINT64_C(1) << order;
}

/* The batch as it was made, for the first time or once more. false: the ring is broken. */
static bool lend(struct balloon *balloon, enum phase phase)
{
    struct virtio_queue *queue = phase == INFLATING ? &balloon->inflate : &balloon->deflate;
    uint64_t at = 0;

    while (at < balloon->batch_pages) {
        uint64_t n = MIN(balloon->batch_pages - at, BUFFER_PAGES);
        const struct virtq_elem elem = {
            .addr = dma_address(&balloon->pfns[at]),
            .len = (uint32_t)(n * sizeof(le32)),
        };
        const struct virtq_buffer buffer = { .elem = &elem, .n_readable = 1, .cookie = balloon };

        if (virtq_add(&queue->ring, &buffer, 1) != 1)
            break;
        balloon->in_flight++;
        at += n;
    }
    if (balloon->batch_pages) { /* also if the ring broke: recover() then knows whose they are */
        balloon->phase = phase;
        timer_start(&balloon->late, clock_monotonic_ns() + ANSWER_NS);
    }
    if (virtq_publish(&queue->ring))
        virtq_notify(&queue->ring);
    return at == balloon->batch_pages && !virtq_broken_reason(&queue->ring);
}

static unsigned order_within(uint64_t pages)
{
    return 63 - (unsigned)__builtin_clzll(pages);
}

/* A free block of at most so many pages onto the stack: its address. 0: there is none to give. */
static phys_addr_t take_block(struct balloon *balloon, uint64_t pages, unsigned *order)
{
    phys_addr_t start;

    if (!block_make_room(&balloon->blocks))
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
    block_push(&balloon->blocks, start, *order);
    return start;
}

static void grow(struct balloon *balloon, uint64_t wanted)
{
    unsigned order;

    wanted = MIN(wanted, balloon->batch_max);
    while (balloon->batch_pages < wanted) {
        phys_addr_t start = take_block(balloon, wanted - balloon->batch_pages, &order);

        if (!start)
            break;
        write_pfns(balloon, start, order);
    }
    block_drop_room(&balloon->blocks);
    lend(balloon, INFLATING);
}

/* So many pages are the guest's again, of those that it lacked. */
static void came_back(uint64_t pages)
{
    needed -= MIN(needed, pages);
    pressure_given();
}

/* A deflation's memory is free again. */
static void free_batch(struct balloon *balloon)
{
    balloon->pages -= balloon->batch_pages;
    for (; balloon->batch_blocks; balloon->batch_blocks--)
        free_top_block(balloon);
    came_back(balloon->batch_pages);
}

/* From the top of the stack down, whole blocks of together at most `surplus` pages. */
static void shrink(struct balloon *balloon, uint64_t surplus)
{
    struct block_chunk *chunk;
    uint64_t at;

    surplus = MIN(surplus, balloon->batch_max);
    while (UINT64_C(1) << block_order(block_top(&balloon->blocks)) > surplus) {
        if (!block_split_top(&balloon->blocks))
            return;
    }
    chunk = balloon->blocks.top;
    at = chunk->n;
    while (chunk) {
        uint64_t block = chunk->blocks[at - 1];

        if (balloon->batch_pages + (UINT64_C(1) << block_order(block)) > surplus)
            break;
        write_pfns(balloon, block_start(block), block_order(block));
        if (--at == 0) {
            chunk = chunk->below;
            at = chunk ? chunk->n : 0;
        }
    }
    if (lend(balloon, DEFLATING) && !virtio_has(balloon->device, VIRTIO_BALLOON_F_MUST_TELL_HOST))
        free_batch(balloon);
}

static void write_actual(struct balloon *balloon)
{
    virtio_config_write(balloon->device, offsetof(struct virtio_balloon_config, actual),
                        (uint32_t)balloon->pages, sizeof(le32));
}

static void end_batch(struct balloon *balloon)
{
    timer_cancel(&balloon->late);
    balloon->is_late = false;
    balloon->phase = IDLE;
    balloon->batch_pages = balloon->batch_blocks = 0;
}

static void batch_is_late(struct timer *timer)
{
    CONTAINER_OF(timer, struct balloon, late)->is_late = true;
    event_signal(&balloon_event);
}

/* Nothing else waits for it, and it may answer yet. */
static void tell_of_late_batch(struct balloon *balloon)
{
    balloon->is_late = false;
    log_error("balloon: no answer from the device for %u s about %llu KiB",
              (unsigned)(ANSWER_NS / NSEC_PER_SEC),
              (unsigned long long)(balloon->batch_pages * PAGE_SIZE / KIB));
}

/* The batch is the balloon's, or ours again. */
static void finish_batch(struct balloon *balloon)
{
    if (balloon->phase == INFLATING)
        balloon->pages += balloon->batch_pages;
    else if (balloon->batch_blocks)
        free_batch(balloon);
    end_batch(balloon);
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

/* Not in the standard yet; hosts that do not know them pass them over. */
#define STAT_OOM_KILL    10 /* programs ended for want of memory */
#define STAT_ALLOC_STALL 11 /* allocations that had to wait */

/* A buffer is to be a multiple of 6 bytes (§5.5.6.3.1), and an entry has 10. */
#define N_STATS 12

_Static_assert(N_STATS * sizeof(struct virtio_balloon_stat) % 6 == 0, "of 6 bytes as well");

static void fill_stats(struct virtio_balloon_stat *stat)
{
    struct page_stats pages;
    struct vmem_stats window;

    uint64_t told; /* free, but for the host's knowing */

    page_get_stats(&pages);
    vmem_get_stats(&window);
    told = pages.hinted + pages.reporting;
    const struct virtio_balloon_stat now[N_STATS] = {
        { VIRTIO_BALLOON_S_SWAP_IN, 0 },
        { VIRTIO_BALLOON_S_SWAP_OUT, 0 },
        { VIRTIO_BALLOON_S_MAJFLT, 0 },
        { VIRTIO_BALLOON_S_MINFLT, window.faults },
        { VIRTIO_BALLOON_S_MEMFREE, (pages.free + told) * PAGE_SIZE },
        { VIRTIO_BALLOON_S_MEMTOT, (pages.total - pages.ballooned) * PAGE_SIZE },
        { VIRTIO_BALLOON_S_AVAIL, (page_available() + told) * PAGE_SIZE },
        { VIRTIO_BALLOON_S_CACHES, pressure_count_caches ? pressure_count_caches() : 0 },
        { VIRTIO_BALLOON_S_HTLB_PGALLOC, window.large },
        { VIRTIO_BALLOON_S_HTLB_PGFAIL, window.large_refused },
        { STAT_OOM_KILL, 0 }, /* who gets none is told so */
        { STAT_ALLOC_STALL, pressure_stalls() },
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

/* One of perhaps several balloons has changed its mind. */
static void tell_wish(uint64_t pages, uint64_t before)
{
    pressure_tell_wish(pressure_wish() + pages - before);
}

/* 0, or -EIO: it does not settle. A device without configuration wishes nothing. */
static int read_wish(struct balloon *balloon)
{
    le32 num_pages;
    int error =
        virtio_config_read(balloon->device, offsetof(struct virtio_balloon_config, num_pages),
                           &num_pages, sizeof(num_pages));

    if (error)
        return error == -ERANGE ? 0 : error;
    if (balloon->target != num_pages) {
        tell_wish(num_pages, balloon->target);
        balloon->target = num_pages;
        balloon->ceiling = UINT64_MAX;
        balloon->limited = false;
    }
    return 0;
}

/* Pages wished for, less what the guest cannot do without (§5.5.6: DEFLATE_ON_OOM). */
static uint64_t target_now(struct balloon *balloon)
{
    if (needed && virtio_has(balloon->device, VIRTIO_BALLOON_F_DEFLATE_ON_OOM)) {
        if (balloon->ceiling == UINT64_MAX)
            balloon->full = balloon->pages;
        balloon->ceiling = balloon->pages - MIN(balloon->pages, needed);
        balloon->hold_end_ns = clock_monotonic_ns() + HOLD_NS;
    }
    return MIN(balloon->target, balloon->ceiling);
}

/* What was taken back is free again, and has not been wanted for a while. */
static bool is_relaxed(const struct balloon *balloon)
{
    return !needed && clock_monotonic_ns() >= balloon->hold_end_ns &&
           !page_missing(balloon->full - balloon->pages);
}

static void wait_below_ceiling(struct balloon *balloon)
{
    if (clock_monotonic_ns() < balloon->hold_end_ns)
        timer_start(&balloon->hold, balloon->hold_end_ns);
    else
        page_watch(balloon->full - balloon->pages, &balloon_event);
}

static void hold_is_over(struct timer *timer)
{
    (void)timer;
    event_signal(&balloon_event);
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
    uint64_t target;

    if (balloon->ceiling < balloon->target && is_relaxed(balloon))
        balloon->ceiling = UINT64_MAX;
    target = target_now(balloon);
    if (balloon->pages > target)
        shrink(balloon, balloon->pages - target);
    else if (balloon->pages < target)
        grow(balloon, target - balloon->pages);
    if (balloon->phase != IDLE)
        return;
    if (balloon->pages < target)
        wait_for_memory(balloon);
    else if (balloon->pages < balloon->target)
        wait_below_ceiling(balloon);
    else if (balloon->pages > target)
        page_watch(1, &balloon_event); /* for the note that a block was halved */
    else
        balloon->limited = false;
}

/* ---- a device that lost its way */

/* 0, or -EIO: it does not settle. */
static int read_config(struct balloon *balloon)
{
    int error = read_wish(balloon);

    return error || !balloon->hint ? error : balloon_hint_read(balloon->hint);
}

static void drain(struct virtio_queue *queue)
{
    void *cookies[BATCH_BUFFERS];

    while (virtq_drain(&queue->ring, cookies, BATCH_BUFFERS) > 0)
        ;
}

static void drain_all(struct balloon *balloon)
{
    drain(&balloon->inflate);
    drain(&balloon->deflate);
    if (balloon->has_stats)
        drain(&balloon->stats);
    if (balloon->hint) {
        drain(&balloon->hint->queue);
        balloon_hint_cut_off(balloon->hint);
    }
    if (balloon->report) {
        drain(&balloon->report->queue);
        balloon_report_cut_off(balloon->report);
    }
}

/* Initialization is over, for the first time or again: what the device has to know. */
static int begin(struct balloon *balloon)
{
    int error;

    if (virtio_has(balloon->device, VIRTIO_BALLOON_F_PAGE_POISON))
        virtio_config_write(balloon->device, offsetof(struct virtio_balloon_config, poison_val),
                            poison * UINT32_C(0x01010101), sizeof(le32));
    error = virtio_start(balloon->device);
    if (error)
        return error;
    write_actual(balloon);
    if (balloon->has_stats)
        send_stats(balloon);
    if (balloon->report)
        balloon_report_begin(balloon->report);
    return read_config(balloon);
}

/* Pages that are not in use again stay in the balloon. */
static void cut_off_deflation(struct balloon *balloon)
{
    balloon->in_flight = 0;
    if (balloon->phase == DEFLATING && balloon->batch_blocks)
        end_batch(balloon);
}

/* Whatever the device still has is never used again. */
static void give_up(struct balloon *balloon, const char *why)
{
    balloon->dead = true;
    timer_cancel(&balloon->hold);
    if (balloon->report)
        balloon_report_end(balloon->report);
    if (balloon->phase == INFLATING)
        balloon->pages += balloon->batch_pages;
    end_batch(balloon);
    if (!balloon->device->failure) /* else the core has told it */
        virtio_fail(balloon->device, why);
}

/* It has forgotten everything, but is of no more use. */
static void let_go(struct balloon *balloon, const char *why)
{
    if (balloon->hint)
        balloon_hint_release(balloon->hint);
    give_up(balloon, why);
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
    drain_all(balloon);
    if (!patience_lasts(&balloon->patience)) {
        let_go(balloon, "the device was reset too often");
    } else if (virtio_reinit(balloon->device) || begin(balloon)) {
        let_go(balloon, "the device did not come back after a reset");
    } else {
        log_info("balloon: reset and started again");
        if (balloon->phase != IDLE)
            lend(balloon, balloon->phase);
    }
}

static const char *what_is_broken(const struct balloon *balloon)
{
    const char *why = virtq_broken_reason(&balloon->inflate.ring);

    if (!why)
        why = virtq_broken_reason(&balloon->deflate.ring);
    if (!why && balloon->hint)
        why = virtq_broken_reason(&balloon->hint->queue.ring);
    if (!why && balloon->report)
        why = virtq_broken_reason(&balloon->report->queue.ring);
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
        if (read_config(balloon))
            return "the device's configuration does not settle";
    }
    if (reap(balloon, &balloon->inflate) || reap(balloon, &balloon->deflate) ||
        answer_stats(balloon))
        return what_is_broken(balloon);
    return NULL;
}

/* The device has free memory that it was only to be told of. */
static bool keeps_memory(const struct balloon *balloon)
{
    return (balloon->hint && balloon->hint->in_flight) || (balloon->report && balloon->report->n);
}

/* Hints and reports. NULL; or why the device has to be reset. *again: there is more to do. */
static const char *tell_of_free_memory(struct balloon *balloon, bool *again)
{
    bool had = keeps_memory(balloon);
    uint64_t gave = 0;

    if ((balloon->hint && balloon_hint_work(balloon->hint, needed, &gave, again)) ||
        (balloon->report && balloon_report_work(balloon->report, needed != 0)))
        return what_is_broken(balloon);
    if (gave || (had && !keeps_memory(balloon)))
        came_back(gave);
    if (needed && keeps_memory(balloon) && clock_monotonic_ns() - needed_since_ns > KEEP_MAX_NS)
        return "the device keeps free memory that is needed";
    return NULL;
}

/* true: there is more to do. */
static bool work(struct balloon *balloon)
{
    const char *trouble = look(balloon);
    bool again = false;

    if (!trouble && (balloon->hint || balloon->report))
        trouble = tell_of_free_memory(balloon, &again);
    if (trouble)
        recover(balloon, trouble);
    if (balloon->is_late)
        tell_of_late_batch(balloon);
    if (!balloon->dead && balloon->phase == IDLE)
        follow(balloon);
    return again;
}

/* true: safe to sleep, as far as this balloon goes. */
static bool arm(struct balloon *balloon)
{
    uint16_t whole = (uint16_t)MAX(balloon->in_flight, 1); /* a part of a batch is of no use */
    bool busy = virtq_arm(&balloon->inflate.ring, whole);

    busy |= virtq_arm(&balloon->deflate.ring, whole);
    if (balloon->has_stats)
        busy |= virtq_arm(&balloon->stats.ring, 1);
    if (balloon->hint)
        busy |= virtq_arm(&balloon->hint->queue.ring, 1);
    if (balloon->report)
        busy |= virtq_arm(&balloon->report->queue.ring, 1);
    return !busy;
}

static bool work_on_all(void)
{
    bool may_sleep = true;
    struct list *link;

    pressure_keep_reserve(&balloon_event);
    LIST_FOR_EACH (link, &balloons) {
        struct balloon *balloon = CONTAINER_OF(link, struct balloon, link);

        if (balloon->dead)
            continue;
        may_sleep &= !work(balloon);
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

/* Pages that can be had back: see kernel/pressure.h. */
static uint64_t lent(const struct balloon *balloon)
{
    uint64_t pages = 0;

    if (balloon->dead)
        return 0;
    if (virtio_has(balloon->device, VIRTIO_BALLOON_F_DEFLATE_ON_OOM))
        pages = balloon->pages + (balloon->phase == INFLATING ? balloon->batch_pages : 0);
    if (balloon->hint)
        pages += balloon->hint->pages;
    if (balloon->report)
        pages += balloon_report_pages(balloon->report);
    return pages;
}

static bool give(uint64_t pages)
{
    struct list *link;
    uint64_t can = 0;

    LIST_FOR_EACH (link, &balloons)
        can += lent(CONTAINER_OF(link, struct balloon, link));
    if (can < pages)
        return false;
    if (pages && !needed)
        needed_since_ns = clock_monotonic_ns();
    needed = pages;
    if (needed)
        event_signal(&balloon_event);
    return needed != 0;
}

/* ---- bringing it up */

/*
 * Queues are numbered as the features were negotiated (§5.5.2). All that add one are
 * accepted where they are offered, so that both ways to count agree.
 */
static int set_up_more_queues(struct balloon *balloon, uint16_t index)
{
    struct virtio_device *device = balloon->device;
    int error = 0;

    if (balloon->hint)
        error = balloon_hint_init(balloon->hint, device, index++, &balloon_event);
    if (!error && balloon->report)
        error = balloon_report_init(balloon->report, device, index, &balloon_event);
    return error;
}

static int set_up_queues(struct balloon *balloon)
{
    struct virtio_device *device = balloon->device;
    uint16_t index = QUEUE_DEFLATE + 1;
    int error;

    balloon->has_stats = virtio_has(device, VIRTIO_BALLOON_F_STATS_VQ);
    error = virtio_queue_setup(device, &balloon->inflate, QUEUE_INFLATE, QUEUE_SIZE_MAX, 0,
                               &balloon_event);
    if (!error)
        error = virtio_queue_setup(device, &balloon->deflate, QUEUE_DEFLATE, QUEUE_SIZE_MAX, 0,
                                   &balloon_event);
    if (!error && balloon->has_stats)
        error = virtio_queue_setup(device, &balloon->stats, index++, 1, 0, &balloon_event);
    if (!error)
        error = set_up_more_queues(balloon, index);
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

static uint64_t choose_batch(const struct balloon *balloon)
{
    unsigned size = MIN(balloon->inflate.ring.size, balloon->deflate.ring.size);
    struct page_stats pages;

    page_get_stats(&pages);
    return BUFFER_PAGES * MIN(MIN(size, BATCH_BUFFERS), MAX(pages.total / 8 / BUFFER_PAGES, 1));
}

/* Those that hold a batch's page numbers. */
static uint64_t pfn_pages(const struct balloon *balloon)
{
    return ALIGN_UP(balloon->batch_max * sizeof(le32), PAGE_SIZE) / PAGE_SIZE;
}

static int start(struct balloon *balloon)
{
    int error = set_up_queues(balloon);

    if (error)
        return error;
    balloon->batch_max = choose_batch(balloon);
    balloon->pfns = (le32 *)page_alloc_run(pfn_pages(balloon)); /* cleared by nobody */
    balloon->stat = kalloc(N_STATS * sizeof(*balloon->stat));
    if (!balloon->pfns || !balloon->stat)
        return -ENOMEM;
    if (virtio_has(balloon->device, VIRTIO_BALLOON_F_PAGE_POISON))
        page_poison_with(poison);
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
    timer_cancel(&balloon->hold);
    timer_cancel(&balloon->late);
    if (balloon->report)
        balloon_report_end(balloon->report);
    list_append(&lost, &balloon->link);
    forgotten = virtio_reset(balloon->device) == 0;
    if (!forgotten)
        return;
    list_remove(&balloon->link);
    list_append(&retired, &balloon->link);
    while (balloon->blocks.top)
        free_top_block(balloon);
    if (balloon->hint)
        balloon_hint_free(balloon->hint);
    if (balloon->report)
        balloon_report_cut_off(balloon->report);
    if (balloon->pfns)
        page_free_run((uintptr_t)balloon->pfns, pfn_pages(balloon));
    kfree(balloon->stat);
}

static void free_retired(void)
{
    struct list *link;

    while ((link = list_pop(&retired)))
        kfree(CONTAINER_OF(link, struct balloon, link));
}

/* In one piece with what its features need. NULL: no memory. */
static struct balloon *new_balloon(struct virtio_device *device)
{
    bool hints = virtio_has(device, VIRTIO_BALLOON_F_FREE_PAGE_HINT);
    bool reports = virtio_has(device, VIRTIO_BALLOON_F_PAGE_REPORTING) && balloon_report_wanted();
    struct balloon *balloon = kalloc(sizeof(*balloon) + (hints ? sizeof(struct balloon_hint) : 0) +
                                     (reports ? sizeof(struct balloon_report) : 0));
    void *behind;

    if (!balloon)
        return NULL;
    behind = balloon + 1;
    balloon->hint = hints ? behind : NULL;
    balloon->report = reports ? (void *)((struct balloon_hint *)behind + hints) : NULL;
    balloon->device = device;
    balloon->ceiling = UINT64_MAX;
    timer_init(&balloon->hold, hold_is_over);
    timer_init(&balloon->late, batch_is_late);
    return balloon;
}

static enum mode wanted_mode(void)
{
    static const char *const names[] = { "auto", "follow", "off" };
    int choice = cmdline_choice("balloon", names, ARRAY_SIZE(names));

    return choice < 0 ? MODE_AUTO : (enum mode)choice;
}

/*
 * PAGE_POISON promises that free memory is filled, so it is accepted only where it is.
 * Without it nobody relies on what free memory holds.
 */
static bool refuses(unsigned bit)
{
    static const char *const names[] = { "off", "on", "zero" };
    static const uint8_t bytes[] = { 0, POISON_ON, 0 };
    int choice;

    if (bit != VIRTIO_BALLOON_F_PAGE_POISON)
        return false;
    choice = cmdline_choice("poison", names, ARRAY_SIZE(names));
    if (choice <= 0)
        return true;
    poison = bytes[choice];
    return false;
}

static int probe(struct virtio_device *device)
{
    enum mode mode = wanted_mode();
    struct balloon *balloon;
    int error;

    if (mode == MODE_OFF) {
        log_info("balloon: off, as the command line wants it");
        return 0;
    }
    free_retired();
    balloon = new_balloon(device);
    if (!balloon)
        return -ENOMEM;
    device->driver_state = balloon;
    pressure_ask(give);
    error = start(balloon);
    if (error) {
        retire(balloon);
        return error;
    }
    list_append(&balloons, &balloon->link);
    event_signal(&balloon_event);
    if (mode == MODE_AUTO && balloon->report && footprint_start())
        log_error("balloon: no memory to look after the footprint");
    return 0;
}

static void remove(struct virtio_device *device)
{
    struct balloon *balloon = device->driver_state;

    if (!balloon)
        return;
    tell_wish(0, balloon->target);
    list_remove(&balloon->link);
    retire(balloon);
}

const struct virtio_driver virtio_balloon_driver LINKER_SET(virtio_drivers) = {
    .name = "virtio-balloon",
    .type = VIRTIO_ID_BALLOON,
    .features = features,
    .n_features = ARRAY_SIZE(features),
    .refuses = refuses,
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
        report_number(report, "wish_bytes", balloon->target * PAGE_SIZE);
        report_number(report, "actual_bytes", balloon->pages * PAGE_SIZE);
        report_number(report, "limited", balloon->limited);
        if (balloon->hint)
            report_number(report, "hinted_bytes", balloon->hint->pages * PAGE_SIZE);
        if (balloon->report)
            report_number(report, "reports_bytes", balloon->report->reported * PAGE_SIZE);
        report_close(report);
    }
    report_close(report);
}

REPORTER(balloon_reporter) = { "balloon", 60, tell };

/* ---- for the audit */

static void tell_blocks(const struct block_stack *stack, enum page_place place, page_visitor *visit)
{
    for (const struct block_chunk *chunk = stack->top; chunk; chunk = chunk->below) {
        for (unsigned i = 0; i < chunk->n; i++)
            visit(place, block_start(chunk->blocks[i]),
                  UINT64_C(1) << block_order(chunk->blocks[i]));
    }
}

static void tell_pages_of(const struct list *all, page_visitor *visit)
{
    const struct list *link;

    LIST_FOR_EACH (link, all) {
        const struct balloon *balloon = CONTAINER_OF(link, struct balloon, link);
        const struct balloon_report *report = balloon->report;

        tell_blocks(&balloon->blocks, PAGE_BALLOONED, visit);
        if (balloon->hint)
            tell_blocks(&balloon->hint->held, PAGE_HINTED, visit);
        for (unsigned i = 0; report && i < report->n; i++)
            visit(PAGE_REPORTING, report->blocks[i].start, UINT64_C(1) << report->blocks[i].order);
    }
}

static void tell_pages(page_visitor *visit)
{
    tell_pages_of(&balloons, visit);
    tell_pages_of(&lost, visit);
}

PAGE_HOLDER(ballooned_pages) = { .tell = tell_pages };
