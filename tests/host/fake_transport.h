/* SPDX-License-Identifier: MIT */
/*
 * A virtio device without a bus, for hosted tests of the device core and of
 * drivers: a transport (drivers/virtio/transport.h) whose other side is in the
 * test's hand. The rings' device side is tests/host/fake_device.h.
 *
 *     static struct fake_transport fake;
 *
 *     fake_transport_init(&fake, VIRTIO_ID_BLOCK);
 *     fake_offer(&fake, VIRTIO_BLK_F_RO);           VERSION_1 and EVENT_IDX are offered already
 *     memcpy(fake.config, &config, sizeof(config));
 *     fake.device.config_bytes = sizeof(config);         what the transport reports
 *     fake.queues[0].size_max = 128;                0: there is no such queue
 *     fake.kicked = serve;                          called at each doorbell, may be NULL
 *
 *     assert_int_equal(virtio_add(&fake.device), 0);     probes the linked driver
 *     ...
 *     fake_transport_check(&fake);                  fails the test if the driver broke a rule
 *     virtio_remove(&fake.device);
 *
 * In serve(): while ((chain = fake_pop(&fake->queues[q].ring))) ...; fake_push(...);
 * then fake_want_notification(&fake->queues[q].ring) and fake_transport_interrupt(fake, q),
 * which interrupts if the driver wants it. A queue's ring works from DRIVER_OK on.
 *
 * With fake_make_legacy() after fake_transport_init() it is a legacy device (§2.2.3),
 * and watches that it is driven as one.
 *
 * Link it with drivers/virtio/device.c, drivers/virtio/virtq.c, tests/host/fake_device.c and
 * tests/host/{event,irq,dma,alloc,clock,cmdline,log,panic}.c.
 */
#ifndef TESTS_HOST_FAKE_TRANSPORT_H
#define TESTS_HOST_FAKE_TRANSPORT_H

#include "drivers/virtio/device.h"
#include "drivers/virtio/transport.h"
#include "tests/host/fake_device.h"

#define FAKE_QUEUES       8
#define FAKE_CONFIG_BYTES 1024
#define FAKE_VECTORS      16
#define FAKE_STATUSES     64
#define FAKE_LINE_ROUNDS  4096 /* of a level that stays up, at most */

struct fake_transport {
    struct virtio_device device; /* what the driver gets */

    /* What the device is; set between fake_transport_init() and virtio_add(). */
    struct virtio_features offered;
    uint8_t config[FAKE_CONFIG_BYTES]; /* device.config_bytes of them are there */
    unsigned n_vectors;                /* 0: no interrupts by message */
    bool has_line;                     /* which is `line` */
    struct irq_line line;
    void (*kicked)(struct fake_transport *fake, unsigned queue);
    void (*config_written)(struct fake_transport *fake, uint32_t offset, unsigned bytes);
    void (*started)(struct fake_transport *fake); /* at DRIVER_OK, just before; may be NULL */
    void *owner;                                  /* the test's own */

    struct fake_transport_queue {
        uint32_t size_max;
        /* what the driver made of it */
        bool enabled, live;
        bool resetting, was_reset; /* this queue alone, by RING_RESET */
        uint16_t size, vector;
        struct virtio_queue_setup setup;
        unsigned kicks;
        struct fake_queue ring; /* works from DRIVER_OK on */
    } queues[FAKE_QUEUES];

    /* How it misbehaves. */
    bool refuse_features_ok;  /* the bit does not stay */
    bool never_settles;       /* another generation, legacy: another value, at every look */
    unsigned unsettled_reads; /* so many reads see another one, then it settles */
    bool reset_never_ends;
    unsigned reset_polls; /* looks until a reset, also of a queue, has ended */
    bool queue_reset_never_ends;
    bool line_stays_up;            /* whatever is taken */
    bool line_is_dead;             /* it leads to nobody */
    uint16_t notif_config_data;    /* + the queue's index: what its notifications carry */
    unsigned vectors_refused_from; /* vectors of this number and above are not taken; 0: all are */
    bool needs_reset;              /* shows in the status; goes with a reset */

    /* What happened. */
    uint8_t status;
    bool resetting;
    unsigned reset_polls_left;
    uint8_t statuses[FAKE_STATUSES]; /* each one written, in order */
    unsigned n_statuses;
    unsigned resets;
    unsigned config_reads;           /* accesses */
    bool cut_off;                    /* from memory */
    struct virtio_features accepted; /* as written by the driver */
    uint32_t generation;
    uint16_t config_vector;
    struct irq_message messages[FAKE_VECTORS];
    bool unmasked[FAKE_VECTORS];
    uint8_t cause;         /* why the line is up; 0: it is down */
    unsigned causes_taken; /* how often it was asked why */
    unsigned interrupts;   /* that reached the CPU */
    const char *violation; /* the first rule that the driver broke; NULL: none */
};

/* A device of this type with VERSION_1, EVENT_IDX and INDIRECT_DESC offered, 4 vectors, no queue.
 */
void fake_transport_init(struct fake_transport *fake, uint32_t type);

/*
 * Turns it into a legacy device, which shows bit 30 as QEMU's do: no driver may
 * acknowledge that. ANY_LAYOUT is offered. Its queues are where it computes
 * them from a page number of 32 bits: host_dma_low (tests/host/dma.h) makes such.
 */
void fake_make_legacy(struct fake_transport *fake);

void fake_offer(struct fake_transport *fake, unsigned bit);
void fake_withdraw(struct fake_transport *fake, unsigned bit);

/*
 * Interrupts for a queue if its driver wants it, by the queue's vector; false:
 * it did not, or has no vector. Ends the batch of pushes as fake_interrupt_wanted().
 */
bool fake_transport_interrupt(struct fake_transport *fake, unsigned queue);

/* Interrupts in any case, also by mistake. */
void fake_transport_interrupt_always(struct fake_transport *fake, unsigned queue);

/* The configuration has changed: a new generation, and its interrupt. */
void fake_transport_config_changed(struct fake_transport *fake);

/* DEVICE_NEEDS_RESET, and the interrupt for it. */
void fake_transport_ask_for_reset(struct fake_transport *fake);

/* Fails the running test when the driver broke a rule, of the transport or of a ring. */
void fake_transport_check(struct fake_transport *fake);

#endif
