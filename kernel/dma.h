/* SPDX-License-Identifier: MIT */
/*
 * Memory that devices read and write, and its addresses as devices see them.
 * The one place that would change under an IOMMU or on a platform that shares
 * only part of its memory with the host.
 */
#ifndef KERNEL_DMA_H
#define KERNEL_DMA_H

#include "lib/base/types.h"

/*
 * Zeroed, physically contiguous memory, aligned to the power of two that holds it,
 * from a page on to a page; its device address in *addr. NULL: none. The owner
 * frees it with the same size, after the device was told to forget it.
 */
void *dma_alloc(size_t bytes, dma_addr_t *addr);
void dma_free(void *memory, size_t bytes);

/*
 * The device's view of the start of [memory, memory + bytes): its address in
 * *addr; returns how many bytes from there are contiguous for the device, at
 * least 1 and at most `bytes`. Works for kernel memory (always whole) and for
 * application memory, which is mapped by this call where it was not touched
 * yet. 0: not memory that a device may see.
 */
size_t dma_translate(const void *memory, size_t bytes, dma_addr_t *addr);

/*
 * An IOMMU is on and cannot be turned off: the addresses above mean nothing to a
 * device that goes through it. Set before the first device is driven.
 */
extern bool dma_is_translated;

/* Kernel memory (kalloc, page_alloc, static, kernel stacks): always contiguous. */
dma_addr_t dma_address(const void *memory);

#endif
