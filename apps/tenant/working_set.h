/* SPDX-License-Identifier: MIT */
/*
 * A working set that knows what it must hold: pieces of 1 MiB from malloc(), each filled with
 * the pattern of a seed of its own, and the checksum that it had then. The checksum depends on
 * the order of the words, so that a page that was lost, came back as it once was, or has
 * changed places with another gives another one.
 */
#ifndef APPS_TENANT_WORKING_SET_H
#define APPS_TENANT_WORKING_SET_H

#include <stdbool.h>
#include <stdint.h>

#define PIECES_MAX 8192 /* in MiB: what a guest can be ordered to hold */

struct piece {
    uint64_t *words;
    uint64_t seed, checksum;
};

struct working_set {
    struct piece pieces[PIECES_MAX];
    unsigned n_pieces;
    uint64_t seed;   /* of the piece that was filled last; no two have the same */
    uint64_t n_lost; /* pages that did not hold what they should */
};

/* One piece more. false: there is no memory. */
bool working_set_grow(struct working_set *set);

/* One piece less, by free(). There is one. */
void working_set_shrink(struct working_set *set);

/* Sums up a piece once more. Pages that differ are counted and named on the console. */
void working_set_check(struct working_set *set, unsigned index);

/* Fills a piece anew, with another pattern. */
void working_set_rewrite(struct working_set *set, unsigned index);

#endif
