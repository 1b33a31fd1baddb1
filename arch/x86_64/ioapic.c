/* SPDX-License-Identifier: MIT */
/* I/O APICs: pins of the board to vectors of a CPU (82093AA data sheet). */
#include "arch/x86_64/apic.h"
#include "kernel/mmio.h"
#include "lib/base/errno.h"
#include "lib/base/io.h"

#define IOAPIC_SELECT 0x00
#define IOAPIC_WINDOW 0x10

#define IOAPIC_VERSION        0x01
#define IOAPIC_REDIRECTION(n) (0x10 + 2 * (n)) /* low half; the high half follows */

#define REDIRECTION_LEVEL             (1u << 15)
#define REDIRECTION_MASKED            (1u << 16)
#define REDIRECTION_ACTIVE_LOW        (1u << 13)
#define REDIRECTION_DESTINATION_SHIFT 24
#define REDIRECTION_EXTENDED_SHIFT    17 /* of the id's bits 8 to 14, where KVM takes them */

#define MAX_IOAPICS   8
#define MAX_PINS      256
#define VERSION_LEAST 0x10 /* a part of its own; older ones are not on any board with this CPU */

static struct ioapic {
    volatile uint8_t *registers;
    uint32_t gsi_base, n_pins;
    uint8_t routed[MAX_PINS / 8];
} ioapics[MAX_IOAPICS];
static unsigned n_ioapics;

static uint32_t ioapic_read(const struct ioapic *ioapic, uint32_t index)
{
    mmio_write32(ioapic->registers + IOAPIC_SELECT, index);
    return mmio_read32(ioapic->registers + IOAPIC_WINDOW);
}

static void ioapic_write(const struct ioapic *ioapic, uint32_t index, uint32_t value)
{
    mmio_write32(ioapic->registers + IOAPIC_SELECT, index);
    mmio_write32(ioapic->registers + IOAPIC_WINDOW, value);
}

int ioapic_add(phys_addr_t address, uint32_t gsi_base)
{
    struct ioapic *ioapic = &ioapics[n_ioapics];
    uint32_t version;

    if (n_ioapics == MAX_IOAPICS)
        return -ENOSPC;
    ioapic->registers = mmio_map(address, 0x20);
    if (!ioapic->registers)
        return -ENODEV;
    version = ioapic_read(ioapic, IOAPIC_VERSION);
    if (version == UINT32_MAX || (uint8_t)version < VERSION_LEAST)
        return -ENODEV;
    ioapic->gsi_base = gsi_base;
    ioapic->n_pins = (version >> 16 & 0xff) + 1;
    n_ioapics++; /* pins are masked by reset */
    return 0;
}

static struct ioapic *find(uint32_t gsi)
{
    for (unsigned i = 0; i < n_ioapics; i++)
        if (gsi >= ioapics[i].gsi_base && gsi - ioapics[i].gsi_base < ioapics[i].n_pins)
            return &ioapics[i];
    return NULL;
}

int ioapic_route(uint32_t gsi, uint32_t apic_id, unsigned vector, bool level_triggered,
                 bool active_low)
{
    struct ioapic *ioapic = find(gsi);
    uint32_t pin;

    if (!ioapic)
        return -ENODEV;
    if (!apic_message_address(apic_id))
        return -ERANGE;
    pin = gsi - ioapic->gsi_base;
    if (ioapic->routed[pin / 8] >> pin % 8 & 1)
        return -EBUSY;
    ioapic->routed[pin / 8] |= (uint8_t)(1u << pin % 8);
    ioapic_write(ioapic, IOAPIC_REDIRECTION(pin) + 1,
                 (apic_id & 0xff) << REDIRECTION_DESTINATION_SHIFT |
                     (apic_id >> 8) << REDIRECTION_EXTENDED_SHIFT);
    ioapic_write(ioapic, IOAPIC_REDIRECTION(pin),
                 vector | (level_triggered ? REDIRECTION_LEVEL : 0) |
                     (active_low ? REDIRECTION_ACTIVE_LOW : 0));
    return 0;
}

void ioapic_unroute(uint32_t gsi)
{
    struct ioapic *ioapic = find(gsi);
    uint32_t pin;

    if (!ioapic)
        return;
    pin = gsi - ioapic->gsi_base;
    ioapic_write(ioapic, IOAPIC_REDIRECTION(pin), REDIRECTION_MASKED);
    ioapic->routed[pin / 8] &= (uint8_t) ~(1u << pin % 8);
}
