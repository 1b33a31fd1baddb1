/* SPDX-License-Identifier: MIT */
/*
 * Addresses for memory BARs that no firmware has placed, as on QEMU's microvm,
 * where there is none: from the window that the platform names, upwards, each
 * aligned to its size. A device behind a bridge has its place in the bridge's
 * windows, as they are: firmware leaves room in those of ports with a slot.
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

/* ---- behind a bridge */

struct range {
    phys_addr_t start, last; /* start > last: nothing */
};

static struct range window_of(struct pci_device *bridge, bool prefetchable)
{
    uint32_t both = pci_read32(bridge, prefetchable ? PCI_BRIDGE_PREFETCH : PCI_BRIDGE_MEMORY);
    struct range range = { (phys_addr_t)(both & 0xfff0) << 16, (both & 0xfff00000) | 0xfffff };

    if (prefetchable && both & PCI_BRIDGE_WIDE) {
        range.start |= (phys_addr_t)pci_read32(bridge, PCI_BRIDGE_BASE_UPPER) << 32;
        range.last |= (phys_addr_t)pci_read32(bridge, PCI_BRIDGE_LIMIT_UPPER) << 32;
    }
    return range;
}

static struct pci_device *bridge_above(const struct pci_device *device)
{
    for (struct pci_device *bridge = pci_next(NULL); bridge; bridge = pci_next(bridge))
        if (bridge->header == PCI_HEADER_BRIDGE && bridge->host == device->host &&
            (pci_read32(bridge, PCI_BUSES) >> 8 & 0xff) == device->at.bus)
            return bridge;
    return NULL;
}

/* Where what is in the way of [at, at + bytes) ends; 0: nothing is. */
static phys_addr_t end_of_obstacle(const struct pci_device *newcomer, phys_addr_t at,
                                   uint64_t bytes)
{
    for (struct pci_device *device = pci_next(NULL); device; device = pci_next(device))
        for (unsigned i = 0; i < PCI_BARS; i++) {
            const struct pci_bar *bar = &device->bar[i];

            if (device->host == newcomer->host && device->at.bus == newcomer->at.bus &&
                bar->address && bar->kind > PCI_BAR_IO && bar->address < at + bytes &&
                at < bar->address + bar->bytes)
                return bar->address + bar->bytes;
        }
    return 0;
}

/* 0: no room. A 32-bit BAR has no place above 4 GiB, nor one with side effects in the other window.
 */
static phys_addr_t place_in(struct range range, const struct pci_device *device,
                            const struct pci_bar *bar)
{
    phys_addr_t at = ALIGN_UP(range.start, bar->bytes), end;

    while (at >= range.start && at && at <= range.last && bar->bytes - 1 <= range.last - at) {
        if (bar->kind == PCI_BAR_MEMORY32 && at + bar->bytes - 1 > UINT32_MAX)
            return 0;
        end = end_of_obstacle(device, at, bar->bytes);
        if (!end)
            return at;
        at = ALIGN_UP(end, bar->bytes);
    }
    return 0;
}

static phys_addr_t place_behind_bridge(const struct pci_device *device, const struct pci_bar *bar)
{
    struct pci_device *bridge = bridge_above(device);
    phys_addr_t at = 0;

    if (!bridge)
        return 0;
    if (bar->prefetchable)
        at = place_in(window_of(bridge, true), device, bar);
    return at ? at : place_in(window_of(bridge, false), device, bar);
}

static void set_address(struct pci_device *device, unsigned index, phys_addr_t address)
{
    struct pci_bar *bar = &device->bar[index];
    uint16_t decoding = device->command & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY);

    pci_command(device, 0, decoding);
    pci_write32(device, PCI_BAR0 + 4 * index, (uint32_t)address);
    if (bar->kind == PCI_BAR_MEMORY64)
        pci_write32(device, PCI_BAR0 + 4 * index + 4, (uint32_t)(address >> 32));
    pci_command(device, decoding, 0);
    bar->address = address;
}

int pci_place_bar(struct pci_device *device, unsigned index)
{
    struct pci_bar *bar = &device->bar[index];
    phys_addr_t address;

    if (device->at.bus != device->host->bus_first) {
        address = place_behind_bridge(device, bar);
        if (!address)
            return -ENOSPC;
        set_address(device, index, address);
        return 0;
    }
    if (!window.known)
        find_window();
    address = ALIGN_UP(window.next, bar->bytes);
    if (address < window.next || address > window.end || bar->bytes > window.end - address)
        return -ENOSPC;
    if (bar->kind == PCI_BAR_MEMORY32 && address + bar->bytes - 1 > UINT32_MAX)
        return -ENOSPC;
    window.next = address + bar->bytes;
    set_address(device, index, address);
    return 0;
}

void pci_forget_window(void)
{
    window.known = false;
    window.next = window.end = 0;
}
