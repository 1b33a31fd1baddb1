/* SPDX-License-Identifier: MIT */
/*
 * A virtio device as its driver sees it: status (§2.1), features (§2.2),
 * configuration (§2.5), reset (§2.4), initialization (§3.1), queues, interrupts.
 *
 * The core finds the driver of a device, resets it, negotiates the driver's
 * features and calls probe(). The driver then
 *
 *     virtio_config_read(dev, offset, &field, sizeof(field));
 *     virtio_queue_setup(dev, &rx, 0, 256, 0, &event);      rx.ring is a struct virtq
 *     virtio_start(dev);                                    DRIVER_OK: from here on notify
 *
 * and works with drivers/virtio/virtq.h on `rx.ring`:
 *
 *     for (;;) {
 *         reap(virtq_get(&rx.ring, ...));
 *         if (virtio_config_changed(dev))
 *             ...
 *         if (!virtq_arm(&rx.ring, 1))
 *             event_wait(&event, CLOCK_NEVER);
 *     }
 *
 * After a lie of the device (virtq_get() says -EIO) or virtio_needs_reset():
 *
 *     virtio_reset(dev);                 0: nothing of ours is in use by it any more
 *     virtq_drain(&rx.ring, ...);        everything lent comes back
 *     virtio_reinit(dev);                same features, same queues, empty
 *     ...                                fill them
 *     virtio_start(dev);
 *
 * Nothing that the device says is trusted. A device that fails is reported and
 * the boot goes on.
 *
 * Concurrency: kernel thread context, one caller a device at a time. Interrupts
 * only signal the events that the driver gave.
 */
#ifndef DRIVERS_VIRTIO_DEVICE_H
#define DRIVERS_VIRTIO_DEVICE_H

#include "drivers/virtio/spec/config.h"
#include "drivers/virtio/virtq.h"
#include "kernel/driver.h"
#include "kernel/event.h"
#include "kernel/irq_line.h"
#include "kernel/spinlock.h"
#include "kernel/timer.h"
#include "lib/base/list.h"
#include "lib/base/types.h"

struct virtio_transport;
struct virtio_driver;

/* ---- features */

#define VIRTIO_FEATURE_WORDS (VIRTIO_FEATURE_BITS / 32)

struct virtio_features {
    uint32_t word[VIRTIO_FEATURE_WORDS];
};

static inline bool virtio_features_have(const struct virtio_features *set, unsigned bit)
{
    return bit < VIRTIO_FEATURE_BITS && (set->word[bit / 32] >> (bit % 32) & 1);
}

static inline void virtio_features_add(struct virtio_features *set, unsigned bit)
{
    set->word[bit / 32] |= UINT32_C(1) << (bit % 32);
}

/*
 * A feature that a driver can use, and what else must be accepted for it: all
 * of needs, or at least one where any is set. A list has its prerequisites
 * before what needs them, or in any order: the core looks until nothing changes.
 */
struct virtio_feature {
    uint8_t bit;
    bool required;  /* without it the driver does not work */
    bool transport; /* only where the transport can do it too */
    bool any;
    uint8_t n_needs;
    uint8_t needs[4];
};

#define VIRTIO_FEATURE(b) \
    {                     \
        .bit = (b)        \
    }
#define VIRTIO_FEATURE_REQUIRED(b)   \
    {                                \
        .bit = (b), .required = true \
    }
#define VIRTIO_FEATURE_TRANSPORT(b)   \
    {                                 \
        .bit = (b), .transport = true \
    }
#define VIRTIO_FEATURE_NEEDS(b, a)                \
    {                                             \
        .bit = (b), .n_needs = 1, .needs = {(a) } \
    }
#define VIRTIO_FEATURE_NEEDS_ANY(b, a1, a2)                           \
    {                                                                 \
        .bit = (b), .any = true, .n_needs = 2, .needs = {(a1), (a2) } \
    }

/* ---- queues */

/* Owned by the driver, which keeps it while the device lives; all else than ring is the core's. */
struct virtio_queue {
    struct virtq ring;
    struct virtio_device *device;
    struct list link;        /* among the device's queues */
    struct list vector_link; /* among those of its vector */
    struct event *event;
    unsigned cpu; /* which its interrupt goes to, if it has one of its own */
    uint16_t index, size;
    uint16_t ring_size; /* as virtq_config */
    uint16_t indirect_max;
    uint16_t vector;   /* of the device's, VIRTIO_NO_VECTOR: none */
    uint16_t position; /* of the ring when its interrupt came last */
    bool polled;       /* its event is marked by polling */
    bool any_length;   /* what the device says of lengths means nothing */
    struct virtq_areas areas;
    void *shared, *private_memory;
    size_t shared_bytes;
};

/* ---- the device */

/* One of the device's interrupts, and the CPU's vector behind it. */
struct virtio_vector {
    struct virtio_device *device;
    int cpu_vector;     /* 0: not set up yet */
    struct list queues; /* that it is for */
    uint16_t index;
    bool silenced; /* it took part in a storm */
};

enum virtio_interrupts { VIRTIO_INTERRUPTS_POLL, VIRTIO_INTERRUPTS_MSIX, VIRTIO_INTERRUPTS_LINE };

struct virtio_device {
    /* Set by the transport before virtio_add(). */
    const struct virtio_transport *transport;
    bool legacy;                               /* reached by a legacy register set (§2.2.3) */
    uint32_t type;                             /* VIRTIO_ID_... */
    uint32_t config_bytes;                     /* of the device's configuration space */
    struct virtio_features transport_features; /* of those that need its help: what it can do */

    /* Set by the driver. */
    void *driver_state;

    /* Set by the core. */
    struct list link;                   /* among all devices */
    unsigned number;                    /* 0 for the first one found */
    const struct virtio_driver *driver; /* NULL: there is none, or it failed */
    const char *failure;                /* why the device does not work; NULL: it does */
    unsigned recoveries;                /* how often it was reset because it was in trouble */
    const char *last_trouble;           /* why the last time; NULL: never */
    struct virtio_features offered, accepted;
    struct list queues;
    struct event *config_event; /* NULL: the driver does not care */
    bool config_to_queues;      /* not to the event alone, but to those of all queues */
    bool config_polled;
    bool config_changed; /* set by the interrupt handler, cleared by virtio_config_changed() */
    uint8_t status;      /* as last written by us */
    bool started;        /* DRIVER_OK is set */
    bool gone;           /* set by the transport: it has left, nothing is asked of it */
    struct list waits;   /* of threads for a reset to end */
    bool stuck;          /* a reset did not end: its memory is not ours again */
    uint32_t generation; /* of the configuration when a change was last looked for */
    uint64_t look_ns;    /* polling: when to look again */
    enum virtio_interrupts interrupts;
    bool interrupts_tried;
    uint16_t n_vectors;            /* of the device, that may be used */
    uint16_t config_vector;        /* VIRTIO_NO_VECTOR: none */
    struct virtio_vector *vectors; /* n_vectors of them */
    struct irq_listener listener;  /* to the device's line */
    bool line_heard; /* it was the device's, so that it works; until then a timer looks too. Set and
                        cleared by the handler */
    struct spinlock lock; /* of what interrupt handlers reach, with interrupts off */
    uint32_t unanswered;  /* interrupts less what was taken back, since the configuration was last
                             looked at; counted by the handler */
    uint32_t storm_from;  /* so many of them are a storm */
    bool storming;        /* it was silenced, and must be reset; set by the handler */
    bool ticking;
    struct timer tick;      /* looks after a device without interrupts */
    uint64_t tick_ns;       /* from one look to the next */
    uint32_t tick_progress; /* of the queues at the last look */
};

/*
 * A driver for one type of device; collected by LINKER_SET(virtio_drivers).
 * probe: 0, or a negative errno: the core then marks the device FAILED, resets it,
 * frees its queues and reports it. remove may be NULL; after it the core does
 * the same, without the report.
 */
struct virtio_driver {
    const char *name;                      /* "virtio-net" */
    uint32_t type;                         /* VIRTIO_ID_... */
    const struct virtio_feature *features; /* besides the ring's and the transport's */
    unsigned n_features;
    bool (*refuses)(unsigned bit); /* a feature of those, this time; may be NULL */
    bool patient; /* without interrupts: nobody waits for the device but the device for us */
    int (*probe)(struct virtio_device *dev);
    void (*remove)(struct virtio_device *dev);
};

/* ---- for drivers */

/* Whether a feature was accepted by both sides. */
static inline bool virtio_has(const struct virtio_device *dev, unsigned bit)
{
    return virtio_features_have(&dev->accepted, bit);
}

/*
 * Reads one field of the configuration (§2.5): 1, 2, 4 or 8 bytes as a number,
 * any other length as an array of bytes; each access as wide as the standard
 * asks (§4.1.3.1). Again until the generation did not change meanwhile; a legacy
 * device has none: until it reads the same twice (§2.5.4).
 * -ERANGE: beyond the configuration; -EIO: it does not settle. *to is undefined
 * after an error.
 */
int virtio_config_read(struct virtio_device *dev, uint32_t offset, void *to, uint32_t bytes);

/* One field of 1, 2 or 4 bytes. -ERANGE as above. */
int virtio_config_write(struct virtio_device *dev, uint32_t offset, uint32_t value, unsigned bytes);

/*
 * The event is signalled when the configuration changes or the device asks for
 * a reset; may be one that queues have too. At most once, before virtio_start().
 */
void virtio_config_watch(struct virtio_device *dev, struct event *event);

/* The same with the events of all queues that there are: whoever waits for any of them looks. */
void virtio_config_watch_by_queues(struct virtio_device *dev);

/*
 * Whether the configuration may have changed since the last call. Cheap; when
 * polling it looks at the device at most 200 times a second. Also notices
 * DEVICE_NEEDS_RESET, which is then told by virtio_needs_reset().
 */
bool virtio_config_changed(struct virtio_device *dev);

/*
 * Why the device must be reset: it asks for it (§2.1.1), or interrupts without
 * end and was silenced. NULL: it need not. Reads the status.
 */
const char *virtio_needs_reset(struct virtio_device *dev);

/*
 * Sets up queue `index` with at most size_max descriptors, fewer if the device
 * has fewer (a legacy device's ring may be longer: only so many of it are used), and
 * indirect tables of indirect_max elements (0: none; ignored where INDIRECT_DESC
 * was not accepted). event is signalled by the queue's interrupt; with `irq=poll` by
 * polling; where the device has no interrupts, or a line that has not shown yet that it
 * works, every millisecond while something moves, more and more rarely when nothing
 * does; NULL: never.
 * -ENOENT: the device has no such queue; -ENOMEM; -EINVAL: the driver's mistake or the
 * device's nonsense; -ERANGE: a legacy device cannot reach its memory; -EBUSY: it is
 * set up already.
 */
int virtio_queue_setup(struct virtio_device *dev, struct virtio_queue *queue, uint16_t index,
                       uint16_t size_max, uint16_t indirect_max, struct event *event);

/* The same, and its interrupt goes to that CPU where the queue gets one of its own. */
int virtio_queue_setup_for(struct virtio_device *dev, struct virtio_queue *queue, uint16_t index,
                           uint16_t size_max, uint16_t indirect_max, struct event *event,
                           unsigned cpu);

/*
 * After it: for a queue where the standard asks not to look at what a legacy
 * device says of lengths. Each buffer then counts as written to its full length.
 * Nothing changes for other devices.
 */
void virtio_queue_ignore_lengths(struct virtio_queue *queue);

/* DRIVER_OK: the device may work. 0, or -EIO: it asks for a reset at once. */
int virtio_start(struct virtio_device *dev);

/*
 * Resets the device and waits until it says that it is done (§2.4.2). 0:
 * it has forgotten all queues and touches no memory; -ETIMEDOUT: it did not
 * answer within a second: what was lent to it stays lost; -ENODEV: it was removed
 * while we slept, the driver's remove has done the rest, and the struct may be gone.
 */
int virtio_reset(struct virtio_device *dev);

/*
 * After virtio_reset() and virtq_drain(): status, the same features, the same
 * queues and vectors, all queues empty. virtio_start() comes next. Errors as in
 * negotiation and virtio_queue_setup(); the device is then failed.
 */
int virtio_reinit(struct virtio_device *dev);

/*
 * Takes one queue back while the rest of the device works on (§2.6.1), where
 * RING_RESET was accepted. 0: the device has forgotten it, virtq_drain() gives
 * back what was lent, then virtio_queue_restart(). -EOPNOTSUPP: not accepted;
 * -ETIMEDOUT: the device did not do it within a second: what was lent stays
 * lent until virtio_reset().
 */
int virtio_queue_reset(struct virtio_queue *queue);

/* The same queue, empty, set up as at first. Errors as virtio_queue_setup(); it is then out of use.
 */
int virtio_queue_restart(struct virtio_queue *queue);

/* Gives up: logs the reason, sets FAILED. The reason's text is kept, not copied. */
void virtio_fail(struct virtio_device *dev, const char *reason);

/*
 * The device lied or asks for a reset, which its driver is about to do: logs
 * the reason, and keeps it for reports. Its text is kept, not copied.
 */
void virtio_trouble(struct virtio_device *dev, const char *reason);

/* ---- for transports */

/*
 * A device was found: lists it, finds its driver, brings it up. 0; -ENODEV: no
 * driver; or why it failed, which has been reported. In all cases it is listed
 * until virtio_remove().
 */
int virtio_add(struct virtio_device *dev);

/* The device is gone or to be let go: driver's remove, reset, queues freed, unlisted. */
void virtio_remove(struct virtio_device *dev);

/* ---- for reports */

/* All devices: the first with NULL; NULL after the last. */
struct virtio_device *virtio_next(const struct virtio_device *dev);

/* "network card"; "type 99" is not known: NULL. */
const char *virtio_type_text(uint32_t type);

/* "MRG_RXBUF", or NULL: a bit this kernel has no name for. */
const char *virtio_feature_text(uint32_t type, unsigned bit);

/* Offered and not accepted. */
struct virtio_features virtio_refused(const struct virtio_device *dev);

/* "split" or "packed". */
const char *virtio_ring_text(const struct virtio_device *dev);

#endif
