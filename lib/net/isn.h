/* SPDX-License-Identifier: MIT */
/*
 * Initial sequence numbers of TCP (RFC 6528): a clock, so that an old
 * connection's segments do not fit a new one, plus a keyed hash of the
 * connection, so that nobody outside can guess them.
 */
#ifndef LIB_NET_ISN_H
#define LIB_NET_ISN_H

#include "lib/base/types.h"

/* SipHash-2-4 of the bytes under a key of 128 bits. */
uint64_t net_siphash(const uint64_t key[2], const void *from, size_t bytes);

/* The number for a connection; addresses as they are on the wire. */
uint32_t net_isn(uint32_t local_address, uint16_t local_port, uint32_t remote_address,
                 uint16_t remote_port);

#endif
