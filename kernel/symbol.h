/* SPDX-License-Identifier: MIT */
/*
 * Names of functions, for backtraces. The table is made by tools/symbols from
 * the image's first link and put at the end of its constants by the second.
 */
#ifndef KERNEL_SYMBOL_H
#define KERNEL_SYMBOL_H

#include "lib/base/types.h"

/*
 * The function that holds the address, and how far in; NULL: none does. The name is good until the
 * next call: for one CPU at a time, in a panic.
 */
const char *symbol_find(uintptr_t address, uintptr_t *offset);

#endif
