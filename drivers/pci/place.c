/* SPDX-License-Identifier: MIT */
/*
 * Addresses for memory BARs that no firmware has placed, as on QEMU's microvm,
 * where there is none: from the window that the platform names, upwards, each
 * aligned to its size. Only for devices on the root bus: bridges would want
 * windows of their own.
 */
#include "drivers/pci/pci.h"
#include "kernel/log.h"
#include "lib/base/errno.h"

bool (*pci_find_window)(phys_addr_t *start, uint64_t *bytes);

static struct {
    bool known;
    phys_addr_t next, end;
} window;

/* What is in use inside the window already stays below what is given out. */
static void keep_clear_of(phys_addr_t start, uint64_t bytes)
{
    phys_addr_t end = start + bytes;

    if (start < window.end && end > window.next)
        window.next = end;
}

static void keep_clear_of_bridge(struct pci_device *bridge)
{
    uint32_t range = pci_read32(bridge, PCI_BRIDGE_MEMORY);
    phys_addr_t start = (phys_addr_t)(range & 0xfff0) << 16;
    phys_addr_t last = (range & 0xfff00000) | 0xfffff;

    if (start <= last)
        keep_clear_of(start, last - start + 1);
}

static void keep_clear_of_devices(void)
{
    struct pci_bar bar;

    for (struct pci_device *device = pci_next(NULL); device; device = pci_next(device)) {
        for (unsigned i = 0; i < PCI_BARS; i++)
            if (pci_bar(device, i, &bar) == 0 && bar.kind != PCI_BAR_IO && bar.address)
                keep_clear_of(bar.address, bar.bytes);
        if (device->header == PCI_HEADER_BRIDGE)
            keep_clear_of_bridge(device);
    }
}

static void find_window(void)
{
    uint64_t bytes;

    window.known = true;
    if (!pci_find_window || !pci_find_window(&window.next, &bytes))
        return;
    window.end = window.next + bytes;
    keep_clear_of_devices();
}

int pci_place_bar(struct pci_device *device, unsigned index)
{
    struct pci_bar *bar = &device->bar[index];
    phys_addr_t address;
    uint16_t decoding;

    if (!window.known)
        find_window();
    address = ALIGN_UP(window.next, bar->bytes);
    if (device->at.bus != device->host->bus_first || address < window.next ||
        address > window.end || bar->bytes > window.end - address)
        return -ENOSPC;
    if (bar->kind == PCI_BAR_MEMORY32 && address + bar->bytes - 1 > UINT32_MAX)
        return -ENOSPC;
    window.next = address + bar->bytes;
    decoding = device->command & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    pci_command(device, 0, decoding);
    pci_write32(device, PCI_BAR0 + 4 * index, (uint32_t)address);
    if (bar->kind == PCI_BAR_MEMORY64)
        pci_write32(device, PCI_BAR0 + 4 * index + 4, (uint32_t)(address >> 32));
    pci_command(device, decoding, 0);
    bar->address = address;
    return 0;
}

void pci_forget_window(void)
{
    window.known = false;
    window.next = window.end = 0;
}
