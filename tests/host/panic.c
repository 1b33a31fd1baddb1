/* SPDX-License-Identifier: MIT */
/* kernel/panic.h for hosted tests. */
#include "tests/host/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/panic.h"

jmp_buf host_panic_jump;
bool host_panic_expected;
char host_panic_text[256];

_Noreturn void panic(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(host_panic_text, sizeof(host_panic_text), format, arguments);
    va_end(arguments);
    if (host_panic_expected) {
        host_panic_expected = false;
        longjmp(host_panic_jump, 1);
    }
    fprintf(stderr, "panic: %s\n", host_panic_text);
    abort();
}
