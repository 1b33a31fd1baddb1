/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum (RFC 1071) over memory, for what no device sums up:
 * eight bytes at a time, carries kept in the upper half of the words. Shaped
 * for headers and for whole segments alike. Any context.
 */
#include "lib/net/checksum.h"

#include "lib/base/string.h"

static uint64_t load64(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static uint64_t add_carry(uint64_t sum, uint64_t value)
{
    sum += value;
    return sum + (sum < value);
}

uint16_t net_checksum(const void *start, int bytes)
{
    const uint8_t *at = start;
    uint64_t sum = 0, rest = 0;

    for (; bytes >= 8; bytes -= 8, at += 8)
        sum = add_carry(sum, load64(at));
    for (int i = 0; i < bytes; i++)
        rest |= (uint64_t)at[i] << (8 * i);
    sum = add_carry(sum, rest);
    sum = (sum >> 32) + (uint32_t)sum;
    sum = (sum >> 32) + (uint32_t)sum;
    sum = (sum >> 16) + (uint16_t)sum;
    sum = (sum >> 16) + (uint16_t)sum;
    return (uint16_t)sum;
}
