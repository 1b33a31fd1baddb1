/* SPDX-License-Identifier: MIT */
/*
 * Memory full of holes: many pieces of all sizes, of which a few stay. What the others had
 * is used again after a while, and the few must have kept what they hold.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cases.h"

#define MIB       (1UL << 20)
#define MIN_WORDS 512    /* 4 KiB */
#define MAX_WORDS 131072 /* 1 MiB, in eight sizes that are equally frequent */
#define MAX_N     100000
#define KEEP      16 /* one of so many stays */

static uint64_t **pieces; /* MAX_N of them, each with its number of words in front */
static unsigned long n;

static uint64_t word_of(unsigned long piece, size_t i)
{
    return (piece << 32 ^ i) * 0x9e3779b97f4a7c15;
}

static uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252;

    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static uint64_t *new_piece(unsigned long piece)
{
    size_t words = MIN_WORDS << next_random() % 8;
    uint64_t *at;

    words += next_random() % words;
    at = malloc(words * sizeof(*at));
    if (!at)
        return NULL;
    at[0] = words;
    for (size_t i = 1; i < words; i++)
        at[i] = word_of(piece, i);
    return at;
}

static bool is_intact(unsigned long piece)
{
    const uint64_t *at = pieces[piece];

    for (size_t i = 1; i < at[0]; i++)
        if (at[i] != word_of(piece, i))
            return false;
    return true;
}

/* The size of all, in MiB. */
static unsigned long fill(unsigned long mib)
{
    size_t words = 0;

    for (n = 0; n < MAX_N && words * sizeof(uint64_t) < mib * MIB; n++) {
        if (!pieces[n])
            pieces[n] = new_piece(n);
        if (!pieces[n])
            break;
        words += pieces[n][0];
    }
    return words * sizeof(uint64_t) / MIB;
}

static unsigned long leave_few(void)
{
    size_t words = 0;

    for (unsigned long i = 0; i < n; i++) {
        if (next_random() % KEEP) {
            free(pieces[i]);
            pieces[i] = NULL;
        } else {
            words += pieces[i][0];
        }
    }
    return words * sizeof(uint64_t) / MIB;
}

static bool all_are_intact(void)
{
    bool intact = true;

    for (unsigned long i = 0; i < n; i++)
        intact = intact && (!pieces[i] || is_intact(i));
    return intact;
}

static unsigned long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long)now.tv_sec * 1000 + (unsigned long)now.tv_nsec / 1000000;
}

/* MiB, rounds, and "typed": between them a line must be typed */
int run_holes(int argc, char **argv)
{
    unsigned long mib = number(argc, argv, 1, 64), rounds = number(argc, argv, 2, 2);
    bool pauses = argc > 3 && !strcmp(argv[3], "typed");

    pieces = calloc(MAX_N, sizeof(*pieces));
    for (unsigned long round = 1; pieces && round <= rounds; round++) {
        unsigned long had = fill(mib);

        report(had >= mib, "%lu MiB were had in pieces", had);
        report(all_are_intact(), "all pieces are intact");
        printf("round %lu: %lu MiB stay, at %lu ms\n", round, leave_few(), now_ms());
        if (round < rounds && pauses)
            wait_for_a_line();
        report(all_are_intact(), "what stayed is intact");
    }
    report(pieces, "there is room for notes");
    return reported();
}
