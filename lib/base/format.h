/* SPDX-License-Identifier: MIT */
/*
 * Formatted text into a buffer. Understands %d %i %u %x %X %c %s %p %% with
 * the flags 0, -, + and # (0x before hexadecimal, before zero too), width and precision (also *),
 * and the lengths hh h l ll z t j. No floating point. Always terminates the text when size > 0;
 * returns the length the whole text would have had, as ISO C's vsnprintf does.
 */
#ifndef LIB_BASE_FORMAT_H
#define LIB_BASE_FORMAT_H

#include <stdarg.h>

#include "lib/base/types.h"

int format_va(char *to, size_t size, const char *format, va_list arguments);
int format(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/*
 * Text built piece by piece in a fixed buffer. What does not fit is dropped
 * and `truncated` says so; the text is always terminated.
 */
struct text {
    char *start;
    size_t size, length; /* bytes; length < size */
    bool truncated;
};

void text_init(struct text *text, char *buffer, size_t size);
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
