/* SPDX-License-Identifier: MIT */
#include "lib/base/blake2s.h"

#include "lib/base/string.h"

#define ROUNDS 10

/* Parameter block, RFC 7693 §2.5: 32 bytes of digest, no key, sequential mode. */
#define PARAMETERS 0x01010020u

static const uint32_t iv[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

static const uint8_t sigma[ROUNDS][16] = {
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
    { 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
    { 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
    { 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
    { 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
    { 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
    { 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
    { 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
    { 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
    { 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static uint32_t rotate_right(uint32_t value, unsigned by)
{
    return value >> by | value << (32 - by);
}

static void mix(uint32_t v[16], const uint8_t at[4], uint32_t x, uint32_t y)
{
    uint32_t a = v[at[0]], b = v[at[1]], c = v[at[2]], d = v[at[3]];

    a += b + x;
    d = rotate_right(d ^ a, 16);
    c += d;
    b = rotate_right(b ^ c, 12);
    a += b + y;
    d = rotate_right(d ^ a, 8);
    c += d;
    b = rotate_right(b ^ c, 7);
    v[at[0]] = a;
    v[at[1]] = b;
    v[at[2]] = c;
    v[at[3]] = d;
}

static void compress(struct blake2s *hash, bool is_last)
{
    static const uint8_t columns_and_diagonals[8][4] = {
        { 0, 4, 8, 12 },  { 1, 5, 9, 13 },  { 2, 6, 10, 14 }, { 3, 7, 11, 15 },
        { 0, 5, 10, 15 }, { 1, 6, 11, 12 }, { 2, 7, 8, 13 },  { 3, 4, 9, 14 },
    };
    uint32_t v[16], m[16];

    memcpy(m, hash->block, sizeof(m));
    memcpy(v, hash->h, sizeof(hash->h));
    memcpy(v + 8, iv, sizeof(iv));
    v[12] ^= (uint32_t)hash->hashed_bytes;
    v[13] ^= (uint32_t)(hash->hashed_bytes >> 32);
    if (is_last)
        v[14] = ~v[14];
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < 8; i++)
            mix(v, columns_and_diagonals[i], m[sigma[round][2 * i]], m[sigma[round][2 * i + 1]]);
    for (unsigned i = 0; i < 8; i++)
        hash->h[i] ^= v[i] ^ v[i + 8];
}

void blake2s_init(struct blake2s *hash)
{
    memcpy(hash->h, iv, sizeof(iv));
    hash->h[0] ^= PARAMETERS;
    hash->hashed_bytes = 0;
    hash->buffered = 0;
}

/* A full block waits until more follows: the last one is compressed differently. */
void blake2s_update(struct blake2s *hash, const void *from, size_t bytes)
{
    const uint8_t *at = from;

    while (bytes > 0) {
        size_t n;

        if (hash->buffered == BLAKE2S_BLOCK_BYTES) {
            hash->hashed_bytes += BLAKE2S_BLOCK_BYTES;
            compress(hash, false);
            hash->buffered = 0;
        }
        n = MIN(bytes, (size_t)(BLAKE2S_BLOCK_BYTES - hash->buffered));
        memcpy(hash->block + hash->buffered, at, n);
        hash->buffered += (uint32_t)n;
        at += n;
        bytes -= n;
    }
}

void blake2s_final(struct blake2s *hash, uint8_t digest[BLAKE2S_DIGEST_BYTES])
{
    hash->hashed_bytes += hash->buffered;
    memset(hash->block + hash->buffered, 0, BLAKE2S_BLOCK_BYTES - hash->buffered);
    compress(hash, true);
    memcpy(digest, hash->h, BLAKE2S_DIGEST_BYTES);
}
