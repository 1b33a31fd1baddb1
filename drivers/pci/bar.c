/* SPDX-License-Identifier: MIT */
/* Base address registers: PCI Local Bus 3.0, §6.2.5. */
#include "drivers/pci/pci.h"
#include "kernel/log.h"
#include "kernel/mmio.h"
#include "lib/base/errno.h"

#define ALL_ONES    UINT32_MAX
#define PORTS_END   UINT64_C(0x10000)
#define OFFSET(bar) (PCI_BAR0 + 4 * (bar))

static unsigned bars_of(const struct pci_device *device)
{
    switch (device->header) {
    case PCI_HEADER_NORMAL:
        return PCI_BARS;
    case PCI_HEADER_BRIDGE:
        return 2;
    default:
        return 0;
    }
}

/* What a register answers to all ones: zeros where it does not decode. It holds `value` again. */
static uint32_t probe_register(struct pci_device *device, unsigned index, uint32_t value)
{
    uint32_t answer;

    pci_write32(device, OFFSET(index), ALL_ONES);
    answer = pci_read32(device, OFFSET(index));
    if (answer != value)
        pci_write32(device, OFFSET(index), value);
    return answer;
}

/* A size is a power of two, so all bits from its own upwards are decoded. */
static bool is_contiguous(uint32_t mask)
{
    return (mask | (mask - 1)) == ALL_ONES;
}

static int size_ports(struct pci_device *device, unsigned index, uint32_t low, struct pci_bar *bar)
{
    uint32_t mask = probe_register(device, index, low) & ~(uint32_t)PCI_BAR_IO_FLAGS;

    if (!mask)
        return -ENOENT;
    mask |= 0xffff0000; /* which need not be decoded, x86 has no such ports */
    *bar = (struct pci_bar){ .kind = PCI_BAR_IO,
                             .address = low & ~(uint32_t)PCI_BAR_IO_FLAGS,
                             .bytes = (uint64_t)(mask & -mask) };
    return is_contiguous(mask) && bar->address + bar->bytes <= PORTS_END ? 0 : -EIO;
}

static int size_memory32(struct pci_device *device, unsigned index, uint32_t low,
                         struct pci_bar *bar)
{
    uint32_t mask = probe_register(device, index, low) & ~(uint32_t)PCI_BAR_MEMORY_FLAGS;

    if (!mask)
        return -ENOENT;
    *bar = (struct pci_bar){ .kind = PCI_BAR_MEMORY32,
                             .prefetchable = low & PCI_BAR_PREFETCH,
                             .address = low & ~(uint32_t)PCI_BAR_MEMORY_FLAGS,
                             .bytes = mask & -mask };
    return is_contiguous(mask) ? 0 : -EIO;
}

static int size_memory64(struct pci_device *device, unsigned index, uint32_t low,
                         struct pci_bar *bar)
{
    uint32_t high, low_mask, high_mask;
    uint64_t mask;

    if (index + 1 >= bars_of(device))
        return -EIO;
    high = pci_read32(device, OFFSET(index + 1));
    low_mask = probe_register(device, index, low) & ~(uint32_t)PCI_BAR_MEMORY_FLAGS;
    high_mask = probe_register(device, index + 1, high);
    mask = (uint64_t)high_mask << 32 | low_mask;
    if (!mask)
        return -ENOENT;
    *bar =
        (struct pci_bar){ .kind = PCI_BAR_MEMORY64,
                          .prefetchable = low & PCI_BAR_PREFETCH,
                          .address = (uint64_t)high << 32 | (low & ~(uint32_t)PCI_BAR_MEMORY_FLAGS),
                          .bytes = mask & -mask };
    return (low_mask ? is_contiguous(low_mask) : is_contiguous(high_mask)) ? 0 : -EIO;
}

static int size_bar(struct pci_device *device, unsigned index, uint32_t low, struct pci_bar *bar)
{
    /* All flags and address bits at once: nobody answers. */
    if (low == ALL_ONES)
        return -EIO;
    if (low & PCI_BAR_IS_IO)
        return size_ports(device, index, low, bar);
    switch (low & PCI_BAR_TYPE) {
    case PCI_BAR_TYPE_64:
        return size_memory64(device, index, low, bar);
    case PCI_BAR_TYPE:
        return -EIO;
    default:
        return size_memory32(device, index, low, bar);
    }
}

/* How many registers it takes. */
static unsigned learn_bar(struct pci_device *device, unsigned index)
{
    uint32_t low = pci_read32(device, OFFSET(index));
    struct pci_bar *bar = &device->bar[index];
    char text[PCI_ADDRESS_TEXT];
    int error = size_bar(device, index, low, bar);

    if (!error &&
        (!IS_ALIGNED(bar->address, bar->bytes) || bar->address + bar->bytes - 1 < bar->address))
        error = -EIO;
    if (error)
        *bar = (struct pci_bar){ .kind = PCI_BAR_NONE };
    if (error == -EIO) {
        device->bars_bad |= (uint8_t)(1u << index);
        log_error("pci %s: BAR %u answers nonsense", pci_address_text(device->at, text), index);
    }
    return low != ALL_ONES && !(low & PCI_BAR_IS_IO) && (low & PCI_BAR_TYPE) == PCI_BAR_TYPE_64 ? 2
                                                                                                : 1;
}

/*
 * All together, as which register a 64-bit BAR begins in can only be told from the first one on.
 * While a register holds ones the device would answer to somebody else's addresses.
 */
static void learn_bars(struct pci_device *device)
{
    uint16_t decoding;

    device->bars_known = true;
    pci_command(device, 0, 0);
    decoding = device->command & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    pci_command(device, 0, decoding);
    for (unsigned i = 0; i < bars_of(device);)
        i += learn_bar(device, i);
    pci_command(device, decoding, 0);
}

int pci_bar(struct pci_device *device, unsigned index, struct pci_bar *bar)
{
    if (index >= bars_of(device))
        return -EINVAL;
    if (!device->bars_known)
        learn_bars(device);
    *bar = device->bar[index];
    if (bar->kind != PCI_BAR_NONE)
        return 0;
    return device->bars_bad & 1u << index ? -EIO : -ENOENT;
}

/* One without an address is given one. */
static int settle(struct pci_device *device, unsigned index, bool is_port)
{
    char text[PCI_ADDRESS_TEXT];

    if (device->bars_claimed & 1u << index)
        return device->refused & (is_port ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY) ? -ENXIO : 0;
    if (!device->bar[index].address && pci_place_bar(device, index)) {
        if (!is_port)
            log_error("pci %s: BAR %u has no address", pci_address_text(device->at, text), index);
        return -ENXIO;
    }
    return pci_claim_bars(device, is_port);
}

/* An address that no page table can hold is left, if nobody uses registers there yet. */
static volatile void *map_elsewhere(struct pci_device *device, unsigned index, uint64_t offset,
                                    uint64_t bytes)
{
    if (device->bars_mapped & 1u << index)
        return NULL;
    pci_unclaim_bars(device);
    if (!pci_move_bar(device, index, "lies where no device can be") ||
        pci_claim_bars(device, false))
        return NULL;
    return mmio_map(device->bar[index].address + offset, bytes);
}

int pci_map(struct pci_device *device, unsigned index, uint64_t offset, uint64_t bytes,
            volatile void **at)
{
    struct pci_bar bar;
    int error = pci_bar(device, index, &bar);

    if (error)
        return error;
    if (bar.kind == PCI_BAR_IO)
        return -EINVAL;
    if (!bytes || offset > bar.bytes || bytes > bar.bytes - offset)
        return -ERANGE;
    error = settle(device, index, false);
    if (error)
        return error;
    *at = mmio_map(device->bar[index].address + offset, bytes);
    if (!*at)
        *at = map_elsewhere(device, index, offset, bytes);
    if (!*at)
        return -ENXIO;
    device->bars_mapped |= (uint8_t)(1u << index);
    pci_command(device, PCI_COMMAND_MEMORY, 0);
    return 0;
}

int pci_ports(struct pci_device *device, unsigned index, uint16_t *first)
{
    struct pci_bar bar;
    int error = pci_bar(device, index, &bar);

    if (error)
        return error;
    if (bar.kind != PCI_BAR_IO)
        return -EINVAL;
    error = settle(device, index, true);
    if (error)
        return error;
    *first = (uint16_t)device->bar[index].address;
    pci_command(device, PCI_COMMAND_IO, 0);
    return 0;
}
