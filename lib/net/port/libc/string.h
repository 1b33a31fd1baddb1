/* SPDX-License-Identifier: MIT */
/* <string.h> as far as lwIP needs it. */
#ifndef LIB_NET_PORT_LIBC_STRING_H
#define LIB_NET_PORT_LIBC_STRING_H

#include "lib/base/string.h"

/* At most max bytes of `from`; fills up with zeros, terminates nothing beyond. */
char *strncpy(char *restrict to, const char *restrict from, size_t max);

#endif
