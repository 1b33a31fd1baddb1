/* SPDX-License-Identifier: MIT */
#include "kernel/symbol.h"

#define NAME_MAX 63

/*
 * One entry a function, by rising addresses: the distance from the one before (from 0 for the
 * first), seven bits a byte, the lowest first, the top bit telling that there are more; then the
 * name, ended by 0. Distance 0 ends the table. A byte of a name is a character, or a code for a
 * pair of bytes: symbol_pairs has that of byte 1 first, and zeros for characters. No pair holds
 * one that was made after it. Absent in the first link.
 */
extern const uint8_t symbol_table[] __attribute__((weak));
extern const uint8_t symbol_pairs[][2] __attribute__((weak));
extern const char __text_start[], __text_end[];

static uint64_t read_distance(const uint8_t **at)
{
    uint64_t distance = 0;
    unsigned shift = 0;
    uint8_t byte;

    do {
        byte = *(*at)++;
        distance |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    return distance;
}

/* As deep as pairs of pairs go, a handful on any stack. */
static char *spell(char *to, const char *end, uint8_t code)
{
    const uint8_t *pair = symbol_pairs[code - 1];

    if (pair[0]) {
        to = spell(to, end, pair[0]);
        return spell(to, end, pair[1]);
    }
    if (to < end)
        *to++ = (char)code;
    return to;
}

static const char *spell_name(const uint8_t *codes)
{
    static char name[NAME_MAX + 1];
    char *to = name;

    while (*codes)
        to = spell(to, name + NAME_MAX, *codes++);
    *to = '\0';
    return name;
}

const char *symbol_find(uintptr_t address, uintptr_t *offset)
{
    const uint8_t *at = symbol_table, *name = NULL;
    uintptr_t start = 0;
    uint64_t distance;

    if (!at || address < (uintptr_t)__text_start || address >= (uintptr_t)__text_end)
        return NULL;
    while ((distance = read_distance(&at)) != 0 && start + distance <= address) {
        start += distance;
        name = at;
        while (*at++)
            ;
    }
    if (!name)
        return NULL;
    *offset = address - start;
    return spell_name(name);
}
