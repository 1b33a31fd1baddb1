/* SPDX-License-Identifier: MIT */
/*
 * Works on while the host pauses, saves, restores or moves the guest: writes to
 * a disk and to memory, reads both back, and looks at the clock all the while.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aerostat/disk.h"
#include "cases.h"

#define PIECE_BYTES  4096
#define MEMORY_WORDS (1024 * 1024 / sizeof(uint64_t))
#define SAY_EVERY    50 /* rounds */

static struct endurance {
    unsigned disk;
    uint64_t pieces;     /* of the disk */
    uint64_t *memory;    /* word i holds what value_at() says of the round that wrote it last */
    uint64_t rounds;     /* since the start */
    uint64_t last_ns;    /* the latest reading of the clock */
    uint64_t largest_ns; /* step of the clock between two readings */
} run;

static uint64_t value_at(uint64_t round, uint64_t i)
{
    return (round << 32 ^ i) * 0x9e3779b97f4a7c15;
}

static bool look_at_clock(void)
{
    struct timespec now;
    uint64_t now_ns, step_ns;

    clock_gettime(CLOCK_MONOTONIC, &now);
    now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    step_ns = now_ns - run.last_ns;
    if (now_ns < run.last_ns) {
        report(false, "the clock went back from %llu to %llu", (unsigned long long)run.last_ns,
               (unsigned long long)now_ns);
        return false;
    }
    if (run.last_ns && step_ns > run.largest_ns)
        run.largest_ns = step_ns;
    run.last_ns = now_ns;
    return true;
}

/* A round's piece of memory is what the round before it wrote, then it is written anew. */
static bool work_on_memory(void)
{
    uint64_t words = MEMORY_WORDS / 64, first = run.rounds % 64 * words;

    for (uint64_t i = first; i < first + words; i++) {
        if (run.rounds >= 64 && run.memory[i] != value_at(run.rounds - 64, i)) {
            report(false, "memory at word %llu in round %llu", (unsigned long long)i,
                   (unsigned long long)run.rounds);
            return false;
        }
        run.memory[i] = value_at(run.rounds, i);
    }
    return true;
}

static bool work_on_disk(void)
{
    static uint64_t written[PIECE_BYTES / 8] __attribute__((aligned(512)));
    static uint64_t found[PIECE_BYTES / 8] __attribute__((aligned(512)));
    uint64_t sector = run.rounds % run.pieces * (PIECE_BYTES / AEROSTAT_SECTOR_BYTES);

    for (unsigned i = 0; i < PIECE_BYTES / 8; i++)
        written[i] = value_at(run.rounds, i);
    if (aerostat_disk_write(run.disk, sector, written, PIECE_BYTES) ||
        aerostat_disk_read(run.disk, sector, found, PIECE_BYTES) ||
        memcmp(written, found, PIECE_BYTES)) {
        report(false, "the disk at sector %llu in round %llu", (unsigned long long)sector,
               (unsigned long long)run.rounds);
        return false;
    }
    return true;
}

static void endure(unsigned long n)
{
    run.largest_ns = 0;
    for (unsigned long i = 0; i < n; i++, run.rounds++) {
        if (!work_on_memory() || !work_on_disk() || !look_at_clock())
            return;
        if (run.rounds % SAY_EVERY == 0)
            printf("round %llu\n", (unsigned long long)run.rounds);
    }
    printf("endured %llu rounds, largest step %llu us\n", (unsigned long long)run.rounds,
           (unsigned long long)(run.largest_ns / 1000));
}

/* So many rounds for each number that comes in, until "end". */
int run_endure(int argc, char **argv)
{
    struct aerostat_disk disk;
    char line[80];

    run.disk = number(argc, argv, 1, 0);
    run.memory = malloc(MEMORY_WORDS * sizeof(uint64_t));
    if (!run.memory || aerostat_disk_get(run.disk, &disk) || disk.read_only) {
        report(false, "a disk to write to, and 1 MiB of memory");
        return reported();
    }
    run.pieces = disk.sectors * AEROSTAT_SECTOR_BYTES / PIECE_BYTES;
    printf("ready\n");
    while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n"))
        endure(strtoul(line, NULL, 0));
    report(!aerostat_disk_flush(run.disk), "flush");
    free(run.memory);
    return reported();
}
