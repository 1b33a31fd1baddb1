/* SPDX-License-Identifier: MIT */
/*
 * The few types everything shares, on top of the compiler's own freestanding
 * headers.
 */
#ifndef LIB_BASE_TYPES_H
#define LIB_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t phys_addr_t; /* an address on the CPU's physical bus */
typedef uint64_t dma_addr_t;  /* an address as a device sees memory */

/* Little-endian wire fields; the name says so, the CPU is little-endian too. */
typedef uint16_t le16;
typedef uint32_t le32;
typedef uint64_t le64;

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#define ALIGN_UP(value, alignment)   (((value) + (alignment)-1) & ~((__typeof__(value))(alignment)-1))
#define ALIGN_DOWN(value, alignment) ((value) & ~((__typeof__(value))(alignment)-1))
#define IS_ALIGNED(value, alignment) (((value) & ((alignment)-1)) == 0)

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#define NSEC_PER_USEC UINT64_C(1000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_SEC  UINT64_C(1000000000)

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

#endif
