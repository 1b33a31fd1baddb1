/* SPDX-License-Identifier: MIT */
/*
 * tests/host/vhost_user.c against a back end that lies: the front end is what
 * other tests and benches rely on, so it must say what is wrong rather than
 * hang, leak or believe.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/host/vhost_user.h"

#define DEADLINE_S   120
#define TIMEOUT_MS   20000 /* a busy host may stop the other side for seconds */
#define SILENCE_MS   150   /* so long an answer is waited for that does not come */
#define MESSAGES_MAX 64
#define FEATURES     (UINT64_C(1) << 32 | UINT64_C(1) << 29)
#define PROTOCOL_BIT (UINT64_C(1) << 30)
#define ALL_PROTOCOL UINT64_MAX /* more than the front end knows */

/* Requests, as the protocol numbers them. */
#define GET_FEATURES          1
#define SET_FEATURES          2
#define SET_OWNER             3
#define SET_MEM_TABLE         5
#define SET_VRING_NUM         8
#define SET_VRING_ADDR        9
#define SET_VRING_BASE        10
#define GET_VRING_BASE        11
#define SET_VRING_KICK        12
#define SET_VRING_CALL        13
#define SET_VRING_ERR         14
#define GET_PROTOCOL_FEATURES 15
#define SET_PROTOCOL_FEATURES 16
#define GET_QUEUE_NUM         17
#define SET_VRING_ENABLE      18
#define GET_CONFIG            24
#define SET_STATUS            39
#define GET_STATUS            40

struct message {
    uint32_t request, flags, bytes;
    uint8_t payload[512];
    unsigned fds; /* that came with it */
};

enum lie {
    HONEST,
    SILENCE,
    HANGS_UP,
    HALF_A_HEADER,
    HALF_A_PAYLOAD,
    ANOTHER_REQUEST,
    NO_REPLY_FLAG,
    ANOTHER_VERSION,
    TOO_SHORT,
    TOO_LONG,
    EMPTY,
    WITH_A_FILE,
    LIES,
};

/* The back end, in a thread of its own. */
static struct {
    int listening;
    pthread_t thread;
    uint64_t features, protocol;
    uint32_t lie_at; /* request */
    enum lie lie;
    uint64_t refusal;       /* what acknowledgements say */
    uint32_t base_of;       /* added to the index that GET_VRING_BASE answers */
    uint64_t status;        /* of GET_STATUS */
    uint32_t config_offset; /* that GET_CONFIG answers */
    struct message got[MESSAGES_MAX];
    unsigned n_got;
} end;

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static struct vhost_user device;
static struct shared_memory memory = { .file = -1 };
static unsigned fds_before;

/* ---- the back end */

static bool receive(int socket, void *to, size_t bytes, unsigned *fds)
{
    while (bytes) {
        char control[CMSG_SPACE(8 * sizeof(int))];
        struct iovec piece = { to, bytes };
        struct msghdr message = { .msg_iov = &piece,
                                  .msg_iovlen = 1,
                                  .msg_control = control,
                                  .msg_controllen = sizeof(control) };
        ssize_t got = recvmsg(socket, &message, 0);
        struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;

        if (got <= 0)
            return false;
        if (header) {
            int fd;

            memcpy(&fd, CMSG_DATA(header), sizeof(fd));
            close(fd);
            ++*fds;
        }
        to = (char *)to + got;
        bytes -= (size_t)got;
    }
    return true;
}

static bool hear(int socket, struct message *message)
{
    *message = (struct message){ 0 };
    return receive(socket, message, 12, &message->fds) &&
           message->bytes <= sizeof(message->payload) &&
           receive(socket, message->payload, message->bytes, &message->fds);
}

static void say(int socket, const void *bytes, size_t n, bool with_a_file)
{
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec piece = { (void *)bytes, n };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

    if (with_a_file) {
        struct cmsghdr *header = (struct cmsghdr *)control;

        *header = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
        memcpy(CMSG_DATA(header), &end.listening, sizeof(int));
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
    }
    if (sendmsg(socket, &message, MSG_NOSIGNAL) < 0)
        perror("the back end cannot answer");
}

/* false: it hangs up. */
static bool answer(int socket, struct message *reply)
{
    enum lie lie = reply->request == end.lie_at ? end.lie : HONEST;
    size_t said = 12;

    reply->flags = 5;
    switch (lie) {
    case SILENCE:
        return true;
    case HANGS_UP:
        return false;
    case ANOTHER_REQUEST:
        reply->request++;
        break;
    case NO_REPLY_FLAG:
        reply->flags = 1;
        break;
    case ANOTHER_VERSION:
        reply->flags = 6;
        break;
    case TOO_SHORT:
        reply->bytes -= 1;
        break;
    case TOO_LONG:
        reply->bytes += 100;
        break;
    case EMPTY:
        reply->bytes = 0;
        break;
    default:
        break;
    }
    said += reply->bytes;
    if (lie == HALF_A_HEADER)
        said = 6;
    if (lie == HALF_A_PAYLOAD)
        said -= reply->bytes / 2;
    say(socket, reply, said, lie == WITH_A_FILE);
    return true;
}

static bool reply_number(int socket, struct message *message, uint64_t number)
{
    message->bytes = sizeof(number);
    memcpy(message->payload, &number, sizeof(number));
    return answer(socket, message);
}

static bool serve(int socket, struct message *message)
{
    uint32_t *words = (uint32_t *)message->payload;

    switch (message->request) {
    case GET_FEATURES:
        return reply_number(socket, message, end.features);
    case GET_PROTOCOL_FEATURES:
        return reply_number(socket, message, end.protocol);
    case GET_QUEUE_NUM:
        return reply_number(socket, message, 7);
    case GET_STATUS:
        return reply_number(socket, message, end.status);
    case GET_VRING_BASE:
        words[0] += end.base_of;
        words[1] = 0x8017;
        return answer(socket, message);
    case GET_CONFIG:
        words[0] = end.config_offset;
        for (uint32_t i = 12; i < message->bytes; i++)
            message->payload[i] = (uint8_t)i;
        return answer(socket, message);
    default:
        return !(message->flags & 8) || reply_number(socket, message, end.refusal);
    }
}

static void *back_end(void *unused)
{
    int socket = accept(end.listening, NULL, NULL);
    struct message message;

    while (socket >= 0 && hear(socket, &message)) {
        if (end.n_got < MESSAGES_MAX)
            end.got[end.n_got++] = message;
        if (!serve(socket, &message))
            break;
    }
    close(socket);
    return unused;
}

/* ---- fixture */

static unsigned open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

static int timeout_ms;

static int set_up(void **state)
{
    (void)state;
    alarm(DEADLINE_S);
    timeout_ms = TIMEOUT_MS;
    fds_before = open_files();
    memset(&end, 0, sizeof(end));
    end.features = FEATURES | PROTOCOL_BIT;
    end.protocol = ALL_PROTOCOL;
    end.listening = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/aerostat-vhost-user-%d",
             (int)getpid());
    unlink(address.sun_path);
    if (bind(end.listening, (struct sockaddr *)&address, sizeof(address)) ||
        listen(end.listening, 1) || pthread_create(&end.thread, NULL, back_end, NULL))
        return 1;
    return shared_memory_open(&memory, 1 * MIB, NULL, SHARED_MEMORY_DEVICE_START) ? 0 : 1;
}

/* Nothing is left open, whatever went wrong. */
static int tear_down(void **state)
{
    (void)state;
    vhost_user_close(&device);
    shutdown(end.listening, SHUT_RDWR);
    pthread_join(end.thread, NULL);
    close(end.listening);
    unlink(address.sun_path);
    shared_memory_close(&memory);
    alarm(0);
    return open_files() == fds_before ? 0 : 1;
}

static bool connected(void)
{
    return vhost_user_connect(&device, address.sun_path, timeout_ms);
}

static const struct message *find(uint32_t request)
{
    for (unsigned i = 0; i < end.n_got; i++)
        if (end.got[i].request == request)
            return &end.got[i];
    fail_msg("request %u never came", request);
    return NULL;
}

static bool came(uint32_t request)
{
    for (unsigned i = 0; i < end.n_got; i++)
        if (end.got[i].request == request)
            return true;
    return false;
}

static uint64_t number_in(const struct message *message, unsigned offset)
{
    uint64_t number;

    memcpy(&number, message->payload + offset, sizeof(number));
    return number;
}

static bool start_queue(enum virtq_format format, struct virtq *q)
{
    return vhost_user_share(&device, &memory) && vhost_user_set_features(&device, device.offered) &&
           vhost_user_queue_start(&device, 3,
                                  &(struct virtq_config){ .format = format, .size = 64 }, q);
}

/* ---- what an honest back end hears */

static void only_what_is_offered_and_known_is_negotiated(void **state)
{
    const uint64_t known = 1 << VHOST_USER_PROTOCOL_F_MQ | 1 << VHOST_USER_PROTOCOL_F_REPLY_ACK |
                           1 << VHOST_USER_PROTOCOL_F_CONFIG | 1 << VHOST_USER_PROTOCOL_F_STATUS;

    (void)state;
    assert_true(connected());
    assert_int_equal(device.offered, FEATURES);
    assert_int_equal(device.queues_max, 7);
    assert_int_equal(number_in(find(SET_PROTOCOL_FEATURES), 0), known);
    assert_true(vhost_user_set_features(&device, UINT64_C(1) << 32));
    assert_int_equal(number_in(find(SET_FEATURES), 0), UINT64_C(1) << 32 | PROTOCOL_BIT);
    assert_false(vhost_user_set_features(&device, UINT64_C(1) << 34));
    assert_string_equal(device.error, "features 0x400000000 are not offered");
}

static void without_protocol_features_nothing_of_them_is_used(void **state)
{
    struct virtq q;

    (void)state;
    end.features = FEATURES;
    assert_true(connected());
    assert_true(start_queue(VIRTQ_SPLIT, &q));
    assert_true(vhost_user_set_status(&device, VHOST_USER_RUNNING));
    assert_true(vhost_user_ring_stop(&device, 3, NULL)); /* the back end has heard all by now */
    assert_int_equal(number_in(find(SET_FEATURES), 0), FEATURES);
    for (unsigned i = 0; i < end.n_got; i++)
        assert_int_equal(end.got[i].flags, 1);
    assert_false(came(GET_PROTOCOL_FEATURES));
    assert_false(came(SET_VRING_ENABLE));
    assert_false(came(SET_STATUS));
}

static void the_memory_goes_with_its_file(void **state)
{
    const struct message *table;

    (void)state;
    assert_true(connected());
    assert_true(vhost_user_share(&device, &memory));
    table = find(SET_MEM_TABLE);
    assert_int_equal(table->fds, 1);
    assert_int_equal(number_in(table, 0), 1);
    assert_int_equal(number_in(table, 8), SHARED_MEMORY_DEVICE_START);
    assert_int_equal(number_in(table, 16), memory.bytes);
    assert_int_equal(number_in(table, 24), (uintptr_t)memory.start);
    assert_int_equal(number_in(table, 32), 0);
}

static void a_ring_is_told_whole_before_it_is_kicked(void **state)
{
    static const uint32_t order[] = { SET_VRING_NUM,   SET_VRING_BASE, SET_VRING_ADDR,
                                      SET_VRING_ERR,   SET_VRING_CALL, SET_VRING_KICK,
                                      SET_VRING_ENABLE };
    const struct message *told, *addresses;
    struct virtq q;

    (void)state;
    assert_true(connected());
    assert_true(start_queue(VIRTQ_PACKED, &q));
    told = find(SET_VRING_NUM);
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
        assert_int_equal(told[i].request, order[i]);
        assert_int_equal(told[i].fds,
                         order[i] >= SET_VRING_KICK && order[i] <= SET_VRING_ERR ? 1 : 0);
    }
    assert_int_equal(number_in(find(SET_VRING_NUM), 0), 3 | UINT64_C(64) << 32);
    assert_int_equal(number_in(find(SET_VRING_BASE), 0), 3 | UINT64_C(0x80008000) << 32);
    assert_int_equal(number_in(find(SET_VRING_KICK), 0), 3);
    addresses = find(SET_VRING_ADDR);
    assert_int_equal(number_in(addresses, 0), 3);
    assert_int_equal(number_in(addresses, 8), (uintptr_t)q.desc);
    assert_int_equal(number_in(addresses, 16), (uintptr_t)q.device_area);
    assert_int_equal(number_in(addresses, 24), (uintptr_t)q.driver_area);
}

static void a_stopped_ring_tells_its_position(void **state)
{
    struct virtq q;
    uint32_t base;

    (void)state;
    assert_true(connected());
    assert_true(start_queue(VIRTQ_PACKED, &q));
    assert_true(vhost_user_ring_stop(&device, 3, &base));
    assert_int_equal(base, 0x8017);
    assert_false(vhost_user_ring_stop(&device, 3, &base));
}

static void configuration_is_read_from_its_start(void **state)
{
    uint8_t config[60];

    (void)state;
    assert_true(connected());
    assert_true(vhost_user_get_config(&device, config, sizeof(config)));
    assert_int_equal(config[0], 12);
    assert_int_equal(config[59], 71);
    assert_int_equal(find(GET_CONFIG)->bytes, 72);
    assert_false(vhost_user_get_config(&device, config, VHOST_USER_CONFIG_BYTES + 1));
}

static void an_interrupt_a_timeout_and_a_hang_up_are_told_apart(void **state)
{
    const uint64_t one = 1;
    struct virtq q;

    (void)state;
    assert_true(connected());
    assert_true(start_queue(VIRTQ_SPLIT, &q));
    assert_int_equal(vhost_user_wait(&device, 3, 10), VHOST_USER_TIMEOUT);
    assert_int_equal(write(device.ring[3].call, &one, sizeof(one)), sizeof(one));
    assert_int_equal(vhost_user_wait(&device, 3, 10), VHOST_USER_CALLED);
    assert_int_equal(vhost_user_wait(&device, 3, 10), VHOST_USER_TIMEOUT);
    assert_false(vhost_user_ring_failed(&device, 3));
    assert_int_equal(write(device.ring[3].err, &one, sizeof(one)), sizeof(one));
    assert_true(vhost_user_ring_failed(&device, 3));
    assert_true(vhost_user_is_alive(&device));
    end.lie_at = GET_STATUS;
    end.lie = HANGS_UP;
    assert_false(vhost_user_get_status(&device, &(uint8_t){ 0 }));
    assert_int_equal(vhost_user_wait(&device, 3, TIMEOUT_MS), VHOST_USER_HUNG_UP);
    assert_false(vhost_user_is_alive(&device));
}

static void a_doorbell_wakes_who_reads_the_kick(void **state)
{
    struct pollfd kicked;
    struct virtq q;

    (void)state;
    assert_true(connected());
    assert_true(start_queue(VIRTQ_SPLIT, &q));
    kicked = (struct pollfd){ .fd = device.ring[3].kick, .events = POLLIN };
    assert_int_equal(poll(&kicked, 1, 0), 0);
    virtq_notify(&q);
    assert_int_equal(poll(&kicked, 1, 0), 1);
}

static void nobody_listening_is_told_within_the_deadline(void **state)
{
    (void)state;
    assert_false(vhost_user_connect(&device, "/tmp/nobody-listens-here", SILENCE_MS));
    assert_string_equal(device.error, "/tmp/nobody-listens-here: No such file or directory");
}

/* ---- lies */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* All that a front end does, until something fails. */
static bool live(void)
{
    uint8_t config[60], status;
    struct virtq q;

    return connected() && start_queue(VIRTQ_PACKED, &q) &&
           vhost_user_get_config(&device, config, sizeof(config)) &&
           vhost_user_set_status(&device, VHOST_USER_RUNNING) &&
           vhost_user_get_status(&device, &status) && vhost_user_ring_stop(&device, 3, NULL);
}

static void an_honest_life_has_no_error(void **state)
{
    (void)state;
    end.status = 15;
    assert_true(live());
    assert_string_equal(device.error, "");
}

/* Each answer is spoilt in each way: the call fails in time, says why, and leaves nothing open. */
static void every_wrong_answer_is_an_error(void **state)
{
    static const uint32_t answered[] = {
        GET_FEATURES,  GET_PROTOCOL_FEATURES, GET_QUEUE_NUM,  SET_OWNER,  SET_FEATURES,
        SET_MEM_TABLE, SET_VRING_NUM,         SET_VRING_KICK, GET_CONFIG, SET_STATUS,
        GET_STATUS,    GET_VRING_BASE
    };

    for (unsigned i = 0; i < ARRAY_SIZE(answered); i++) {
        for (enum lie lie = SILENCE; lie < LIES; lie++) {
            uint64_t start_ms = now_ms();

            if (i || lie != SILENCE) {
                assert_int_equal(tear_down(state), 0);
                assert_int_equal(set_up(state), 0);
            }
            end.lie_at = answered[i];
            end.lie = lie;
            timeout_ms = SILENCE_MS;
            if (live())
                fail_msg("lie %d in the answer to request %u is believed", lie, answered[i]);
            assert_true(device.error[0]);
            assert_in_range(now_ms() - start_ms, 0, TIMEOUT_MS);
        }
    }
}

static void a_refusal_is_an_error(void **state)
{
    (void)state;
    end.refusal = 1;
    assert_false(connected());
    assert_string_equal(device.error, "the device refuses SET_OWNER (1)");
}

static void the_position_of_another_ring_is_an_error(void **state)
{
    (void)state;
    end.base_of = 1;
    assert_false(live());
    assert_string_equal(device.error, "stopped ring 3, got ring 4's position");
}

static void a_status_of_more_than_a_byte_is_an_error(void **state)
{
    (void)state;
    end.status = 0x10f;
    assert_false(live());
    assert_string_equal(device.error, "the status is 0x10f");
}

static void configuration_of_another_place_is_an_error(void **state)
{
    (void)state;
    end.config_offset = 4;
    assert_false(live());
    assert_string_equal(device.error, "asked for 60 bytes of the configuration, got 60 at 4");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_what_is_offered_and_known_is_negotiated),
        TEST(without_protocol_features_nothing_of_them_is_used),
        TEST(the_memory_goes_with_its_file),
        TEST(a_ring_is_told_whole_before_it_is_kicked),
        TEST(a_stopped_ring_tells_its_position),
        TEST(configuration_is_read_from_its_start),
        TEST(an_interrupt_a_timeout_and_a_hang_up_are_told_apart),
        TEST(a_doorbell_wakes_who_reads_the_kick),
        TEST(nobody_listening_is_told_within_the_deadline),
        TEST(an_honest_life_has_no_error),
        TEST(every_wrong_answer_is_an_error),
        TEST(a_refusal_is_an_error),
        TEST(the_position_of_another_ring_is_an_error),
        TEST(a_status_of_more_than_a_byte_is_an_error),
        TEST(configuration_of_another_place_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
