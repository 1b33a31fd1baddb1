/* SPDX-License-Identifier: MIT */
/*
 * A virtio device of another program on this host, for the unchanged drivers:
 * a transport (drivers/virtio/transport.h) over tests/host/vhost_user.h.
 *
 *     static struct vhost_transport foreign;
 *
 *     host_shared_init(64 * MIB);
 *     vhost_transport_init(&foreign, VIRTIO_ID_BLOCK, "/tmp/socket");
 *     foreign.hidden = UINT64_C(1) << VIRTIO_F_EVENT_IDX;     what the driver shall not see
 *     foreign.n_queues = 1;
 *     assert_int_equal(virtio_add(&foreign.device), 0);
 *     ...
 *     virtio_remove(&foreign.device);
 *     vhost_transport_close(&foreign);
 *
 * As far as the other program does not play the device, the front end does:
 * without protocol feature STATUS the status is ours, without CONFIG the
 * configuration and the features that only it needs (own_features).
 *
 * When the other side is gone the device asks for a reset, and the reset tries
 * to connect again: a program that was started anew goes on serving.
 *
 * Link it with drivers/virtio/{device,virtq}.c, lib/base/format.c, kernel/{page,alloc}.c
 * and tests/host/{vhost_user,shared_memory,shared_dma,live_event,irq,cmdline,log,panic}.c.
 */
#ifndef TESTS_HOST_VHOST_TRANSPORT_H
#define TESTS_HOST_VHOST_TRANSPORT_H

#include "drivers/virtio/device.h"
#include "drivers/virtio/transport.h"
#include "tests/host/vhost_user.h"

#define VHOST_TRANSPORT_TIMEOUT_MS 20000

/* One of the device's rings. */
struct vhost_transport_queue {
    struct vhost_transport *owner;
    struct virtio_queue_setup setup;
    unsigned calls; /* interrupts that the device sent */
    bool enabled;   /* set up; given to the device with DRIVER_OK */
};

struct vhost_transport {
    struct virtio_device device; /* what the driver gets */
    struct vhost_user peer;

    /* What the device is; may be changed between vhost_transport_init() and virtio_add(). */
    const char *socket;
    uint64_t hidden;       /* features that the driver is not shown */
    uint64_t own_features; /* offered by the front end, none of the other side's business */
    uint8_t own_config[VHOST_USER_CONFIG_BYTES]; /* where the other side keeps none */
    uint16_t queue_size_max;                     /* what the driver is offered; 256 */
    unsigned n_queues;                           /* 2 */
    bool silent;                                 /* no interrupts: it has to be polled */

    /* What became of it. */
    uint8_t status;
    uint64_t accepted; /* as the driver wrote them */
    bool lost;         /* the other side is gone, or answered wrongly: peer.error */
    unsigned connections;
    uint16_t config_vector;
    struct irq_message messages[VHOST_USER_RINGS + 1]; /* by vector; address 0: silent */
    struct vhost_transport_queue queues[VHOST_USER_RINGS];
};

void vhost_transport_init(struct vhost_transport *foreign, uint32_t type, const char *socket);

/* After virtio_remove(). */
void vhost_transport_close(struct vhost_transport *foreign);

#endif
