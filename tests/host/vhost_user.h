/* SPDX-License-Identifier: MIT */
/*
 * The front end of the vhost-user protocol (QEMU's docs/interop/vhost-user.rst):
 * drives a virtio device that is another program on the same host, over a Unix
 * socket. So the rings that run in the guest run here against devices which
 * somebody else wrote: dpdk-testpmd, qemu-storage-daemon.
 *
 *     struct vhost_user device;
 *     struct virtq q;
 *
 *     vhost_user_connect(&device, "/tmp/socket", 5000)
 *         && vhost_user_share(&device, &memory)
 *         && vhost_user_set_features(&device, device.offered & wanted)
 *         && vhost_user_queue_start(&device, 0, &(struct virtq_config){
 *                .format = VIRTQ_SPLIT, .size = 256, .event_idx = true }, &q)
 *         && vhost_user_set_status(&device, VHOST_USER_RUNNING)
 *         || fail(device.error);
 *
 *     virtq_add(&q, ...); if (virtq_publish(&q)) virtq_notify(&q);
 *     while (virtq_arm(&q, 1) || vhost_user_wait(&device, 0, 1000) == VHOST_USER_CALLED)
 *         virtq_get(&q, ...);
 *
 *     vhost_user_ring_stop(&device, 0, &base);      from here on the ring is ours alone
 *     virtq_drain(&q, ...);
 *     vhost_user_close(&device);
 *
 * The other side is not trusted: what it answers is bounded and checked before
 * use, file descriptors that it sends are closed, and no call waits longer than
 * the time given to vhost_user_connect(). Unless said otherwise a function
 * returns false when it failed; device.error then tells why, and the connection
 * is good for nothing but vhost_user_close().
 *
 * Concurrency: one thread a connection. A ring's doorbell and vhost_user_wait()
 * may be used by another one.
 */
#ifndef TESTS_HOST_VHOST_USER_H
#define TESTS_HOST_VHOST_USER_H

#include "drivers/virtio/virtq.h"
#include "lib/base/types.h"
#include "tests/host/shared_memory.h"

#define VHOST_USER_RINGS        16
#define VHOST_USER_CONFIG_BYTES 256 /* of the device's configuration, at most */

/* Protocol features, in vhost_user.protocol. What this front end can use is accepted where offered.
 */
#define VHOST_USER_PROTOCOL_F_MQ        0
#define VHOST_USER_PROTOCOL_F_REPLY_ACK 3
#define VHOST_USER_PROTOCOL_F_CONFIG    9
#define VHOST_USER_PROTOCOL_F_STATUS    16

/* ACKNOWLEDGE, DRIVER, FEATURES_OK and DRIVER_OK (virtio §2.1). */
#define VHOST_USER_RUNNING 15

struct vhost_user_ring {
    int kick, call, err;  /* eventfds: ours to write, theirs to write twice; -1: none yet */
    bool started;         /* the device may touch the ring */
    void *private_memory; /* of vhost_user_queue_start() */
};

struct vhost_user {
    int socket; /* -1: not connected */
    unsigned timeout_ms;
    uint64_t offered;    /* virtio features, bit n: feature n; without the protocol's own bit */
    uint64_t accepted;   /* after vhost_user_set_features() */
    uint64_t protocol;   /* protocol features in use */
    bool has_protocol;   /* they were negotiated at all: rings are enabled one by one */
    uint64_t queues_max; /* as the device counts them, net: pairs; 0: it does not say */
    struct shared_memory *memory;
    struct vhost_user_ring ring[VHOST_USER_RINGS];
    char error[256];
};

/*
 * Connects, waiting for the socket to appear, and negotiates protocol features.
 * After a failure too vhost_user_close() is allowed.
 */
bool vhost_user_connect(struct vhost_user *device, const char *path, unsigned timeout_ms);

/* The device forgets everything. The shared memory stays its owner's. */
void vhost_user_close(struct vhost_user *device);

/* Whether the other side still holds its end of the connection. */
bool vhost_user_is_alive(const struct vhost_user *device);

static inline bool vhost_user_has_protocol(const struct vhost_user *device, unsigned bit)
{
    return device->protocol >> bit & 1;
}

/* Lends the memory, which must live as long as the connection. */
bool vhost_user_share(struct vhost_user *device, struct shared_memory *memory);

/* Accepts these features, which must all be offered. Before the first ring is started. */
bool vhost_user_set_features(struct vhost_user *device, uint64_t features);

/*
 * The device status byte. Where the device does not support it (protocol
 * feature STATUS), set does nothing, and get is false with *status untouched
 * and the connection as good as before.
 */
bool vhost_user_set_status(struct vhost_user *device, uint8_t status);
bool vhost_user_get_status(struct vhost_user *device, uint8_t *status);

/*
 * The device's configuration (protocol feature CONFIG): its first so many bytes,
 * because some devices take any offset for 0.
 */
bool vhost_user_get_config(struct vhost_user *device, void *to, uint32_t bytes);
bool vhost_user_set_config(struct vhost_user *device, uint32_t offset, const void *from,
                           uint32_t bytes);

/* ---- rings */

/* Where a fresh ring begins, and what vhost_user_ring_stop() gives: split: the next avail index. */
#define VHOST_USER_BASE_SPLIT 0u

/*
 * Packed: the next avail position in bits 0 to 14 with its wrap counter in bit
 * 15; the same of the used position in bits 16 to 31, which some devices do not
 * tell. Both wrap counters start at 1.
 */
#define VHOST_USER_BASE_PACKED 0x80008000u

struct vhost_user_ring_setup {
    uint16_t size;
    uint32_t base;
    const void *descriptor, *driver, *device; /* inside the shared memory */
};

/* Gives a stopped ring to the device, and enables it. */
bool vhost_user_ring_start(struct vhost_user *device, unsigned index,
                           const struct vhost_user_ring_setup *setup);

/*
 * Takes the ring back: the device begins nothing more and has finished what it
 * had begun; only qemu-storage-daemon (7.2) answers while that is still under
 * way, and finishes it a little later. Its position in *base; NULL: nobody
 * cares.
 */
bool vhost_user_ring_stop(struct vhost_user *device, unsigned index, uint32_t *base);

/* Lets an enabled ring pause or go on. Needs negotiated protocol features. */
bool vhost_user_ring_enable(struct vhost_user *device, unsigned index, bool on);

/* Rings by writing to the kick eventfd. Lives as long as the connection. */
struct virtq_doorbell vhost_user_doorbell(struct vhost_user *device, unsigned index);

/*
 * Makes a virtqueue in the shared memory and starts its ring: areas, private
 * memory and doorbell of the configuration are filled in here. Its private
 * memory lives until vhost_user_close() or the ring is started again, its areas
 * as long as the shared memory.
 */
bool vhost_user_queue_start(struct vhost_user *device, unsigned index,
                            const struct virtq_config *config, struct virtq *q);

/* The device's interrupts, which it sends as virtq_arm() asked. */
enum vhost_user_event {
    VHOST_USER_CALLED,  /* at least once since the last time */
    VHOST_USER_TIMEOUT, /* not within timeout_ms */
    VHOST_USER_HUNG_UP, /* nor ever: the other side is gone */
};

enum vhost_user_event vhost_user_wait(const struct vhost_user *device, unsigned index,
                                      unsigned timeout_ms);

/* Whether the device has reported an error of the ring since the last time. */
bool vhost_user_ring_failed(const struct vhost_user *device, unsigned index);

#endif
