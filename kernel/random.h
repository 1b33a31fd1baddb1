/* SPDX-License-Identifier: MIT */
/*
 * Random numbers: RDSEED/RDRAND, the virtio entropy device and timing jitter,
 * mixed by BLAKE2s, spread by ChaCha20. Kernel context and parallel threads, on any CPU, unless it
 * says otherwise.
 */
#ifndef KERNEL_RANDOM_H
#define KERNEL_RANDOM_H

#include "lib/base/list.h"
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
 * A source that is asked now and answers later. ask() is called when it joins and
 * whenever fresh entropy is wanted: it must not wait. look() is called before numbers
 * are given out, while an answer is awaited: it passes what has come to random_add(). Both
 * are called, and a supplier joins and parts, under the kernel lock.
 */
struct random_supplier {
    struct list link; /* random.c's */
    bool awaited;     /* the supplier's: cleared when the answer is here */
    void (*ask)(struct random_supplier *supplier);
    void (*look)(struct random_supplier *supplier);
};

void random_join(struct random_supplier *supplier);
void random_part(struct random_supplier *supplier);

/*
 * Where the hypervisor keeps the VM generation id: 16 bytes that change when the
 * VM goes on from a state that another one may have gone on from, too. They are
 * compared whenever numbers are given out; a change makes a new key at once.
 */
#define RANDOM_GENERATION_BYTES 16
void random_watch_generation(const void *id);

/* For reports: how often it has changed; -1: there is none. */
int random_generation_changes(void);

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
