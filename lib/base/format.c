/* SPDX-License-Identifier: MIT */
/*
 * Formatted text, in one pass over the format, straight into the caller's
 * buffer. Shaped for log lines and reports: no allocation, no state, little
 * stack, so that it works in a panic.
 */
#include "lib/base/format.h"

#include "lib/base/string.h"

struct output {
    char *to;
    size_t size;   /* of the buffer */
    size_t length; /* of the whole text, what did not fit included */
};

/* One conversion: %[flags][width][.precision][length]kind */
struct conversion {
    bool zero, left, plus, alternate;
    int width;
    int precision;  /* -1: not given */
    unsigned bytes; /* of the integer argument */
    char kind;
};

static void put(struct output *output, char character)
{
    if (output->length + 1 < output->size)
        output->to[output->length] = character;
    output->length++;
}

static void put_repeated(struct output *output, char character, int count)
{
    while (count-- > 0)
        put(output, character);
}

static void put_padded(struct output *output, const struct conversion *conversion, const char *text,
                       size_t length)
{
    int padding = conversion->width > (int)length ? conversion->width - (int)length : 0;

    if (!conversion->left)
        put_repeated(output, ' ', padding);
    for (size_t i = 0; i < length; i++)
        put(output, text[i]);
    if (conversion->left)
        put_repeated(output, ' ', padding);
}

static void put_number(struct output *output, const struct conversion *conversion, uint64_t value,
                       const char *prefix)
{
    const char *digit = conversion->kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    unsigned base = conversion->kind == 'd' || conversion->kind == 'u' ? 10 : 16;
    char digits[20]; /* of 2^64 - 1 in base 10 */
    int n = 0, zeros, padding;

    for (uint64_t rest = value; rest; rest /= base)
        digits[n++] = digit[rest % base];

    if (conversion->precision >= 0)
        zeros = MAX(conversion->precision - n, 0);
    else if (conversion->zero && !conversion->left)
        zeros = MAX(conversion->width - (int)strlen(prefix) - n, n ? 0 : 1);
    else
        zeros = n ? 0 : 1;
    padding = conversion->width - (int)strlen(prefix) - zeros - n;

    if (!conversion->left)
        put_repeated(output, ' ', padding);
    while (*prefix)
        put(output, *prefix++);
    put_repeated(output, '0', zeros);
    while (n)
        put(output, digits[--n]);
    if (conversion->left)
        put_repeated(output, ' ', padding);
}

static int read_decimal(const char **format)
{
    int value = 0;

    for (; **format >= '0' && **format <= '9'; (*format)++) {
        if (value < 100000) /* wider than any text of ours: keeps the sum in range */
            value = value * 10 + (**format - '0');
    }
    return value;
}

static void read_flags(const char **format, struct conversion *conversion)
{
    for (;; (*format)++) {
        if (**format == '0')
            conversion->zero = true;
        else if (**format == '-')
            conversion->left = true;
        else if (**format == '+')
            conversion->plus = true;
        else if (**format == '#')
            conversion->alternate = true;
        else
            return;
    }
}

static unsigned read_length(const char **format)
{
    switch (*(*format)++) {
    case 'h':
        if (**format != 'h')
            return sizeof(short);
        (*format)++;
        return sizeof(char);
    case 'l':
        if (**format == 'l')
            (*format)++;
        return sizeof(long);
    case 'z':
    case 't':
    case 'j':
        return sizeof(long);
    default:
        (*format)--;
        return sizeof(int);
    }
}

/* Narrow arguments travel as int: cut to what the length modifier names. */
static int64_t sign_extend(uint64_t value, unsigned bytes)
{
    unsigned shift = 64 - 8 * bytes;

    return (int64_t)(value << shift) >> shift;
}

static uint64_t zero_extend(uint64_t value, unsigned bytes)
{
    unsigned shift = 64 - 8 * bytes;

    return value << shift >> shift;
}

static void put_string(struct output *output, const struct conversion *conversion,
                       const char *string)
{
    size_t most = conversion->precision >= 0 ? (size_t)conversion->precision : SIZE_MAX;

    if (!string)
        string = "(null)";
    put_padded(output, conversion, string, strnlen(string, most));
}

static void put_signed(struct output *output, const struct conversion *conversion, int64_t value)
{
    const char *sign = value < 0 ? "-" : conversion->plus ? "+" : "";

    put_number(output, conversion, value < 0 ? -(uint64_t)value : (uint64_t)value, sign);
}

/* A struct, because a va_list parameter cannot be passed on by reference portably. */
struct arguments {
    va_list list;
};

static uint64_t next_integer(struct arguments *arguments, unsigned bytes)
{
    return bytes == sizeof(long) ? va_arg(arguments->list, unsigned long)
                                 : va_arg(arguments->list, unsigned);
}

static void put_conversion(struct output *output, struct conversion *conversion,
                           struct arguments *arguments)
{
    char character;

    switch (conversion->kind) {
    case 'd':
    case 'i':
        conversion->kind = 'd';
        put_signed(output, conversion,
                   sign_extend(next_integer(arguments, conversion->bytes), conversion->bytes));
        break;
    case 'u':
    case 'x':
    case 'X':
        put_number(output, conversion,
                   zero_extend(next_integer(arguments, conversion->bytes), conversion->bytes),
                   conversion->alternate && conversion->kind != 'u' ? "0x" : "");
        break;
    case 'p':
        put_number(output, conversion, (uintptr_t)va_arg(arguments->list, void *), "0x");
        break;
    case 'c':
        character = (char)va_arg(arguments->list, int);
        put_padded(output, conversion, &character, 1);
        break;
    case 's':
        put_string(output, conversion, va_arg(arguments->list, const char *));
        break;
    case '%':
        put(output, '%');
        break;
    default: /* shown as it stands; the compiler's format check keeps it from happening */
        put(output, '%');
        if (conversion->kind)
            put(output, conversion->kind);
    }
}

static void format_one(struct output *output, const char **format, struct arguments *arguments)
{
    struct conversion conversion = { .precision = -1 };

    read_flags(format, &conversion);
    if (**format == '*') {
        (*format)++;
        conversion.width = va_arg(arguments->list, int);
        if (conversion.width < 0) {
            conversion.left = true;
            conversion.width = conversion.width == INT32_MIN ? INT32_MAX : -conversion.width;
        }
    } else {
        conversion.width = read_decimal(format);
    }
    if (**format == '.') {
        (*format)++;
        if (**format == '*') {
            (*format)++;
            conversion.precision = va_arg(arguments->list, int);
        } else {
            conversion.precision = read_decimal(format);
        }
    }
    conversion.bytes = read_length(format);
    conversion.kind = **format;
    if (conversion.kind)
        (*format)++;
    put_conversion(output, &conversion, arguments);
}

int format_va(char *to, size_t size, const char *format, va_list list)
{
    struct output output = { to, size, 0 };
    struct arguments arguments;

    va_copy(arguments.list, list);
    while (*format) {
        if (*format != '%') {
            put(&output, *format++);
            continue;
        }
        format++;
        format_one(&output, &format, &arguments);
    }
    va_end(arguments.list);
    if (size)
        to[MIN(output.length, size - 1)] = '\0';
    return (int)output.length;
}

int format(char *to, size_t size, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = format_va(to, size, format, arguments);
    va_end(arguments);
    return length;
}

void text_init(struct text *text, char *buffer, size_t size)
{
    *text = (struct text){ .start = buffer, .size = size };
    buffer[0] = '\0';
}

void text_add(struct text *text, const char *format, ...)
{
    size_t room = text->size - text->length;
    va_list arguments;
    size_t length;

    va_start(arguments, format);
    length = (size_t)format_va(text->start + text->length, room, format, arguments);
    va_end(arguments);
    if (length >= room) {
        text->truncated = true;
        length = room - 1;
    }
    text->length += length;
}
