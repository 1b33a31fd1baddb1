/* SPDX-License-Identifier: MIT */
/* Starts the bus: configuration space in memory where ACPI tells of it, else by ports. */
#include "drivers/acpi/acpi.h"
#include "drivers/pci/pci.h"
#include "kernel/driver.h"
#include "kernel/log.h"
#include "lib/base/errno.h"

#define MAX_REGIONS 8

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

static bool find_window(phys_addr_t *start, uint64_t *bytes)
{
    struct acpi_window window;

    if (acpi_pci_window(&window))
        return false;
    *start = window.start;
    *bytes = window.bytes;
    return true;
}

/* A machine without PCI is no error. */
static int start(void)
{
    int n;

    if (!add_ecam_regions() && pci_add_ports())
        return 0;
    pci_find_window = find_window;
    n = pci_scan();
    return n < 0 ? n : 0;
}

DRIVER(pci_bus) = { "pci", DRIVER_BUS, start };
