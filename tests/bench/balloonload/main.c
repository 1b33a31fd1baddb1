/* SPDX-License-Identifier: MIT */
/*
 * What a guest does while the balloon's bench moves its memory, in Aerostat and in Linux
 * alike. It does what is typed, a line at a time:
 *
 *     touch MIB        takes memory and writes to each of its pages
 *     free             gives it back
 *     work MIB MS      adds to random words of so much memory, a power of two and always the same
 *     drop MIB KIB HOW madvise() alone, in steps: HOW "dontneed" or "willneed"; as a host's program
 *
 * `work` tells how far it came, and whether the words have the sum they should have. Meanwhile it
 * uses no device, not even the console: QEMU may be busy.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#define MIB         (1UL << 20)
#define PAGE        4096UL
#define BLOCK_STEPS 1024 /* between two looks at the clock */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static char *held;

static void touch(unsigned long mib)
{
    held = malloc(mib * MIB);
    for (size_t at = 0; held && at < mib * MIB; at += PAGE)
        *(volatile uint64_t *)(held + at) = at + 1;
    printf("bench: %s\n", held ? "touched" : "FAIL, no memory");
}

static void give_back(void)
{
    free(held);
    held = NULL;
    printf("bench: freed\n");
}

static uint64_t next(uint64_t x)
{
    x ^= x << 13;
    x ^= x >> 7;
    return x ^ x << 17;
}

static uint64_t sum_of(const uint64_t *words, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += words[i];
    return sum;
}

static void work(unsigned long mib, unsigned long ms)
{
    static uint64_t *words, x = 88172645463325252, sum;
    size_t n = mib * MIB / sizeof(uint64_t);
    uint64_t blocks = 0, began, now;

    if (!words)
        words = calloc(n, sizeof(*words));
    if (!words) {
        printf("bench: FAIL, no memory\n");
        return;
    }
    printf("bench: works\n");
    began = now_ns();
    for (now = began; now < began + ms * 1000000; now = now_ns(), blocks++) {
        for (unsigned i = 0; i < BLOCK_STEPS; i++) {
            x = next(x);
            words[x & (n - 1)] += x;
            sum += x;
        }
    }
    printf("bench: worked %llu in %llu ns, the sum is %s\n", (unsigned long long)blocks,
           (unsigned long long)(now - began), sum_of(words, n) == sum ? "right" : "WRONG");
}

/* The host's own cost of what a balloon's device does, written memory dropped and wanted again. */
#ifdef __linux__
static void drop(unsigned long mib, unsigned long kib, const char *how)
{
    int advice = strcmp(how, "willneed") ? MADV_DONTNEED : MADV_WILLNEED;
    size_t bytes = mib * MIB, step = kib * 1024;
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t began;

    if (memory == MAP_FAILED || !step) {
        printf("bench: FAIL, no memory\n");
        return;
    }
    madvise(memory, bytes, MADV_HUGEPAGE); /* as QEMU does with a guest's memory */
    for (size_t at = 0; at < bytes; at += PAGE)
        *(volatile uint64_t *)(memory + at) = at + 1;
    if (advice == MADV_WILLNEED)
        madvise(memory, bytes, MADV_DONTNEED);
    began = now_ns();
    for (size_t at = 0; at < bytes; at += step)
        madvise(memory + at, step, advice);
    printf("bench: dropped in %llu ns\n", (unsigned long long)(now_ns() - began));
    munmap(memory, bytes);
}
#else
static void drop(unsigned long mib, unsigned long kib, const char *how)
{
    printf("bench: FAIL, no host: %lu %lu %s\n", mib, kib, how);
}
#endif

int main(void)
{
    char line[80], word[16], how[16];

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    printf("bench: up\n");
    while (fgets(line, sizeof(line), stdin)) {
        unsigned long first = 0, second = 0;

        word[0] = how[0] = '\0';
        sscanf(line, "%15s %lu %lu %15s", word, &first, &second, how);
        if (!strcmp(word, "touch"))
            touch(first);
        else if (!strcmp(word, "free"))
            give_back();
        else if (!strcmp(word, "work"))
            work(first, second);
        else if (!strcmp(word, "drop"))
            drop(first, second, how);
        else
            printf("bench: FAIL, what is %s\n", line);
    }
    return 0;
}
