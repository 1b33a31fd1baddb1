/* SPDX-License-Identifier: MIT */
/* Initial sequence numbers, see isn.h. Kernel context. */
#include "lib/net/isn.h"

#include "kernel/clock.h"
#include "kernel/random.h"
#include "lib/base/string.h"

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static void rounds(uint64_t v[4], unsigned n)
{
    while (n-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate_left(v[1], 13) ^ v[0];
        v[3] = rotate_left(v[3], 16) ^ v[2];
        v[0] = rotate_left(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate_left(v[1], 17) ^ v[2];
        v[3] = rotate_left(v[3], 21) ^ v[0];
        v[2] = rotate_left(v[2], 32);
    }
}

static void absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    rounds(v, 2);
    v[0] ^= word;
}

uint64_t net_siphash(const uint64_t key[2], const void *from, size_t bytes)
{
    uint64_t v[4] = { key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                      key[0] ^ UINT64_C(0x6c7967656e657261),
                      key[1] ^ UINT64_C(0x7465646279746573) };
    uint64_t word, last = (uint64_t)bytes << 56;
    const uint8_t *at = from;

    for (; bytes >= 8; bytes -= 8, at += 8) {
        memcpy(&word, at, sizeof(word));
        absorb(v, word);
    }
    word = 0;
    memcpy(&word, at, bytes);
    absorb(v, last | word);
    v[2] ^= 0xff;
    rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint32_t net_isn(uint32_t local_address, uint16_t local_port, uint32_t remote_address,
                 uint16_t remote_port)
{
    static uint64_t key[2]; /* drawn at the first connection, when sources have been mixed in */
    uint32_t connection[3] = { local_address, remote_address,
                               (uint32_t)local_port << 16 | remote_port };

    if (!key[0])
        random_bytes(key, sizeof(key));
    /* RFC 6528: the clock counts in steps of 4 microseconds. */
    return (uint32_t)net_siphash(key, connection, sizeof(connection)) +
           (uint32_t)(clock_monotonic_ns() / (4 * NSEC_PER_USEC));
}
