/* SPDX-License-Identifier: MIT */
/* See working_set.h. */
#include "working_set.h"

#include <stdio.h>
#include <stdlib.h>

#define WORDS      ((1UL << 20) / sizeof(uint64_t))
#define PAGE_BYTES 4096
#define NAMED_MAX  16 /* of pages that were lost: the console is slow, and there may be 400,000 */

static uint64_t pattern(uint64_t seed, size_t i)
{
    return (seed + i) * 0x9e3779b97f4a7c15;
}

/* FNV-1a, by words. */
static uint64_t add(uint64_t checksum, uint64_t word)
{
    return (checksum ^ word) * 0x100000001b3;
}

static void fill(struct working_set *set, struct piece *piece)
{
    uint64_t checksum = 0, seed = ++set->seed << 32;

    for (size_t i = 0; i < WORDS; i++) {
        piece->words[i] = pattern(seed, i);
        checksum = add(checksum, pattern(seed, i));
    }
    piece->seed = seed;
    piece->checksum = checksum;
}

bool working_set_grow(struct working_set *set)
{
    struct piece *piece = &set->pieces[set->n_pieces];

    if (set->n_pieces == PIECES_MAX)
        return false;
    piece->words = malloc(WORDS * sizeof(*piece->words));
    if (!piece->words)
        return false;
    fill(set, piece);
    set->n_pieces++;
    return true;
}

void working_set_shrink(struct working_set *set)
{
    free(set->pieces[--set->n_pieces].words);
}

static void count_lost_page(struct working_set *set, const struct piece *piece, size_t at)
{
    if (set->n_lost++ < NAMED_MAX)
        printf("lost: the page at %p holds %llx, not %llx\n", (const void *)&piece->words[at],
               (unsigned long long)piece->words[at], (unsigned long long)pattern(piece->seed, at));
}

/* malloc() puts its own in front: a piece does not begin with a page. */
static size_t words_to_the_next_page(const uint64_t *word)
{
    return (PAGE_BYTES - (uintptr_t)word % PAGE_BYTES) / sizeof(*word);
}

static void look_for_lost_pages(struct working_set *set, const struct piece *piece)
{
    uint64_t lost_before = set->n_lost;

    for (size_t i = 0; i < WORDS; i++) {
        if (piece->words[i] != pattern(piece->seed, i)) {
            count_lost_page(set, piece, i);
            i += words_to_the_next_page(&piece->words[i]) - 1;
        }
    }
    if (set->n_lost == lost_before) {
        set->n_lost++;
        printf("lost: a checksum, and now its memory is right\n");
    }
}

void working_set_check(struct working_set *set, unsigned index)
{
    const struct piece *piece = &set->pieces[index];
    uint64_t checksum = 0;

    for (size_t i = 0; i < WORDS; i++)
        checksum = add(checksum, piece->words[i]);
    if (checksum == piece->checksum)
        return;
    look_for_lost_pages(set, piece);
    working_set_rewrite(set, index); /* or they would be counted each time */
}

void working_set_rewrite(struct working_set *set, unsigned index)
{
    fill(set, &set->pieces[index]);
}
