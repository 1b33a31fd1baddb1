/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tests/host/vhost_user.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_RETRY_MS 10
#define FDS_MAX          8 /* that a reply could smuggle in one go; more are dropped by the kernel */

/* Protocol features travel under a virtio feature bit that virtio itself reserves. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

#define NO_FD (UINT64_C(1) << 8) /* in place of a file descriptor: the other side polls */

enum request {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_VRING_BASE = 11,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    SET_VRING_ERR = 14,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    GET_QUEUE_NUM = 17,
    SET_VRING_ENABLE = 18,
    GET_CONFIG = 24,
    SET_CONFIG = 25,
    SET_STATUS = 39,
    GET_STATUS = 40,
};

/* Flags of a message. */
#define VERSION      1u
#define VERSION_MASK 3u
#define IS_REPLY     4u
#define NEEDS_REPLY  8u

struct vring_state {
    uint32_t index, number;
};

/* The areas at their addresses in the front end's own mapping. */
struct vring_addresses {
    uint32_t index, flags;
    uint64_t descriptor, used, avail, log;
};

struct memory_table {
    uint32_t n_regions, padding;
    uint64_t guest_address, bytes, user_address, file_offset; /* of the only region */
};

struct config_space {
    uint32_t offset, bytes, flags;
    uint8_t field[VHOST_USER_CONFIG_BYTES];
};

#define CONFIG_HEADER_BYTES offsetof(struct config_space, field)

struct header {
    uint32_t request, flags, payload_bytes;
};

union payload {
    uint64_t number;
    struct vring_state state;
    struct vring_addresses addresses;
    struct memory_table table;
    struct config_space config;
};

static __attribute__((format(printf, 2, 3))) bool fail(struct vhost_user *device,
                                                       const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(device->error, sizeof(device->error), format, arguments);
    va_end(arguments);
    return false;
}

static const char *request_text(enum request request)
{
    switch (request) {
    case GET_FEATURES:
        return "GET_FEATURES";
    case SET_FEATURES:
        return "SET_FEATURES";
    case SET_OWNER:
        return "SET_OWNER";
    case SET_MEM_TABLE:
        return "SET_MEM_TABLE";
    case SET_VRING_NUM:
        return "SET_VRING_NUM";
    case SET_VRING_ADDR:
        return "SET_VRING_ADDR";
    case SET_VRING_BASE:
        return "SET_VRING_BASE";
    case GET_VRING_BASE:
        return "GET_VRING_BASE";
    case SET_VRING_KICK:
        return "SET_VRING_KICK";
    case SET_VRING_CALL:
        return "SET_VRING_CALL";
    case SET_VRING_ERR:
        return "SET_VRING_ERR";
    case GET_PROTOCOL_FEATURES:
        return "GET_PROTOCOL_FEATURES";
    case SET_PROTOCOL_FEATURES:
        return "SET_PROTOCOL_FEATURES";
    case GET_QUEUE_NUM:
        return "GET_QUEUE_NUM";
    case SET_VRING_ENABLE:
        return "SET_VRING_ENABLE";
    case GET_CONFIG:
        return "GET_CONFIG";
    case SET_CONFIG:
        return "SET_CONFIG";
    case SET_STATUS:
        return "SET_STATUS";
    case GET_STATUS:
        return "GET_STATUS";
    }
    return "a request";
}

/* ---- bytes on the socket */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int left_ms(int64_t deadline_ms)
{
    int64_t left = deadline_ms - now_ms();

    return left > 0 ? (int)left : 0;
}

/* At most one file descriptor goes with a message; fd -1: none does. */
static bool send_bytes(struct vhost_user *device, enum request request, const void *bytes, size_t n,
                       int fd)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec piece = { (void *)bytes, n };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
    ssize_t sent;

    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control.room);
        control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fd)),
                                           .cmsg_level = SOL_SOCKET,
                                           .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    }
    do
        sent = sendmsg(device->socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent == (ssize_t)n)
        return true;
    return fail(device, "%s could not be sent: %s", request_text(request),
                sent < 0 ? strerror(errno) : "the other side does not read");
}

static unsigned close_received(struct msghdr *message)
{
    struct cmsghdr *control;
    unsigned closed = 0;

    for (control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
        size_t bytes = control->cmsg_len - CMSG_LEN(0);
        int fd;

        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = 0; at + sizeof(fd) <= bytes; at += sizeof(fd)) {
            memcpy(&fd, CMSG_DATA(control) + at, sizeof(fd));
            close(fd);
            closed++;
        }
    }
    return closed;
}

/* Exactly n bytes, or none. No answer that this front end asks for brings file descriptors. */
static bool receive_bytes(struct vhost_user *device, enum request request, void *to, size_t n,
                          int64_t deadline_ms)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;

    while (n) {
        struct pollfd readable = { .fd = device->socket, .events = POLLIN };
        struct iovec piece = { to, n };
        struct msghdr message = { .msg_iov = &piece,
                                  .msg_iovlen = 1,
                                  .msg_control = &control,
                                  .msg_controllen = sizeof(control) };
        ssize_t got;

        if (poll(&readable, 1, left_ms(deadline_ms)) == 0)
            return fail(device, "%s was not answered within %u ms", request_text(request),
                        device->timeout_ms);
        got = recvmsg(device->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return fail(device, "the other side hung up at %s: %s", request_text(request),
                        got ? strerror(errno) : "end of file");
        if (close_received(&message))
            return fail(device, "the answer to %s brings a file descriptor", request_text(request));
        to = (char *)to + got;
        n -= (size_t)got;
    }
    return true;
}

/* ---- messages */

static bool send_message(struct vhost_user *device, enum request request, uint32_t flags,
                         const void *payload, size_t bytes, int fd)
{
    struct {
        struct header header;
        char payload[sizeof(union payload)];
    } message = { .header = { request, VERSION | flags, (uint32_t)bytes } };

    memcpy(message.payload, payload, bytes);
    return send_bytes(device, request, &message, sizeof(message.header) + bytes, fd);
}

/* A payload of exactly so many bytes; a longer one never reaches our memory. */
static bool receive_reply(struct vhost_user *device, enum request request, void *payload,
                          size_t bytes)
{
    int64_t deadline_ms = now_ms() + device->timeout_ms;
    struct header header;

    if (!receive_bytes(device, request, &header, sizeof(header), deadline_ms))
        return false;
    if (header.request != request || !(header.flags & IS_REPLY) ||
        (header.flags & VERSION_MASK) != VERSION)
        return fail(device, "%s was answered by message %u with flags %#x", request_text(request),
                    header.request, header.flags);
    if (header.payload_bytes != bytes)
        return fail(device, "the answer to %s has %u bytes instead of %zu", request_text(request),
                    header.payload_bytes, bytes);
    return receive_bytes(device, request, payload, bytes, deadline_ms);
}

/* With REPLY_ACK the other side tells whether it agrees: without, it can only hang up. */
static bool command(struct vhost_user *device, enum request request, const void *payload,
                    size_t bytes, int fd)
{
    bool acknowledged = vhost_user_has_protocol(device, VHOST_USER_PROTOCOL_F_REPLY_ACK);
    uint64_t refusal;

    if (!send_message(device, request, acknowledged ? NEEDS_REPLY : 0, payload, bytes, fd))
        return false;
    if (!acknowledged)
        return true;
    if (!receive_reply(device, request, &refusal, sizeof(refusal)))
        return false;
    if (refusal)
        return fail(device, "the device refuses %s (%llu)", request_text(request),
                    (unsigned long long)refusal);
    return true;
}

static bool set_number(struct vhost_user *device, enum request request, uint64_t number)
{
    return command(device, request, &number, sizeof(number), -1);
}

static bool get_number(struct vhost_user *device, enum request request, uint64_t *number)
{
    return send_message(device, request, 0, "", 0, -1) &&
           receive_reply(device, request, number, sizeof(*number));
}

static bool set_vring_state(struct vhost_user *device, enum request request, unsigned index,
                            uint32_t number)
{
    struct vring_state state = { index, number };

    return command(device, request, &state, sizeof(state), -1);
}

static bool set_vring_fd(struct vhost_user *device, enum request request, unsigned index, int fd)
{
    uint64_t number = index | (fd < 0 ? NO_FD : 0);

    return command(device, request, &number, sizeof(number), fd);
}

/* ---- connection */

static bool connect_socket(struct vhost_user *device, const char *path)
{
    struct timeval limit = { .tv_sec = device->timeout_ms / 1000,
                             .tv_usec = device->timeout_ms % 1000 * 1000 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int64_t deadline_ms = now_ms() + device->timeout_ms;

    if (strlen(path) >= sizeof(address.sun_path))
        return fail(device, "%s: too long for the name of a socket", path);
    strcpy(address.sun_path, path);
    device->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (device->socket < 0)
        return fail(device, "no socket: %s", strerror(errno));
    setsockopt(device->socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    while (connect(device->socket, (struct sockaddr *)&address, sizeof(address))) {
        if ((errno != ENOENT && errno != ECONNREFUSED) || !left_ms(deadline_ms))
            return fail(device, "%s: %s", path, strerror(errno));
        usleep(CONNECT_RETRY_MS * 1000);
    }
    return true;
}

static bool negotiate_protocol(struct vhost_user *device)
{
    const uint64_t usable =
        UINT64_C(1) << VHOST_USER_PROTOCOL_F_MQ | UINT64_C(1) << VHOST_USER_PROTOCOL_F_REPLY_ACK |
        UINT64_C(1) << VHOST_USER_PROTOCOL_F_CONFIG | UINT64_C(1) << VHOST_USER_PROTOCOL_F_STATUS;
    uint64_t offered;

    if (!get_number(device, GET_PROTOCOL_FEATURES, &offered))
        return false;
    if (!set_number(device, SET_PROTOCOL_FEATURES, offered & usable))
        return false;
    device->protocol = offered & usable;
    return !vhost_user_has_protocol(device, VHOST_USER_PROTOCOL_F_MQ) ||
           get_number(device, GET_QUEUE_NUM, &device->queues_max);
}

static bool make_eventfds(struct vhost_user *device)
{
    for (unsigned i = 0; i < VHOST_USER_RINGS; i++) {
        struct vhost_user_ring *ring = &device->ring[i];

        ring->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        ring->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        ring->err = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (ring->kick < 0 || ring->call < 0 || ring->err < 0)
            return fail(device, "no eventfd: %s", strerror(errno));
    }
    return true;
}

bool vhost_user_connect(struct vhost_user *device, const char *path, unsigned timeout_ms)
{
    *device = (struct vhost_user){ .socket = -1, .timeout_ms = timeout_ms };
    for (unsigned i = 0; i < VHOST_USER_RINGS; i++)
        device->ring[i] = (struct vhost_user_ring){ .kick = -1, .call = -1, .err = -1 };
    if (!make_eventfds(device) || !connect_socket(device, path) ||
        !get_number(device, GET_FEATURES, &device->offered))
        return false;
    device->has_protocol = device->offered >> VHOST_USER_F_PROTOCOL_FEATURES & 1;
    device->offered &= ~(UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES);
    if (device->has_protocol && !negotiate_protocol(device))
        return false;
    return command(device, SET_OWNER, "", 0, -1);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void vhost_user_close(struct vhost_user *device)
{
    close_fd(&device->socket);
    for (unsigned i = 0; i < VHOST_USER_RINGS; i++) {
        struct vhost_user_ring *ring = &device->ring[i];

        close_fd(&ring->kick);
        close_fd(&ring->call);
        close_fd(&ring->err);
        free(ring->private_memory);
        ring->private_memory = NULL;
        ring->started = false;
    }
}

bool vhost_user_is_alive(const struct vhost_user *device)
{
    struct pollfd end = { .fd = device->socket, .events = POLLRDHUP };

    return poll(&end, 1, 0) == 0;
}

/* ---- the device */

bool vhost_user_share(struct vhost_user *device, struct shared_memory *memory)
{
    struct memory_table table = {
        .n_regions = 1,
        .guest_address = memory->device_start,
        .bytes = memory->bytes,
        .user_address = (uintptr_t)memory->start,
    };

    device->memory = memory;
    return command(device, SET_MEM_TABLE, &table, sizeof(table), memory->file);
}

bool vhost_user_set_features(struct vhost_user *device, uint64_t features)
{
    uint64_t own = (uint64_t)device->has_protocol << VHOST_USER_F_PROTOCOL_FEATURES;

    if (features & ~device->offered)
        return fail(device, "features %#llx are not offered",
                    (unsigned long long)(features & ~device->offered));
    device->accepted = features;
    return set_number(device, SET_FEATURES, features | own);
}

bool vhost_user_set_status(struct vhost_user *device, uint8_t status)
{
    return !vhost_user_has_protocol(device, VHOST_USER_PROTOCOL_F_STATUS) ||
           set_number(device, SET_STATUS, status);
}

bool vhost_user_get_status(struct vhost_user *device, uint8_t *status)
{
    uint64_t number;

    if (!vhost_user_has_protocol(device, VHOST_USER_PROTOCOL_F_STATUS))
        return fail(device, "the device has no status");
    if (!get_number(device, GET_STATUS, &number))
        return false;
    if (number > UINT8_MAX)
        return fail(device, "the status is %#llx", (unsigned long long)number);
    *status = (uint8_t)number;
    return true;
}

static bool check_config_access(struct vhost_user *device, uint32_t offset, uint32_t bytes)
{
    if (!vhost_user_has_protocol(device, VHOST_USER_PROTOCOL_F_CONFIG))
        return fail(device, "the device keeps no configuration");
    if (offset > VHOST_USER_CONFIG_BYTES || bytes > VHOST_USER_CONFIG_BYTES - offset)
        return fail(device, "%u bytes at %u: beyond any configuration", bytes, offset);
    return true;
}

bool vhost_user_get_config(struct vhost_user *device, void *to, uint32_t bytes)
{
    struct config_space space = { .bytes = bytes };

    if (!check_config_access(device, 0, bytes) ||
        !send_message(device, GET_CONFIG, 0, &space, CONFIG_HEADER_BYTES + bytes, -1) ||
        !receive_reply(device, GET_CONFIG, &space, CONFIG_HEADER_BYTES + bytes))
        return false;
    if (space.offset || space.bytes != bytes)
        return fail(device, "asked for %u bytes of the configuration, got %u at %u", bytes,
                    space.bytes, space.offset);
    memcpy(to, space.field, bytes);
    return true;
}

bool vhost_user_set_config(struct vhost_user *device, uint32_t offset, const void *from,
                           uint32_t bytes)
{
    struct config_space space = { .offset = offset, .bytes = bytes };

    if (!check_config_access(device, offset, bytes))
        return false;
    memcpy(space.field, from, bytes);
    return command(device, SET_CONFIG, &space, CONFIG_HEADER_BYTES + bytes, -1);
}

/* ---- rings */

/* true: it was signalled since the last time. */
static bool take_event(int fd)
{
    uint64_t count;

    return read(fd, &count, sizeof(count)) == sizeof(count);
}

/* What was signalled in a former life says nothing about this one. */
static void forget_events(const struct vhost_user_ring *ring)
{
    take_event(ring->kick);
    take_event(ring->call);
    take_event(ring->err);
}

/* The kick comes last of the file descriptors: some devices start with it. */
bool vhost_user_ring_start(struct vhost_user *device, unsigned index,
                           const struct vhost_user_ring_setup *setup)
{
    const struct vring_addresses addresses = {
        .index = index,
        .descriptor = (uintptr_t)setup->descriptor,
        .avail = (uintptr_t)setup->driver,
        .used = (uintptr_t)setup->device,
    };
    struct vhost_user_ring *ring = &device->ring[index];

    if (index >= VHOST_USER_RINGS || ring->started)
        return fail(device, "ring %u cannot be started", index);
    forget_events(ring);
    ring->started = true;
    return set_vring_state(device, SET_VRING_NUM, index, setup->size) &&
           set_vring_state(device, SET_VRING_BASE, index, setup->base) &&
           command(device, SET_VRING_ADDR, &addresses, sizeof(addresses), -1) &&
           set_vring_fd(device, SET_VRING_ERR, index, ring->err) &&
           set_vring_fd(device, SET_VRING_CALL, index, ring->call) &&
           set_vring_fd(device, SET_VRING_KICK, index, ring->kick) &&
           (!device->has_protocol || vhost_user_ring_enable(device, index, true));
}

bool vhost_user_ring_stop(struct vhost_user *device, unsigned index, uint32_t *base)
{
    struct vring_state state = { .index = index };

    if (index >= VHOST_USER_RINGS || !device->ring[index].started)
        return fail(device, "ring %u was not started", index);
    if (!send_message(device, GET_VRING_BASE, 0, &state, sizeof(state), -1) ||
        !receive_reply(device, GET_VRING_BASE, &state, sizeof(state)))
        return false;
    if (state.index != index)
        return fail(device, "stopped ring %u, got ring %u's position", index, state.index);
    device->ring[index].started = false;
    if (base)
        *base = state.number;
    return true;
}

bool vhost_user_ring_enable(struct vhost_user *device, unsigned index, bool on)
{
    return set_vring_state(device, SET_VRING_ENABLE, index, on);
}

/* A full counter means that the device has not looked for 2^64 kicks: one more tells it nothing. */
static void ring_kick(void *argument, uint32_t value)
{
    const struct vhost_user_ring *ring = argument;
    const uint64_t one = 1;

    (void)value;
    if (write(ring->kick, &one, sizeof(one)) < 0 && errno != EAGAIN) {
        perror("kick");
        abort();
    }
}

struct virtq_doorbell vhost_user_doorbell(struct vhost_user *device, unsigned index)
{
    return (struct virtq_doorbell){ .kind = VIRTQ_DOORBELL_HOOK,
                                    .value = index,
                                    .hook_argument = &device->ring[index],
                                    .hook = ring_kick };
}

bool vhost_user_queue_start(struct vhost_user *device, unsigned index,
                            const struct virtq_config *config, struct virtq *q)
{
    struct virtq_layout layout = virtq_layout(config->format, config->size, config->indirect_max);
    struct virtq_config whole = *config;
    struct vhost_user_ring *ring;
    dma_addr_t addr;
    void *block;

    if (index >= VHOST_USER_RINGS)
        return fail(device, "there is no ring %u", index);
    ring = &device->ring[index];
    block = shared_memory_take(device->memory, layout.shared_bytes, &addr);
    free(ring->private_memory);
    ring->private_memory = calloc(1, layout.private_bytes);
    if (!block || !ring->private_memory)
        return fail(device, "no memory for ring %u", index);
    whole.areas = virtq_areas_in(&layout, block, addr);
    whole.private_memory = ring->private_memory;
    whole.doorbell = vhost_user_doorbell(device, index);
    if (virtq_init(q, &whole))
        return fail(device, "no ring has %u descriptors", config->size);
    return vhost_user_ring_start(
        device, index,
        &(struct vhost_user_ring_setup){
            .size = config->size,
            .base = config->format == VIRTQ_PACKED ? VHOST_USER_BASE_PACKED : VHOST_USER_BASE_SPLIT,
            .descriptor = whole.areas.descriptor,
            .driver = whole.areas.driver,
            .device = whole.areas.device,
        });
}

enum vhost_user_event vhost_user_wait(const struct vhost_user *device, unsigned index,
                                      unsigned timeout_ms)
{
    struct pollfd watched[] = { { .fd = device->ring[index].call, .events = POLLIN },
                                { .fd = device->socket, .events = POLLRDHUP } };
    int64_t deadline_ms = now_ms() + timeout_ms;

    do {
        poll(watched, ARRAY_SIZE(watched), left_ms(deadline_ms));
        if (take_event(device->ring[index].call))
            return VHOST_USER_CALLED;
        if (watched[1].revents)
            return VHOST_USER_HUNG_UP;
    } while (left_ms(deadline_ms));
    return VHOST_USER_TIMEOUT;
}

bool vhost_user_ring_failed(const struct vhost_user *device, unsigned index)
{
    return take_event(device->ring[index].err);
}
