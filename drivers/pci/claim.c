/* SPDX-License-Identifier: MIT */
/*
 * Who has which addresses. Before a device decodes any, each of its BARs is held against
 * what is there: RAM, registers of the platform, BARs in use, and bridges, which pass on
 * what is in their windows and nothing else. One that is in the way of another gets a
 * place of its own, or is not used.
 *
 * BARs in use are kept in order of their addresses, and do not overlap: to look for a
 * place among n of them takes log n steps. What no driver has taken is not looked at.
 */
#include "drivers/pci/pci.h"
#include "kernel/alloc.h"
#include "kernel/log.h"
#include "kernel/mmio.h"
#include "lib/base/errno.h"
#include "lib/base/format.h"
#include "lib/base/string.h"

#define MOVES_MAX   256 /* else a host could have us look for places for minutes */
#define FIRST_CLAIM 16
#define WHY_BYTES   64

/* Where the chip set has ports and registers of its own: I/O and local APICs, timers, firmware. */
#define CHIPSET_PORTS_END UINT64_C(0x1000)
#define CHIPSET_START     UINT64_C(0xfec00000)
#define CHIPSET_LAST      UINT64_C(0xffffffff)

/* What is held against the others. */
struct claim {
    phys_addr_t start, last;
    struct pci_device *device;
    unsigned index; /* of its BAR */
};

/* Pointers, so that to make room among many costs little. */
static struct claims {
    const struct pci_bar **at; /* of devices' BARs, in rising order */
    unsigned n, room;
} memory, ports;

static unsigned n_moves;

static bool overlap(phys_addr_t start, phys_addr_t last, phys_addr_t other_start,
                    phys_addr_t other_last)
{
    return start <= other_last && other_start <= last;
}

static phys_addr_t last_of(const struct pci_bar *bar)
{
    return bar->address + bar->bytes - 1;
}

/* The first claim that ends at or behind the address; n: there is none. */
static unsigned first_from(const struct claims *claims, phys_addr_t address)
{
    unsigned low = 0, high = claims->n;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (last_of(claims->at[middle]) < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool make_room(struct claims *claims)
{
    unsigned room = claims->room ? 2 * claims->room : FIRST_CLAIM;
    const struct pci_bar **at;

    if (claims->n < claims->room)
        return true;
    at = kalloc(room * sizeof(void *));
    if (!at)
        return false;
    if (claims->n)
        memcpy(at, claims->at, claims->n * sizeof(void *));
    kfree(claims->at);
    claims->at = at;
    claims->room = room;
    return true;
}

static int insert(struct claims *claims, const struct pci_bar *bar)
{
    unsigned i = first_from(claims, bar->address);

    if (!make_room(claims))
        return -ENOMEM;
    memmove(&claims->at[i + 1], &claims->at[i], (claims->n - i) * sizeof(void *));
    claims->at[i] = bar;
    claims->n++;
    return 0;
}

/* ---- what is in the way; why is told */

typedef char why_text[WHY_BYTES];

static bool because(why_text why, const char *what)
{
    format(why, WHY_BYTES, "overlaps %s", what);
    return true;
}

static bool meets_configuration_space(phys_addr_t start, phys_addr_t last)
{
    for (const struct pci_host *host = pci_next_host(NULL); host; host = pci_next_host(host))
        if (host->memory_bytes &&
            overlap(start, last, host->memory, host->memory + host->memory_bytes - 1))
            return true;
    return false;
}

static bool meets_platform(const struct claim *claim, bool is_port, why_text why)
{
    if (is_port)
        return claim->start < CHIPSET_PORTS_END && because(why, "the chip set's ports");
    if (claim->start < MIB)
        return because(why, "the first MiB");
    if (overlap(claim->start, claim->last, CHIPSET_START, CHIPSET_LAST))
        return because(why, "the chip set's registers");
    if (meets_configuration_space(claim->start, claim->last))
        return because(why, "configuration space");
    return mmio_meets_ram(claim->start, claim->last - claim->start + 1) && because(why, "RAM");
}

static bool is_of(const struct pci_bar *bar, const struct pci_device *device)
{
    return bar >= device->bar && bar < device->bar + PCI_BARS;
}

static bool meets_claim(const struct claim *claim, const struct claims *claims, why_text why)
{
    unsigned i = first_from(claims, claim->start);
    struct pci_device *owner = pci_next(NULL);
    char text[PCI_ADDRESS_TEXT];

    if (i == claims->n || claims->at[i]->address > claim->last)
        return false;
    while (!is_of(claims->at[i], owner))
        owner = pci_next(owner);
    format(why, WHY_BYTES, "overlaps BAR %u of %s", (unsigned)(claims->at[i] - owner->bar),
           pci_address_text(owner->at, text));
    return true;
}

static bool tell_bridge(const struct pci_device *bridge, const char *verb, why_text why)
{
    char text[PCI_ADDRESS_TEXT];

    format(why, WHY_BYTES, "%s what %s passes on", verb, pci_address_text(bridge->at, text));
    return true;
}

static bool is_room(enum pci_room room, bool is_port)
{
    return (room == PCI_ROOM_PORTS) == is_port;
}

static bool lies_in_window(const struct claim *claim, struct pci_device *bridge, bool is_port)
{
    const struct pci_range *windows = pci_windows(bridge);

    for (enum pci_room room = 0; room < PCI_ROOMS; room++)
        if (is_room(room, is_port) && windows[room].start <= claim->start &&
            claim->last <= windows[room].last)
            return true;
    return false;
}

static bool meets_window(const struct claim *claim, struct pci_device *bridge, bool is_port)
{
    const struct pci_range *windows = pci_windows(bridge);

    for (enum pci_room room = 0; room < PCI_ROOMS; room++)
        if (is_room(room, is_port) && windows[room].start <= windows[room].last &&
            overlap(claim->start, claim->last, windows[room].start, windows[room].last))
            return true;
    return false;
}

/* There are few bridges, and none on most machines. */
static bool meets_bridge(const struct claim *claim, bool is_port, why_text why)
{
    struct pci_device *device = claim->device, *bridge = NULL;

    while ((bridge = pci_next_bridge(bridge)))
        if (bridge != device && bridge->host == device->host && bridge->at.bus == device->at.bus &&
            meets_window(claim, bridge, is_port))
            return tell_bridge(bridge, "overlaps", why);
    for (bridge = pci_bridge_above(device); bridge; bridge = pci_bridge_above(bridge))
        if (!lies_in_window(claim, bridge, is_port))
            return tell_bridge(bridge, "is beyond", why);
    return false;
}

static struct claim claim_of(struct pci_device *device, unsigned index, phys_addr_t address)
{
    return (struct claim){ address, address + device->bar[index].bytes - 1, device, index };
}

static bool is_in_the_way(const struct claim *claim, why_text why)
{
    bool is_port = claim->device->bar[claim->index].kind == PCI_BAR_IO;

    return meets_platform(claim, is_port, why) ||
           meets_claim(claim, is_port ? &ports : &memory, why) || meets_bridge(claim, is_port, why);
}

bool pci_bar_fits(struct pci_device *device, unsigned index, phys_addr_t address)
{
    struct claim claim = claim_of(device, index, address);
    why_text why;

    return !is_in_the_way(&claim, why);
}

/* ---- claiming */

bool pci_move_bar(struct pci_device *device, unsigned index, const char *why)
{
    phys_addr_t old = device->bar[index].address;
    char text[PCI_ADDRESS_TEXT];

    pci_address_text(device->at, text);
    if (n_moves++ < MOVES_MAX && pci_place_bar(device, index) == 0) {
        log_error("pci %s: BAR %u at %#lx %s, moved to %#lx", text, index, old, why,
                  device->bar[index].address);
        return true;
    }
    log_error("pci %s: BAR %u at %#lx %s, and there is no other place for it", text, index, old,
              why);
    return false;
}

static int claim_bar(struct pci_device *device, unsigned index, bool is_port)
{
    struct claim claim = claim_of(device, index, device->bar[index].address);
    why_text why;
    int error;

    if (is_in_the_way(&claim, why) && !pci_move_bar(device, index, why))
        return -ENXIO;
    error = insert(is_port ? &ports : &memory, &device->bar[index]);
    if (!error)
        device->bars_claimed |= (uint8_t)(1u << index);
    return error;
}

/* A device decodes the BARs of a kind all together, or none. */
int pci_claim_bars(struct pci_device *device, bool is_port)
{
    uint8_t refused = is_port ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    int error = 0;

    if (device->refused & refused)
        return -ENXIO;
    for (unsigned i = 0; i < PCI_BARS && !error; i++) {
        const struct pci_bar *bar = &device->bar[i];

        if (bar->kind != PCI_BAR_NONE && (bar->kind == PCI_BAR_IO) == is_port && bar->address &&
            !(device->bars_claimed & 1u << i))
            error = claim_bar(device, i, is_port);
    }
    if (error == -ENOMEM)
        pci_unclaim_bars(device);
    if (error != -ENXIO)
        return error;
    device->refused |= refused;
    if (device->header != PCI_HEADER_BRIDGE) /* whose others it passes on by the same bit */
        pci_command(device, 0, refused);
    return error;
}

static void drop(struct claims *claims, const struct pci_device *device)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < claims->n; i++)
        if (!is_of(claims->at[i], device))
            claims->at[kept++] = claims->at[i];
    claims->n = kept;
}

void pci_unclaim_bars(struct pci_device *device)
{
    if (!device->bars_claimed)
        return;
    device->bars_claimed = 0;
    drop(&memory, device);
    drop(&ports, device);
}

void pci_forget_claims(void)
{
    kfree(memory.at);
    kfree(ports.at);
    memory = ports = (struct claims){ 0 };
    n_moves = 0;
}
