/* SPDX-License-Identifier: MIT */
/* Panics in hosted tests: the one that a test expects is caught, any other ends the program. */
#ifndef TESTS_HOST_PANIC_H
#define TESTS_HOST_PANIC_H

#include <setjmp.h>
#include <stdbool.h>

extern jmp_buf host_panic_jump;
extern bool host_panic_expected;
extern char host_panic_text[256]; /* the last one's reason */

/* true: the statement panicked. */
#define PANICS(statement)                                            \
    (host_panic_expected = true, setjmp(host_panic_jump) ? true : ({ \
         statement;                                                  \
         host_panic_expected = false;                                \
         false;                                                      \
     }))

#endif
