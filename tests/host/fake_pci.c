/* SPDX-License-Identifier: MIT */
#include "tests/host/fake_pci.h"

#include <string.h>

static void break_rule(struct fake_pci *fake, const char *rule)
{
    if (!fake->violation)
        fake->violation = rule;
}

/* A bridge passes on what is meant for its buses (PCI-to-PCI Bridge 1.2, §3.1.2.1). */
static bool leads_to(const struct fake_function *function, unsigned bus)
{
    const uint8_t *buses = function->above ? function->above->space + PCI_BUSES : NULL;

    if (!buses)
        return function->at.bus == bus;
    if (!buses[1] || buses[1] != bus)
        return false;
    for (const struct fake_function *bridge = function->above; bridge; bridge = bridge->above) {
        buses = bridge->space + PCI_BUSES;
        if (!buses[1] || bus < buses[1] || bus > buses[2])
            return false;
    }
    return true;
}

static struct fake_function *find(struct fake_pci *fake, struct pci_address at)
{
    for (unsigned i = 0; i < fake->n_functions; i++) {
        struct fake_function *function = &fake->functions[i];

        if (leads_to(function, at.bus) && function->at.device == at.device &&
            function->at.function == at.function)
            return function;
    }
    return NULL;
}

static struct fake_pci *fake_of(const struct pci_host *host)
{
    return CONTAINER_OF(host, struct fake_pci, host);
}

static void check_access(struct fake_pci *fake, unsigned offset, unsigned bytes)
{
    if ((bytes != 1 && bytes != 2 && bytes != 4) || offset % bytes || offset + bytes > PCI_SPACE)
        break_rule(fake, "an access that is unaligned, outside or of a wrong width");
}

static uint32_t read_space(const struct pci_host *host, struct pci_address at, unsigned offset,
                           unsigned bytes)
{
    struct fake_pci *fake = fake_of(host);
    struct fake_function *function = find(fake, at);
    uint32_t value = UINT32_MAX;

    fake->reads++;
    check_access(fake, offset, bytes);
    if (!function || (function->all_ones && offset >= PCI_COMMAND))
        return bytes == 4 ? value : value >> (32 - 8 * bytes);
    value = 0;
    memcpy(&value, function->space + offset, bytes);
    return value;
}

/* The address bits that a BAR decodes stay; the others read as zeros or flags. */
static void write_bar(struct fake_pci *fake, struct fake_function *function, unsigned index,
                      uint32_t value)
{
    uint32_t old;

    memcpy(&old, function->space + PCI_BAR0 + 4 * index, 4);
    if (fake_get16(function, PCI_COMMAND) & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY))
        break_rule(fake, "a BAR was written while the function decodes addresses");
    if (index && function->bar_kind[index - 1] == PCI_BAR_MEMORY64)
        value &= (uint32_t)(~(function->bar_bytes[index - 1] - 1) >> 32);
    else if (function->bar_kind[index] == PCI_BAR_NONE)
        value = 0;
    else if (function->bar_kind[index] == PCI_BAR_IO)
        value = (value & (uint32_t) ~(function->bar_bytes[index] - 1) & ~3u) | (old & 3);
    else
        value = (value & (uint32_t) ~(function->bar_bytes[index] - 1) & ~15u) | (old & 15);
    fake_put32(function, PCI_BAR0 + 4 * index, value);
}

static unsigned bars_of(const struct fake_function *function)
{
    unsigned type = function->space[PCI_HEADER] & PCI_HEADER_TYPE;

    return type == PCI_HEADER_NORMAL ? PCI_BARS : type == PCI_HEADER_BRIDGE ? 2 : 0;
}

static bool is_msix_control(const struct fake_function *function, unsigned offset)
{
    return offset >= PCI_CAP_MIN + PCI_MSIX_CONTROL &&
           function->space[offset - PCI_MSIX_CONTROL] == PCI_CAP_MSIX;
}

/* All of it behind id and next, as far as the flags say that it reaches. */
static bool is_msi(const struct fake_function *function, unsigned offset)
{
    uint16_t control;

    if (!function->msi || offset < function->msi + PCI_MSI_CONTROL)
        return false;
    control = fake_get16(function, function->msi + PCI_MSI_CONTROL);
    return offset < function->msi + 10u + (control & PCI_MSI_WIDE ? 4 : 0) +
                        (control & PCI_MSI_MASKS ? 10 : 0);
}

static bool is_window(const struct fake_function *function, unsigned offset)
{
    return (function->space[PCI_HEADER] & PCI_HEADER_TYPE) == PCI_HEADER_BRIDGE &&
           offset >= PCI_BUSES && offset < PCI_BRIDGE_LIMIT_UPPER + 4;
}

static void write_window(struct fake_pci *fake, struct fake_function *function, unsigned offset,
                         unsigned bytes, uint32_t value)
{
    if (offset == PCI_BRIDGE_PREFETCH && function->wide)
        value |= PCI_BRIDGE_WIDE << 16 | PCI_BRIDGE_WIDE;
    if ((offset == PCI_BRIDGE_BASE_UPPER || offset == PCI_BRIDGE_LIMIT_UPPER) && !function->wide)
        break_rule(fake, "the upper half of a window was written that has none");
    memcpy(function->space + offset, &value, bytes);
}

static void write_space(const struct pci_host *host, struct pci_address at, unsigned offset,
                        unsigned bytes, uint32_t value)
{
    struct fake_pci *fake = fake_of(host);
    struct fake_function *function = find(fake, at);

    fake->writes++;
    check_access(fake, offset, bytes);
    if (!function || function->all_ones)
        return;
    if (offset == PCI_COMMAND && bytes == 2)
        fake_put16(function, offset, (uint16_t)value);
    else if (offset >= PCI_BAR0 && offset < PCI_BAR0 + 4 * bars_of(function) && bytes == 4)
        write_bar(fake, function, (offset - PCI_BAR0) / 4, value);
    else if (is_window(function, offset) && function->firmware_has_not_seen)
        write_window(fake, function, offset, bytes, value);
    else if (is_msi(function, offset))
        memcpy(function->space + offset, &value, bytes);
    else if (is_msix_control(function, offset) && bytes == 2)
        fake_put16(function, offset, (uint16_t)value);
    else
        break_rule(fake, "a register was written that nobody needs to write");
}

struct fake_pci *fake_pci_host(uint8_t bus_first, uint8_t bus_last)
{
    static struct fake_pci fake;

    memset(&fake, 0, sizeof(fake));
    fake.host = (struct pci_host){
        .read = read_space, .write = write_space, .bus_first = bus_first, .bus_last = bus_last
    };
    return &fake;
}

struct fake_function *fake_pci_function(struct fake_pci *fake, unsigned bus, unsigned device,
                                        unsigned function, uint16_t vendor, uint16_t id)
{
    struct fake_function *made = &fake->functions[fake->n_functions++];

    made->at = (struct pci_address){ 0, (uint8_t)bus, (uint8_t)device, (uint8_t)function };
    made->next_free = PCI_CAP_MIN;
    fake_put16(made, PCI_VENDOR_ID, vendor);
    fake_put16(made, PCI_DEVICE_ID, id);
    fake_put16(made, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    return made;
}

struct fake_function *fake_pci_bridge(struct fake_pci *fake, unsigned bus, unsigned device,
                                      unsigned secondary, unsigned subordinate)
{
    struct fake_function *made = fake_pci_function(fake, bus, device, 0, 0x1b36, 0x0001);

    made->space[PCI_HEADER] = PCI_HEADER_BRIDGE;
    fake_put32(made, PCI_BUSES, subordinate << 16 | secondary << 8 | bus);
    return made;
}

struct fake_function *fake_pci_new_bridge(struct fake_pci *fake, struct fake_function *above,
                                          unsigned device)
{
    struct fake_function *made = fake_pci_behind(fake, above, device, 0x1b36, 0x000c);

    made->space[PCI_HEADER] = PCI_HEADER_BRIDGE;
    made->firmware_has_not_seen = true;
    return made;
}

struct fake_function *fake_pci_behind(struct fake_pci *fake, struct fake_function *above,
                                      unsigned device, uint16_t vendor, uint16_t id)
{
    struct fake_function *made = fake_pci_function(fake, 0, device, 0, vendor, id);

    made->above = above;
    fake_put16(made, PCI_COMMAND, 0);
    return made;
}

void fake_pci_bar(struct fake_function *function, unsigned index, enum pci_bar_kind kind,
                  uint64_t bytes, uint64_t address)
{
    static const uint8_t flags[] = { [PCI_BAR_IO] = PCI_BAR_IS_IO,
                                     [PCI_BAR_MEMORY32] = PCI_BAR_TYPE_32,
                                     [PCI_BAR_MEMORY64] = PCI_BAR_TYPE_64 };

    function->bar_kind[index] = kind;
    function->bar_bytes[index] = bytes;
    fake_put32(function, PCI_BAR0 + 4 * index, (uint32_t)address | flags[kind]);
    if (kind == PCI_BAR_MEMORY64)
        fake_put32(function, PCI_BAR0 + 4 * index + 4, (uint32_t)(address >> 32));
}

void fake_pci_prefetchable(struct fake_function *function, unsigned index)
{
    function->space[PCI_BAR0 + 4 * index] |= PCI_BAR_PREFETCH;
}

unsigned fake_pci_capability(struct fake_function *function, uint8_t id, unsigned bytes)
{
    uint8_t at = function->next_free;

    fake_put16(function, PCI_STATUS, PCI_STATUS_CAP_LIST);
    if (function->last_capability)
        function->space[function->last_capability + PCI_CAP_NEXT] = at;
    else
        function->space[PCI_CAP_FIRST] = at;
    function->space[at] = id;
    function->last_capability = at;
    function->next_free = (uint8_t)(at + ALIGN_UP(bytes, 4u));
    return at;
}

void fake_put16(struct fake_function *function, unsigned offset, uint16_t value)
{
    memcpy(function->space + offset, &value, sizeof(value));
}

void fake_put32(struct fake_function *function, unsigned offset, uint32_t value)
{
    memcpy(function->space + offset, &value, sizeof(value));
}

uint16_t fake_get16(const struct fake_function *function, unsigned offset)
{
    uint16_t value;

    memcpy(&value, function->space + offset, sizeof(value));
    return value;
}

unsigned fake_pci_msi(struct fake_function *function, uint16_t control)
{
    function->msi = (uint8_t)fake_pci_capability(function, PCI_CAP_MSI, 24);
    fake_put16(function, function->msi + PCI_MSI_CONTROL, control);
    return function->msi;
}

unsigned fake_pci_msix(struct fake_function *function, unsigned vectors, unsigned bar,
                       uint32_t table_offset, uint32_t pending_offset)
{
    unsigned at = fake_pci_capability(function, PCI_CAP_MSIX, PCI_MSIX_BYTES);

    fake_put16(function, at + PCI_MSIX_CONTROL, (uint16_t)(vectors - 1));
    fake_put32(function, at + PCI_MSIX_TABLE, table_offset | bar);
    fake_put32(function, at + PCI_MSIX_PENDING, pending_offset | bar);
    return at;
}
