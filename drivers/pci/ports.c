/* SPDX-License-Identifier: MIT */
/*
 * Configuration space by ports 0xcf8 and 0xcfc (PCI Local Bus 3.0, §3.2.2.3.2):
 * 256 bytes a function. There is one address register, so one caller at a time.
 */
#include "drivers/pci/pci.h"
#include "kernel/irq.h"
#include "kernel/spinlock.h"
#include "lib/base/errno.h"
#include "lib/base/io.h"

#define PORT_ADDRESS 0xcf8
#define PORT_VALUE   0xcfc
#define ENABLE       UINT32_C(0x80000000)

static uint16_t select(struct pci_address at, unsigned offset)
{
    port_write32(PORT_ADDRESS, ENABLE | (uint32_t)at.bus << 16 | (uint32_t)at.device << 11 |
                                   (uint32_t)at.function << 8 | (offset & 0xfc));
    return (uint16_t)(PORT_VALUE + (offset & 3));
}

static struct spinlock address_lock;

/* Kernel threads are one at a time anyway, and boots are counted in instructions. */
static inline __attribute__((always_inline)) bool take_address(void)
{
    return pci_handlers_access && irq_lock(&address_lock);
}

static inline __attribute__((always_inline)) void give_address(bool were_on)
{
    if (pci_handlers_access)
        irq_unlock(&address_lock, were_on);
}

static uint32_t ports_read(const struct pci_host *host, struct pci_address at, unsigned offset,
                           unsigned bytes)
{
    bool were_on = take_address();
    uint16_t port = select(at, offset);
    uint32_t value;

    (void)host;
    value = bytes == 1 ? port_read8(port) : bytes == 2 ? port_read16(port) : port_read32(port);
    give_address(were_on);
    return value;
}

static void ports_write(const struct pci_host *host, struct pci_address at, unsigned offset,
                        unsigned bytes, uint32_t value)
{
    bool were_on = take_address();
    uint16_t port = select(at, offset);

    (void)host;
    if (bytes == 1)
        port_write8(port, (uint8_t)value);
    else if (bytes == 2)
        port_write16(port, (uint16_t)value);
    else
        port_write32(port, value);
    give_address(were_on);
}

static struct pci_host ports_host = { .read = ports_read, .write = ports_write, .bus_last = 255 };

int pci_add_ports(void)
{
    /* The address register reads back what was written; a port that nobody has reads as ones. */
    port_write32(PORT_ADDRESS, ENABLE);
    if (port_read32(PORT_ADDRESS) != ENABLE)
        return -ENODEV;
    return pci_add_host(&ports_host);
}
