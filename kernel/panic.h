/* SPDX-License-Identifier: MIT */
/*
 * The end of the line for our own mistakes, never for bad input from outside:
 * reports the reason, registers and a symbolised backtrace, tells pvpanic
 * where there is one, and ends the VM with status 101.
 */
#ifndef KERNEL_PANIC_H
#define KERNEL_PANIC_H

#include "lib/base/types.h"

_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Tells something outside that we panicked; called at the very end, any
 * context. At most four; more are ignored.
 */
void panic_register_notifier(void (*notify)(void));

/* Checks our own logic; has no side effects and is always compiled in. */
#define assert(condition) \
    ((condition) ? (void)0 : panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #condition))

#endif
