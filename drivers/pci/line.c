/* SPDX-License-Identifier: MIT */
/*
 * Where a function's interrupt pin leads. Bridges turn the pins by the number of
 * the device behind them (PCI-to-PCI Bridge 1.2, §9.1); how the board wires what
 * arrives at the root bus is said by a method in the DSDT, which nobody here
 * interprets: it is known for the host bridges below. On any other the line
 * register is believed, as firmware filled it.
 */
#include "drivers/pci/pci.h"
#include "lib/base/errno.h"

#define PINS         4
#define ROOT_MAX     8 /* bridges on the way up; no sane tree is deeper */
#define LINE_UNKNOWN 0xff

#define INTEL         0x8086
#define INTEL_Q35     0x29c0
#define REDHAT        0x1b36
#define REDHAT_GPEX   0x0008
#define Q35_FIRST_GSI 16 /* PIRQA; PIRQH is 23 */

unsigned (*pci_find_links)(struct irq_line *links, unsigned max);
struct irq_line (*pci_isa_line)(unsigned irq);

static struct pci_device *device_at(struct pci_address at)
{
    struct pci_device *device = NULL;

    while ((device = pci_next(device)))
        if (device->at.segment == at.segment && device->at.bus == at.bus &&
            device->at.device == at.device && device->at.function == at.function)
            return device;
    return NULL;
}

/*
 * ICH9, in APIC mode: devices 25 to 29 and 31 belong to the chip set and have PIRQA to
 * PIRQD; 30, the bridge to PCI, has PIRQE to PIRQH; the slots below have those in turn.
 */
static uint32_t q35_gsi(unsigned slot, unsigned pin)
{
    if (slot == 30)
        return Q35_FIRST_GSI + PINS + pin;
    if (slot >= 25)
        return Q35_FIRST_GSI + pin;
    return Q35_FIRST_GSI + PINS + (slot + pin) % PINS;
}

/* Four lines for all slots in turn, which the DSDT names. */
static int gpex_line(unsigned slot, unsigned pin, struct irq_line *line)
{
    struct irq_line links[PINS];

    if (!pci_find_links || pci_find_links(links, PINS) != PINS)
        return -ENODEV;
    *line = links[(slot + pin) % PINS];
    return 0;
}

static int register_line(struct pci_device *device, struct irq_line *line)
{
    uint8_t irq = pci_read8(device, PCI_INTERRUPT);

    /* A timer has 0; 255 says that nothing is connected. */
    if (irq == 0 || irq == LINE_UNKNOWN || !pci_isa_line)
        return -ENODEV;
    *line = pci_isa_line(irq);
    return 0;
}

int pci_line(struct pci_device *device, struct irq_line *line)
{
    unsigned pin = pci_read8(device, PCI_INTERRUPT + 1), slot = device->at.device;
    struct pci_device *root, *bridge, *below = device;

    if (pin < 1 || pin > PINS)
        return -ENODEV;
    pin--;
    for (unsigned i = 0; (bridge = pci_bridge_above(below)) != NULL; i++) {
        if (i == ROOT_MAX)
            return -ENODEV;
        pin = (slot + pin) % PINS;
        slot = bridge->at.device;
        below = bridge;
    }
    root = device_at(
        (struct pci_address){ .segment = device->at.segment, .bus = device->host->bus_first });
    if (root && root->vendor == REDHAT && root->device == REDHAT_GPEX)
        return gpex_line(slot, pin, line);
    if (!root || root->vendor != INTEL || root->device != INTEL_Q35)
        return register_line(device, line);
    if (below->at.bus != device->host->bus_first)
        slot %= PINS; /* the chip set's own devices are on the first root bus */
    *line = (struct irq_line){ .gsi = q35_gsi(slot, pin), .level_triggered = true };
    return 0;
}
