/* SPDX-License-Identifier: MIT */
/*
 * How a structure of a virtio PCI device is reached (§4.1.4): mapped by its BAR, or, where
 * that has no address or one that cannot be mapped, through the window that a capability
 * opens in configuration space (§4.1.4.9).
 *
 * Concurrency: a window is for one access at a time: it is taken with interrupts off, as
 * handlers read why a line was raised, and under a lock between CPUs.
 */
#ifndef DRIVERS_VIRTIO_PCI_REGISTERS_H
#define DRIVERS_VIRTIO_PCI_REGISTERS_H

#include "drivers/pci/pci.h"
#include "kernel/spinlock.h"
#include "lib/base/io.h"
#include "lib/base/types.h"

struct pci_access_window {
    struct pci_device *pci;
    uint8_t capability; /* its offset; 0: the device has none */
    uint8_t unmapped;   /* bit n: BAR n cannot be mapped */
    struct spinlock lock;
};

struct pci_registers {
    volatile uint8_t *mapped; /* NULL: not, or not found at all */
    struct pci_access_window *window;
    uint32_t offset; /* in the BAR, of the structure */
    uint8_t bar;
};

/* Notes the capability if it is whole. */
void pci_access_window_found(struct pci_access_window *window, unsigned capability, unsigned bytes);

/*
 * Makes bytes at the offset of a BAR, which a virtio capability other than the window's
 * describes, reachable. Errors of pci_map() where there is no window either.
 */
int pci_registers_reach(struct pci_registers *registers, struct pci_access_window *window,
                        uint8_t bar, uint32_t offset, uint32_t bytes);

static inline bool pci_registers_found(const struct pci_registers *registers)
{
    return registers->mapped || registers->window;
}

/* The access of the functions below where the structure is not mapped. */
uint32_t pci_access_window_read(const struct pci_registers *registers, uint32_t offset,
                                unsigned bytes);
void pci_access_window_write(const struct pci_registers *registers, uint32_t offset, unsigned bytes,
                             uint32_t value);

/* One access of 1, 2 or 4 bytes, aligned to their number, inside the structure. */
static inline uint32_t pci_registers_read(const struct pci_registers *registers, uint32_t offset,
                                          unsigned bytes)
{
    volatile uint8_t *at;

    if (UNLIKELY(registers->window))
        return pci_access_window_read(registers, offset, bytes);
    at = registers->mapped + offset;
    if (bytes == 1)
        return mmio_read8(at);
    return bytes == 2 ? mmio_read16(at) : mmio_read32(at);
}

static inline void pci_registers_write(const struct pci_registers *registers, uint32_t offset,
                                       unsigned bytes, uint32_t value)
{
    volatile uint8_t *at;

    if (UNLIKELY(registers->window)) {
        pci_access_window_write(registers, offset, bytes, value);
        return;
    }
    at = registers->mapped + offset;
    if (bytes == 1)
        mmio_write8(at, (uint8_t)value);
    else if (bytes == 2)
        mmio_write16(at, (uint16_t)value);
    else
        mmio_write32(at, value);
}

#endif
