/* SPDX-License-Identifier: MIT */
/* How much memory page_get_stats() tells of, and how much is taken. */
#ifndef TESTS_HOST_PAGE_H
#define TESTS_HOST_PAGE_H

#include <stdint.h>

extern uint64_t host_pages_total; /* 16384: 64 MiB */
extern uint64_t host_pages_taken;

#endif
