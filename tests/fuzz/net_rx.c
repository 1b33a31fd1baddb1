/* SPDX-License-Identifier: MIT */
/*
 * Received frames through drivers/virtio/net.c: the device writes headers,
 * frames and lengths of the input into the buffers that the driver lent, in any
 * order, merged or not, and sometimes lies about the ring. What is handed up
 * must keep to kernel/netdev.h and be what the device wrote; every buffer is
 * either with the user, in the batch or with the device. Each buffer is an
 * allocation of its own.
 */
#include "drivers/virtio/device.h"
#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/net.h"
#include "kernel/clock.h"
#include "kernel/netdev.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/memory.h"
#include "tests/host/clock.h"
#include "tests/host/event.h"
#include "tests/host/fake_transport.h"
#include "tests/host/irq.h"
#include "tests/host/log.h"

#define RX         0
#define TX         1
#define HEADER     sizeof(struct virtio_net_hdr)
#define BUFFERS    96
#define BATCH_MAX  128
#define BYTES_MAX  (HEADER + 65535 + 32)
#define STEPS_MAX  512
#define ROUNDS_MAX 200

enum { PACKED = 1, MERGEABLE = 2, CHECKSUMS = 4, WITH_MTU = 8, EVENT_IDX = 16, ROOMY = 32 };

/* How an input begins; tests/fuzz/make-seeds knows it too. */
struct script {
    uint8_t flags, queue_size;
    uint16_t mtu;
} __attribute__((packed));

enum place { WITH_USER, WITH_DRIVER };

static struct script script;
static struct fake_transport fake;
static struct netdev *dev;
static struct net_buffer buffers[BUFFERS];
static struct {
    enum place place;
    unsigned turn;  /* the when-th one that the device finished, since it was lent */
    uint32_t bytes; /* that the device wrote into it, and said so */
} state[BUFFERS];
static unsigned turns;
static bool lied; /* in its ring, when it had been reset so often: */
static unsigned resets_at_lie;
static uint64_t handed_up;

struct event netdev_event = EVENT_INIT(netdev_event);

void netdev_register(struct netdev *netdev)
{
    strcpy(netdev->name, "eth0");
    dev = netdev;
}

/* Nobody lets go of it: its memory goes with all other. */
void netdev_unregister(struct netdev *netdev)
{
    (void)netdev;
}

static void note_lie(void)
{
    lied = true;
    resets_at_lie = fake.resets;
}

/* A reset makes its ring new. */
static bool is_honest(void)
{
    return !lied || (fake.resets > resets_at_lie && !fake.resetting);
}

static bool works(void)
{
    return dev && !fake.device.failure;
}

/* ---- the user */

static void give(unsigned n)
{
    struct net_buffer *list[BUFFERS];
    unsigned found = 0;
    int given;

    for (unsigned i = 0; i < BUFFERS && found < n; i++)
        if (state[i].place == WITH_USER)
            list[found++] = &buffers[i];
    given = dev->ops->give(dev, list, found);
    expect(given >= 0 && (unsigned)given <= found, "no more buffers are taken than were given");
    for (int i = 0; i < given; i++)
        state[list[i] - buffers].place = WITH_DRIVER;
}

/* One buffer of a frame; it is the user's again. */
static uint32_t check_part(const struct net_received *part, bool first)
{
    unsigned index = (unsigned)(part->buffer - buffers);

    expect(index < BUFFERS && state[index].place == WITH_DRIVER, "a buffer comes back once");
    expect(part->offset + part->bytes <= part->buffer->bytes, "a frame lies in its buffer");
    expect(part->offset == (first ? HEADER : 0), "a frame begins behind its header");
    if (is_honest())
        expect(part->offset + part->bytes == MAX(state[index].bytes, part->offset),
               "a frame is as long as the device said");
    state[index].place = WITH_USER;
    return part->bytes;
}

static void check_frame(const struct net_received *frame, unsigned n)
{
    struct virtio_net_hdr header;
    uint32_t bytes = 0;
    unsigned first = (unsigned)(frame->buffer - buffers), last_turn;

    expect(frame->n_buffers >= 1 && frame->n_buffers <= n, "a frame is whole in its batch");
    expect(first < BUFFERS, "a buffer that comes back was given");
    expect(!is_honest() || state[first].bytes >= HEADER, "a frame has a header");
    last_turn = state[first].turn;
    for (unsigned i = 0; i < frame->n_buffers; i++) {
        expect(i == 0 || frame[i].n_buffers == 0, "parts that are not the first say so");
        bytes += check_part(&frame[i], i == 0);
        expect(!is_honest() || i + 1 == frame->n_buffers ||
                   state[frame[i].buffer - buffers].bytes == frame[i].buffer->bytes,
               "all buffers of a frame but the last are full");
        if (is_honest() && i > 0)
            expect(state[frame[i].buffer - buffers].turn == ++last_turn,
                   "a frame's buffers are those that came one after the other");
    }
    expect(bytes >= NETDEV_ETHERNET_HEADER &&
               bytes <= (uint32_t)dev->mtu + NETDEV_ETHERNET_HEADER + NETDEV_VLAN_TAG,
           "a frame is as large as frames can be");
    memcpy(&header, frame->buffer->start, sizeof(header));
    expect(header.gso_type == VIRTIO_NET_HDR_GSO_NONE, "no frame is handed up that is none");
    expect(frame->n_buffers == (script.flags & MERGEABLE ? header.num_buffers : 1),
           "a frame has the buffers that its header says");
    if (frame->checksum == NET_CHECKSUM_GOOD)
        expect(script.flags & CHECKSUMS && header.flags, "only the device vouches for a checksum");
    handed_up++;
}

static int receive(unsigned max)
{
    struct net_received *batch;
    int n;

    if (dev->rx_batch_min > BATCH_MAX)
        return 0;
    max = MIN(MAX(max, dev->rx_batch_min), BATCH_MAX);
    batch = malloc(max * sizeof(*batch)); /* a place too many shows */
    n = dev->ops->receive(dev, batch, max);
    expect(n >= 0 && (unsigned)n <= max, "no more is received than there is room for");
    for (int i = 0; i < n; i += batch[i].n_buffers)
        check_frame(&batch[i], (unsigned)(n - i));
    free(batch);
    return n;
}

/* ---- the device */

static unsigned index_of(const struct fake_chain *chain)
{
    for (unsigned i = 0; i < BUFFERS; i++)
        if (buffers[i].start == chain->pieces[0].start)
            return i;
    expect(false, "the device sees buffers that were given");
    return 0;
}

static struct fake_queue *ring(void)
{
    return &fake.queues[RX].ring;
}

/* Finishes the n-th of the chains that it holds, the newest is the first. */
static void finish(unsigned n, const uint8_t *bytes, uint32_t written, uint32_t told)
{
    struct fake_chain *chain = ring()->held;
    unsigned index;

    while (chain && chain->next && n--)
        chain = chain->next;
    if (!chain)
        return;
    if (is_honest()) {
        index = index_of(chain);
        expect(state[index].place == WITH_DRIVER, "the device holds what was given");
        state[index].bytes = told;
        state[index].turn = ++turns;
        if (told > chain->writable_bytes)
            note_lie();
    }
    fake_write(chain, 0, bytes, written);
    fake_push(ring(), chain, told);
}

/* A whole frame, as it should be but for its header, over as many buffers as it takes. */
static void deliver(struct input *input)
{
    static uint8_t wire[BYTES_MAX];
    uint16_t bytes = take16(input);
    struct virtio_net_hdr header;
    size_t at = 0, whole = HEADER + bytes;
    uint8_t told = take8(input), left = take8(input);
    unsigned n = 0;

    take(input, &header, 4);
    memset((uint8_t *)&header + 4, 0, sizeof(header) - 4);
    memset(wire, left, whole);
    for (size_t room = 0; room < whole;) {
        struct fake_chain *chain = fake_pop(ring());

        if (!chain)
            break;
        n++;
        room += chain->writable_bytes;
    }
    header.num_buffers = told & 0x80 ? told & 0x7f : (le16)n;
    memcpy(wire, &header, sizeof(header));
    while (n--) {
        struct fake_chain *oldest = ring()->held;
        unsigned place = 0;
        size_t part;

        for (; oldest->next && place < n; place++)
            oldest = oldest->next;
        part = MIN(oldest->writable_bytes, whole - at);
        finish(place, wire + at, (uint32_t)part, (uint32_t)part);
        at += part;
    }
}

/* Anything into one buffer. */
static void write_one(struct input *input, unsigned n)
{
    static uint8_t wire[256];
    uint8_t bytes = take8(input);
    uint32_t told = take16(input);

    take(input, wire, bytes);
    finish(n, wire, bytes, told);
}

static void lie(struct input *input)
{
    note_lie();
    if (take8(input) & 1 && !(script.flags & PACKED))
        fake_lie_used_jump(ring(), take16(input));
    else
        fake_lie_used(ring(), take8(input), take16(input), 1);
}

/* ---- the program */

static void step(struct input *input)
{
    uint8_t what = take8(input);
    unsigned n = what >> 4;
    bool live = fake.queues[RX].live;

    switch (what & 7) {
    case 0:
        give(n ? n * 4 : BUFFERS);
        break;
    case 1:
        receive(n * 8);
        break;
    case 2:
        if (live)
            deliver(input);
        break;
    case 3:
        while (live && n-- && fake_pop(ring()))
            ;
        break;
    case 4:
        if (live)
            write_one(input, n);
        break;
    case 5:
        if (live && n < 4)
            lie(input);
        else if (n < 8)
            fake_transport_ask_for_reset(&fake);
        break;
    case 6:
        if (!dev->ops->arm(dev))
            dev->ops->disarm(dev);
        break;
    default:
        if (live)
            fake_transport_interrupt(&fake, RX);
        host_clock_ns += n * NSEC_PER_MSEC;
        break;
    }
}

static void begin(struct input *input)
{
    take(input, &script, sizeof(script));
    host_log_clear();
    memset(state, 0, sizeof(state));
    turns = 0;
    dev = NULL;
    lied = false;
    fake_transport_init(&fake, VIRTIO_ID_NET);
    if (script.flags & PACKED)
        fake_offer(&fake, VIRTIO_F_RING_PACKED);
    if (script.flags & MERGEABLE)
        fake_offer(&fake, VIRTIO_NET_F_MRG_RXBUF);
    if (script.flags & CHECKSUMS)
        fake_offer(&fake, VIRTIO_NET_F_GUEST_CSUM);
    if (script.flags & WITH_MTU)
        fake_offer(&fake, VIRTIO_NET_F_MTU);
    if (!(script.flags & EVENT_IDX))
        fake_withdraw(&fake, VIRTIO_F_EVENT_IDX);
    fake.device.config_bytes = sizeof(struct virtio_net_config);
    ((struct virtio_net_config *)fake.config)->mtu = script.mtu;
    fake.queues[RX].size_max = 1u + script.queue_size;
    fake.queues[TX].size_max = 4;
}

/* Every buffer that the user does not have is with the device, after all that came was received. */
static void account(void)
{
    unsigned with_driver = 0, held = 0;
    unsigned rounds = 0;

    while (works() && (receive(BATCH_MAX) > 0 || dev->ops->arm(dev)))
        expect(++rounds < ROUNDS_MAX, "a device that does nothing more has nothing more to tell");
    if (!is_honest() || !works() || dev->rx_batch_min > BATCH_MAX)
        return;
    while (fake_pop(ring()))
        ;
    if (ring()->violation) {
        fprintf(stderr, "fuzz: the driver broke a rule: %s\n", ring()->violation);
        abort();
    }
    for (const struct fake_chain *chain = ring()->held; chain; chain = chain->next)
        held++;
    for (unsigned i = 0; i < BUFFERS; i++)
        with_driver += state[i].place == WITH_DRIVER;
    expect(held == with_driver, "every buffer that is not the user's is with the device");
}

static void make_buffers(void)
{
    for (unsigned i = 0; i < BUFFERS; i++) {
        uint32_t bytes = dev->rx_buffer_bytes + (script.flags & ROOMY ? i : 0);

        buffers[i] = (struct net_buffer){ malloc(bytes), bytes };
    }
}

static void free_buffers(void)
{
    for (unsigned i = 0; i < BUFFERS; i++) {
        free(buffers[i].start);
        buffers[i].start = NULL;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = { bytes, size };

    begin(&input);
    if (virtio_add(&fake.device) == 0) {
        make_buffers();
        for (unsigned i = 0; input.left && i < STEPS_MAX; i++)
            step(&input);
        account();
    }
    virtio_remove(&fake.device);
    expect(!fake.violation, "the driver obeys the standard");
    expect(host_irqs_free == HOST_IRQS && !host_next_timer(UINT64_MAX), "nothing ticks any more");
    free_buffers();
    fuzz_memory_drop();
    return 0;
}
