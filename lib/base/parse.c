/* SPDX-License-Identifier: MIT */
/* Numbers from text that comes from outside. No state. */
#include "lib/base/parse.h"

#include "lib/base/errno.h"

#define NOT_A_DIGIT 255

static unsigned digit_value(char character)
{
    if (character >= '0' && character <= '9')
        return (unsigned)(character - '0');
    character |= 'a' ^ 'A';
    if (character >= 'a' && character <= 'f')
        return (unsigned)(character - 'a') + 10;
    return NOT_A_DIGIT;
}

int parse_number(const char **at, uint64_t max, uint64_t *value)
{
    const char *text = *at;
    unsigned base = 10, digit;
    uint64_t sum = 0;

    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    }
    if (digit_value(*text) >= base)
        return -EINVAL;
    for (; (digit = digit_value(*text)) < base; text++) {
        if (digit > max || sum > (max - digit) / base)
            return -ERANGE;
        sum = sum * base + digit;
    }
    *at = text;
    *value = sum;
    return 0;
}

static unsigned suffix_shift(char suffix)
{
    switch (suffix | ('a' ^ 'A')) {
    case 'k':
        return 10;
    case 'm':
        return 20;
    case 'g':
        return 30;
    case 't':
        return 40;
    default:
        return 0;
    }
}

int parse_size(const char **at, uint64_t max, uint64_t *value)
{
    const char *text = *at;
    uint64_t number;
    unsigned shift;
    int error = parse_number(&text, max, &number);

    if (error)
        return error;
    shift = suffix_shift(*text);
    if (number > max >> shift)
        return -ERANGE;
    *at = shift ? text + 1 : text;
    *value = number << shift;
    return 0;
}

typedef int (*parser)(const char **at, uint64_t max, uint64_t *value);

static int parse_whole(parser parse, const char *text, uint64_t max, uint64_t *value)
{
    uint64_t number;
    int error = parse(&text, max, &number);

    if (error)
        return error;
    if (*text)
        return -EINVAL;
    *value = number;
    return 0;
}

int parse_whole_number(const char *text, uint64_t max, uint64_t *value)
{
    return parse_whole(parse_number, text, max, value);
}

int parse_whole_size(const char *text, uint64_t max, uint64_t *value)
{
    return parse_whole(parse_size, text, max, value);
}
