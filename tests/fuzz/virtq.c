/* SPDX-License-Identifier: MIT */
/*
 * One virtqueue between a driver and a device that may turn hostile: the input
 * chooses the ring and is then a program for both sides. The device works by
 * the standard (tests/host/fake_device.h) until the input has it write
 * anything anywhere in what is shared, or say what is not so.
 *
 * Each area is an allocation of its own, as large as the standard says, and
 * device addresses are not pointers: what is read or written beside them shows.
 * What the driver lent is kept in a plain array beside the queue.
 */
#include "drivers/virtio/virtq.h"

#include "drivers/virtio/spec/ring.h"
#include "lib/base/errno.h"
#include "tests/fuzz/input.h"
#include "tests/host/fake_device.h"

#define DMA_OFFSET   UINT64_C(0x123000000000)
#define SIZE_MAX_LOG 8
#define BUFFERS      2048 /* added by one input, at most */
#define ELEMS        20   /* of one buffer */
#define STRIDE       (ELEMS * 8)
#define BATCH        64
#define STEPS_MAX    4096

enum state { NOT_LENT, ADDED, LENT, POPPED, PUSHED };

/* What the driver lent, by cookie. */
struct lent {
    enum state state;
    uint16_t descriptors, n_readable, n_writable;
    uint32_t readable, writable; /* bytes */
    uint32_t pushed_len;
};

static struct virtq_config config;
static struct virtq_layout layout;
static struct virtq q;
static struct fake_queue device;
static struct {
    uint8_t *start;
    size_t bytes;
} areas[4]; /* descriptor, driver, device, indirect */
static uint8_t arena[BUFFERS * STRIDE];

static struct lent lent[BUFFERS];
static unsigned n_buffers;           /* used of those, since virtq_init() */
static unsigned in_flight, occupied; /* buffers and descriptors lent */
static unsigned pushes[BUFFERS];     /* in the order in which the device finished them */
static unsigned n_pushed, n_got;
static bool honest; /* the device has kept to the standard since virtq_init() */
static bool was_broken;

/* Interrupts and notifications that are due, while the device is honest. */
static bool armed, interrupted;
static unsigned armed_at, armed_for;
static uint64_t published, added, wanted_at; /* split: buffers, packed: descriptors */
static bool wants, wants_always;

/* ---- memory */

static void *memory_of(uint64_t addr, uint64_t bytes)
{
    uintptr_t at = (uintptr_t)(addr - DMA_OFFSET), start;

    for (unsigned i = 0; i < 4; i++) {
        start = (uintptr_t)areas[i].start;
        if (at >= start && at - start <= areas[i].bytes && bytes <= areas[i].bytes - (at - start))
            return at % sizeof(uint64_t) && i != 1 && i != 2 ? NULL : (void *)at;
    }
    start = (uintptr_t)arena;
    if (at < start || at - start > sizeof(arena) || bytes > sizeof(arena) - (at - start))
        return NULL;
    return (void *)at;
}

static dma_addr_t address_of(const void *memory)
{
    return (uintptr_t)memory + DMA_OFFSET;
}

static void *cookie_of(unsigned number)
{
    return (void *)(uintptr_t)(number + 1);
}

static void ring_bell(void *argument, uint32_t value)
{
    expect(argument == &q && value == 7, "the doorbell is rung as it was set up");
}

/* Of the rings, and descriptors that the device knows of. */
static uint16_t entries(void)
{
    return config.ring_size ? config.ring_size : config.size;
}

static void make_areas(void)
{
    size_t n = entries();
    bool split = config.format == VIRTQ_SPLIT;

    areas[0].bytes = n * sizeof(struct virtq_desc);
    areas[1].bytes = split ? sizeof(struct virtq_avail) + (n + 1) * sizeof(le16)
                           : sizeof(struct pvirtq_event_suppress);
    areas[2].bytes =
        split ? sizeof(struct virtq_used) + n * sizeof(struct virtq_used_elem) + sizeof(le16)
              : sizeof(struct pvirtq_event_suppress);
    areas[3].bytes = layout.shared_bytes - layout.indirect_offset;
    for (unsigned i = 0; i < 4; i++) {
        areas[i].start = malloc(areas[i].bytes);
        memset(areas[i].start, 0xa5, areas[i].bytes);
    }
    config.areas = (struct virtq_areas){
        .descriptor = areas[0].start,
        .driver = areas[1].start,
        .device = areas[2].start,
        .indirect = areas[3].start,
        .descriptor_addr = address_of(areas[0].start),
        .driver_addr = address_of(areas[1].start),
        .device_addr = address_of(areas[2].start),
        .indirect_addr = address_of(areas[3].start),
    };
    config.private_memory = malloc(layout.private_bytes);
    memset(config.private_memory, 0x5a, layout.private_bytes);
}

static void free_areas(void)
{
    for (unsigned i = 0; i < 4; i++)
        free(areas[i].start);
    free(config.private_memory);
}

/* ---- the beginning and the end of a queue's life */

static void start(void)
{
    expect(virtq_init(&q, &config) == 0, "a queue of this size is made");
    fake_queue_start(&device, &(struct fake_queue_config){
                                  .packed = config.format == VIRTQ_PACKED,
                                  .event_idx = config.event_idx,
                                  .indirect = config.indirect_max > 0,
                                  .in_order = config.in_order,
                                  .size = entries(),
                                  .desc_addr = config.areas.descriptor_addr,
                                  .driver_addr = config.areas.driver_addr,
                                  .device_addr = config.areas.device_addr,
                                  .memory = memory_of,
                              });
    memset(lent, 0, n_buffers * sizeof(lent[0]));
    n_buffers = in_flight = occupied = n_pushed = n_got = 0;
    published = added = wanted_at = 0;
    honest = true;
    was_broken = armed = interrupted = false;
    wants = wants_always = true;
    if (config.event_idx && config.format == VIRTQ_SPLIT)
        wants_always = false; /* virtq_init() has put the event at the first buffer */
}

/* Gives a buffer back to its owner: it must have been lent. */
static struct lent *come_back(void *cookie)
{
    uintptr_t number = (uintptr_t)cookie - 1;
    struct lent *buffer = &lent[number];

    expect(number < n_buffers && buffer->state != NOT_LENT, "a cookie comes back, once");
    in_flight--;
    occupied -= buffer->descriptors;
    return buffer;
}

static void drain(unsigned max)
{
    void *cookies[BATCH];
    int n;

    fake_queue_stop(&device);
    while ((n = virtq_drain(&q, cookies, max)) > 0) {
        expect((unsigned)n <= max, "no more cookies come than there is room for");
        for (int i = 0; i < n; i++)
            come_back(cookies[i])->state = NOT_LENT;
    }
    expect(n == 0 && in_flight == 0, "all that was lent comes back from a drained queue");
    expect(virtq_in_flight(&q) == 0, "a drained queue has nothing in flight");
}

/* ---- what is true between any two steps */

static void look(void)
{
    expect(virtq_in_flight(&q) == in_flight, "in_flight is what the driver counts");
    expect(in_flight <= config.size && occupied <= config.size,
           "no more is lent than there is room");
    if (was_broken) {
        struct virtq_elem elem = { address_of(arena), 1 };
        struct virtq_buffer buffer = { &elem, 0, 1, NULL };
        struct virtq_done done;

        expect(virtq_broken_reason(&q), "a broken queue stays broken");
        expect(virtq_add(&q, &buffer, 1) == -EIO, "a broken queue takes nothing");
        expect(virtq_get(&q, &done, 1) == -EIO, "a broken queue gives nothing");
        expect(!virtq_publish(&q), "a broken queue publishes nothing");
        expect(virtq_arm(&q, 1), "nobody sleeps on a broken queue");
        virtq_disarm(&q);
    } else if (virtq_broken_reason(&q)) {
        expect(!honest, "an honest device breaks no queue");
        was_broken = true;
    } else {
        expect(virtq_free_count(&q) == config.size - occupied,
               "free_count is what the driver counts");
    }
    if (honest && device.violation) {
        fprintf(stderr, "fuzz: the driver broke a rule: %s\n", device.violation);
        abort();
    }
}

/* ---- the driver */

static uint16_t descriptors_for(unsigned elements)
{
    uint16_t most = config.indirect_max < config.size ? config.indirect_max : config.size;

    return elements > 1 && elements <= most ? 1 : (uint16_t)elements;
}

/* Describes a new buffer: its n-th element lies at a place of its own and has 1 to 8 bytes. */
static struct virtq_buffer describe(struct virtq_elem *elem, unsigned number, unsigned n_readable,
                                    unsigned n_writable)
{
    struct lent *buffer = &lent[number];

    *buffer = (struct lent){ .n_readable = (uint16_t)n_readable,
                             .n_writable = (uint16_t)n_writable,
                             .descriptors = descriptors_for(n_readable + n_writable) };
    for (unsigned i = 0; i < n_readable + n_writable; i++) {
        elem[i] = (struct virtq_elem){ address_of(&arena[number * STRIDE + i * 8]),
                                       1 + (number + i) % 8 };
        *(i < n_readable ? &buffer->readable : &buffer->writable) += elem[i].len;
    }
    return (struct virtq_buffer){ elem, (uint16_t)n_readable, (uint16_t)n_writable,
                                  cookie_of(number) };
}

/* Adds n buffers, all of the same shape. */
static void add(unsigned n, unsigned n_readable, unsigned n_writable)
{
    static struct virtq_elem elem[BATCH][ELEMS];
    struct virtq_buffer buffers[BATCH];
    unsigned elements = n_readable + n_writable, each = descriptors_for(elements);
    unsigned fit = each ? (config.size - occupied) / each : 0;
    int got;

    if (n > BUFFERS - n_buffers)
        n = BUFFERS - n_buffers;
    if (n == 0)
        return;
    for (unsigned i = 0; i < n; i++)
        buffers[i] = describe(elem[i], n_buffers + i, n_readable, n_writable);
    got = virtq_add(&q, buffers, n);
    memset(elem, 0xee, sizeof(elem)); /* they may die now */
    if (was_broken)
        expect(got == -EIO, "a broken queue takes nothing");
    else if (elements == 0 || elements > config.size)
        expect(got == -EMSGSIZE, "what never fits is told apart");
    else
        expect(got == (int)(n < fit ? n : fit), "as many buffers are taken as there is room for");
    for (int i = 0; i < got; i++) {
        lent[n_buffers].state = ADDED;
        in_flight++;
        occupied += each;
        added += config.format == VIRTQ_PACKED ? each : 1;
        n_buffers++;
    }
}

static void publish(void)
{
    uint64_t before = published;
    bool notify = virtq_publish(&q);

    if (was_broken) {
        expect(!notify, "a broken queue publishes nothing");
        return;
    }
    published = added;
    for (unsigned i = 0; i < n_buffers; i++)
        if (lent[i].state == ADDED)
            lent[i].state = LENT;
    if (notify)
        virtq_notify(&q);
    if (!honest)
        return;
    expect(!notify || published > before, "nothing new is not notified");
    if (wants && published > before &&
        (wants_always || (wanted_at >= before && wanted_at < published)))
        expect(notify, "a device that wants a notification gets one");
    if (!wants)
        expect(!notify, "a device that wants no notification gets none");
}

static void get(unsigned max)
{
    struct virtq_done done[BATCH];
    int n = virtq_get(&q, done, max);

    if (was_broken || n < 0) {
        expect(n == -EIO && virtq_broken_reason(&q), "a broken queue gives nothing");
        return;
    }
    expect((unsigned)n <= max, "no more buffers come than there is room for");
    if (honest)
        expect((unsigned)n == (max < n_pushed - n_got ? max : n_pushed - n_got),
               "all that an honest device finished comes back");
    for (int i = 0; i < n; i++) {
        struct lent *buffer = come_back(done[i].cookie);

        expect(done[i].len <= buffer->writable, "no length is above what was lent");
        if (honest) {
            expect(buffer == &lent[pushes[n_got++]],
                   "buffers come back in the order they were used");
            expect(buffer->state == PUSHED && done[i].len == buffer->pushed_len,
                   "the device's length comes back");
        }
        buffer->state = NOT_LENT;
    }
}

static void arm(unsigned n)
{
    bool here = virtq_arm(&q, (uint16_t)n);

    if (was_broken || !honest)
        return;
    expect(here == (n_pushed != n_got), "arming tells what has come already");
    armed = !here;
    interrupted = false;
    armed_at = n_pushed;
    armed_for = n < in_flight ? n : in_flight;
    if (armed_for == 0)
        armed_for = 1;
}

static void disarm(void)
{
    virtq_disarm(&q);
    armed = false;
}

/* ---- the device, as it should be */

/* Which buffer a chain is, told by where its memory lies; it must be as the driver described it. */
static unsigned buffer_of(const struct fake_chain *chain)
{
    const uint8_t *start = chain->pieces[0].start;
    unsigned number;

    expect(start >= arena && start < arena + sizeof(arena), "the device sees memory that was lent");
    number = (unsigned)(start - arena) / STRIDE;
    expect(number < n_buffers && lent[number].state == LENT,
           "the device sees what was published, once");
    expect(chain->n_readable == lent[number].n_readable &&
               chain->n_writable == lent[number].n_writable &&
               chain->readable_bytes == lent[number].readable &&
               chain->writable_bytes == lent[number].writable &&
               chain->descriptors == lent[number].descriptors,
           "the device sees a buffer as the driver described it");
    for (unsigned i = 0; i < chain->n_readable + chain->n_writable; i++)
        expect(chain->pieces[i].start == &arena[number * STRIDE + i * 8] &&
                   chain->pieces[i].bytes == 1 + (number + i) % 8,
               "the device sees each element where it is");
    return number;
}

static void pop(void)
{
    struct fake_chain *chain = fake_pop(&device);

    if (!honest)
        return;
    if (!chain) {
        for (unsigned i = 0; i < n_buffers; i++)
            expect(lent[i].state != LENT, "all that was published is seen by the device");
        return;
    }
    lent[buffer_of(chain)].state = POPPED;
}

static void note_interrupt(void)
{
    if (fake_interrupt_wanted(&device))
        interrupted = true;
    if (honest && armed && n_pushed - armed_at >= armed_for)
        expect(interrupted, "an armed queue interrupts in time");
}

/* Finishes one of the chains that it holds. */
static void push(unsigned which, uint32_t len)
{
    struct fake_chain *chain = device.held;

    if (config.in_order)
        which = UINT32_MAX; /* the oldest */
    while (chain && chain->next && which--)
        chain = chain->next;
    if (!chain)
        return;
    if (len > chain->writable_bytes)
        len = (uint32_t)chain->writable_bytes;
    if (honest) {
        unsigned number = (unsigned)(chain->pieces[0].start - arena) / STRIDE;

        lent[number].state = PUSHED;
        lent[number].pushed_len = len;
        pushes[n_pushed++] = number;
    }
    fake_push(&device, chain, len);
    note_interrupt();
}

static void serve(unsigned n)
{
    while (n-- && !device.violation) {
        pop();
        if (!device.held)
            break;
        push(0, UINT32_MAX);
    }
}

static void want(unsigned at)
{
    fake_want_notification(&device);
    wants = true;
    wants_always = !config.event_idx;
    wanted_at = 0;
    for (unsigned i = 0; i < n_buffers; i++)
        if (lent[i].state == POPPED || lent[i].state == PUSHED || lent[i].state == NOT_LENT)
            wanted_at += config.format == VIRTQ_PACKED ? lent[i].descriptors : 1;
    if (config.event_idx && at > 1 && at <= config.size) {
        fake_want_notification_at(&device, (uint16_t)at);
        wanted_at += at - 1;
    }
}

static void refuse(void)
{
    fake_refuse_notification(&device);
    wants = false;
}

/* ---- the device, hostile */

static void scribble(struct input *input)
{
    unsigned area = take8(input) % 4, bytes = 1 + take8(input) % 16;
    size_t at = take16(input);

    if (areas[area].bytes == 0)
        return;
    at %= areas[area].bytes;
    if (bytes > areas[area].bytes - at)
        bytes = (unsigned)(areas[area].bytes - at);
    take(input, areas[area].start + at, bytes);
    honest = false;
}

static void lie(struct input *input)
{
    uint32_t id = take16(input), len = take16(input);
    uint16_t descriptors = (uint16_t)(take8(input) % (config.size + 1u));

    if (len > 0x8000)
        len |= len << 16;
    honest = false;
    fake_lie_used(&device, id, len, descriptors);
    note_interrupt();
}

static void jump(struct input *input)
{
    uint16_t entries = take16(input);

    if (config.format != VIRTQ_SPLIT)
        return;
    honest = false;
    fake_lie_used_jump(&device, entries);
}

/* ---- the program */

static void read_config(struct input *input)
{
    uint8_t flags = take8(input), size = take8(input), indirect = take8(input);

    config = (struct virtq_config){
        .format = flags & 1 ? VIRTQ_PACKED : VIRTQ_SPLIT,
        .event_idx = flags & 2,
        .indirect_max = flags & 4 ? 2 + indirect % ELEMS : 0,
        .in_order = flags & 8,
        .size = flags & 1 ? 1 + size : (uint16_t)(1 << size % (SIZE_MAX_LOG + 1)),
        .doorbell = { .kind = VIRTQ_DOORBELL_HOOK,
                      .value = 7,
                      .hook_argument = &q,
                      .hook = ring_bell },
    };
    layout = virtq_layout(config.format, config.size, config.indirect_max);
    if ((flags & (16 | 1 | 8)) != 16)
        return;
    config.ring_size = (uint16_t)(config.size << (1 + flags / 32)); /* a legacy device's */
    layout = virtq_legacy_layout(config.ring_size, config.size, config.indirect_max);
}

static void step(struct input *input)
{
    uint8_t what = take8(input);
    unsigned n = what >> 4;

    switch (what & 15) {
    case 0:
        add(n + 1, 0, 1);
        break;
    case 1:
        add(n + 1, 1, 0);
        break;
    case 2: {
        unsigned readable = take8(input) % (ELEMS / 2 + 1),
                 writable = take8(input) % (ELEMS / 2 + 1);

        add(n + 1, readable, writable);
        break;
    }
    case 3:
        publish();
        break;
    case 4:
        get(1 + n * 4);
        break;
    case 5:
        arm(n + 1);
        break;
    case 6:
        disarm();
        break;
    case 7:
        while (n-- && !device.violation)
            pop();
        pop();
        break;
    case 8:
        push(n, take8(input));
        break;
    case 9:
        serve(n + 1);
        break;
    case 10:
        want(n);
        break;
    case 11:
        refuse();
        break;
    case 12:
        scribble(input);
        break;
    case 13:
        lie(input);
        break;
    case 14:
        jump(input);
        break;
    default:
        drain(n + 1);
        start();
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = { bytes, size };

    read_config(&input);
    make_areas();
    start();
    for (unsigned i = 0; input.left && i < STEPS_MAX; i++) {
        step(&input);
        look();
    }
    drain(BATCH);
    free_areas();
    return 0;
}
