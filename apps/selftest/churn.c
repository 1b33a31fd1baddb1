/* SPDX-License-Identifier: MIT */
/*
 * Allocates and frees at random while the host changes the balloon's size, from its first
 * wish on until it wants nothing any more. Each block knows what it holds. What is held at
 * the end stays so: the kernel's audit then tells how the free memory lies.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "aerostat/memory.h"
#include "cases.h"

#define MIB       (1UL << 20)
#define SLOTS     2000
#define LOOK_EACH 64 /* calls, at what the host wishes */

static struct {
    uint64_t *words;
    size_t bytes;
} held[SLOTS];
static size_t held_bytes, held_at_most;
static unsigned long n_calls;
static uint64_t state;

static uint64_t some_number(void)
{
    state = state * 6364136223846793005 + 1442695040888963407;
    return state >> 33;
}

static uint64_t word_at(unsigned slot, size_t i)
{
    return (slot + 1) * 0x9e3779b97f4a7c15 ^ i;
}

static bool let_go(unsigned slot)
{
    bool intact = true;

    for (size_t i = 0; i < held[slot].bytes / sizeof(uint64_t); i += 64)
        intact = intact && held[slot].words[i] == word_at(slot, i);
    free(held[slot].words);
    held_bytes -= held[slot].bytes;
    held[slot].words = NULL;
    held[slot].bytes = 0;
    return intact;
}

/* 16 bytes to 2 MiB: as many of each power of two. */
static bool take(unsigned slot)
{
    size_t top = (size_t)16 << some_number() % 17, bytes = top + some_number() % top;

    if (held_bytes + bytes > held_at_most)
        return true;
    held[slot].words = malloc(bytes);
    if (!held[slot].words)
        return false;
    held[slot].bytes = bytes;
    held_bytes += bytes;
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i += 64)
        held[slot].words[i] = word_at(slot, i);
    return true;
}

static bool call_often(void)
{
    bool fine = true;

    for (unsigned i = 0; i < LOOK_EACH && fine; i++) {
        unsigned slot = some_number() % SLOTS;

        fine = held[slot].words ? let_go(slot) : take(slot);
        n_calls++;
    }
    return fine;
}

/* seed, MiB that are held at most */
int run_churn(int argc, char **argv)
{
    struct aerostat_memory memory;
    uint64_t all;
    bool fine = true;

    state = number(argc, argv, 1, 1);
    held_at_most = number(argc, argv, 2, 16) * MIB;
    aerostat_memory_get(&memory);
    all = memory.target_bytes;
    printf("waiting for the host\n");
    aerostat_memory_wait(all, -1);
    do {
        fine = call_often();
        aerostat_memory_get(&memory);
    } while (fine && !(memory.target_bytes == all && !memory.ballooned_bytes));
    report(fine, "what was held was had and kept");
    printf("%lu calls, %zu KiB held, %llu KiB free, the largest block %llu KiB\n", n_calls,
           held_bytes / 1024, (unsigned long long)memory.free_bytes / 1024,
           (unsigned long long)memory.largest_free_bytes / 1024);
    return reported();
}
