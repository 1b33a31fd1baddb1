/* SPDX-License-Identifier: MIT */
#include "tests/host/vhost_transport.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "drivers/virtio/spec/config.h"
#include "lib/base/errno.h"
#include "tests/host/irq.h"
#include "tests/host/live_event.h"
#include "tests/host/shared_dma.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))

static struct vhost_transport *foreign_of(const struct virtio_device *dev)
{
    return CONTAINER_OF(dev, struct vhost_transport, device);
}

static void locate(const struct virtio_device *dev, struct text *text)
{
    text_add(text, "%s", foreign_of(dev)->socket);
}

/* ---- interrupts, sent by eventfds */

static void send_message(struct vhost_transport *foreign, uint16_t vector)
{
    if (vector < ARRAY_SIZE(foreign->messages) && foreign->messages[vector].address)
        host_irq_send(foreign->messages[vector]);
}

static void called(void *argument)
{
    struct vhost_transport_queue *queue = argument;
    struct vhost_transport *foreign = queue->owner;
    uint64_t count;

    if (read(foreign->peer.ring[queue->setup.index].call, &count, sizeof(count)) < 0)
        return;
    queue->calls++;
    send_message(foreign, queue->setup.vector);
}

/* The device has no more to say: its driver hears of it as of any device in trouble. */
static void lose(struct vhost_transport *foreign)
{
    if (foreign->lost)
        return;
    foreign->lost = true;
    host_unwatch(foreign->peer.socket);
    send_message(foreign, foreign->config_vector);
}

static void hung_up(void *argument)
{
    struct vhost_transport *foreign = argument;

    if (vhost_user_is_alive(&foreign->peer))
        return;
    snprintf(foreign->peer.error, sizeof(foreign->peer.error), "the other side hung up");
    lose(foreign);
}

static bool sound(struct vhost_transport *foreign, bool done)
{
    if (!done)
        lose(foreign);
    return done;
}

/* ---- connection */

static void disconnect(struct vhost_transport *foreign)
{
    if (foreign->peer.socket < 0)
        return;
    host_unwatch(foreign->peer.socket);
    for (unsigned i = 0; i < foreign->n_queues; i++)
        host_unwatch(foreign->peer.ring[i].call);
    vhost_user_close(&foreign->peer);
}

/* The first time, or again after it was lost. */
static void ensure_connection(struct vhost_transport *foreign)
{
    if (foreign->peer.socket >= 0 && !foreign->lost)
        return;
    disconnect(foreign);
    foreign->lost =
        !vhost_user_connect(&foreign->peer, foreign->socket, VHOST_TRANSPORT_TIMEOUT_MS);
    if (foreign->lost)
        return;
    foreign->connections++;
    host_watch(foreign->peer.socket, hung_up, foreign);
}

/* ---- status */

static bool start_ring(struct vhost_transport *foreign, struct vhost_transport_queue *queue)
{
    const struct virtio_queue_setup *setup = &queue->setup;
    const uint8_t *start = host_shared.start;
    bool packed = foreign->accepted & FEATURE(VIRTIO_F_RING_PACKED);
    const struct vhost_user_ring_setup ring = {
        .size = setup->size,
        .base = packed ? VHOST_USER_BASE_PACKED : VHOST_USER_BASE_SPLIT,
        .descriptor = start + (setup->descriptor_addr - host_shared.device_start),
        .driver = start + (setup->driver_addr - host_shared.device_start),
        .device = start + (setup->device_addr - host_shared.device_start),
    };

    if (!vhost_user_ring_start(&foreign->peer, setup->index, &ring))
        return false;
    if (!foreign->silent)
        host_watch(foreign->peer.ring[setup->index].call, called, queue);
    return true;
}

static void start_rings(struct vhost_transport *foreign)
{
    for (unsigned i = 0; i < foreign->n_queues; i++)
        if (foreign->queues[i].enabled && !sound(foreign, start_ring(foreign, &foreign->queues[i])))
            return;
}

/* A reset takes the rings back one by one; see vhost_user_ring_stop() for what that promises. */
static void reset(struct vhost_transport *foreign)
{
    ensure_connection(foreign);
    for (unsigned i = 0; i < foreign->n_queues; i++) {
        foreign->queues[i].enabled = false;
        if (!foreign->peer.ring[i].started)
            continue;
        host_unwatch(foreign->peer.ring[i].call);
        if (!foreign->lost)
            sound(foreign, vhost_user_ring_stop(&foreign->peer, i, NULL));
    }
    if (!foreign->lost)
        sound(foreign, vhost_user_set_status(&foreign->peer, 0));
    foreign->accepted = 0;
    foreign->status = 0;
    foreign->config_vector = VIRTIO_NO_VECTOR;
}

/* The features, and with them the memory: both are settled before any ring. */
static bool settle(struct vhost_transport *foreign)
{
    return vhost_user_set_features(&foreign->peer, foreign->accepted & ~foreign->own_features) &&
           vhost_user_share(&foreign->peer, &host_shared);
}

static uint8_t get_status(struct virtio_device *dev)
{
    struct vhost_transport *foreign = foreign_of(dev);
    uint8_t theirs = foreign->status;

    if (foreign->status && !foreign->lost &&
        vhost_user_has_protocol(&foreign->peer, VHOST_USER_PROTOCOL_F_STATUS))
        sound(foreign, vhost_user_get_status(&foreign->peer, &theirs));
    return foreign->status && foreign->lost ? foreign->status | VIRTIO_CONFIG_S_NEEDS_RESET
                                            : theirs;
}

static void set_status(struct virtio_device *dev, uint8_t status)
{
    struct vhost_transport *foreign = foreign_of(dev);
    uint8_t added = status & (uint8_t)~foreign->status;

    if (status == 0) {
        reset(foreign);
        return;
    }
    if (added & VIRTIO_CONFIG_S_FEATURES_OK && !foreign->lost && !sound(foreign, settle(foreign)))
        status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
    if (added & VIRTIO_CONFIG_S_DRIVER_OK && !foreign->lost)
        start_rings(foreign);
    foreign->status = status & (uint8_t)~VIRTIO_CONFIG_S_NEEDS_RESET;
    if (!foreign->lost)
        sound(foreign, vhost_user_set_status(&foreign->peer, foreign->status));
}

/* It was closed, or every ring was stopped: there is nothing to keep it from. */
static void cut_off(struct virtio_device *dev)
{
    disconnect(foreign_of(dev));
}

/* ---- features */

/* ACCESS_PLATFORM would want each translation told by message; this memory is lent whole. */
static uint64_t offered(const struct vhost_transport *foreign)
{
    if (foreign->lost)
        return 0;
    return (foreign->peer.offered | foreign->own_features) &
           ~(foreign->hidden | FEATURE(VIRTIO_F_ACCESS_PLATFORM));
}

static uint32_t get_features(struct virtio_device *dev, unsigned word)
{
    return word < 2 ? (uint32_t)(offered(foreign_of(dev)) >> (32 * word)) : 0;
}

static void set_features(struct virtio_device *dev, unsigned word, uint32_t features)
{
    struct vhost_transport *foreign = foreign_of(dev);

    if (word < 2)
        foreign->accepted |= (uint64_t)features << (32 * word);
}

/* ---- configuration */

static uint32_t config_read(struct virtio_device *dev, uint32_t offset, unsigned bytes)
{
    struct vhost_transport *foreign = foreign_of(dev);
    uint8_t config[VHOST_USER_CONFIG_BYTES];
    uint32_t value = 0;

    memcpy(config, foreign->own_config, sizeof(config));
    if (!foreign->lost && vhost_user_has_protocol(&foreign->peer, VHOST_USER_PROTOCOL_F_CONFIG))
        sound(foreign, vhost_user_get_config(&foreign->peer, config, dev->config_bytes));
    memcpy(&value, config + offset, bytes);
    return value;
}

static void config_write(struct virtio_device *dev, uint32_t offset, unsigned bytes, uint32_t value)
{
    struct vhost_transport *foreign = foreign_of(dev);

    memcpy(foreign->own_config + offset, &value, bytes);
    if (!foreign->lost && vhost_user_has_protocol(&foreign->peer, VHOST_USER_PROTOCOL_F_CONFIG))
        sound(foreign, vhost_user_set_config(&foreign->peer, offset, &value, bytes));
}

/* The protocol tells of changes by a channel that we do not open: there are none. */
static uint32_t config_generation(struct virtio_device *dev)
{
    (void)dev;
    return 0;
}

/* ---- queues */

static int queue_find(struct virtio_device *dev, uint16_t index, uint32_t *size_max,
                      struct virtq_doorbell *doorbell)
{
    struct vhost_transport *foreign = foreign_of(dev);

    if (index >= foreign->n_queues)
        return -ENOENT;
    *size_max = foreign->queue_size_max;
    *doorbell = vhost_user_doorbell(&foreign->peer, index);
    return 0;
}

static int queue_start(struct virtio_device *dev, const struct virtio_queue_setup *setup)
{
    struct vhost_transport *foreign = foreign_of(dev);
    struct vhost_transport_queue *queue = &foreign->queues[setup->index];

    if (queue->enabled)
        return -EBUSY;
    *queue = (struct vhost_transport_queue){ .owner = foreign, .setup = *setup, .enabled = true };
    return 0;
}

static int vectors_start(struct virtio_device *dev)
{
    const struct vhost_transport *foreign = foreign_of(dev);

    return foreign->silent ? -ENODEV : (int)foreign->n_queues + 1;
}

static void vector_set(struct virtio_device *dev, uint16_t vector, struct irq_message message)
{
    foreign_of(dev)->messages[vector] = message;
}

static int vector_config(struct virtio_device *dev, uint16_t vector)
{
    foreign_of(dev)->config_vector = vector;
    return 0;
}

static void vectors_stop(struct virtio_device *dev)
{
    struct vhost_transport *foreign = foreign_of(dev);

    memset(foreign->messages, 0, sizeof(foreign->messages));
}

static const struct virtio_transport transport = {
    .name = "vhost-user",
    .locate = locate,
    .get_status = get_status,
    .set_status = set_status,
    .cut_off = cut_off,
    .get_features = get_features,
    .set_features = set_features,
    .config_read = config_read,
    .config_write = config_write,
    .config_generation = config_generation,
    .queue_find = queue_find,
    .queue_start = queue_start,
    .vectors_start = vectors_start,
    .vector_set = vector_set,
    .vector_config = vector_config,
    .vectors_stop = vectors_stop,
};

/* ---- for tests */

void vhost_transport_init(struct vhost_transport *foreign, uint32_t type, const char *socket)
{
    *foreign = (struct vhost_transport){
        .device = { .transport = &transport, .type = type, .config_bytes = 60 },
        .peer = { .socket = -1 },
        .socket = socket,
        .queue_size_max = 256,
        .n_queues = 2,
        .config_vector = VIRTIO_NO_VECTOR,
    };
}

void vhost_transport_close(struct vhost_transport *foreign)
{
    disconnect(foreign);
}
