/* SPDX-License-Identifier: MIT */
/*
 * Memory and string functions without vector registers.
 *
 * Shaped for short blocks (ring elements, headers, words of text) and for
 * packets and pages. Blocks move eight bytes at a time, because a string
 * instruction costs dozens of cycles to start, and byte-wise ones are ten times
 * slower than this loop under QEMU's TCG; long ones use `rep movsq`, which is
 * the fastest way on hardware and as fast as the loop elsewhere.
 *
 * Concurrency: none needed; no state.
 */
#include "lib/base/string.h"

/* The byte in each of a word's eight places. */
#define EVERY_BYTE(byte) ((byte)*UINT64_C(0x0101010101010101))

#include "lib/base/barrier.h"

/* From here on `rep` repays its start. */
#define LONG_BLOCK 512

/* Eight bytes of anything, anywhere. */
typedef uint64_t __attribute__((may_alias, aligned(1))) word_t;

/*
 * Each copying loop holds a compiler barrier: without it the compiler sees a
 * memcpy in memcpy's own loop and calls it for ever.
 */
static void copy_forward(unsigned char *to, const unsigned char *from, size_t bytes)
{
    for (; bytes >= 32; bytes -= 32, to += 32, from += 32) {
        uint64_t a = ((const word_t *)from)[0], b = ((const word_t *)from)[1];
        uint64_t c = ((const word_t *)from)[2], d = ((const word_t *)from)[3];

        ((word_t *)to)[0] = a;
        ((word_t *)to)[1] = b;
        ((word_t *)to)[2] = c;
        ((word_t *)to)[3] = d;
        barrier_compiler();
    }
    for (; bytes >= 8; bytes -= 8, to += 8, from += 8) {
        *(word_t *)to = *(const word_t *)from;
        barrier_compiler();
    }
    for (; bytes; bytes--) {
        *to++ = *from++;
        barrier_compiler();
    }
}

static void copy_backward(unsigned char *to, const unsigned char *from, size_t bytes)
{
    for (; bytes >= 8; bytes -= 8) {
        *(word_t *)(to + bytes - 8) = *(const word_t *)(from + bytes - 8);
        barrier_compiler();
    }
    for (; bytes; bytes--) {
        to[bytes - 1] = from[bytes - 1];
        barrier_compiler();
    }
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    unsigned char *t = to;
    const unsigned char *f = from;

    if (bytes >= LONG_BLOCK) {
        size_t words = bytes / 8;

        __asm__ volatile("rep movsq" : "+D"(t), "+S"(f), "+c"(words) : : "memory");
        bytes %= 8;
    }
    copy_forward(t, f, bytes);
    return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    /* One comparison: below `from` or beyond its end, forward copying overwrites nothing unread. */
    if ((uintptr_t)to - (uintptr_t)from >= bytes)
        copy_forward(to, from, bytes);
    else
        copy_backward(to, from, bytes);
    return to;
}

void *memset(void *to, int value, size_t bytes)
{
    unsigned char *t = to;
    uint64_t word = (unsigned char)value * UINT64_C(0x0101010101010101);

    if (bytes >= LONG_BLOCK) {
        size_t words = bytes / 8;

        __asm__ volatile("rep stosq" : "+D"(t), "+c"(words) : "a"(word) : "memory");
        bytes %= 8;
    }
    for (; bytes >= 32; bytes -= 32, t += 32) {
        ((word_t *)t)[0] = word;
        ((word_t *)t)[1] = word;
        ((word_t *)t)[2] = word;
        ((word_t *)t)[3] = word;
        barrier_compiler();
    }
    for (; bytes >= 8; bytes -= 8, t += 8) {
        *(word_t *)t = word;
        barrier_compiler();
    }
    for (; bytes; bytes--) {
        *t++ = (unsigned char)value;
        barrier_compiler();
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
    const unsigned char *x = a, *y = b;

    for (; bytes >= 8 && *(const word_t *)x == *(const word_t *)y; bytes -= 8, x += 8, y += 8)
        ;
    for (; bytes; bytes--, x++, y++) {
        if (*x != *y)
            return *x - *y;
    }
    return 0;
}

/* A byte of the word is zero: the borrow of one reaches its own top bit only then (or above one).
 */
static bool has_zero_byte(uint64_t word)
{
    return (word - EVERY_BYTE(0x01)) & ~word & EVERY_BYTE(0x80);
}

void *memchr(const void *start, int value, size_t bytes)
{
    const unsigned char *at = start;
    uint64_t word;

    for (; bytes >= sizeof(word); bytes -= sizeof(word), at += sizeof(word)) {
        __builtin_memcpy(&word, at, sizeof(word));
        if (has_zero_byte(word ^ EVERY_BYTE((unsigned char)value)))
            break;
    }
    for (; bytes; bytes--, at++) {
        if (*at == (unsigned char)value)
            return (void *)at;
    }
    return NULL;
}

size_t strlen(const char *string)
{
    size_t length = 0;

    while (string[length]) {
        length++;
        barrier_compiler();
    }
    return length;
}

size_t strnlen(const char *string, size_t max)
{
    size_t length = 0;

    while (length < max && string[length])
        length++;
    return length;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t max)
{
    for (; max; max--, a++, b++) {
        if (*a != *b || !*a)
            return (unsigned char)*a - (unsigned char)*b;
    }
    return 0;
}

char *strchr(const char *string, int character)
{
    for (;; string++) {
        if (*string == (char)character)
            return (char *)string;
        if (!*string)
            return NULL;
    }
}

char *strrchr(const char *string, int character)
{
    const char *last = NULL;

    for (;; string++) {
        if (*string == (char)character)
            last = string;
        if (!*string)
            return (char *)last;
    }
}

char *strstr(const char *string, const char *part)
{
    size_t length = strlen(part);

    for (;; string++) {
        if (!strncmp(string, part, length))
            return (char *)string;
        if (!*string)
            return NULL;
    }
}
