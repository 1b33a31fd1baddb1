/* SPDX-License-Identifier: MIT */
#include "drivers/pci/pci.h"

#include "kernel/alloc.h"
#include "kernel/log.h"
#include "kernel/panic.h"
#include "lib/base/errno.h"
#include "lib/base/format.h"

#define ALL_ONES           UINT32_MAX
#define MAX_FUNCTIONS      1024 /* a host that shows more of them shows ghosts */
#define N_BUSES            256
#define DEVICES_PER_BUS    32
#define FUNCTIONS          8
#define VENDOR_REDHAT      0x1b36
#define DEVICE_PXB         0x0009
#define DEVICE_PXB_EXPRESS 0x000b
#define DEEPEST            8 /* bridges below each other that get numbers here: the stack is finite */

extern const struct pci_driver __start_pci_drivers[], __stop_pci_drivers[];

static struct list hosts = LIST_INIT(hosts);
static struct list devices = LIST_INIT(devices);
static struct list bridges = LIST_INIT(bridges);
static int n_devices;
static bool unnumbered; /* a bridge without bus numbers was found */

unsigned (*pci_find_roots)(uint8_t *buses, unsigned max);
uint64_t pci_config_accesses;
bool pci_handlers_access;

/* ---- hosts and access */

int pci_add_host(struct pci_host *host)
{
    struct list *link;

    if (host->bus_first > host->bus_last)
        return -EINVAL;
    LIST_FOR_EACH (link, &hosts) {
        const struct pci_host *other = CONTAINER_OF(link, struct pci_host, link);

        if (other->segment == host->segment && other->bus_first <= host->bus_last &&
            host->bus_first <= other->bus_last)
            return -EEXIST;
    }
    list_append(&hosts, &host->link);
    return 0;
}

/* An offset that a capability led beyond the space reads as ones, like all that is not there. */
static bool in_space(const struct pci_host *host, unsigned offset, unsigned bytes)
{
    return offset + bytes <= (host->extended ? PCI_SPACE_EXTENDED : PCI_SPACE);
}

static uint32_t host_read(const struct pci_host *host, struct pci_address at, unsigned offset,
                          unsigned bytes)
{
    if (!in_space(host, offset, bytes))
        return ALL_ONES;
    pci_config_accesses++;
    return host->read(host, at, offset, bytes);
}

static void host_write(struct pci_device *device, unsigned offset, unsigned bytes, uint32_t value)
{
    if (!in_space(device->host, offset, bytes))
        return;
    pci_config_accesses++;
    device->host->write(device->host, device->at, offset, bytes, value);
}

uint8_t pci_read8(struct pci_device *device, unsigned offset)
{
    return (uint8_t)host_read(device->host, device->at, offset, 1);
}

uint16_t pci_read16(struct pci_device *device, unsigned offset)
{
    return (uint16_t)host_read(device->host, device->at, offset, 2);
}

uint32_t pci_read32(struct pci_device *device, unsigned offset)
{
    return host_read(device->host, device->at, offset, 4);
}

void pci_write8(struct pci_device *device, unsigned offset, uint8_t value)
{
    host_write(device, offset, 1, value);
}

void pci_write16(struct pci_device *device, unsigned offset, uint16_t value)
{
    host_write(device, offset, 2, value);
}

void pci_write32(struct pci_device *device, unsigned offset, uint32_t value)
{
    host_write(device, offset, 4, value);
}

const char *pci_address_text(struct pci_address at, char text[PCI_ADDRESS_TEXT])
{
    format(text, PCI_ADDRESS_TEXT, "%04x:%02x:%02x.%x", at.segment, at.bus, at.device, at.function);
    return text;
}

/* ---- command and capabilities, read when first needed */

static void read_command(struct pci_device *device)
{
    uint32_t both;

    if (device->command_known)
        return;
    both = pci_read32(device, PCI_COMMAND);
    device->command = (uint16_t)both;
    device->status = (uint16_t)(both >> 16);
    device->command_known = true;
}

void pci_command(struct pci_device *device, uint16_t set, uint16_t clear)
{
    uint16_t command;

    read_command(device);
    command = (uint16_t)((device->command | set) & ~clear);
    if (command == device->command)
        return;
    device->command = command;
    pci_write16(device, PCI_COMMAND, command);
}

static bool capability_is_known_at(const struct pci_device *device, unsigned offset)
{
    for (unsigned i = 0; i < device->n_capabilities; i++)
        if (device->capability[i].offset == offset)
            return true;
    return false;
}

/* A chain that came back to itself would be followed for ever. */
static void follow_capabilities(struct pci_device *device)
{
    char text[PCI_ADDRESS_TEXT];
    unsigned offset;

    device->capabilities_known = true;
    read_command(device);
    if (!(device->status & PCI_STATUS_CAP_LIST) || device->header > PCI_HEADER_BRIDGE)
        return;
    offset = pci_read8(device, PCI_CAP_FIRST) & PCI_CAP_POINTER;
    while (offset) {
        uint16_t head;

        if (offset < PCI_CAP_MIN || device->n_capabilities == PCI_CAPABILITIES ||
            capability_is_known_at(device, offset))
            break;
        head = pci_read16(device, offset);
        if ((uint8_t)head == 0xff)
            break;
        device->capability[device->n_capabilities].id = (uint8_t)head;
        device->capability[device->n_capabilities++].offset = (uint8_t)offset;
        offset = head >> 8 & PCI_CAP_POINTER;
    }
    if (offset)
        log_error("pci %s: the list of capabilities is broken at offset %#x",
                  pci_address_text(device->at, text), offset);
}

unsigned pci_capability(struct pci_device *device, uint8_t id, unsigned after)
{
    bool behind = after == 0;

    if (!device->capabilities_known)
        follow_capabilities(device);
    for (unsigned i = 0; i < device->n_capabilities; i++) {
        if (behind && device->capability[i].id == id)
            return device->capability[i].offset;
        behind |= device->capability[i].offset == after;
    }
    return 0;
}

/* ---- finding devices */

/* What is known while the buses of a host are walked. */
struct scan {
    const struct pci_host *host;
    uint8_t wanted[N_BUSES / 8]; /* buses to visit: there, or found behind a bridge */
    uint8_t single[N_BUSES / 8]; /* behind a PCI Express port: only device 0 can be there */
    bool expanded;               /* a function was found that leads to another root bus */
    bool numbering; /* behind a bridge that has no numbers but ours: nor has any there */
};

static bool in_set(const uint8_t *set, unsigned bus)
{
    return set[bus / 8] >> (bus % 8) & 1;
}

static void add_to_set(uint8_t *set, unsigned bus)
{
    set[bus / 8] |= (uint8_t)(1u << (bus % 8));
}

/* The far side of a link is one device (PCI Express Base 4.0, §7.3.1). */
static bool leads_to_one_device(struct pci_device *bridge)
{
    unsigned express = pci_capability(bridge, PCI_CAP_EXPRESS, 0), port;

    if (!express)
        return false;
    port = PCI_EXPRESS_PORT(pci_read16(bridge, express + PCI_EXPRESS_FLAGS));
    return port == PCI_EXPRESS_ROOT_PORT || port == PCI_EXPRESS_DOWNSTREAM;
}

/* With both off nothing behind it can be reached, whatever its windows say. */
static bool passes_on(struct pci_device *bridge)
{
    pci_command(bridge, 0, 0);
    return bridge->command & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
}

/* Numbers without windows are of no use, and would be in the way of ours. */
static void leave_unnumbered(struct pci_device *bridge, uint32_t buses)
{
    bridge->unnumbered = unnumbered = true;
    if (buses & 0xff00)
        pci_write32(bridge, PCI_BUSES, bridge->at.bus);
}

/*
 * Buses are visited in rising order, and each but once: a bridge whose far side
 * has no larger number than its own bus, or one that another bridge has, is
 * not followed.
 */
static void note_bridge(struct scan *scan, struct pci_device *bridge)
{
    uint32_t buses = pci_read32(bridge, PCI_BUSES);
    unsigned secondary = buses >> 8 & 0xff, subordinate = buses >> 16 & 0xff;
    char text[PCI_ADDRESS_TEXT];

    if (!secondary || scan->numbering || !passes_on(bridge)) {
        leave_unnumbered(bridge, buses);
        return;
    }
    pci_address_text(bridge->at, text);
    if (secondary <= bridge->at.bus || subordinate < secondary ||
        secondary > scan->host->bus_last || in_set(scan->wanted, secondary)) {
        log_error("pci %s: bridge to impossible buses %x to %x", text, secondary, subordinate);
        return;
    }
    bridge->secondary = (uint8_t)secondary;
    bridge->subordinate = (uint8_t)subordinate;
    add_to_set(scan->wanted, secondary);
    if (leads_to_one_device(bridge))
        add_to_set(scan->single, secondary);
}

/* QEMU's expander bridges: host bridges to root buses of their own, of which only ACPI tells. */
static bool is_expander(const struct pci_device *device)
{
    return device->vendor == VENDOR_REDHAT &&
           (device->device == DEVICE_PXB || device->device == DEVICE_PXB_EXPRESS);
}

/* 0: nobody there; 1: listed; -ENOMEM, -ENOSPC. */
static int find_function(struct scan *scan, struct pci_address at, bool *multi)
{
    uint32_t id = host_read(scan->host, at, PCI_VENDOR_ID, 4);
    struct pci_device *device;
    uint8_t header;

    if ((uint16_t)id == 0xffff || (uint16_t)id == 0)
        return 0;
    if (n_devices == MAX_FUNCTIONS)
        return -ENOSPC;
    device = kalloc(sizeof(*device));
    if (!device)
        return -ENOMEM;
    device->host = scan->host;
    device->at = at;
    device->vendor = (uint16_t)id;
    device->device = (uint16_t)(id >> 16);
    header = pci_read8(device, PCI_HEADER);
    device->header = header & PCI_HEADER_TYPE;
    *multi = header & PCI_HEADER_MULTI;
    list_append(&devices, &device->link);
    n_devices++;
    if (device->header == PCI_HEADER_BRIDGE) {
        list_append(&bridges, &device->bridge_link);
        note_bridge(scan, device);
    }
    scan->expanded |= is_expander(device);
    return 1;
}

/* All functions of a device; most have only function 0. */
static int find_functions(struct scan *scan, struct pci_address at)
{
    bool multi = false, others;
    int found = find_function(scan, at, &multi);

    if (found <= 0 || !multi)
        return found;
    for (at.function = 1; at.function < FUNCTIONS; at.function++) {
        found = find_function(scan, at, &others);
        if (found < 0)
            return found;
    }
    return 0;
}

static int scan_bus(struct scan *scan, unsigned bus)
{
    struct pci_address at = { .segment = scan->host->segment, .bus = (uint8_t)bus };
    unsigned slots = in_set(scan->single, bus) ? 1 : DEVICES_PER_BUS;

    for (unsigned i = 0; i < slots; i++) {
        int error;

        at.device = (uint8_t)i;
        error = find_functions(scan, at);
        if (error < 0)
            return error;
    }
    return 0;
}

static void add_root(struct pci_host *host, uint8_t bus)
{
    unsigned i = host->n_roots++;

    for (; i && host->roots[i - 1] > bus; i--)
        host->roots[i] = host->roots[i - 1];
    host->roots[i] = bus;
}

/* A bus that some bridge leads to already is no root bus, whatever the tables say. */
static void find_roots(struct pci_host *host, struct scan *scan)
{
    uint8_t told[PCI_ROOTS];
    unsigned n = pci_find_roots ? pci_find_roots(told, PCI_ROOTS) : 0;

    for (unsigned i = 0; i < n; i++) {
        if (told[i] <= host->bus_first || told[i] > host->bus_last || in_set(scan->wanted, told[i]))
            continue;
        add_to_set(scan->wanted, told[i]);
        add_root(host, told[i]);
    }
}

static int scan_host(struct pci_host *host)
{
    struct scan scan = { .host = host };

    add_to_set(scan.wanted, host->bus_first);
    for (unsigned bus = host->bus_first; bus <= host->bus_last; bus++) {
        int error;

        if (!scan.wanted[bus / 8]) {
            bus |= 7; /* none of these eight */
            continue;
        }
        error = in_set(scan.wanted, bus) ? scan_bus(&scan, bus) : 0;
        if (error)
            return error;
        if (scan.expanded && bus == host->bus_first)
            find_roots(host, &scan);
    }
    return 0;
}

/* ---- bridges that no firmware has numbered */

/* Bus numbers for them: those from next to last are nobody's yet. */
struct numbers {
    unsigned next, last;
};

static void set_buses(struct pci_device *bridge, unsigned secondary, unsigned subordinate)
{
    bridge->secondary = (uint8_t)secondary;
    bridge->subordinate = (uint8_t)subordinate;
    pci_write32(bridge, PCI_BUSES, subordinate << 16 | secondary << 8 | bridge->at.bus);
}

static int number_bridge(struct scan *scan, struct pci_device *bridge, struct numbers *numbers,
                         unsigned depth);

/* What comes behind the bridge is listed behind `before`. */
static int number_bus(struct scan *scan, unsigned bus, struct list *before, struct numbers *numbers,
                      unsigned depth)
{
    int error = 0;

    for (struct list *link = before->next; link != &devices; link = link->next) {
        struct pci_device *device = CONTAINER_OF(link, struct pci_device, link);

        /* Those of the buses further down come behind them, each with its own bridge. */
        if (device->at.bus != bus)
            break;
        pci_place_device(device);
    }
    for (struct list *link = before->next; link != &devices && !error; link = link->next) {
        struct pci_device *device = CONTAINER_OF(link, struct pci_device, link);

        if (device->at.bus != bus)
            break;
        if (device->unnumbered)
            error = number_bridge(scan, device, numbers, depth);
    }
    return error;
}

/* Until what is behind is known, the bridge passes on whatever number may come there. */
static int number_bridge(struct scan *scan, struct pci_device *bridge, struct numbers *numbers,
                         unsigned depth)
{
    struct list *before = devices.prev;
    unsigned bus = numbers->next;
    char text[PCI_ADDRESS_TEXT];
    struct pci_window window;
    int error;

    bridge->unnumbered = false;
    if (bus > numbers->last || depth == DEEPEST) {
        log_error("pci %s: no bus number for this bridge, nothing behind it is used",
                  pci_address_text(bridge->at, text));
        return 0;
    }
    numbers->next++;
    set_buses(bridge, bus, numbers->last);
    if (leads_to_one_device(bridge))
        add_to_set(scan->single, bus);
    pci_open_window(bridge, &window);
    error = scan_bus(scan, bus);
    if (!error)
        error = number_bus(scan, bus, before, numbers, depth + 1);
    pci_close_window(bridge, &window);
    set_buses(bridge, bus, numbers->next - 1);
    return error;
}

/* The numbers that are left on the bridge's bus: behind those of all bridges there, before the next
 * root bus. */
static struct numbers numbers_beside(const struct pci_device *bridge)
{
    struct numbers numbers = { bridge->at.bus + 1u, bridge->host->bus_last };

    for (struct pci_device *other = pci_next(NULL); other; other = pci_next(other)) {
        if (other->host != bridge->host)
            continue;
        if (other->at.bus == bridge->at.bus)
            numbers.next = MAX(numbers.next, other->subordinate + 1u);
        if (other->secondary && other->secondary == bridge->at.bus)
            numbers.last = other->subordinate;
    }
    for (unsigned i = bridge->host->n_roots; i--;)
        if (bridge->host->roots[i] > bridge->at.bus)
            numbers.last = MIN(numbers.last, bridge->host->roots[i] - 1u);
    return numbers;
}

/* Those listed behind `from`, once all that firmware has numbered are known. */
static int number_bridges(struct list *from)
{
    struct list *last = devices.prev;
    struct numbers numbers;
    struct scan scan = { .numbering = true };
    struct pci_device *before = NULL;
    int error = 0;

    if (!unnumbered)
        return 0;
    unnumbered = false;
    for (struct list *link = from; link != last && !error;) {
        struct pci_device *bridge;

        link = link->next;
        bridge = CONTAINER_OF(link, struct pci_device, link);
        if (!bridge->unnumbered)
            continue;
        if (!before || before->host != bridge->host || before->at.bus != bridge->at.bus)
            numbers = numbers_beside(bridge);
        scan.host = bridge->host;
        error = number_bridge(&scan, bridge, &numbers, 0);
        before = bridge;
    }
    return error;
}

/* ---- drivers */

static bool drives(const struct pci_driver *driver, const struct pci_device *device)
{
    for (unsigned i = 0; i < driver->n_matches; i++) {
        const struct pci_match *match = &driver->matches[i];

        if (match->vendor == device->vendor && match->device_first <= device->device &&
            device->device <= match->device_last)
            return true;
    }
    return false;
}

static void quieten(struct pci_device *device)
{
    if (device->gone) {
        device->driver = NULL;
        return;
    }
    if (device->msix.capability)
        pci_msix_stop(device);
    pci_command(device, 0, PCI_COMMAND_MASTER);
    device->driver = NULL;
    device->driver_state = NULL;
}

static void probe(struct pci_device *device, const struct pci_driver *driver)
{
    char text[PCI_ADDRESS_TEXT];
    int error;

    pci_command(device, PCI_COMMAND_MASTER, 0);
    device->driver = driver;
    error = driver->probe(device);
    if (!error)
        return;
    quieten(device);
    if (error != -ENODEV)
        log_error("pci %s: %s could not take it (error %d)", pci_address_text(device->at, text),
                  driver->name, -error);
}

/* What nobody has looked at yet answers nobody: its addresses may be in another's way. */
static void silence(struct pci_device *device)
{
    for (const struct pci_driver *driver = __start_pci_drivers; driver < __stop_pci_drivers;
         driver++)
        if (drives(driver, device)) {
            pci_command(device, PCI_COMMAND_INTX_OFF, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
            return;
        }
}

static void find_driver(struct pci_device *device)
{
    for (const struct pci_driver *driver = __start_pci_drivers; driver < __stop_pci_drivers;
         driver++)
        if (!device->driver && drives(driver, device))
            probe(device, driver);
}

/* For all that are listed behind `before`. */
static void find_drivers(const struct list *before)
{
    for (struct list *link = before->next; link != &devices; link = link->next)
        silence(CONTAINER_OF(link, struct pci_device, link));
    for (struct list *link = before->next; link != &devices; link = link->next)
        find_driver(CONTAINER_OF(link, struct pci_device, link));
}

void pci_release(struct pci_device *device)
{
    if (!device->driver)
        return;
    if (device->driver->remove)
        device->driver->remove(device);
    quieten(device);
}

int pci_scan(void)
{
    struct list *link;
    int error = 0;

    assert(list_empty(&devices));
    LIST_FOR_EACH (link, &hosts) {
        error = scan_host(CONTAINER_OF(link, struct pci_host, link));
        if (error)
            break;
    }
    if (!error)
        error = number_bridges(&devices);
    if (error)
        log_error("pci: only the first %d functions are used (error %d)", n_devices, -error);
    find_drivers(&devices);
    return n_devices;
}

/* The bus numbers behind a bridge, as firmware has set them; false: there are none. */
static bool buses_behind(struct pci_device *bridge, unsigned *first, unsigned *last)
{
    uint32_t buses = pci_read32(bridge, PCI_BUSES);

    *first = buses >> 8 & 0xff;
    *last = buses >> 16 & 0xff;
    return *first > bridge->at.bus && *last >= *first && *last <= bridge->host->bus_last;
}

static bool lies_behind(const struct pci_device *device, const struct pci_device *bridge,
                        unsigned first, unsigned last)
{
    return device->host == bridge->host && device->at.bus >= first && device->at.bus <= last;
}

int pci_scan_behind(struct pci_device *bridge)
{
    struct scan scan = { .host = bridge->host };
    struct list *before = devices.prev;
    unsigned first, last;
    int error = 0;

    if (!buses_behind(bridge, &first, &last))
        return -ENODEV;
    note_bridge(&scan, bridge);
    for (unsigned bus = first; bus <= last && !error; bus++)
        error = in_set(scan.wanted, bus) ? scan_bus(&scan, bus) : 0;
    if (!error)
        error = number_bridges(before);
    find_drivers(before);
    return error ? error : n_devices;
}

static void forget_device(struct pci_device *device)
{
    pci_release(device);
    pci_unclaim_bars(device);
    if (device->header == PCI_HEADER_BRIDGE)
        list_remove(&device->bridge_link);
    list_remove(&device->link);
    kfree(device);
    n_devices--;
}

/* From the first on each time: while a driver lets go, others may be listed and let go. */
static struct pci_device *last_behind(struct pci_device *bridge, unsigned first, unsigned last)
{
    for (struct list *link = devices.prev; link != &devices; link = link->prev) {
        struct pci_device *device = CONTAINER_OF(link, struct pci_device, link);

        if (lies_behind(device, bridge, first, last))
            return device;
    }
    return NULL;
}

void pci_forget_behind(struct pci_device *bridge, bool gone)
{
    struct pci_device *device;
    unsigned first, last;

    if (!buses_behind(bridge, &first, &last))
        return;
    while ((device = last_behind(bridge, first, last))) {
        device->gone = gone;
        forget_device(device);
    }
}

void pci_forget(void)
{
    struct list *link;

    while (!list_empty(&devices))
        forget_device(CONTAINER_OF(devices.next, struct pci_device, link));
    unnumbered = false;
    pci_forget_window();
    pci_forget_claims();
    while ((link = list_pop(&hosts))) {
        struct pci_host *host = CONTAINER_OF(link, struct pci_host, link);

        if (host->forget)
            host->forget(host);
    }
}

struct pci_device *pci_next(const struct pci_device *device)
{
    struct list *next = device ? device->link.next : devices.next;

    return next == &devices ? NULL : CONTAINER_OF(next, struct pci_device, link);
}

struct pci_device *pci_bridge_above(const struct pci_device *device)
{
    if (device->at.bus == device->host->bus_first)
        return NULL;
    for (struct pci_device *bridge = pci_next_bridge(NULL); bridge;
         bridge = pci_next_bridge(bridge))
        if (bridge->host == device->host && bridge->secondary == device->at.bus)
            return bridge;
    return NULL;
}

struct pci_device *pci_next_bridge(const struct pci_device *bridge)
{
    struct list *next = bridge ? bridge->bridge_link.next : bridges.next;

    return next == &bridges ? NULL : CONTAINER_OF(next, struct pci_device, bridge_link);
}

const struct pci_host *pci_next_host(const struct pci_host *host)
{
    struct list *next = host ? host->link.next : hosts.next;

    return next == &hosts ? NULL : CONTAINER_OF(next, struct pci_host, link);
}
