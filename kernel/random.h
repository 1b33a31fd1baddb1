/* SPDX-License-Identifier: MIT */
/*
 * Random numbers: RDSEED/RDRAND, the virtio entropy device and timing jitter,
 * mixed by BLAKE2s, spread by ChaCha20. Kernel context unless it says otherwise.
 */
#ifndef KERNEL_RANDOM_H
#define KERNEL_RANDOM_H

#include "lib/base/types.h"

/* Fills the buffer. Never fails; how good the sources are stands in the boot report. */
void random_bytes(void *to, size_t bytes);

static inline uint32_t random_u32(void)
{
    uint32_t value;

    random_bytes(&value, sizeof(value));
    return value;
}

/*
 * Mixes in what a source gave; entropy_bits is how much of it counts as
 * unpredictable. The name is kept, not copied.
 */
void random_add(const void *from, size_t bytes, unsigned entropy_bits, const char *source);

/*
 * Takes note of the moment: called for every interrupt, in any context. Costs a
 * few instructions and counts as no entropy, but makes guessing harder.
 */
void random_note_moment(void);

/* For reports: where randomness came from, and how much counts. */
struct random_source {
    const char *name;
    uint64_t entropy_bits;
};

/* The index-th source; NULL beyond the last. */
const struct random_source *random_source(unsigned index);

/* 256 bits that count have been mixed in: nobody can guess what comes out. */
bool random_is_seeded(void);

#endif
