/* SPDX-License-Identifier: MIT */
/* Devices whose registers somebody else has found: the DSDT or the command line tells where. */
#ifndef DRIVERS_VIRTIO_MMIO_H
#define DRIVERS_VIRTIO_MMIO_H

#include "kernel/irq.h"
#include "lib/base/types.h"

/*
 * Takes the device behind these registers; line: NULL where none is known. 0, also
 * where the slot is empty or the device is nobody's or failed; what is wrong with
 * the place is logged: -EINVAL: too small, not aligned, or it reaches into another;
 * -ENXIO: not to be mapped, or RAM; -ENODEV: nothing there that is known; -ENOMEM.
 */
int virtio_mmio_add(phys_addr_t base, uint64_t bytes, const struct irq_line *line);

/* Gives all back. For tests. */
void virtio_mmio_forget(void);

#endif
