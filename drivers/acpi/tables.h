/* SPDX-License-Identifier: MIT */
/* What the files of this folder share among themselves. */
#ifndef DRIVERS_ACPI_TABLES_H
#define DRIVERS_ACPI_TABLES_H

#include "drivers/acpi/acpi.h"
#include "drivers/acpi/aml.h"

/* Counts the calls of acpi_set_rsdp(): what was kept of the tables before one is stale. */
extern unsigned acpi_generation;

/* One more table for acpi_table(), mapped but not read yet. What is wrong is logged. */
void acpi_add_table(phys_addr_t address);

bool acpi_ecam_is_sane(phys_addr_t base, unsigned bus_first, unsigned bus_last);

/* The DSDT's AML, verified when first asked for; 0 bytes: there is none. */
struct aml acpi_dsdt(void);

/* As acpi_mcfg(), from the host bridge's _CBA of a hardware-reduced machine. */
int acpi_dsdt_ecam(struct acpi_ecam *regions, unsigned max);

#endif
