/* SPDX-License-Identifier: MIT */
#include "kernel/symbol.h"

#define FIRST_CODE 0x80
#define NAME_MAX   63

/*
 * One entry a function, by rising addresses: the distance from the one before (from 0 for the
 * first), seven bits a byte, the lowest first, the top bit telling that there are more; then the
 * name, ended by 0. Distance 0 ends the table. A code of a name from FIRST_CODE on stands for a
 * pair of codes, each a character or a code below it. Absent in the first link.
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
    if (code >= FIRST_CODE) {
        to = spell(to, end, symbol_pairs[code - FIRST_CODE][0]);
        return spell(to, end, symbol_pairs[code - FIRST_CODE][1]);
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
