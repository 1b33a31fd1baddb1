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

struct space {
    phys_addr_t next, end;
};

static bool window_known;
static struct space window;

/* What is in use inside a space already stays below what is given out. */
static void keep_clear_of(struct space *space, phys_addr_t start, uint64_t bytes)
{
    phys_addr_t end = start + bytes;

    if (start < space->end && end > space->next)
        space->next = end;
}

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

static void keep_clear_of_bridge(struct space *space, struct pci_device *bridge)
{
    for (int prefetchable = 0; prefetchable < 2; prefetchable++) {
        struct range range = window_of(bridge, prefetchable);

        if (range.start <= range.last)
            keep_clear_of(space, range.start, range.last - range.start + 1);
    }
}

static void keep_clear_of_device(struct space *space, struct pci_device *device)
{
    struct pci_bar bar;

    for (unsigned i = 0; i < PCI_BARS; i++)
        if (pci_bar(device, i, &bar) == 0 && bar.kind != PCI_BAR_IO && bar.address)
            keep_clear_of(space, bar.address, bar.bytes);
    if (device->header == PCI_HEADER_BRIDGE)
        keep_clear_of_bridge(space, device);
}

static void find_window(void)
{
    uint64_t bytes;

    window_known = true;
    if (!pci_find_window || !pci_find_window(&window.next, &bytes))
        return;
    window.end = window.next + bytes;
    for (struct pci_device *device = pci_next(NULL); device; device = pci_next(device))
        keep_clear_of_device(&window, device);
}

/* False: no room, or a 32-bit BAR has no place above 4 GiB. */
static bool take(struct space *space, const struct pci_bar *bar, phys_addr_t *address)
{
    phys_addr_t at = ALIGN_UP(space->next, bar->bytes);

    if (at < space->next || at > space->end || bar->bytes > space->end - at)
        return false;
    if (bar->kind == PCI_BAR_MEMORY32 && at + bar->bytes - 1 > UINT32_MAX)
        return false;
    space->next = at + bar->bytes;
    *address = at;
    return true;
}

/* ---- behind a bridge */

static struct pci_device *bridge_above(const struct pci_device *device)
{
    for (struct pci_device *bridge = pci_next(NULL); bridge; bridge = pci_next(bridge))
        if (bridge->header == PCI_HEADER_BRIDGE && bridge->host == device->host &&
            bridge->secondary == device->at.bus)
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
    if (!window_known)
        find_window();
    if (!take(&window, bar, &address))
        return -ENOSPC;
    set_address(device, index, address);
    return 0;
}

/* ---- windows for bridges that have none */

#define WINDOW_BYTES  MIB       /* the grain of base and limit */
#define SLOT_BYTES    (2 * MIB) /* left for a card that comes later, as firmware does */
#define PORTS_CLOSED  0x00f0
#define WINDOW_CLOSED 0x0000fff0

static struct space *source;  /* of what is placed at the moment */
static struct space borrowed; /* what is left of the window of a bridge that firmware has opened */
static unsigned n_open;

static struct space *left_beside(const struct pci_device *bridge)
{
    struct pci_device *above = bridge_above(bridge);
    struct range range = { 1, 0 };

    if (above)
        range = window_of(above, false);
    borrowed = (struct space){ range.start, range.start <= range.last ? range.last + 1 : 0 };
    for (struct pci_device *device = pci_next(NULL); device; device = pci_next(device))
        if (device->host == bridge->host && device->at.bus == bridge->at.bus && device != bridge)
            keep_clear_of_device(&borrowed, device);
    return &borrowed;
}

phys_addr_t pci_open_window(struct pci_device *bridge)
{
    if (!n_open++) {
        if (!window_known)
            find_window();
        source = bridge->at.bus == bridge->host->bus_first ? &window : left_beside(bridge);
    }
    source->next = ALIGN_UP(source->next, WINDOW_BYTES);
    return source->next;
}

/* One that finds no room is told of when somebody wants it. */
void pci_place_device(struct pci_device *device)
{
    phys_addr_t address;
    struct pci_bar bar;

    for (unsigned i = 0; i < PCI_BARS; i++)
        if (pci_bar(device, i, &bar) == 0 && bar.kind != PCI_BAR_IO && !bar.address &&
            take(source, &bar, &address))
            set_address(device, i, address);
}

static bool has_slot(struct pci_device *bridge)
{
    unsigned express = pci_capability(bridge, PCI_CAP_EXPRESS, 0);

    return express && pci_read16(bridge, express + PCI_EXPRESS_FLAGS) & PCI_EXPRESS_SLOT;
}

void pci_close_window(struct pci_device *bridge, phys_addr_t start)
{
    phys_addr_t next = source->next;

    if (has_slot(bridge))
        next = MAX(next, start + SLOT_BYTES);
    next = MIN(ALIGN_UP(next, WINDOW_BYTES), ALIGN_DOWN(source->end, WINDOW_BYTES));
    pci_write16(bridge, PCI_BRIDGE_PORTS, PORTS_CLOSED);
    pci_write32(bridge, PCI_BRIDGE_PREFETCH, WINDOW_CLOSED);
    if (next > start) {
        source->next = next;
        pci_write32(bridge, PCI_BRIDGE_MEMORY,
                    (uint32_t)((next - 1) & 0xfff00000) | (uint32_t)(start >> 16 & 0xfff0));
    } else {
        pci_write32(bridge, PCI_BRIDGE_MEMORY, WINDOW_CLOSED);
    }
    pci_command(bridge, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    n_open--;
}

void pci_forget_window(void)
{
    window_known = false;
    window = (struct space){ 0 };
}
