/* SPDX-License-Identifier: MIT */
/*
 * Memory and string functions with their ISO C contracts, for code that may
 * not call the C library. In an image they also serve the C library's callers:
 * the linker finds these first.
 */
#ifndef LIB_BASE_STRING_H
#define LIB_BASE_STRING_H

#include "lib/base/types.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
void *memchr(const void *start, int value, size_t bytes);

size_t strlen(const char *string);
size_t strnlen(const char *string, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max);
char *strchr(const char *string, int character);
char *strrchr(const char *string, int character);
char *strstr(const char *string, const char *part);

#endif
