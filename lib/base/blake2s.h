/* SPDX-License-Identifier: MIT */
/*
 * BLAKE2s-256 without a key, RFC 7693.
 *
 *     struct blake2s hash;
 *     blake2s_init(&hash);
 *     blake2s_update(&hash, text, bytes);      any number of times
 *     blake2s_final(&hash, digest);            the state is worthless then
 */
#ifndef LIB_BASE_BLAKE2S_H
#define LIB_BASE_BLAKE2S_H

#include "lib/base/types.h"

#define BLAKE2S_BLOCK_BYTES  64
#define BLAKE2S_DIGEST_BYTES 32

struct blake2s {
    uint32_t h[8];
    uint64_t hashed_bytes; /* whole blocks so far, and at the end all */
    uint32_t buffered;     /* bytes waiting in block, which may be full */
    uint8_t block[BLAKE2S_BLOCK_BYTES];
};

void blake2s_init(struct blake2s *hash);
void blake2s_update(struct blake2s *hash, const void *from, size_t bytes);
void blake2s_final(struct blake2s *hash, uint8_t digest[BLAKE2S_DIGEST_BYTES]);

#endif
