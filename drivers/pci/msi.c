/* SPDX-License-Identifier: MIT */
/* MSI, for functions that have no MSI-X: PCI Local Bus 3.0, §6.8.1. One message is used. */
#include "drivers/pci/pci.h"
#include "lib/base/errno.h"

#define BYTES_NARROW 10
#define BYTES_WIDE   14

int pci_msi_start(struct pci_device *device, struct irq_message message)
{
    unsigned at = pci_capability(device, PCI_CAP_MSI, 0), masks;
    uint16_t control;
    bool wide;

    if (!at)
        return -ENODEV;
    control = pci_read16(device, at + PCI_MSI_CONTROL);
    wide = control & PCI_MSI_WIDE;
    masks = at + (wide ? BYTES_WIDE : BYTES_NARROW) + 2;
    if (masks + (control & PCI_MSI_MASKS ? 4 : 0) > PCI_SPACE ||
        (!wide && message.address > UINT32_MAX))
        return -EIO;
    /* A message may not change while the device may send it. */
    control &= (uint16_t) ~(PCI_MSI_ENABLE | PCI_MSI_COUNT);
    pci_write16(device, at + PCI_MSI_CONTROL, control);
    pci_write32(device, at + PCI_MSI_ADDRESS, (uint32_t)message.address);
    if (wide)
        pci_write32(device, at + PCI_MSI_ADDRESS + 4, (uint32_t)(message.address >> 32));
    pci_write16(device, at + PCI_MSI_ADDRESS + (wide ? 8 : 4), (uint16_t)message.data);
    if (control & PCI_MSI_MASKS)
        pci_write32(device, masks, 0);
    pci_command(device, PCI_COMMAND_MASTER, 0); /* the message is a write to memory */
    pci_write16(device, at + PCI_MSI_CONTROL, control | PCI_MSI_ENABLE);
    return 0;
}

void pci_msi_stop(struct pci_device *device)
{
    unsigned at = pci_capability(device, PCI_CAP_MSI, 0);

    if (at)
        pci_write16(device, at + PCI_MSI_CONTROL,
                    pci_read16(device, at + PCI_MSI_CONTROL) & (uint16_t)~PCI_MSI_ENABLE);
}
