/* SPDX-License-Identifier: MIT */
/* The physical addresses that mmio_map() reaches in a hosted test, and the memory behind them. */
#ifndef TESTS_HOST_MMIO_H
#define TESTS_HOST_MMIO_H

#include "lib/base/types.h"

extern phys_addr_t host_mmio_start;
extern uint64_t host_mmio_bytes; /* 0: nothing can be mapped */
extern uint8_t *host_mmio_memory;

extern phys_addr_t host_ram_start;
extern uint64_t host_ram_bytes; /* 0: there is none */

#endif
