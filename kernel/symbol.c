/* SPDX-License-Identifier: MIT */
#include "kernel/symbol.h"

#include "lib/base/string.h"

/* Addresses rise; names stand one after the other in the same order. Absent in the first link. */
extern const uint32_t symbol_count __attribute__((weak));
extern const uint32_t symbol_address[] __attribute__((weak));
extern const char symbol_names[] __attribute__((weak));
extern const char __text_start[], __text_end[];

static const char *nth_name(uint32_t n)
{
    const char *name = symbol_names;

    while (n--)
        name += strlen(name) + 1;
    return name;
}

const char *symbol_find(uintptr_t address, uintptr_t *offset)
{
    uint32_t n = &symbol_count ? symbol_count : 0, next = 0;

    if (address < (uintptr_t)__text_start || address >= (uintptr_t)__text_end)
        return NULL;
    while (next < n && symbol_address[next] <= address)
        next++;
    if (!next)
        return NULL;
    *offset = address - symbol_address[next - 1];
    return nth_name(next - 1);
}
