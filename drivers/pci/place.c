/* SPDX-License-Identifier: MIT */
/*
 * Addresses for BARs that no firmware has placed, as on QEMU's microvm, where there is
 * none: out of what the platform names, upwards, each aligned to its size. A device behind
 * a bridge has its place in the bridge's windows: as firmware left them, with room in those
 * of ports with a slot, or as they are opened here around what comes behind it
 * (PCI-to-PCI Bridge 1.2, §3.2.5).
 */
#include "drivers/pci/pci.h"
#include "kernel/log.h"
#include "lib/base/errno.h"

#define LARGE_BYTES (16 * MIB) /* leaves the room below 4 GiB to those that can go nowhere else */

bool (*pci_find_window)(enum pci_room room, phys_addr_t *start, uint64_t *bytes);

/* The grain of a bridge's windows; the one in HIGH's place is for what may be prefetched. */
static const uint32_t grains[PCI_ROOMS] = {
    [PCI_ROOM_LOW] = MIB, [PCI_ROOM_HIGH] = MIB, [PCI_ROOM_PORTS] = 4 * KIB
};

struct space {
    bool known;
    phys_addr_t first, next, end;
};

/* What may be given out. */
struct spaces {
    struct space of[PCI_ROOMS];
};

static struct spaces root;

/* What is in use inside a space already cuts it short, from the side that costs less. */
static void keep_clear_of(struct space *space, phys_addr_t start, uint64_t bytes)
{
    phys_addr_t end = start + bytes;

    if (start >= space->end || end <= space->next)
        return;
    if (start > space->next && (end >= space->end || start - space->next > space->end - end))
        space->end = start;
    else
        space->next = end;
}

static struct pci_range read_ports(struct pci_device *bridge)
{
    uint32_t both = pci_read16(bridge, PCI_BRIDGE_PORTS);

    return (struct pci_range){ (both & 0xf0) << 8, (both & 0xf000) | 0xfff };
}

static struct pci_range read_memory(struct pci_device *bridge, enum pci_room room)
{
    uint32_t both =
        pci_read32(bridge, room == PCI_ROOM_HIGH ? PCI_BRIDGE_PREFETCH : PCI_BRIDGE_MEMORY);
    struct pci_range range = { (phys_addr_t)(both & 0xfff0) << 16, (both & 0xfff00000) | 0xfffff };

    if (room == PCI_ROOM_HIGH && both & PCI_BRIDGE_WIDE) {
        range.start |= (phys_addr_t)pci_read32(bridge, PCI_BRIDGE_BASE_UPPER) << 32;
        range.last |= (phys_addr_t)pci_read32(bridge, PCI_BRIDGE_LIMIT_UPPER) << 32;
    }
    return range;
}

const struct pci_range *pci_windows(struct pci_device *bridge)
{
    if (!bridge->windows_known) {
        bridge->windows_known = true;
        bridge->windows[PCI_ROOM_LOW] = read_memory(bridge, PCI_ROOM_LOW);
        bridge->windows[PCI_ROOM_HIGH] = read_memory(bridge, PCI_ROOM_HIGH);
        bridge->windows[PCI_ROOM_PORTS] = read_ports(bridge);
    }
    return bridge->windows;
}

/* Memory is one, whichever room it is in. */
static bool same_kind(enum pci_room a, enum pci_room b)
{
    return (a == PCI_ROOM_PORTS) == (b == PCI_ROOM_PORTS);
}

static bool has_kind(const struct pci_bar *bar, enum pci_room room)
{
    return bar->address && (bar->kind == PCI_BAR_IO) == (room == PCI_ROOM_PORTS);
}

static void keep_clear_of_bridge(struct space *space, struct pci_device *bridge, enum pci_room room)
{
    for (enum pci_room other = 0; other < PCI_ROOMS; other++) {
        struct pci_range range;

        if (!same_kind(room, other))
            continue;
        range = pci_windows(bridge)[other];
        if (range.start <= range.last)
            keep_clear_of(space, range.start, range.last - range.start + 1);
    }
}

static void keep_clear_of_device(struct space *space, struct pci_device *device, enum pci_room room)
{
    struct pci_bar bar;

    for (unsigned i = 0; i < PCI_BARS; i++)
        if (pci_bar(device, i, &bar) == 0 && has_kind(&bar, room))
            keep_clear_of(space, bar.address, bar.bytes);
    if (device->header == PCI_HEADER_BRIDGE)
        keep_clear_of_bridge(space, device, room);
}

static struct space *space_of(struct spaces *spaces, enum pci_room room)
{
    struct space *space = &spaces->of[room];
    uint64_t bytes;

    if (space->known)
        return space;
    space->known = true;
    if (!pci_find_window || !pci_find_window(room, &space->first, &bytes))
        return space;
    space->next = space->first;
    space->end = space->first + bytes;
    for (struct pci_device *device = pci_next(NULL); device; device = pci_next(device))
        keep_clear_of_device(space, device, room);
    if (room !=
        PCI_ROOM_LOW) /* a bridge's window begins there, with nobody else's addresses in it */
        space->next = ALIGN_UP(space->next, grains[room]);
    space->first = space->next;
    return space;
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

static bool take_high(struct spaces *spaces, const struct pci_bar *bar, phys_addr_t *address)
{
    return bar->kind == PCI_BAR_MEMORY64 && take(space_of(spaces, PCI_ROOM_HIGH), bar, address);
}

static bool take_any(struct spaces *spaces, const struct pci_bar *bar, phys_addr_t *address)
{
    if (bar->kind == PCI_BAR_IO)
        return take(space_of(spaces, PCI_ROOM_PORTS), bar, address);
    if (bar->bytes >= LARGE_BYTES && take_high(spaces, bar, address))
        return true;
    return take(space_of(spaces, PCI_ROOM_LOW), bar, address) || take_high(spaces, bar, address);
}

/* ---- behind a bridge */

/* Where what the device has in the way of [at, at + bytes) ends; 0: nothing is. */
static phys_addr_t end_within(struct pci_device *device, enum pci_room room, phys_addr_t at,
                              uint64_t bytes)
{
    struct pci_bar bar;

    for (unsigned i = 0; i < PCI_BARS; i++)
        if (pci_bar(device, i, &bar) == 0 && has_kind(&bar, room) && bar.address < at + bytes &&
            at < bar.address + bar.bytes)
            return bar.address + bar.bytes;
    for (enum pci_room other = 0; other < PCI_ROOMS && device->header == PCI_HEADER_BRIDGE;
         other++) {
        struct pci_range range;

        if (!same_kind(room, other))
            continue;
        range = pci_windows(device)[other];
        if (range.start <= range.last && range.start < at + bytes && at <= range.last)
            return range.last + 1;
    }
    return 0;
}

static phys_addr_t end_of_obstacle(const struct pci_device *newcomer, enum pci_room room,
                                   phys_addr_t at, uint64_t bytes)
{
    for (struct pci_device *device = pci_next(NULL); device; device = pci_next(device))
        if (device->host == newcomer->host && device->at.bus == newcomer->at.bus) {
            phys_addr_t end = end_within(device, room, at, bytes);

            if (end)
                return end;
        }
    return 0;
}

/* 0: no room. A 32-bit BAR has no place above 4 GiB. */
static phys_addr_t place_in(struct pci_device *bridge, enum pci_room room,
                            const struct pci_device *device, const struct pci_bar *bar)
{
    struct pci_range range = pci_windows(bridge)[room];
    phys_addr_t at = ALIGN_UP(range.start, bar->bytes), end;

    while (at >= range.start && at && at <= range.last && bar->bytes - 1 <= range.last - at) {
        if (bar->kind == PCI_BAR_MEMORY32 && at + bar->bytes - 1 > UINT32_MAX)
            return 0;
        end = end_of_obstacle(device, room, at, bar->bytes);
        if (!end)
            return at;
        at = ALIGN_UP(end, bar->bytes);
    }
    return 0;
}

/* What has side effects when it is read has no place in the window for what may be prefetched. */
static phys_addr_t place_behind(struct pci_device *bridge, const struct pci_device *device,
                                const struct pci_bar *bar)
{
    phys_addr_t at = 0;

    if (bar->kind == PCI_BAR_IO)
        return place_in(bridge, PCI_ROOM_PORTS, device, bar);
    if (bar->prefetchable)
        at = place_in(bridge, PCI_ROOM_HIGH, device, bar);
    return at ? at : place_in(bridge, PCI_ROOM_LOW, device, bar);
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
    struct pci_device *bridge = pci_bridge_above(device);
    struct pci_bar *bar = &device->bar[index];
    phys_addr_t address = 0;

    if (bridge)
        address = place_behind(bridge, device, bar);
    else if (!take_any(&root, bar, &address))
        address = 0;
    if (!address || !pci_bar_fits(device, index, address))
        return -ENOSPC;
    set_address(device, index, address);
    return 0;
}

/* ---- windows for bridges that have none */

#define SLOT_BYTES    (2 * MIB) /* left for a card that comes later, as firmware does */
#define PORTS_CLOSED  0x00f0
#define WINDOW_CLOSED 0x0000fff0

static struct spaces *source; /* of what is placed at the moment */
static struct spaces
    borrowed; /* what is left of the windows of a bridge that firmware has opened */
static unsigned n_open;
static bool high_is_closed;

static struct space left_of(struct pci_device *above, const struct pci_device *bridge,
                            enum pci_room room)
{
    struct pci_range range = pci_windows(above)[room];
    struct space space = { .known = true };

    if (range.start > range.last)
        return space;
    space.first = space.next = range.start;
    space.end = range.last + 1;
    for (struct pci_device *device = pci_next(NULL); device; device = pci_next(device))
        if (device->host == bridge->host && device->at.bus == bridge->at.bus && device != bridge)
            keep_clear_of_device(&space, device, room);
    return space;
}

static struct spaces *source_for(const struct pci_device *bridge)
{
    struct pci_device *above = pci_bridge_above(bridge);

    if (!above)
        return &root;
    for (enum pci_room room = 0; room < PCI_ROOMS; room++)
        borrowed.of[room] = left_of(above, bridge, room);
    return &borrowed;
}

/* What is not known yet is asked for when it is wanted, and then begins behind what is taken. */
static void start_of(enum pci_room room, struct pci_window *window)
{
    struct space *space = &source->of[room];

    space->next = ALIGN_UP(space->next, grains[room]);
    window->start[room] = space->next;
}

void pci_open_window(struct pci_device *bridge, struct pci_window *window)
{
    if (!n_open++) {
        source = source_for(bridge);
        high_is_closed = false;
    }
    window->high_was_closed = high_is_closed;
    space_of(source, PCI_ROOM_LOW);
    for (enum pci_room room = 0; room < PCI_ROOMS; room++)
        start_of(room, window);
    if (!(pci_read32(bridge, PCI_BRIDGE_PREFETCH) & PCI_BRIDGE_WIDE))
        high_is_closed = true;
}

/* Behind a bridge only what may be prefetched has its place above 4 GiB (§3.2.5.9). */
static bool take_behind(const struct pci_bar *bar, phys_addr_t *address)
{
    if (bar->kind == PCI_BAR_IO || (bar->prefetchable && !high_is_closed))
        return take_any(source, bar, address);
    return take(space_of(source, PCI_ROOM_LOW), bar, address);
}

/* One that finds no room is told of when somebody wants it. */
void pci_place_device(struct pci_device *device)
{
    phys_addr_t address;
    struct pci_bar bar;

    for (unsigned i = 0; i < PCI_BARS; i++)
        if (pci_bar(device, i, &bar) == 0 && !bar.address && take_behind(&bar, &address))
            set_address(device, i, address);
}

static bool has_slot(struct pci_device *bridge)
{
    unsigned express = pci_capability(bridge, PCI_CAP_EXPRESS, 0);

    return express && pci_read16(bridge, express + PCI_EXPRESS_FLAGS) & PCI_EXPRESS_SLOT;
}

/* From start to what was given out, at least `least` bytes if there are so many. */
static struct pci_range close_space(enum pci_room room, const struct pci_window *window,
                                    uint64_t least)
{
    struct space *space = &source->of[room];
    phys_addr_t start = MAX(window->start[room], space->first);
    phys_addr_t next = ALIGN_UP(MAX(space->next, start + least), grains[room]);

    next = MIN(next, ALIGN_DOWN(space->end, grains[room]));
    if (next <= start)
        return (struct pci_range){ 1, 0 };
    space->next = next;
    return (struct pci_range){ start, next - 1 };
}

static void write_window(struct pci_device *bridge, unsigned offset, struct pci_range range)
{
    if (range.start > range.last)
        pci_write32(bridge, offset, WINDOW_CLOSED);
    else
        pci_write32(bridge, offset,
                    (uint32_t)(range.last & 0xfff00000) | (uint32_t)(range.start >> 16 & 0xfff0));
}

static void write_ports(struct pci_device *bridge, struct pci_range range)
{
    bool closed = range.start > range.last;

    pci_write16(bridge, PCI_BRIDGE_PORTS,
                closed ? PORTS_CLOSED
                       : (uint16_t)((range.last & 0xf000) | (range.start >> 8 & 0xf0)));
    if (!closed)
        pci_command(bridge, PCI_COMMAND_IO, 0);
}

void pci_close_window(struct pci_device *bridge, const struct pci_window *window)
{
    struct pci_range low, high = { 1, 0 };

    low = close_space(PCI_ROOM_LOW, window, has_slot(bridge) ? SLOT_BYTES : 0);
    write_ports(bridge, close_space(PCI_ROOM_PORTS, window, 0));
    write_window(bridge, PCI_BRIDGE_MEMORY, low);
    if (!high_is_closed)
        high = close_space(PCI_ROOM_HIGH, window, 0);
    write_window(bridge, PCI_BRIDGE_PREFETCH, high);
    if (high.start <= high.last) {
        pci_write32(bridge, PCI_BRIDGE_BASE_UPPER, (uint32_t)(high.start >> 32));
        pci_write32(bridge, PCI_BRIDGE_LIMIT_UPPER, (uint32_t)(high.last >> 32));
    }
    pci_command(bridge, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    bridge->windows_known = false;
    high_is_closed = window->high_was_closed;
    n_open--;
}

void pci_forget_window(void)
{
    root = (struct spaces){ 0 };
}
