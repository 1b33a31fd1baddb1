/* SPDX-License-Identifier: MIT */
#include "lib/base/chacha20.h"

#include "lib/base/string.h"

#define ROUNDS 20

static uint32_t rotate_left(uint32_t value, unsigned by)
{
    return value << by | value >> (32 - by);
}

static void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
    *a += *b;
    *d = rotate_left(*d ^ *a, 16);
    *c += *d;
    *b = rotate_left(*b ^ *c, 12);
    *a += *b;
    *d = rotate_left(*d ^ *a, 8);
    *c += *d;
    *b = rotate_left(*b ^ *c, 7);
}

/* A column round and a diagonal round. */
static void double_round(uint32_t s[16])
{
    quarter_round(&s[0], &s[4], &s[8], &s[12]);
    quarter_round(&s[1], &s[5], &s[9], &s[13]);
    quarter_round(&s[2], &s[6], &s[10], &s[14]);
    quarter_round(&s[3], &s[7], &s[11], &s[15]);
    quarter_round(&s[0], &s[5], &s[10], &s[15]);
    quarter_round(&s[1], &s[6], &s[11], &s[12]);
    quarter_round(&s[2], &s[7], &s[8], &s[13]);
    quarter_round(&s[3], &s[4], &s[9], &s[14]);
}

void chacha20_block(const uint8_t key[CHACHA20_KEY_BYTES], uint32_t counter,
                    const uint8_t nonce[CHACHA20_NONCE_BYTES], uint8_t block[CHACHA20_BLOCK_BYTES])
{
    uint32_t start[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 }, state[16];

    memcpy(&start[4], key, CHACHA20_KEY_BYTES);
    start[12] = counter;
    memcpy(&start[13], nonce, CHACHA20_NONCE_BYTES);
    memcpy(state, start, sizeof(state));
    for (unsigned i = 0; i < ROUNDS / 2; i++)
        double_round(state);
    for (unsigned i = 0; i < ARRAY_SIZE(state); i++)
        state[i] += start[i];
    memcpy(block, state, sizeof(state));
}
