/* SPDX-License-Identifier: MIT */
/* The parts of lib/net that stand without lwIP: ip=, the heap, checksums, sequence numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/page.h"
#include "lib/base/errno.h"
#include "lib/net/checksum.h"
#include "lib/net/config.h"
#include "lib/net/heap.h"
#include "lib/net/isn.h"
#include "tests/host/clock.h"
#include "tests/host/page.h"

/* ---- ip= */

static void ip_dhcp_and_off_are_words(void **state)
{
    struct net_config config;

    (void)state;
    assert_int_equal(net_config_parse("dhcp", &config), 0);
    assert_int_equal(config.mode, NET_DHCP);
    assert_int_equal(net_config_parse("off", &config), 0);
    assert_int_equal(config.mode, NET_OFF);
}

static void ip_takes_an_address_and_a_gateway(void **state)
{
    struct net_config config;

    (void)state;
    assert_int_equal(net_config_parse("10.0.2.15/24,10.0.2.2", &config), 0);
    assert_int_equal(config.mode, NET_STATIC);
    assert_int_equal(config.address, 0x0a00020f);
    assert_int_equal(config.netmask, 0xffffff00);
    assert_int_equal(config.gateway, 0x0a000202);
    assert_int_equal(net_config_parse("192.168.255.1/16", &config), 0);
    assert_int_equal(config.netmask, 0xffff0000);
    assert_int_equal(config.gateway, 0);
}

static void ip_takes_the_shortest_and_longest_masks(void **state)
{
    struct net_config config;

    (void)state;
    assert_int_equal(net_config_parse("1.0.0.1/1", &config), 0);
    assert_int_equal(config.netmask, 0x80000000);
    assert_int_equal(net_config_parse("223.255.255.255/31,223.255.255.254", &config), 0);
    assert_int_equal(net_config_parse("10.0.0.1/32", &config), 0);
    assert_int_equal(config.netmask, 0xffffffff);
}

static void ip_refuses_what_is_malformed(void **state)
{
    static const char *const bad[] = {
        "",
        "DHCP",
        "dhcp ",
        "offf",
        "10",
        "10.0.2",
        "10.0.2.15",
        "10.0.2.15/",
        "10.0.2.15/0",
        "10.0.2.15/33",
        "10.0.2.15/024",
        "10.0.2.15/0x18",
        "10.0.2.15/24,",
        "10.0.2.15/24,10.0.2",
        "10.0.2.15/24,10.0.2.2,",
        "10.0.2.15/24x",
        "10.0.2.256/24",
        "10.0.2.-1/24",
        "010.0.2.15/24",
        "0x0a.0.2.15/24",
        "10..2.15/24",
        ".0.2.15/24",
        "10.0.2.15.1/24",
        "99999999999999999999.0.0.1/8",
        "10.0.2.15/99999999999999999999",
        " 10.0.2.15/24",
    };
    struct net_config config = { .mode = NET_OFF };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(net_config_parse(bad[i], &config), -EINVAL);
        assert_int_equal(config.mode, NET_OFF);
    }
}

static void ip_refuses_addresses_that_no_host_has(void **state)
{
    static const char *const bad[] = {
        "0.0.0.0/8",
        "0.1.2.3/8",
        "127.0.0.1/8",
        "224.0.0.1/24",
        "255.255.255.255/32",
        "10.0.2.0/24",
        "10.0.2.255/24",
        "10.0.2.15/24,10.0.2.15",
        "10.0.2.15/24,10.0.3.1",
        "10.0.2.15/24,0.0.0.0",
        "10.0.2.15/24,10.0.2.255",
        "10.0.2.15/32,10.0.2.1",
    };
    struct net_config config;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(net_config_parse(bad[i], &config), -EINVAL);
}

static void a_netmask_has_a_length(void **state)
{
    (void)state;
    assert_int_equal(net_prefix_length(0), 0);
    assert_int_equal(net_prefix_length(0xff000000), 8);
    assert_int_equal(net_prefix_length(0xffffffff), 32);
}

/* ---- the heap */

static uint64_t held(void)
{
    struct net_heap_stats stats;

    net_heap_get_stats(&stats);
    return stats.held_bytes;
}

static void the_heap_gives_memory_that_does_not_overlap(void **state)
{
    uint8_t *objects[400];
    unsigned n = 0;

    (void)state;
    net_heap_limit(64 * MIB);
    for (size_t bytes = 0; bytes < 70000 && n < 400; bytes += 1 + bytes / 7) {
        for (unsigned i = 0; i < 4; i++, n++) {
            objects[n] = net_heap_alloc(bytes);
            assert_non_null(objects[n]);
            assert_true(IS_ALIGNED((uintptr_t)objects[n], 8));
            memset(objects[n], (int)n, bytes);
        }
    }
    n = 0;
    for (size_t bytes = 0; bytes < 70000 && n < 400; bytes += 1 + bytes / 7) {
        for (unsigned i = 0; i < 4; i++, n++) {
            for (size_t k = 0; k < bytes; k++)
                assert_int_equal(objects[n][k], (uint8_t)n);
            net_heap_free(objects[n]);
        }
    }
}

static void the_heap_gives_empty_blocks_back(void **state)
{
    void *objects[1000];

    (void)state;
    net_heap_limit(64 * MIB);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 1000; i++)
            assert_non_null(objects[i] = net_heap_alloc(1500));
        assert_true(held() >= 1500 * 1000);
        for (unsigned i = 0; i < 1000; i++)
            net_heap_free(objects[(i * 7) % 1000]);
        /* One block of each of the 12 sizes may stay. */
        assert_true(held() <= 12 * 16 * KIB);
    }
}

static void the_heap_keeps_its_limit(void **state)
{
    void *first = NULL;
    unsigned n = 0;

    (void)state;
    net_heap_limit(1 * MIB);
    for (void **object; (object = net_heap_alloc(1500)); n++) {
        *object = first;
        first = object;
    }
    assert_true(n > 400 && held() <= 1 * MIB);
    assert_null(net_heap_alloc(100 * KIB));
    while (first) {
        void *next = *(void **)first;

        net_heap_free(first);
        first = next;
    }
    first = net_heap_alloc(100 * KIB);
    assert_non_null(first);
    net_heap_free(first);
}

static void the_heap_refuses_what_is_absurd(void **state)
{
    (void)state;
    assert_null(net_heap_alloc(SIZE_MAX));
    assert_null(net_heap_alloc(SIZE_MAX - 32));
    assert_null(net_heap_calloc(SIZE_MAX / 2, 3));
    net_heap_free(NULL);
}

static void calloc_clears(void **state)
{
    uint8_t *object = net_heap_alloc(100);

    (void)state;
    memset(object, 0xff, 100);
    net_heap_free(object);
    object = net_heap_calloc(10, 10);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(object[i], 0);
    net_heap_free(object);
}

/* ---- checksums */

static uint16_t slow_checksum(const uint8_t *at, unsigned bytes)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < bytes; i++)
        sum += i % 2 ? (uint32_t)at[i] << 8 : at[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void checksums_are_right_for_every_length_and_alignment(void **state)
{
    static uint8_t bytes[1600];

    (void)state;
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 31 + (i >> 3) + 200);
    for (unsigned start = 0; start < 9; start++) {
        for (unsigned n = 0; n < 1500; n++)
            assert_int_equal(net_checksum(bytes + start, (int)n), slow_checksum(bytes + start, n));
    }
}

static void carries_of_the_largest_sum_are_kept(void **state)
{
    static uint8_t bytes[65535];

    (void)state;
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(net_checksum(bytes, 65534), 0xffff);
    assert_int_equal(net_checksum(bytes, 65535), slow_checksum(bytes, 65535));
    assert_int_equal(net_checksum(bytes, 0), 0);
}

/* ---- sequence numbers */

/* From the reference implementation's vectors: key 00..0f, input 00..n-1. */
static void siphash_equals_its_published_vectors(void **state)
{
    static const struct {
        unsigned bytes;
        uint64_t hash;
    } vectors[] = { { 0, UINT64_C(0x726fdb47dd0e0e31) },
                    { 1, UINT64_C(0x74f839c593dc67fd) },
                    { 7, UINT64_C(0xab0200f58b01d137) },
                    { 8, UINT64_C(0x93f5f5799a932462) },
                    { 15, UINT64_C(0xa129ca6149be45e5) } };
    uint64_t key[2] = { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) };
    uint8_t input[16];

    (void)state;
    for (uint8_t i = 0; i < 16; i++)
        input[i] = i;
    for (unsigned i = 0; i < ARRAY_SIZE(vectors); i++)
        assert_int_equal(net_siphash(key, input, vectors[i].bytes), vectors[i].hash);
}

static void sequence_numbers_differ_by_connection_and_advance_by_time(void **state)
{
    uint32_t first = net_isn(1, 2, 3, 4);

    (void)state;
    assert_int_equal(net_isn(1, 2, 3, 4), first);
    assert_int_not_equal(net_isn(1, 2, 3, 5), first);
    assert_int_not_equal(net_isn(1, 3, 3, 4), first);
    assert_int_not_equal(net_isn(2, 2, 3, 4), first);
    assert_int_not_equal(net_isn(1, 2, 4, 4), first);
    host_clock_ns += 4000 * 1000;
    assert_int_equal(net_isn(1, 2, 3, 4) - first, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ip_dhcp_and_off_are_words),
        cmocka_unit_test(ip_takes_an_address_and_a_gateway),
        cmocka_unit_test(ip_takes_the_shortest_and_longest_masks),
        cmocka_unit_test(ip_refuses_what_is_malformed),
        cmocka_unit_test(ip_refuses_addresses_that_no_host_has),
        cmocka_unit_test(a_netmask_has_a_length),
        cmocka_unit_test(the_heap_gives_memory_that_does_not_overlap),
        cmocka_unit_test(the_heap_gives_empty_blocks_back),
        cmocka_unit_test(the_heap_keeps_its_limit),
        cmocka_unit_test(the_heap_refuses_what_is_absurd),
        cmocka_unit_test(calloc_clears),
        cmocka_unit_test(checksums_are_right_for_every_length_and_alignment),
        cmocka_unit_test(carries_of_the_largest_sum_are_kept),
        cmocka_unit_test(siphash_equals_its_published_vectors),
        cmocka_unit_test(sequence_numbers_differ_by_connection_and_advance_by_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
