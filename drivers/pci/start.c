/* SPDX-License-Identifier: MIT */
/* Starts the bus: configuration space in memory where ACPI tells of it, else by ports. */
#include "drivers/acpi/acpi.h"
#include "drivers/pci/pci.h"
#include "kernel/driver.h"
#include "kernel/log.h"
#include "kernel/mmio.h"
#include "lib/base/errno.h"

#define MAX_REGIONS 8
#define MAX_LINKS   4

/* On a PC the chip set has ports of its own below, and again above (power management, hot-plug). */
#define PORTS_START UINT64_C(0x1000)
#define PORTS_END   UINT64_C(0xa000)

static int add_ecam_regions(void)
{
    struct acpi_ecam regions[MAX_REGIONS];
    int n = acpi_mcfg(regions, MAX_REGIONS), added = 0;

    for (int i = 0; i < n; i++) {
        const struct acpi_ecam *ecam = &regions[i];
        int error = pci_add_ecam(ecam->segment, ecam->base, ecam->bus_first, ecam->bus_last);

        if (error)
            log_error("pci: segment %u, buses %x to %x at %#lx: not usable (error %d)",
                      ecam->segment, ecam->bus_first, ecam->bus_last, ecam->base, -error);
        else
            added++;
    }
    return added;
}

static bool find_low_window(phys_addr_t *start, uint64_t *bytes)
{
    struct acpi_window window;

    if (acpi_pci_window(ACPI_PCI_LOW, &window))
        return false;
    *start = window.start;
    *bytes = window.bytes;
    return true;
}

/* Where the DSDT does not tell, all that is nobody's far above RAM is PCI's, as on a PC. */
static bool find_high_window(phys_addr_t *start, uint64_t *bytes)
{
    struct acpi_window window;
    phys_addr_t end;

    if (!mmio_high_area(start, bytes))
        return false;
    if (acpi_pci_window(ACPI_PCI_HIGH, &window))
        return true;
    end = *start + *bytes;
    if (window.start >= end)
        return false;
    *start = window.start;
    *bytes = MIN(window.bytes, end - window.start);
    return true;
}

/* A machine whose host bridge passes on no ports tells of none. */
static bool find_ports(phys_addr_t *start, uint64_t *bytes)
{
    struct acpi_window window;
    uint64_t end;

    if (acpi_pci_window(ACPI_PCI_PORTS, &window))
        return false;
    end = MIN(window.start + window.bytes, PORTS_END);
    *start = MAX(window.start, PORTS_START);
    *bytes = end - *start;
    return *start < end;
}

static bool find_window(enum pci_room room, phys_addr_t *start, uint64_t *bytes)
{
    switch (room) {
    case PCI_ROOM_LOW:
        return find_low_window(start, bytes);
    case PCI_ROOM_HIGH:
        return find_high_window(start, bytes);
    default:
        return find_ports(start, bytes);
    }
}

static struct irq_line line_of(struct acpi_irq irq)
{
    return (struct irq_line){ irq.gsi, irq.level_triggered, irq.active_low };
}

static unsigned find_links(struct irq_line *links, unsigned max)
{
    struct acpi_device found[MAX_LINKS];
    unsigned n = acpi_find_devices("PNP0C0F", found, MIN(max, (unsigned)MAX_LINKS)), n_links = 0;

    for (unsigned i = 0; i < n; i++)
        if (found[i].has_irq)
            links[n_links++] = line_of(found[i].irq);
    return n_links;
}

static struct irq_line isa_line(unsigned irq)
{
    return line_of(acpi_pci_irq(irq));
}

/* A host bridge is a device itself, so where nobody answers there is no such space. */
static int scan(bool ecam)
{
    int n = pci_scan();

    if (n || !ecam)
        return n;
    log_error("pci: nobody answers where ACPI has configuration space");
    pci_forget();
    return pci_add_ports() ? 0 : pci_scan();
}

/* A machine without PCI is no error. */
static int start(void)
{
    bool ecam = add_ecam_regions() > 0;
    int n;

    if (!ecam && pci_add_ports())
        return 0;
    pci_find_window = find_window;
    pci_find_links = find_links;
    pci_find_roots = acpi_pci_roots;
    pci_isa_line = isa_line;
    n = scan(ecam);
    return n < 0 ? n : 0;
}

DRIVER(pci_bus) = { "pci", DRIVER_BUS, start };
