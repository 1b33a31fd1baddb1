/* SPDX-License-Identifier: MIT */
/* The Internet checksum (RFC 1071). */
#ifndef LIB_NET_CHECKSUM_H
#define LIB_NET_CHECKSUM_H

#include "lib/base/types.h"

/* The ones' complement sum of the bytes, not complemented, as it lies in memory. */
uint16_t net_checksum(const void *start, int bytes);

#endif
