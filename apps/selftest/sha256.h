/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4) of a stream of bytes. */
#ifndef APPS_SELFTEST_SHA256_H
#define APPS_SELFTEST_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t state[8];
    uint64_t bytes;
    unsigned char block[64]; /* bytes % 64 of it are filled */
};

void sha256_start(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *bytes, size_t n);

/* The digest as 64 hexadecimal digits, terminated. */
void sha256_finish(struct sha256 *hash, char digest[65]);

#endif
