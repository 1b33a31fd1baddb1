/* SPDX-License-Identifier: MIT */
/*
 * How a virtio device is reached (§4): what a transport does for the device
 * core. Drivers do not include this; they call drivers/virtio/device.h.
 *
 * Every function is called in kernel thread context, by one caller at a time.
 * What comes back from the device is passed on unjudged unless stated: the core
 * judges it.
 */
#ifndef DRIVERS_VIRTIO_TRANSPORT_H
#define DRIVERS_VIRTIO_TRANSPORT_H

#include "drivers/virtio/virtq.h"
#include "kernel/irq.h"
#include "lib/base/format.h"
#include "lib/base/types.h"

struct virtio_device;

/* "No interrupt", as a vector (§4.1.5.1.2). */
#define VIRTIO_NO_VECTOR 0xffff

/* Why a device raises its line. */
#define VIRTIO_LINE_QUEUE  0x1
#define VIRTIO_LINE_CONFIG 0x2

/*
 * What the device is told about a queue (§4.1.4.3, §4.2.3.2). A legacy one only
 * hears the page that descriptor_addr is, at most 2^32 - 1: the size is its
 * own, and the other areas lie where it expects them.
 */
struct virtio_queue_setup {
    uint16_t index, size;
    uint16_t vector; /* of the device's own vectors, or VIRTIO_NO_VECTOR */
    dma_addr_t descriptor_addr, driver_addr, device_addr;
};

struct virtio_transport {
    const char *name; /* "pci", "mmio" */

    /* Where the device is, for reports: "0000:00:03.0". */
    void (*locate)(const struct virtio_device *dev, struct text *text);

    /* The status byte (§2.1). Writing 0 asks for a reset; the core waits until it reads 0. */
    uint8_t (*get_status)(struct virtio_device *dev);
    void (*set_status)(struct virtio_device *dev, uint8_t status);

    /* A reset did not end: keeps the device from our memory, as far as the bus can. */
    void (*cut_off)(struct virtio_device *dev);

    /* Features, word 0 to 3 of 32 bits each (§2.2); legacy: word 0 only. */
    uint32_t (*get_features)(struct virtio_device *dev, unsigned word);
    void (*set_features)(struct virtio_device *dev, unsigned word, uint32_t features);

    /*
     * The device's configuration (§2.5), in one access of 1, 2 or 4 bytes,
     * aligned to their number. offset + bytes <= dev->config_bytes.
     */
    uint32_t (*config_read)(struct virtio_device *dev, uint32_t offset, unsigned bytes);
    void (*config_write)(struct virtio_device *dev, uint32_t offset, unsigned bytes,
                         uint32_t value);
    uint32_t (*config_generation)(struct virtio_device *dev); /* legacy: NULL, there is none */

    /*
     * A queue as the device offers it: descriptors at most, not judged, and how
     * to notify it (§2.9, as was negotiated). -ENOENT: there is no such queue; -EINVAL: its
     * doorbell would lie outside the device's registers.
     */
    int (*queue_find)(struct virtio_device *dev, uint16_t index, uint32_t *size_max,
                      struct virtq_doorbell *doorbell);

    /*
     * Hands the queue over to the device. -EBUSY: it is in use already; -EAGAIN:
     * the device did not take the vector, ask again with another.
     */
    int (*queue_start)(struct virtio_device *dev, const struct virtio_queue_setup *setup);

    /*
     * With RING_RESET: asks the device to forget one queue; and whether it has,
     * after which queue_start() may be called again (§2.6.1).
     */
    void (*queue_reset)(struct virtio_device *dev, uint16_t index);
    bool (*queue_is_reset)(struct virtio_device *dev, uint16_t index);

    /*
     * Interrupts by message. start: how many vectors the device has, all of
     * them silent now; or a negative errno. set: the message of one of them, which may be
     * sent from now on. config: which one reports changes of the configuration;
     * -EAGAIN: the device did not take it. silence: no message from this one
     * until it is set again; may be called in interrupt context. stop: all silent again.
     */
    int (*vectors_start)(struct virtio_device *dev);
    void (*vector_set)(struct virtio_device *dev, uint16_t vector, struct irq_message message);
    int (*vector_config)(struct virtio_device *dev, uint16_t vector);
    void (*vector_silence)(struct virtio_device *dev, uint16_t vector);
    void (*vectors_stop)(struct virtio_device *dev);

    /*
     * Interrupts by a line, which others may share. find: where it leads; the
     * device may raise it from now on. -ENODEV: nobody knows, or it has none. take: why the
     * device raises it, VIRTIO_LINE_..., 0: it does not; and that it was heard, so that the
     * device lowers it (§4.1.4.5, §4.2.2); in interrupt context too. Both NULL: no line.
     */
    int (*line_find)(struct virtio_device *dev, struct irq_line *line);
    uint8_t (*line_take)(struct virtio_device *dev);
};

#endif
