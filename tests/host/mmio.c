/* SPDX-License-Identifier: MIT */
/* kernel/mmio.h for hosted tests: what the test has made reachable. */
#include "tests/host/mmio.h"

#include "kernel/mmio.h"

phys_addr_t host_mmio_start;
uint64_t host_mmio_bytes;
uint8_t *host_mmio_memory;

phys_addr_t host_ram_start;
uint64_t host_ram_bytes;

bool mmio_meets_ram(phys_addr_t start, uint64_t bytes)
{
    return start < host_ram_start + host_ram_bytes && host_ram_start < start + bytes;
}

volatile void *mmio_map(phys_addr_t start, uint64_t bytes)
{
    if (start < host_mmio_start || bytes > host_mmio_bytes ||
        start - host_mmio_start > host_mmio_bytes - bytes)
        return NULL;
    return host_mmio_memory + (start - host_mmio_start);
}
