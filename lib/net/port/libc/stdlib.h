/* SPDX-License-Identifier: MIT */
/* <stdlib.h> as far as lwIP needs it. */
#ifndef LIB_NET_PORT_LIBC_STDLIB_H
#define LIB_NET_PORT_LIBC_STDLIB_H

/* Decimal digits at the start of the text; 0 where there are none or too many. */
int atoi(const char *text);

#endif
