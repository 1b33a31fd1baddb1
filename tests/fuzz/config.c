/* SPDX-License-Identifier: MIT */
/*
 * A network card, a disk or a balloon whose configuration space, features and
 * queue sizes are the input's, and which changes them, asks for resets, answers
 * late, never or wrongly while its driver works. After it was removed nothing
 * of it may be left, and all that clients gave has come back.
 */
#include "drivers/virtio/spec/blk.h"
#include "drivers/virtio/spec/ids.h"
#include "kernel/blkdev.h"
#include "kernel/clock.h"
#include "kernel/footprint.h"
#include "kernel/irq.h"
#include "kernel/netdev.h"
#include "kernel/page.h"
#include "kernel/timer.h"
#include "kernel/vmem.h"
#include "lib/base/errno.h"
#include "tests/fuzz/disks.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/memory.h"
#include "tests/host/alloc.h"
#include "tests/host/clock.h"
#include "tests/host/driver_thread.h"
#include "tests/host/event.h"
#include "tests/host/fake_transport.h"
#include "tests/host/irq.h"
#include "tests/host/log.h"

#define STEPS_MAX    512
#define CONFIG_BYTES 64
#define QUEUES       5
#define SIZES        3 /* of queues in a script; those behind have the last one */
#define REQUESTS     16
#define SECTOR_LIMIT 64
#define FRAMES       12
#define FRAME_ROOM   1600
#define PLACES_MAX   64
#define PAGES        2048
#define CHUNKS_MAX   16
#define IDLE_ROUNDS  8
#define ROUND_NS     (2 * NSEC_PER_MSEC)

enum {
    NOT_MODERN = 1,
    SERVES_KICKS = 2, /* as soon as it is notified, rightly */
    POLLED = 4,
    HIGH_MEMORY = 8, /* where a balloon's page numbers do not reach */
    REFUSES_FEATURES = 16,
    NEVER_SETTLES = 32,
    NO_RESET = 64,
    MEMORY_ENDS = 128, /* allocations fail after a while */
};

/* How an input begins; tests/fuzz/make-seeds knows it too. */
struct script {
    uint8_t type, flags, n_vectors, refused_from, reset_polls, unsettled, config_bytes, allocs;
    uint16_t queue_size[SIZES];
    uint32_t features[VIRTIO_FEATURE_WORDS];
    uint8_t config[CONFIG_BYTES];
} __attribute__((packed));

static struct script script;
static struct fake_transport fake;
static bool lied; /* in its rings, when it had been reset so often: */
static unsigned resets_at_lie;
static bool was_stuck;
static bool was_added;

/* Of the device; a balloon has most of them. */
static unsigned queues(void)
{
    return fake.device.type == VIRTIO_ID_BALLOON ? QUEUES : SIZES;
}

/* ---- pages for the balloon: they exist by their numbers only, and are never to be touched */

static uint8_t page_taken[PAGES];
static unsigned pages_taken;
static void *chunks[CHUNKS_MAX]; /* memory for the driver's own use */
static unsigned n_chunks;
static struct event *page_watcher;

static phys_addr_t pages_start(void)
{
    return script.flags & HIGH_MEMORY ? UINT64_C(1) << 45 : UINT64_C(1) << 33;
}

static bool is_free_run(unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++)
        if (page_taken[i])
            return false;
    return true;
}

static void mark(unsigned first, unsigned n, bool taken)
{
    memset(page_taken + first, taken, n);
    pages_taken += taken ? n : -n;
}

phys_addr_t page_alloc_top(unsigned max_order, unsigned *order)
{
    for (*order = max_order; pages_taken < PAGES; (*order)--) {
        unsigned n = 1u << *order;

        for (unsigned first = PAGES - n; first < PAGES; first -= n) {
            if (is_free_run(first, n)) {
                mark(first, n, true);
                return pages_start() + first * PAGE_SIZE;
            }
        }
        if (*order == 0)
            break;
    }
    return 0;
}

void page_free_top(phys_addr_t start, unsigned order)
{
    uint64_t first = (start - pages_start()) / PAGE_SIZE;

    expect(order <= PAGE_ORDER_2M && first <= PAGES - (1u << order),
           "pages come back that were taken");
    for (uint64_t i = first; i < first + (1u << order); i++)
        expect(page_taken[i], "a page comes back once");
    mark((unsigned)first, 1u << order, false);
}

phys_addr_t page_alloc_run(uint64_t pages)
{
    if (!host_alloc_allowed() || n_chunks == CHUNKS_MAX)
        return 0;
    chunks[n_chunks] = aligned_alloc(PAGE_SIZE, pages * PAGE_SIZE);
    return (uintptr_t)chunks[n_chunks++];
}

void page_free_run(phys_addr_t start, uint64_t pages)
{
    unsigned i = 0;

    (void)pages;
    while (i < n_chunks && (uintptr_t)chunks[i] != start)
        i++;
    expect(i < n_chunks, "a chunk comes back once");
    free(chunks[i]);
    chunks[i] = chunks[--n_chunks];
}

phys_addr_t page_alloc(unsigned order)
{
    expect(order == 0, "a chunk is a page");
    return page_alloc_run(1);
}

void page_free(phys_addr_t start, unsigned order)
{
    expect(order == 0, "a chunk is a page");
    page_free_run(start, 1);
}

void page_watch(uint64_t pages, struct event *event)
{
    expect(pages > 0, "somebody waits for a page at least");
    page_watcher = event;
}

void page_get_stats(struct page_stats *stats)
{
    *stats = (struct page_stats){ .total = PAGES, .free = PAGES - pages_taken };
}

uint64_t page_available(void)
{
    return PAGES - pages_taken;
}

/* ---- a few blocks that are hinted and reported: these are real, and may be written over */

#define FREE_BLOCKS 4
#define FREE_BYTES  PAGE_BYTES(PAGE_ORDER_2M)

enum free_block { BLOCK_FREE, BLOCK_REPORTED, BLOCK_HINTED, BLOCK_REPORTING };

static uint8_t free_memory[FREE_BLOCKS][FREE_BYTES] __attribute__((aligned(FREE_BYTES)));
static enum free_block free_blocks[FREE_BLOCKS];
static struct event *reporter;

static phys_addr_t take_free_block(enum free_block from, enum free_block to)
{
    for (unsigned i = 0; i < FREE_BLOCKS; i++) {
        if (free_blocks[i] == from) {
            free_blocks[i] = to;
            return (uintptr_t)free_memory[i];
        }
    }
    return 0;
}

static void put_free_block(phys_addr_t start, enum free_block from, enum free_block to)
{
    uint64_t i = (start - (uintptr_t)free_memory) / FREE_BYTES;

    expect(i < FREE_BLOCKS && free_blocks[i] == from, "a block comes back once");
    free_blocks[i] = to;
}

phys_addr_t page_alloc_hint(unsigned max_order, unsigned *order)
{
    expect(max_order >= PAGE_ORDER_2M, "whole units are hinted");
    *order = PAGE_ORDER_2M;
    return take_free_block(BLOCK_FREE, BLOCK_HINTED);
}

void page_free_hint(phys_addr_t start, unsigned order)
{
    expect(order == PAGE_ORDER_2M, "as it was taken");
    put_free_block(start, BLOCK_HINTED, BLOCK_FREE);
}

void page_report_to(struct event *event, unsigned min_order)
{
    expect(!event || min_order == PAGE_ORDER_2M, "from 2 MiB on");
    expect(!event || !reporter, "one reports");
    reporter = event;
}

unsigned page_take_rested(struct page_block *blocks, unsigned max, uint64_t pages)
{
    expect(max && pages, "it has room");
    blocks->order = PAGE_ORDER_2M;
    blocks->start = take_free_block(BLOCK_FREE, BLOCK_REPORTING);
    return blocks->start ? 1 : 0;
}

void page_put_rested(const struct page_block *block, bool reported)
{
    put_free_block(block->start, BLOCK_REPORTING, reported ? BLOCK_REPORTED : BLOCK_FREE);
}

bool page_let_rest(void)
{
    for (unsigned i = 0; i < FREE_BLOCKS; i++)
        if (free_blocks[i] == BLOCK_FREE)
            return true;
    return false;
}

bool page_freed_since_rest(void)
{
    return page_let_rest();
}

uint64_t page_missing(uint64_t pages)
{
    return pages > PAGES - pages_taken ? pages - (PAGES - pages_taken) : 0;
}

int page_promise(uint64_t pages)
{
    return page_missing(pages) ? -ENOMEM : 0;
}

void page_unpromise(uint64_t pages)
{
    (void)pages;
}

int footprint_start(void)
{
    return 0;
}

bool page_watch_reserve(struct event *event)
{
    (void)event;
    return false;
}

void page_poison_with(uint8_t byte)
{
    (void)byte;
}

void page_poison(phys_addr_t start, unsigned order)
{
    (void)start;
    (void)order;
}

static void end_free_blocks(void)
{
    for (unsigned i = 0; i < FREE_BLOCKS; i++) {
        expect(was_stuck || free_blocks[i] <= BLOCK_REPORTED, "no block is hinted or reported");
        free_blocks[i] = BLOCK_FREE;
    }
    expect(!reporter, "nobody reports");
}

void vmem_get_stats(struct vmem_stats *stats)
{
    memset(stats, 0, sizeof(*stats));
}

/* ---- the kernel's other services */

static struct netdev *netdev; /* NULL: there is none */

struct event netdev_event = EVENT_INIT(netdev_event);

void netdev_register(struct netdev *dev)
{
    strcpy(dev->name, "eth0");
    netdev = dev;
}

/* Nobody lets go of it: its memory goes with all other. */
void netdev_unregister(struct netdev *dev)
{
    (void)dev;
}

/* ---- the device's side */

/* A reset makes its rings new. */
static bool is_honest(void)
{
    return !lied || (fake.resets > resets_at_lie && !fake.resetting);
}

static bool is_disk(void)
{
    return fake.device.type == VIRTIO_ID_BLOCK;
}

static uint8_t content(uint64_t sector)
{
    return (uint8_t)(0x40 | sector % 64);
}

/* What a disk writes for a read that succeeds; anything else gets none of it. */
static void answer_read(struct fake_chain *chain, const struct virtio_blk_req *request)
{
    uint64_t bytes = chain->writable_bytes - 1;

    expect(bytes % BLK_SECTOR_BYTES == 0, "whole sectors are read");
    for (uint64_t at = 0; at < bytes; at += BLK_SECTOR_BYTES) {
        uint8_t sector[BLK_SECTOR_BYTES];

        memset(sector, content(request->sector + at / BLK_SECTOR_BYTES), sizeof(sector));
        fake_write(chain, at, sector, sizeof(sector));
    }
}

static void answer(unsigned queue, struct fake_chain *chain, uint8_t status, uint32_t less)
{
    uint32_t len = (uint32_t)chain->writable_bytes;
    struct virtio_blk_req request;

    if (is_disk() && is_honest()) { /* else a lie may have overwritten what the driver offered */
        expect(fake_read(chain, 0, &request, sizeof(request)) == sizeof(request) && len >= 1,
               "a request has a header and a status");
        if (request.type == VIRTIO_BLK_T_IN && status == VIRTIO_BLK_S_OK && !less)
            answer_read(chain, &request);
        fake_write(chain, len - 1, &status, 1);
    }
    fake_push(&fake.queues[queue].ring, chain, len - (less < len ? less : len));
}

static void serve(unsigned queue, unsigned n, uint8_t status, uint32_t less)
{
    struct fake_queue *ring = &fake.queues[queue].ring;
    struct fake_chain *chain;

    if (!fake.queues[queue].live)
        return;
    while (n-- && (chain = fake_pop(ring)))
        answer(queue, chain, status, less);
    fake_want_notification(ring);
    fake_transport_interrupt(&fake, queue);
}

static void kicked(struct fake_transport *transport, unsigned queue)
{
    (void)transport;
    if (script.flags & SERVES_KICKS)
        serve(queue, UINT32_MAX, 0, 0);
}

static void lie(struct input *input)
{
    unsigned queue = take8(input) % queues();
    uint32_t id = take8(input), len = take16(input);
    struct fake_transport_queue *of = &fake.queues[queue];

    if (!of->live)
        return;
    lied = true;
    resets_at_lie = fake.resets;
    fake_lie_used(&of->ring, id, len, 1);
    fake_transport_interrupt(&fake, queue);
}

/* ---- a round of the disk's client */

static struct blk_client client;
static struct request {
    struct blk_request request;
    struct blk_elem elem[2];
    uint8_t memory[2][4 * BLK_SECTOR_BYTES];
    bool busy;
} requests[REQUESTS];

static void check_request(const struct request *one)
{
    uint64_t sector = one->request.sector;

    if (one->request.operation != BLK_READ || one->request.status || !is_honest())
        return;
    for (unsigned i = 0; i < one->request.n_elem; i++)
        for (unsigned at = 0; at < one->elem[i].bytes; at++)
            expect(one->memory[i][at] == content(sector + at / BLK_SECTOR_BYTES +
                                                 (i ? one->elem[0].bytes / BLK_SECTOR_BYTES : 0)),
                   "a read that succeeds has the disk's bytes");
}

static void collect(void)
{
    struct blk_request *done[REQUESTS];
    int n = blk_reap(&client, done, REQUESTS);

    for (int i = 0; i < n; i++) {
        struct request *one = done[i]->cookie;

        expect(one->busy, "a request comes back once");
        check_request(one);
        one->busy = false;
    }
}

static void submit_one(struct input *input)
{
    uint8_t what = take8(input), sector = take8(input), pieces = take8(input);
    struct request *one = requests;
    struct blk_request *list[1];

    while (one < requests + REQUESTS && one->busy)
        one++;
    if (one == requests + REQUESTS)
        return;
    memset(one->memory, 0, sizeof(one->memory));
    for (unsigned i = 0; i < 2; i++)
        one->elem[i] =
            (struct blk_elem){ one->memory[i], (1 + (pieces >> 2 * i & 3)) * BLK_SECTOR_BYTES };
    one->request = (struct blk_request){ .operation = what & 3,
                                         .n_elem = 1 + (what >> 2 & 1),
                                         .elem = one->elem,
                                         .sector = sector % SECTOR_LIMIT,
                                         .cookie = one };
    if (one->request.operation == BLK_FLUSH)
        one->request.n_elem = 0;
    if (one->request.operation == BLK_IDENTIFY) {
        one->request.n_elem = 1;
        one->elem[0].bytes = BLK_IDENTITY_BYTES;
    }
    list[0] = &one->request;
    one->busy = true;
    if (blk_submit(&client, list, 1) != 1)
        one->busy = false;
}

static void disk_round(struct input *input)
{
    if (!blkdev_next(NULL))
        return;
    submit_one(input);
    collect();
}

static void begin_disk(void)
{
    struct blkdev *dev = blkdev_next(NULL);

    memset(requests, 0, sizeof(requests));
    client.dev = NULL;
    if (dev)
        blk_client_init(&client, dev);
}

static void end_disk(void)
{
    expect(!blkdev_next(NULL), "no disk is listed any more");
    if (client.dev)
        collect();
    for (unsigned i = 0; i < REQUESTS; i++)
        expect(!requests[i].busy, "every request has come back");
    fuzz_forget_disks();
}

/* ---- a round of the network's user */

static struct net_buffer buffers[FRAMES];
static uint8_t *rooms[FRAMES];
static bool lent[FRAMES], sent[FRAMES];
static uint8_t out[FRAMES][128];

static void give(void)
{
    for (unsigned i = 0; i < FRAMES; i++) {
        struct net_buffer *list[1] = { &buffers[i] };

        if (lent[i])
            continue;
        if (!rooms[i])
            rooms[i] = malloc(MAX(netdev->rx_buffer_bytes, 1u));
        buffers[i] = (struct net_buffer){ rooms[i], netdev->rx_buffer_bytes };
        lent[i] = netdev->ops->give(netdev, list, 1) == 1;
    }
}

static void receive(void)
{
    struct net_received batch[PLACES_MAX];
    int n;

    if (netdev->rx_batch_min > PLACES_MAX)
        return;
    n = netdev->ops->receive(netdev, batch, PLACES_MAX);
    for (int i = 0; i < n; i++) {
        unsigned index = (unsigned)(batch[i].buffer - buffers);

        expect(index < FRAMES && lent[index], "a buffer comes back once");
        expect(batch[i].offset + batch[i].bytes <= batch[i].buffer->bytes,
               "a frame lies in its buffer");
        lent[index] = false;
    }
}

static void reap(void)
{
    void *cookies[4];
    int n;

    while ((n = netdev->ops->reap(netdev, cookies, 4)) > 0) {
        for (int i = 0; i < n; i++) {
            bool *flag = cookies[i];

            expect(*flag, "a frame is reaped once");
            *flag = false;
        }
    }
}

static void transmit(unsigned bytes, unsigned headroom)
{
    for (unsigned i = 0; i < FRAMES; i++) {
        struct net_elem elem = { out[i] + 16, bytes };
        struct net_packet packet = { &elem, 1, (uint16_t)headroom, 0, 0, &sent[i] };

        if (sent[i])
            continue;
        sent[i] = true;
        if (netdev->ops->transmit(netdev, &packet, 1) != 1)
            sent[i] = false;
        return;
    }
}

static void network_round(struct input *input)
{
    uint8_t what = take8(input);

    if (!netdev)
        return;
    expect(netdev->mtu >= NETDEV_MTU_MIN && netdev->rx_batch_min > 0 && !(netdev->mac[0] & 1),
           "a network card is sound");
    if (what & 1)
        give();
    if (what & 2)
        receive();
    if (what & 4)
        transmit(1 + take8(input) % 112, what & 64 ? 16 : 0);
    if (what & 8)
        reap();
    if (what & 16 && !netdev->ops->arm(netdev) && what & 128)
        netdev->ops->disarm(netdev);
    if (what & 32)
        netdev->ops->arm_transmit(netdev);
}

static void end_network(void)
{
    if (netdev)
        reap();
    for (unsigned i = 0; i < FRAMES; i++) {
        expect(was_stuck || !sent[i], "every frame is reaped");
        free(rooms[i]);
        rooms[i] = NULL;
    }
    memset(lent, 0, sizeof(lent));
    memset(sent, 0, sizeof(sent));
    netdev = NULL;
}

/* ---- a round of the balloon's thread: until it has waited a few times */

static unsigned idle_left;
static struct timer round_over;

/* Also where the thread only pauses in its work; not while it waits for a reset. */
static void end_round(struct timer *timer)
{
    if (!fake.resetting)
        host_thread_leave();
    timer_start(timer, host_clock_ns + ROUND_NS);
}

static void idle(void)
{
    if (idle_left-- == 0)
        host_thread_leave();
    for (unsigned i = 0; i < QUEUES; i++)
        if (script.flags & SERVES_KICKS)
            serve(i, 1, 0, 0);
}

static void balloon_round(void)
{
    idle_left = IDLE_ROUNDS;
    timer_init(&round_over, end_round);
    timer_start(&round_over, host_clock_ns + ROUND_NS);
    host_thread_run(idle);
    timer_cancel(&round_over);
}

static void end_balloon(void)
{
    expect(was_stuck || (pages_taken == 0 && n_chunks == 0), "every page is free again");
    end_free_blocks();
    memset(page_taken, 0, sizeof(page_taken));
    pages_taken = 0;
    while (n_chunks)
        free(chunks[--n_chunks]);
    page_watcher = NULL;
}

/* ---- the program */

static void driver_round(struct input *input)
{
    if (is_disk())
        disk_round(input);
    else if (fake.device.type == VIRTIO_ID_NET)
        network_round(input);
    else
        balloon_round();
}

static void change_config(struct input *input, bool told)
{
    uint8_t at = take8(input) % CONFIG_BYTES, bytes = 1 + take8(input) % 8;

    if (bytes > CONFIG_BYTES - at)
        bytes = CONFIG_BYTES - at;
    take(input, fake.config + at, bytes);
    if (told)
        fake_transport_config_changed(&fake);
}

static void step(struct input *input)
{
    uint8_t what = take8(input), n = what >> 4;

    switch (what & 15) {
    case 0:
        serve(n % queues(), 1 + n / queues(), 0, 0);
        break;
    case 1: {
        uint8_t status = take8(input);

        serve(n % queues(), 1, status, take16(input));
        break;
    }
    case 2:
        lie(input);
        break;
    case 3:
        change_config(input, true);
        break;
    case 4:
        change_config(input, false);
        break;
    case 5:
        fake.unsettled_reads = 1u << n % 8;
        break;
    case 6:
        fake_transport_ask_for_reset(&fake);
        break;
    case 8:
        fake.offered.word[n % VIRTIO_FEATURE_WORDS] ^= UINT32_C(1) << take8(input) % 32;
        break;
    case 9:
        fake.queues[n % queues()].size_max = take16(input);
        break;
    case 10:
        fake.reset_never_ends = n & 1;
        fake.reset_polls = n * 4;
        break;
    case 11:
        host_clock_ns += (UINT64_C(1) << n) * NSEC_PER_MSEC / 16;
        for (unsigned i = 0; i < 8 && host_next_timer(host_clock_ns); i++)
            ;
        break;
    case 12:
        fake_transport_interrupt_always(&fake, n % queues());
        break;
    case 13:
        fake.refuse_features_ok = n & 1;
        fake.never_settles = n & 2;
        break;
    case 14:
        if (page_watcher)
            event_signal(page_watcher);
        break;
    default:
        driver_round(input);
        break;
    }
    was_stuck |= fake.device.stuck;
}

static void begin(struct input *input)
{
    static const uint32_t types[] = { VIRTIO_ID_NET, VIRTIO_ID_BLOCK, VIRTIO_ID_BALLOON };

    take(input, &script, sizeof(script));
    host_log_clear();
    lied = false;
    was_stuck = false;
    irq_mode = script.flags & POLLED ? IRQ_MODE_POLL : IRQ_MODE_MSIX;
    fake_transport_init(&fake, types[script.type % ARRAY_SIZE(types)]);
    memcpy(fake.offered.word, script.features, sizeof(script.features));
    if (!(script.flags & NOT_MODERN))
        fake_offer(&fake, VIRTIO_F_VERSION_1);
    memcpy(fake.config, script.config, sizeof(script.config));
    fake.device.config_bytes = script.config_bytes % (CONFIG_BYTES + 1);
    for (unsigned i = 0; i < QUEUES; i++)
        fake.queues[i].size_max = script.queue_size[i < SIZES ? i : SIZES - 1];
    fake.n_vectors = script.n_vectors % FAKE_VECTORS;
    fake.vectors_refused_from = script.refused_from;
    fake.reset_polls = script.reset_polls;
    fake.unsettled_reads = script.unsettled;
    fake.refuse_features_ok = script.flags & REFUSES_FEATURES;
    fake.never_settles = script.flags & NEVER_SETTLES;
    fake.reset_never_ends = script.flags & NO_RESET;
    fake.kicked = kicked;
    host_allocs_until_failure = script.flags & MEMORY_ENDS ? script.allocs % 32 : -1;
}

static void nothing_is_left(void)
{
    struct fuzz_memory left = fuzz_memory_left();

    expect(!virtio_next(NULL), "no device is listed any more");
    expect(host_irqs_free == HOST_IRQS, "no interrupt vector is left");
    expect(!host_next_timer(UINT64_MAX), "no timer is left");
    expect(!host_event_is_polled(&netdev_event), "no event is polled any more");
    /* A driver keeps its struct, a network card what frames are told apart by: users may still
     * ask.
     */
    expect(was_stuck || (left.objects <= (netdev ? 3 : 1) && left.dma <= (netdev ? 1 : 0)),
           "all memory is given back");
    if (is_disk())
        end_disk();
    end_network();
    end_balloon();
    if (fake.device.type == VIRTIO_ID_BALLOON || (fake.device.type == VIRTIO_ID_NET && !was_added))
        fuzz_memory_leave(fake.device.driver_state);
    fuzz_memory_drop();
}

static void obeys_the_standard(void)
{
    const char *rule = fake.violation;

    for (unsigned i = 0; i < QUEUES && is_honest() && !rule; i++)
        rule = fake.queues[i].live ? fake.queues[i].ring.violation : NULL;
    if (!rule)
        return;
    fprintf(stderr, "%sfuzz: the driver broke a rule: %s\n", host_log_text(), rule);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = { bytes, size };

    begin(&input);
    was_added = virtio_add(&fake.device) == 0;
    was_stuck |= fake.device.stuck;
    if (is_disk())
        begin_disk();
    host_allocs_until_failure = -1;
    for (unsigned i = 0; input.left && i < STEPS_MAX; i++) {
        step(&input);
        obeys_the_standard();
    }
    virtio_remove(&fake.device);
    was_stuck |= fake.device.stuck;
    obeys_the_standard();
    nothing_is_left();
    return 0;
}
