/* SPDX-License-Identifier: MIT */
/*
 * Large memory: filled with a pattern, verified, given back, as often as asked.
 * While it pauses with nothing held, the host may take the memory away.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cases.h"

#define MIB (1UL << 20)

static uint64_t pattern(size_t i, uint64_t seed)
{
    return (i + seed) * 0x9e3779b97f4a7c15;
}

static void fill(uint64_t *words, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        words[i] = pattern(i, seed);
}

static bool verify(const uint64_t *words, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        if (words[i] != pattern(i, seed)) {
            printf("word %zu of %zu is %llx\n", i, n, (unsigned long long)words[i]);
            return false;
        }
    }
    return true;
}

/* MiB, rounds, and what is between them: milliseconds, or "typed": until a line was typed */
int run_memory(int argc, char **argv)
{
    size_t bytes = number(argc, argv, 1, 16) * MIB;
    unsigned long rounds = number(argc, argv, 2, 1), pause_ms = number(argc, argv, 3, 0);
    bool until_typed = argc > 3 && !strcmp(argv[3], "typed");

    for (unsigned long round = 1; round <= rounds; round++) {
        uint64_t *words = malloc(bytes);

        if (!words) {
            report(false, "malloc of %zu MiB", bytes / MIB);
            break;
        }
        fill(words, bytes / sizeof(*words), round);
        report(verify(words, bytes / sizeof(*words), round), "%zu MiB kept their pattern",
               bytes / MIB);
        free(words);
        printf("round %lu: freed\n", round);
        if (round < rounds && until_typed)
            wait_for_a_line();
        else if (round < rounds)
            usleep((useconds_t)pause_ms * 1000);
    }
    return reported();
}
