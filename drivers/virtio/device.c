/* SPDX-License-Identifier: MIT */
#include "drivers/virtio/device.h"

#include "drivers/virtio/transport.h"
#include "kernel/alloc.h"
#include "kernel/clock.h"
#include "kernel/cmdline.h"
#include "kernel/dma.h"
#include "kernel/irq.h"
#include "kernel/irq_line.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"
#include "lib/base/format.h"
#include "lib/base/string.h"

#define RESET_QUICK_LOOKS  16
#define RESET_LOOK_NS      NSEC_PER_MSEC
#define RESET_DEADLINE_NS  NSEC_PER_SEC
#define SETTLE_TRIES       64
#define CONFIG_INTERVAL_NS (5 * NSEC_PER_MSEC)
#define TICK_NS            NSEC_PER_MSEC         /* while something moves; then doubled up to ... */
#define TICK_MAX_NS        (8 * NSEC_PER_MSEC)   /* ... this */
#define TICK_PATIENT_NS    (128 * NSEC_PER_MSEC) /* ... this for a patient driver */
#define MAX_VECTORS        257
#define STORM_FROM         1024 /* interrupts unasked for; what is lent comes on top */
#define CONFIG_SLOT        0    /* the configuration's vector comes first, the queues' after it */
#define LEGACY_PAGE_SHIFT  12   /* a legacy device is told a queue's page, in 32 bits (§2.7.2) */

extern const struct virtio_driver __start_virtio_drivers[], __stop_virtio_drivers[];

static struct list devices = LIST_INIT(devices);
static unsigned next_number;

/*
 * What ring and transport can do with any device (§6). Nothing else is ever
 * acknowledged but what the driver names.
 */
static const struct virtio_feature ring_features[] = {
    VIRTIO_FEATURE_REQUIRED(VIRTIO_F_VERSION_1),
    VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC),
    VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX),
    VIRTIO_FEATURE(VIRTIO_F_ACCESS_PLATFORM),
    VIRTIO_FEATURE(VIRTIO_F_RING_PACKED),
    VIRTIO_FEATURE(VIRTIO_F_IN_ORDER),
    VIRTIO_FEATURE(VIRTIO_F_ORDER_PLATFORM),
    VIRTIO_FEATURE_TRANSPORT(VIRTIO_F_NOTIFICATION_DATA),
    VIRTIO_FEATURE_TRANSPORT(VIRTIO_F_NOTIF_CONFIG_DATA),
    VIRTIO_FEATURE_TRANSPORT(VIRTIO_F_RING_RESET),
};

/*
 * Of a legacy device (§6.3), which knows no other word of features. Bit 30, a
 * trap for drivers that repeat what they read, is in no list.
 */
static const struct virtio_feature legacy_features[] = {
    VIRTIO_FEATURE(VIRTIO_F_ANY_LAYOUT),
    VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC),
    VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX),
};

/* error: 0, or a negative errno, which is told too. */
static void log_device(enum log_level level, const struct virtio_device *dev, const char *what,
                       int error)
{
    char place[32], number[24] = "";
    struct text text;

    text_init(&text, place, sizeof(place));
    dev->transport->locate(dev, &text);
    if (error)
        format(number, sizeof(number), " (error %d)", -error);
    log_line(level, "virtio%u at %s: %s%s", dev->number, place, what, number);
}

/* ---- status (§2.1) and reset (§2.4) */

/* Bits are only ever added. What the device itself has set stays. */
static uint8_t add_status(struct virtio_device *dev, uint8_t bits)
{
    uint8_t theirs = dev->transport->get_status(dev) & VIRTIO_CONFIG_S_NEEDS_RESET;

    dev->status |= bits;
    dev->transport->set_status(dev, dev->status | theirs);
    return theirs;
}

static void fail(struct virtio_device *dev, const char *reason, int error)
{
    log_device(LOG_ERROR, dev, reason, error);
    dev->failure = reason;
    dev->started = false;
    if (!dev->stuck)
        add_status(dev, VIRTIO_CONFIG_S_FAILED);
}

void virtio_fail(struct virtio_device *dev, const char *reason)
{
    fail(dev, reason, 0);
}

void virtio_trouble(struct virtio_device *dev, const char *reason)
{
    log_device(LOG_ERROR, dev, reason, 0);
    dev->recoveries++;
    dev->last_trouble = reason;
}

/* Lies on the stack of a thread that waits for a reset: the device may be removed meanwhile. */
struct wait {
    struct list link;
    bool orphaned; /* by virtio_remove(): the device's struct may be gone */
};

/*
 * Waits until a reset, of the device or of one queue, has ended. 0; -ETIMEDOUT; -ENODEV: it was
 * removed meanwhile, and is not touched any more.
 */
static int await_reset(struct virtio_device *dev,
                       bool (*is_reset)(struct virtio_device *, uint16_t), uint16_t index)
{
    uint64_t deadline_ns;
    struct wait wait = { .orphaned = false };
    bool ended = false;

    for (unsigned i = 0; i < RESET_QUICK_LOOKS; i++)
        if (is_reset(dev, index))
            return 0;
    deadline_ns = clock_monotonic_ns() + RESET_DEADLINE_NS;
    while (!ended && clock_monotonic_ns() < deadline_ns) {
        list_append(&dev->waits, &wait.link);
        thread_sleep_until(clock_monotonic_ns() + RESET_LOOK_NS);
        list_remove(&wait.link);
        if (wait.orphaned)
            return -ENODEV;
        ended = is_reset(dev, index);
    }
    return ended ? 0 : -ETIMEDOUT;
}

static void orphan_waits(struct virtio_device *dev)
{
    struct list *link;

    while ((link = list_pop(&dev->waits)))
        CONTAINER_OF(link, struct wait, link)->orphaned = true;
}

static bool device_is_reset(struct virtio_device *dev, uint16_t unused)
{
    (void)unused;
    return dev->transport->get_status(dev) == 0;
}

int virtio_reset(struct virtio_device *dev)
{
    int error;

    dev->started = false;
    dev->status = 0;
    dev->config_changed = false;
    dev->stuck = false;
    if (dev->gone) /* what has left its bus reaches no memory */
        return 0;
    dev->transport->set_status(dev, 0);
    error = await_reset(dev, device_is_reset, 0);
    if (error == -ETIMEDOUT) {
        dev->stuck = true;
        dev->transport->cut_off(dev);
    }
    return error;
}

const char *virtio_needs_reset(struct virtio_device *dev)
{
    if (load_once(&dev->storming))
        return "the device interrupts without end";
    if (dev->transport->get_status(dev) & VIRTIO_CONFIG_S_NEEDS_RESET)
        return "the device asks for a reset";
    return NULL;
}

int virtio_start(struct virtio_device *dev)
{
    if (add_status(dev, VIRTIO_CONFIG_S_DRIVER_OK))
        return -EIO;
    dev->started = true;
    return 0;
}

/* ---- features (§2.2) */

enum ring_choice { RING_AUTO, RING_SPLIT, RING_PACKED };

static enum ring_choice ring_choice(void)
{
    static const char *const names[] = { "auto", "split", "packed" };
    static int choice = -1;

    if (choice < 0)
        choice = MAX(cmdline_choice("ring", names, ARRAY_SIZE(names)), 0);
    return (enum ring_choice)choice;
}

/* So many words of features have every device of its kind. */
static unsigned feature_words(const struct virtio_device *dev)
{
    return dev->legacy ? 1 : VIRTIO_FEATURE_WORDS;
}

static void read_offered(struct virtio_device *dev)
{
    for (unsigned i = 0; i < feature_words(dev); i++)
        dev->offered.word[i] = dev->transport->get_features(dev, i);
}

static bool prerequisites_met(const struct virtio_feature *feature,
                              const struct virtio_features *accepted)
{
    unsigned met = 0;

    for (unsigned i = 0; i < feature->n_needs; i++)
        met += virtio_features_have(accepted, feature->needs[i]);
    return feature->any ? met > 0 : met == feature->n_needs;
}

/* Returns whether a feature came to *accepted, which may allow others. */
static bool accept_some(const struct virtio_device *dev, const struct virtio_feature *list,
                        unsigned n, struct virtio_features *accepted)
{
    bool grew = false;

    for (unsigned i = 0; i < n; i++) {
        unsigned bit = list[i].bit;

        if (bit == VIRTIO_F_RING_PACKED && ring_choice() == RING_SPLIT)
            continue;
        if (list[i].transport && !virtio_features_have(&dev->transport_features, bit))
            continue;
        if (virtio_features_have(accepted, bit) || !virtio_features_have(&dev->offered, bit) ||
            !prerequisites_met(&list[i], accepted))
            continue;
        if (dev->driver->refuses && dev->driver->refuses(bit))
            continue;
        virtio_features_add(accepted, bit);
        grew = true;
    }
    return grew;
}

static void choose_features(struct virtio_device *dev)
{
    const struct virtio_driver *driver = dev->driver;

    dev->accepted = (struct virtio_features){ 0 };
    if (dev->legacy)
        accept_some(dev, legacy_features, ARRAY_SIZE(legacy_features), &dev->accepted);
    else
        accept_some(dev, ring_features, ARRAY_SIZE(ring_features), &dev->accepted);
    while (accept_some(dev, driver->features, driver->n_features, &dev->accepted))
        ;
}

static bool have_required(const struct virtio_device *dev, const struct virtio_feature *list,
                          unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (list[i].required && !virtio_has(dev, list[i].bit))
            return false;
    return true;
}

static void write_features(struct virtio_device *dev)
{
    /* A reset has cleared them; words that an older device does not know are left alone. */
    for (unsigned i = 0; i < feature_words(dev); i++)
        if (i < 2 || dev->accepted.word[i])
            dev->transport->set_features(dev, i, dev->accepted.word[i]);
}

/* Steps 5 and 6 of §3.1.1: the device may refuse the choice. A legacy one cannot (§3.1.2). */
static const char *settle_features(struct virtio_device *dev)
{
    write_features(dev);
    if (dev->legacy)
        return NULL;
    add_status(dev, VIRTIO_CONFIG_S_FEATURES_OK);
    if (!(dev->transport->get_status(dev) & VIRTIO_CONFIG_S_FEATURES_OK))
        return "the device refuses the features chosen";
    return NULL;
}

static void greet(struct virtio_device *dev)
{
    add_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    add_status(dev, VIRTIO_CONFIG_S_DRIVER);
}

/* NULL: done; else why it failed. */
static const char *negotiate(struct virtio_device *dev)
{
    const struct virtio_driver *driver = dev->driver;

    greet(dev);
    read_offered(dev);
    choose_features(dev);
    if (!dev->legacy && !virtio_has(dev, VIRTIO_F_VERSION_1))
        return "the device does not offer VERSION_1";
    if (virtio_has(dev, VIRTIO_F_ACCESS_PLATFORM) && dma_is_translated)
        return "an IOMMU that cannot be turned off is in its way";
    if (!have_required(dev, driver->features, driver->n_features))
        return "the device lacks a feature that its driver needs";
    if (ring_choice() == RING_PACKED && !virtio_has(dev, VIRTIO_F_RING_PACKED))
        log_device(LOG_INFO, dev, "no packed ring is offered, using split ones", 0);
    return settle_features(dev);
}

/* ---- configuration (§2.5) */

static bool in_config(const struct virtio_device *dev, uint32_t offset, uint32_t bytes)
{
    return bytes && offset <= dev->config_bytes && bytes <= dev->config_bytes - offset;
}

/*
 * Numbers in one access, 64-bit ones in two (§4.1.3.1); arrays byte by byte.
 * Returns whether the device said something else than what stood in *to.
 */
static bool read_field(struct virtio_device *dev, uint32_t offset, uint8_t *to, uint32_t bytes)
{
    uint32_t width = bytes == 8 ? 4 : bytes == 2 || bytes == 4 ? bytes : 1;
    bool differs = false;

    for (uint32_t done = 0; done < bytes; done += width) {
        uint32_t value = dev->transport->config_read(dev, offset + done, width);

        for (uint32_t i = 0; i < width; i++) {
            uint8_t byte = (uint8_t)(value >> (8 * i));

            differs |= to[done + i] != byte;
            to[done + i] = byte;
        }
    }
    return differs;
}

/* One look; true: no change came in between. */
static bool read_steadily(struct virtio_device *dev, uint32_t offset, uint8_t *to, uint32_t bytes)
{
    uint32_t before;

    if (dev->legacy) {
        read_field(dev, offset, to, bytes);
        return bytes == 1 || !read_field(dev, offset, to, bytes);
    }
    before = dev->transport->config_generation(dev);
    read_field(dev, offset, to, bytes);
    return dev->transport->config_generation(dev) == before;
}

int virtio_config_read(struct virtio_device *dev, uint32_t offset, void *to, uint32_t bytes)
{
    if (!in_config(dev, offset, bytes))
        return -ERANGE;
    memset(to, 0, bytes);
    for (unsigned i = 0; i < SETTLE_TRIES; i++)
        if (read_steadily(dev, offset, to, bytes))
            return 0;
    log_device(LOG_ERROR, dev, "its configuration does not settle", 0);
    return -EIO;
}

int virtio_config_write(struct virtio_device *dev, uint32_t offset, uint32_t value, unsigned bytes)
{
    if (!in_config(dev, offset, bytes))
        return -ERANGE;
    dev->transport->config_write(dev, offset, bytes, value);
    return 0;
}

/* ---- where no interrupt comes, or may not come */

static void start_tick(struct virtio_device *dev, uint64_t after_ns)
{
    dev->tick_ns = after_ns;
    timer_start(&dev->tick, clock_monotonic_ns() + after_ns);
}

static bool waits_for_line(const struct virtio_device *dev)
{
    return dev->interrupts == VIRTIO_INTERRUPTS_LINE && !dev->line_heard;
}

static uint64_t slower(const struct virtio_device *dev)
{
    return MIN(2 * dev->tick_ns, dev->driver->patient ? TICK_PATIENT_NS : TICK_MAX_NS);
}

/* A device without interrupts must not keep the CPU from halting, unless `irq=poll` asks for it. */
static void tick(struct timer *timer)
{
    struct virtio_device *dev = CONTAINER_OF(timer, struct virtio_device, tick);
    bool all = waits_for_line(dev);
    uint32_t progress = 0;
    struct list *link;

    if (!dev->ticking)
        return;
    if (dev->config_polled || (all && dev->config_event))
        event_signal(dev->config_event);
    LIST_FOR_EACH (link, &dev->queues) {
        struct virtio_queue *queue = CONTAINER_OF(link, struct virtio_queue, link);

        if (!queue->polled && !(all && queue->event))
            continue;
        progress += (uint32_t)queue->ring.avail_next + queue->ring.used_next;
        event_signal(queue->event);
    }
    start_tick(dev, progress != dev->tick_progress ? TICK_NS : slower(dev));
    dev->tick_progress = progress;
}

static void begin_tick(struct virtio_device *dev)
{
    if (dev->ticking)
        return;
    dev->ticking = true;
    timer_init(&dev->tick, tick);
    start_tick(dev, TICK_NS);
}

/* An event may be shared by several queues and devices. */
static void poll_event(struct virtio_device *dev, struct event *event)
{
    if (irq_mode == IRQ_MODE_POLL) {
        if (list_empty(&event->polled))
            event_poll(event);
    } else {
        begin_tick(dev);
    }
}

static bool device_polls(const struct virtio_device *dev, const struct event *event)
{
    struct list *link;

    if (dev->config_polled && dev->config_event == event)
        return true;
    LIST_FOR_EACH (link, &dev->queues) {
        const struct virtio_queue *queue = CONTAINER_OF(link, struct virtio_queue, link);

        if (queue->polled && queue->event == event)
            return true;
    }
    return false;
}

/* It stays polled as long as anybody wants it. */
static void unpoll_event(struct event *event)
{
    struct list *link;

    LIST_FOR_EACH (link, &devices)
        if (device_polls(CONTAINER_OF(link, struct virtio_device, link), event))
            return;
    event_unpoll(event);
}

static void stop_tick(struct virtio_device *dev)
{
    if (dev->ticking)
        timer_cancel(&dev->tick);
    dev->ticking = false;
}

/* ---- interrupts */

/* How many buffers (packed: descriptors) were taken back since the last interrupt for this queue.
 */
static uint32_t taken_back(struct virtio_queue *queue)
{
    uint16_t position = load_once(&queue->ring.used_next), before = queue->position;
    bool wrapped = queue->ring.format == VIRTQ_PACKED && position < before;

    queue->position = position;
    return (uint16_t)(position - before + (wrapped ? queue->size : 0));
}

/*
 * Interrupt context. What a device may interrupt for is a buffer that it used,
 * or a change that its driver then looks at: one that interrupts much more
 * often would leave the CPU no time for anything else. It is silenced until
 * its driver resets it.
 */
static bool is_storm(struct virtio_device *dev, uint32_t answered)
{
    dev->unanswered -= MIN(dev->unanswered, answered);
    if (++dev->unanswered <= dev->storm_from)
        return false;
    dev->storming = true;
    return true;
}

static void signal_queues(struct virtio_device *dev)
{
    struct list *link;

    LIST_FOR_EACH (link, &dev->queues) {
        struct virtio_queue *queue = CONTAINER_OF(link, struct virtio_queue, link);

        if (queue->event)
            event_signal(queue->event);
    }
}

/* Interrupt context: marks, and nothing else. */
static void mark_config(struct virtio_device *dev)
{
    if (!dev->config_event)
        return;
    dev->config_changed = true;
    event_signal(dev->config_event);
    if (dev->config_to_queues)
        signal_queues(dev);
}

static void interrupt(void *argument)
{
    struct virtio_vector *vector = argument;
    struct virtio_device *dev = vector->device;
    uint32_t answered = 0;
    struct list *link;
    SPIN_SCOPE(&dev->lock);

    if (vector->index == dev->config_vector)
        mark_config(dev);
    LIST_FOR_EACH (link, &vector->queues) {
        struct virtio_queue *queue = CONTAINER_OF(link, struct virtio_queue, vector_link);

        event_signal(queue->event);
        answered += taken_back(queue);
    }
    if (is_storm(dev, answered)) {
        dev->transport->vector_silence(dev, vector->index);
        vector->silenced = true;
    }
}

/* Which queue it is for, a line does not tell. */
static uint32_t mark_queues(struct virtio_device *dev)
{
    uint32_t answered = 0;
    struct list *link;

    signal_queues(dev);
    LIST_FOR_EACH (link, &dev->queues)
        answered += taken_back(CONTAINER_OF(link, struct virtio_queue, link));
    return answered;
}

/*
 * A device that storms is not asked any more until its driver has reset it: then
 * nobody claims its line, which is switched off when it goes on.
 */
static bool line_interrupt(void *argument)
{
    struct virtio_device *dev = argument;
    uint32_t answered = 0;
    uint8_t cause;
    SPIN_SCOPE(&dev->lock);

    if (dev->storming)
        return false;
    cause = dev->transport->line_take(dev);
    if (!(cause & (VIRTIO_LINE_QUEUE | VIRTIO_LINE_CONFIG)))
        return false;
    dev->line_heard = true;
    stop_tick(dev);
    if (cause & VIRTIO_LINE_CONFIG)
        mark_config(dev);
    if (cause & VIRTIO_LINE_QUEUE)
        answered = mark_queues(dev);
    is_storm(dev, answered);
    return true;
}

static void line_lost(void *argument)
{
    struct virtio_device *dev = argument;

    dev->line_heard = false;
    begin_tick(dev);
}

static bool start_vectors(struct virtio_device *dev)
{
    int n = dev->transport->vectors_start(dev);

    if (n > 0)
        dev->vectors = kalloc(MIN((unsigned)n, MAX_VECTORS) * sizeof(*dev->vectors));
    if (!dev->vectors)
        return false;
    dev->n_vectors = (uint16_t)MIN(n, MAX_VECTORS);
    dev->interrupts = VIRTIO_INTERRUPTS_MSIX;
    return true;
}

/*
 * Where a line leads is what firmware or a table here says, which may be wrong.
 * Until it was heard, a timer looks after the device too, as if it had none.
 */
static bool start_line(struct virtio_device *dev)
{
    struct irq_line line;
    int error;

    if (!dev->transport->line_find || dev->transport->line_find(dev, &line))
        return false;
    dev->listener = (struct irq_listener){
        .handler = line_interrupt, .lost = line_lost, .argument = dev, .name = dev->driver->name
    };
    error = irq_line_attach(&line, &dev->listener);
    if (error) {
        log_device(LOG_ERROR, dev, "its interrupt line cannot be used", error);
        return false;
    }
    dev->interrupts = VIRTIO_INTERRUPTS_LINE;
    begin_tick(dev);
    /* A line that was up before anybody listened makes no edge. */
    if (dev->transport->line_take(dev) & VIRTIO_LINE_CONFIG)
        mark_config(dev);
    return true;
}

static void start_line_or_timer(struct virtio_device *dev)
{
    if (!start_line(dev))
        log_device(LOG_INFO, dev, "no interrupts, looked after by a timer", 0);
}

/* Finds out how the device can interrupt, once, when something is to interrupt for the first time.
 */
static void start_interrupts(struct virtio_device *dev)
{
    if (dev->interrupts_tried)
        return;
    dev->interrupts_tried = true;
    if (irq_mode == IRQ_MODE_POLL || (irq_mode == IRQ_MODE_MSIX && start_vectors(dev)))
        return;
    start_line_or_timer(dev);
}

/* Makes a vector of the device reach the CPU. */
static bool open_vector(struct virtio_device *dev, uint16_t index, unsigned cpu)
{
    struct virtio_vector *vector = &dev->vectors[index];
    int cpu_vector;

    if (vector->silenced) {
        vector->silenced = false;
        dev->transport->vector_set(dev, index, irq_message(vector->cpu_vector));
    }
    if (vector->cpu_vector)
        return true;
    cpu_vector = irq_alloc_on(cpu, interrupt, vector, dev->driver->name);
    if (cpu_vector < 0)
        return false;
    *vector = (struct virtio_vector){ .device = dev, .cpu_vector = cpu_vector, .index = index };
    list_init(&vector->queues);
    dev->transport->vector_set(dev, index, irq_message(cpu_vector));
    return true;
}

/* With fewer vectors than users, queues share: the configuration keeps its own as long as it can.
 */
static uint16_t vector_for_slot(const struct virtio_device *dev, unsigned slot)
{
    if (slot == CONFIG_SLOT || dev->n_vectors == 1)
        return 0;
    return (uint16_t)(1 + (slot - 1) % (dev->n_vectors - 1u));
}

static void close_vectors(struct virtio_device *dev)
{
    if (!dev->vectors)
        return;
    dev->transport->vectors_stop(dev);
    for (unsigned i = 0; i < dev->n_vectors; i++)
        if (dev->vectors[i].cpu_vector)
            irq_free(dev->vectors[i].cpu_vector);
    kfree(dev->vectors);
    dev->vectors = NULL;
    dev->n_vectors = 0;
    dev->interrupts = VIRTIO_INTERRUPTS_POLL;
}

static void close_line(struct virtio_device *dev)
{
    if (dev->interrupts != VIRTIO_INTERRUPTS_LINE)
        return;
    irq_line_detach(&dev->listener);
    dev->interrupts = VIRTIO_INTERRUPTS_POLL;
}

/* The first one, or another that others use already; VIRTIO_NO_VECTOR: there is none. */
static uint16_t any_vector(struct virtio_device *dev)
{
    if (open_vector(dev, 0, 0))
        return 0;
    for (uint16_t i = 1; i < dev->n_vectors; i++)
        if (dev->vectors[i].cpu_vector)
            return i;
    return VIRTIO_NO_VECTOR;
}

/*
 * A vector that reaches a CPU, this one if it is the slot's own, or one that it shares;
 * VIRTIO_NO_VECTOR: there is none. The CPU's vectors may run out: where the device
 * gets none at all, its line may share one that others have.
 */
static uint16_t choose_vector(struct virtio_device *dev, unsigned slot, unsigned cpu)
{
    uint16_t index;

    start_interrupts(dev);
    if (!dev->vectors)
        return VIRTIO_NO_VECTOR;
    index = vector_for_slot(dev, slot);
    if (!open_vector(dev, index, cpu))
        index = any_vector(dev);
    if (index != VIRTIO_NO_VECTOR)
        return index;
    log_device(LOG_INFO, dev, "no vector of the CPU is left for it", 0);
    close_vectors(dev);
    start_line_or_timer(dev);
    return VIRTIO_NO_VECTOR;
}

/* ---- changes of the configuration */

static void connect_config(struct virtio_device *dev)
{
    uint16_t vector = choose_vector(dev, CONFIG_SLOT, 0);

    if (!dev->legacy)
        dev->generation = dev->transport->config_generation(dev);
    if (dev->interrupts == VIRTIO_INTERRUPTS_LINE)
        return;
    dev->config_vector = vector;
    if (vector != VIRTIO_NO_VECTOR && dev->transport->vector_config(dev, vector) == 0)
        return;
    dev->config_vector = VIRTIO_NO_VECTOR;
    dev->config_polled = true;
    poll_event(dev, dev->config_event);
}

void virtio_config_watch(struct virtio_device *dev, struct event *event)
{
    dev->config_event = event;
    connect_config(dev);
}

void virtio_config_watch_by_queues(struct virtio_device *dev)
{
    dev->config_to_queues = true;
    virtio_config_watch(dev, CONTAINER_OF(dev->queues.next, struct virtio_queue, link)->event);
}

static bool shares_config_vector(const struct virtio_device *dev)
{
    struct list *link;

    if (dev->config_vector == VIRTIO_NO_VECTOR)
        return false;
    LIST_FOR_EACH (link, &dev->queues)
        if (CONTAINER_OF(link, struct virtio_queue, link)->vector == dev->config_vector)
            return true;
    return false;
}

/* What a legacy device tells of it is why it would raise its line, while it has no vectors. */
static bool legacy_has_changed(struct virtio_device *dev)
{
    bool were_on, changed;
    uint8_t cause;

    if (dev->vectors || !dev->transport->line_take)
        return true;                /* its driver has to look */
    were_on = irq_lock(&dev->lock); /* a handler takes it too */
    cause = dev->transport->line_take(dev);
    if (cause & VIRTIO_LINE_QUEUE)
        mark_queues(dev);
    changed = cause & VIRTIO_LINE_CONFIG || dev->config_changed;
    dev->config_changed = false;
    irq_unlock(&dev->lock, were_on);
    return changed;
}

static bool has_changed(struct virtio_device *dev)
{
    uint32_t before = dev->generation;

    if (dev->legacy)
        return legacy_has_changed(dev);
    dev->generation = dev->transport->config_generation(dev);
    return dev->generation != before;
}

/* Asks the device itself. */
static bool has_news(struct virtio_device *dev)
{
    bool changed = has_changed(dev);

    if (changed && dev->ticking) /* its driver may be about to do something */
        start_tick(dev, TICK_NS);
    return changed || virtio_needs_reset(dev) != NULL;
}

bool virtio_config_changed(struct virtio_device *dev)
{
    store_once(&dev->unanswered, 0);
    if (load_once(&dev->storming))
        return true;
    if (dev->config_polled || waits_for_line(dev)) {
        uint64_t now_ns = clock_monotonic_ns();

        if (now_ns < dev->look_ns)
            return false;
        dev->look_ns = now_ns + CONFIG_INTERVAL_NS;
        return has_news(dev);
    }
    if (!load_once(&dev->config_changed))
        return false;
    /* Cleared before looking: a change from here on marks it again. */
    store_once(&dev->config_changed, false);
    return !shares_config_vector(dev) || has_news(dev);
}

/* ---- queues */

static struct virtio_queue *queue_at(const struct virtio_device *dev, uint16_t index)
{
    struct list *link;

    LIST_FOR_EACH (link, &dev->queues) {
        struct virtio_queue *queue = CONTAINER_OF(link, struct virtio_queue, link);

        if (queue->index == index)
            return queue;
    }
    return NULL;
}

static enum virtq_format format_of(const struct virtio_device *dev)
{
    return virtio_has(dev, VIRTIO_F_RING_PACKED) ? VIRTQ_PACKED : VIRTQ_SPLIT;
}

/* How many descriptors are used, the most that both sides can have; 0: none. */
static uint16_t choose_size(enum virtq_format format, uint32_t theirs, uint16_t ours)
{
    uint32_t size = MIN(MIN(theirs, (uint32_t)ours), (uint32_t)VIRTQ_SIZE_MAX);

    while (size && !virtq_size_ok(format, size))
        size &= size - 1;
    return (uint16_t)size;
}

/* A legacy device's size is as it is, and it computes from it where the areas are (§2.7.2). */
static uint16_t legacy_ring_size(uint32_t theirs)
{
    return virtq_size_ok(VIRTQ_SPLIT, theirs) ? (uint16_t)theirs : 0;
}

static int allocate_queue(struct virtio_queue *queue, enum virtq_format format)
{
    struct virtq_layout layout =
        queue->ring_size ? virtq_legacy_layout(queue->ring_size, queue->size, queue->indirect_max)
                         : virtq_layout(format, queue->size, queue->indirect_max);
    dma_addr_t addr;

    queue->shared_bytes = layout.shared_bytes;
    queue->shared = dma_alloc(layout.shared_bytes, &addr);
    queue->private_memory = kalloc(layout.private_bytes);
    if (!queue->shared || !queue->private_memory)
        return -ENOMEM;
    queue->areas = virtq_areas_in(&layout, queue->shared, addr);
    if (queue->ring_size && addr >> LEGACY_PAGE_SHIFT > UINT32_MAX) {
        log_device(LOG_ERROR, queue->device, "a legacy device reaches no queue beyond 16 TiB", 0);
        return -ERANGE;
    }
    return 0;
}

/* Memory that a device may still write to is not given to anybody else. */
static void free_queue(struct virtio_queue *queue)
{
    if (queue->device->stuck)
        return;
    if (queue->shared)
        dma_free(queue->shared, queue->shared_bytes);
    kfree(queue->private_memory);
    queue->shared = queue->private_memory = NULL;
}

static int make_ring(struct virtio_queue *queue, const struct virtq_doorbell *doorbell)
{
    struct virtio_device *dev = queue->device;
    int error = virtq_init(&queue->ring,
                           &(struct virtq_config){
                               .format = format_of(dev),
                               .size = queue->size,
                               .ring_size = queue->ring_size,
                               .indirect_max = queue->indirect_max,
                               .event_idx = virtio_has(dev, VIRTIO_F_EVENT_IDX),
                               .in_order = virtio_has(dev, VIRTIO_F_IN_ORDER),
                               .order_platform = virtio_has(dev, VIRTIO_F_ORDER_PLATFORM),
                               .notification_data = virtio_has(dev, VIRTIO_F_NOTIFICATION_DATA),
                               .areas = queue->areas,
                               .private_memory = queue->private_memory,
                               .doorbell = *doorbell,
                           });

    virtq_take_any_length(&queue->ring, queue->any_length);
    return error;
}

/* From here on the vector's interrupts are for it, and no other's; VIRTIO_NO_VECTOR: no more. */
static void join_vector(struct virtio_queue *queue, uint16_t vector)
{
    struct virtio_device *dev = queue->device;
    bool were_on = irq_lock(&dev->lock);

    queue->vector = vector;
    list_remove(&queue->vector_link);
    if (vector != VIRTIO_NO_VECTOR)
        list_append(&dev->vectors[vector].queues, &queue->vector_link);
    irq_unlock(&dev->lock, were_on);
}

static int offer_queue(struct virtio_queue *queue, uint16_t vector)
{
    struct virtio_queue_setup setup = { .index = queue->index,
                                        .size = queue->ring.ring_size,
                                        .vector = vector,
                                        .descriptor_addr = queue->areas.descriptor_addr,
                                        .driver_addr = queue->areas.driver_addr,
                                        .device_addr = queue->areas.device_addr };

    join_vector(queue, vector);
    return queue->device->transport->queue_start(queue->device, &setup);
}

/* Whether an interrupt tells of it. */
static bool is_heard(const struct virtio_queue *queue)
{
    return queue->vector != VIRTIO_NO_VECTOR ||
           (queue->event && queue->device->interrupts == VIRTIO_INTERRUPTS_LINE);
}

/* A device may be out of vectors (§4.1.5.1.2): the queue then shares the first, else it is polled.
 */
static int connect_queue(struct virtio_queue *queue)
{
    struct virtio_device *dev = queue->device;
    uint16_t vector =
        queue->event ? choose_vector(dev, queue->index + 1u, queue->cpu) : VIRTIO_NO_VECTOR;
    int error = offer_queue(queue, vector);

    if (error == -EAGAIN && dev->vectors && vector != 0 && open_vector(dev, 0, 0))
        error = offer_queue(queue, 0);
    if (error == -EAGAIN)
        error = offer_queue(queue, VIRTIO_NO_VECTOR);
    virtq_be_deaf(&queue->ring, !is_heard(queue));
    queue->polled = !error && queue->event && !is_heard(queue);
    if (queue->polled)
        poll_event(queue->device, queue->event);
    return error;
}

int virtio_queue_setup(struct virtio_device *dev, struct virtio_queue *queue, uint16_t index,
                       uint16_t size_max, uint16_t indirect_max, struct event *event)
{
    return virtio_queue_setup_for(dev, queue, index, size_max, indirect_max, event, 0);
}

int virtio_queue_setup_for(struct virtio_device *dev, struct virtio_queue *queue, uint16_t index,
                           uint16_t size_max, uint16_t indirect_max, struct event *event,
                           unsigned cpu)
{
    struct virtq_doorbell doorbell;
    uint32_t theirs;
    bool were_on;
    int error;

    if (queue_at(dev, index))
        return -EBUSY;
    error = dev->transport->queue_find(dev, index, &theirs, &doorbell);
    if (error)
        return error;
    *queue = (struct virtio_queue){
        .device = dev,
        .event = event,
        .index = index,
        .size = choose_size(format_of(dev), theirs, size_max),
        .ring_size = dev->legacy ? legacy_ring_size(theirs) : 0,
        .indirect_max = virtio_has(dev, VIRTIO_F_INDIRECT_DESC) ? indirect_max : 0,
        .vector = VIRTIO_NO_VECTOR,
        .cpu = cpu,
    };
    list_init(&queue->vector_link);
    if (!queue->size || (dev->legacy && !queue->ring_size))
        return -EINVAL;
    error = allocate_queue(queue, format_of(dev));
    if (!error)
        error = make_ring(queue, &doorbell);
    if (!error)
        error = connect_queue(queue);
    if (error) {
        join_vector(queue, VIRTIO_NO_VECTOR);
        free_queue(queue);
        return error;
    }
    were_on = irq_lock(&dev->lock); /* the device's other interrupts walk this list */
    list_append(&dev->queues, &queue->link);
    dev->storm_from += queue->size;
    irq_unlock(&dev->lock, were_on);
    return 0;
}

void virtio_queue_ignore_lengths(struct virtio_queue *queue)
{
    queue->any_length = queue->device->legacy;
    virtq_take_any_length(&queue->ring, queue->any_length);
}

/* After a reset, or when the device is beyond all hope. */
static void forget_queues(struct virtio_device *dev)
{
    struct event *config_event = dev->config_event;
    struct list *link;

    /* No interrupt walks the list from here on. */
    close_vectors(dev);
    close_line(dev);
    stop_tick(dev);
    while ((link = list_pop(&dev->queues))) {
        struct virtio_queue *queue = CONTAINER_OF(link, struct virtio_queue, link);

        free_queue(queue);
        if (queue->polled)
            unpoll_event(queue->event);
    }
    dev->config_event = NULL;
    if (dev->config_polled) {
        dev->config_polled = false;
        unpoll_event(config_event);
    }
}

/* ---- bring-up, recovery, the end (§3) */

static const struct virtio_driver *find_driver(uint32_t type)
{
    for (const struct virtio_driver *driver = __start_virtio_drivers;
         driver < __stop_virtio_drivers; driver++)
        if (driver->type == type)
            return driver;
    return NULL;
}

/* The host shall see FAILED, also where queues had to be taken back by a reset. */
static int give_up(struct virtio_device *dev, const char *reason, int error)
{
    if (!dev->failure)
        fail(dev, reason, error);
    if (!list_empty(&dev->queues) || dev->interrupts != VIRTIO_INTERRUPTS_POLL ||
        dev->config_event) {
        if (virtio_reset(dev))
            log_device(LOG_ERROR, dev, "does not answer a reset, its memory stays lost", 0);
        forget_queues(dev);
        if (!dev->stuck)
            add_status(dev, VIRTIO_CONFIG_S_FAILED);
    }
    dev->driver = NULL;
    return error;
}

static int bring_up(struct virtio_device *dev)
{
    const char *refusal;
    int error;

    if (virtio_reset(dev))
        return give_up(dev, "the device does not answer a reset", -ETIMEDOUT);
    dev->driver = find_driver(dev->type);
    if (!dev->driver) {
        read_offered(dev);
        return -ENODEV;
    }
    refusal = negotiate(dev);
    if (refusal)
        return give_up(dev, refusal, -EPROTO);
    error = dev->driver->probe(dev);
    if (error)
        return give_up(dev, "its driver could not start it", error);
    return 0;
}

int virtio_add(struct virtio_device *dev)
{
    dev->number = next_number++;
    list_init(&dev->queues);
    list_init(&dev->waits);
    dev->storm_from = STORM_FROM;
    dev->config_vector = VIRTIO_NO_VECTOR;
    list_append(&devices, &dev->link);
    return bring_up(dev);
}

int virtio_queue_reset(struct virtio_queue *queue)
{
    struct virtio_device *dev = queue->device;

    if (!virtio_has(dev, VIRTIO_F_RING_RESET))
        return -EOPNOTSUPP;
    dev->transport->queue_reset(dev, queue->index);
    return await_reset(dev, dev->transport->queue_is_reset, queue->index);
}

int virtio_queue_restart(struct virtio_queue *queue)
{
    struct virtio_device *dev = queue->device;
    struct virtq_doorbell doorbell;
    uint32_t theirs;
    int error = dev->transport->queue_find(dev, queue->index, &theirs, &doorbell);

    if (error)
        return error;
    if (queue->ring_size ? theirs != queue->ring_size : theirs < queue->size)
        return -EINVAL;
    error = make_ring(queue, &doorbell);
    return error ? error : connect_queue(queue);
}

/* Drivers have made up their minds about the features: only the same ones will do. */
static const char *renegotiate(struct virtio_device *dev)
{
    greet(dev);
    read_offered(dev);
    for (unsigned i = 0; i < VIRTIO_FEATURE_WORDS; i++)
        if (dev->accepted.word[i] & ~dev->offered.word[i])
            return "the device offers less than before its reset";
    return settle_features(dev);
}

int virtio_reinit(struct virtio_device *dev)
{
    const char *refusal = renegotiate(dev);
    struct list *link;

    dev->unanswered = 0;
    dev->storming = false;
    irq_line_retry(&dev->listener);
    if (refusal) {
        virtio_fail(dev, refusal);
        return -EPROTO;
    }
    LIST_FOR_EACH (link, &dev->queues) {
        int error = virtio_queue_restart(CONTAINER_OF(link, struct virtio_queue, link));

        if (error) {
            virtio_fail(dev, "a queue cannot be set up again after a reset");
            return error;
        }
    }
    if (dev->config_event)
        connect_config(dev);
    return 0;
}

void virtio_remove(struct virtio_device *dev)
{
    if (dev->driver && dev->driver->remove)
        dev->driver->remove(dev);
    if (virtio_reset(dev))
        log_device(LOG_ERROR, dev, "does not answer a reset, its memory stays lost", 0);
    orphan_waits(dev);
    forget_queues(dev);
    list_remove(&dev->link);
    dev->driver = NULL;
}

/* ---- reports */

struct virtio_device *virtio_next(const struct virtio_device *dev)
{
    struct list *next = dev ? dev->link.next : devices.next;

    return next == &devices ? NULL : CONTAINER_OF(next, struct virtio_device, link);
}

struct virtio_features virtio_refused(const struct virtio_device *dev)
{
    struct virtio_features refused;

    for (unsigned i = 0; i < VIRTIO_FEATURE_WORDS; i++)
        refused.word[i] = dev->offered.word[i] & ~dev->accepted.word[i];
    return refused;
}

const char *virtio_ring_text(const struct virtio_device *dev)
{
    return format_of(dev) == VIRTQ_PACKED ? "packed" : "split";
}
