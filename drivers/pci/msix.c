/* SPDX-License-Identifier: MIT */
/* MSI-X: PCI Local Bus 3.0, §6.8.2. */
#include "drivers/pci/pci.h"
#include "lib/base/errno.h"
#include "lib/base/io.h"

static volatile uint8_t *entry_of(struct pci_device *device, unsigned entry)
{
    return device->msix.table + entry * PCI_MSIX_ENTRY_BYTES;
}

static void mask_all(struct pci_device *device)
{
    for (unsigned i = 0; i < device->msix.n_vectors; i++)
        pci_msix_mask(device, i);
}

/* Where table or pending bits lie: BAR number in the low bits, offset in the others. */
struct place {
    unsigned bar;
    uint64_t offset, bytes;
};

static struct place place_of(uint32_t word, uint64_t bytes)
{
    return (struct place){ word & PCI_MSIX_BAR, word & ~(uint32_t)PCI_MSIX_BAR, bytes };
}

static bool overlap(const struct place *a, const struct place *b)
{
    return a->bar == b->bar && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

/* The pending bits are not used, but a device that has them nowhere is not to be believed. */
static int check_pending(struct pci_device *device, const struct place *pending)
{
    struct pci_bar bar;
    int error = pci_bar(device, pending->bar, &bar);

    if (error)
        return error;
    if (bar.kind == PCI_BAR_IO || pending->offset > bar.bytes ||
        pending->bytes > bar.bytes - pending->offset)
        return -ERANGE;
    return 0;
}

int pci_msix_start(struct pci_device *device)
{
    unsigned capability = pci_capability(device, PCI_CAP_MSIX, 0), n;
    struct place table, pending;
    volatile void *at;
    uint16_t control;
    int error;

    if (!capability)
        return -ENODEV;
    if (capability + PCI_MSIX_BYTES > PCI_SPACE)
        return -EIO;
    control = pci_read16(device, capability + PCI_MSIX_CONTROL);
    n = (control & PCI_MSIX_SIZE) + 1u;
    table = place_of(pci_read32(device, capability + PCI_MSIX_TABLE), n * PCI_MSIX_ENTRY_BYTES);
    pending = place_of(pci_read32(device, capability + PCI_MSIX_PENDING), (n + 63) / 64 * 8);
    if (table.bar >= PCI_BARS || pending.bar >= PCI_BARS || overlap(&table, &pending))
        return -EIO;
    error = check_pending(device, &pending);
    if (!error)
        error = pci_map(device, table.bar, table.offset, table.bytes, &at);
    if (error)
        return error;

    device->msix.capability = (uint8_t)capability;
    device->msix.n_vectors = (uint16_t)n;
    device->msix.table = at;
    mask_all(device);
    pci_write16(device, capability + PCI_MSIX_CONTROL,
                (uint16_t)((control & ~PCI_MSIX_FUNCTION_MASK) | PCI_MSIX_ENABLE));
    return (int)n;
}

void pci_msix_set(struct pci_device *device, unsigned entry, struct irq_message message)
{
    volatile uint8_t *at = entry_of(device, entry);

    /* A message may not change while the device may send it. */
    mmio_write32(at + PCI_MSIX_ENTRY_CONTROL, PCI_MSIX_ENTRY_MASKED);
    mmio_write32(at + PCI_MSIX_ENTRY_ADDRESS, (uint32_t)message.address);
    mmio_write32(at + PCI_MSIX_ENTRY_UPPER, (uint32_t)(message.address >> 32));
    mmio_write32(at + PCI_MSIX_ENTRY_MESSAGE, message.data);
    mmio_write32(at + PCI_MSIX_ENTRY_CONTROL, 0);
}

void pci_msix_mask(struct pci_device *device, unsigned entry)
{
    mmio_write32(entry_of(device, entry) + PCI_MSIX_ENTRY_CONTROL, PCI_MSIX_ENTRY_MASKED);
}

void pci_msix_stop(struct pci_device *device)
{
    unsigned control_at = device->msix.capability + PCI_MSIX_CONTROL;

    if (!device->msix.capability)
        return;
    mask_all(device);
    pci_write16(device, control_at, pci_read16(device, control_at) & (uint16_t)~PCI_MSIX_ENABLE);
    device->msix.capability = 0;
    device->msix.table = NULL;
}
