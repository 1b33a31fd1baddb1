/* SPDX-License-Identifier: MIT */
/* The compiler and the kernel as lwIP sees them. */
#ifndef LIB_NET_PORT_ARCH_CC_H
#define LIB_NET_PORT_ARCH_CC_H

#include "kernel/panic.h"
#include "kernel/random.h"
#include "lib/base/types.h"

#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_LIMITS_H   1
#define LWIP_NO_UNISTD_H   1
#define LWIP_NO_CTYPE_H    1

#define X8_F  "02x"
#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "zu"

#ifndef INT_MAX
#define INT_MAX __INT_MAX__
#endif

/* lwIP takes SSIZE_MAX as the sign that there is an ssize_t. */
typedef __PTRDIFF_TYPE__ ssize_t;
#ifndef SSIZE_MAX
#define SSIZE_MAX __PTRDIFF_MAX__
#endif

#define LWIP_RAND()                   random_u32()
#define LWIP_PLATFORM_DIAG(message)   ((void)0)
#define LWIP_PLATFORM_ASSERT(message) panic("lwIP: %s (%s:%d)", message, __FILE__, __LINE__)

/* lib/net/heap.c, lib/net/checksum.c, lib/net/isn.c, lib/net/sys_arch.c */
void *net_heap_alloc(size_t bytes);
void *net_heap_calloc(size_t n, size_t bytes);
void net_heap_free(void *object);
uint16_t net_checksum(const void *start, int bytes);
void net_lock(void);
void net_unlock(void);

/* The HTTP server's generated pages (lib/net/status_server.c). open: 1, or 0: no such page. */
struct fs_file;
int fs_open_custom(struct fs_file *file, const char *name);
void fs_close_custom(struct fs_file *file);

#endif
