/* SPDX-License-Identifier: MIT */
/* Thread-local variables of the application (System V ABI for x86-64, variant II). */
#ifndef ARCH_X86_64_TLS_H
#define ARCH_X86_64_TLS_H

/* Gives the running thread its copy of the image's thread-local variables. -ENOMEM. */
int tls_init(void);

#endif
