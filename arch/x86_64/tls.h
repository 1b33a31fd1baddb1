/* SPDX-License-Identifier: MIT */
/* Thread-local variables of the application (System V ABI for x86-64, variant II). */
#ifndef ARCH_X86_64_TLS_H
#define ARCH_X86_64_TLS_H

#include "lib/base/types.h"

/* A thread's own copy of the image's thread-local variables; 0: no memory. */
uintptr_t tls_new(void);
void tls_free(uintptr_t tls);

/* The running thread's from now on, on this CPU. */
void tls_load(uintptr_t tls);

#endif
