/* SPDX-License-Identifier: MIT */
/*
 * What the firmware says the machine is called (DMTF DSP0134, SMBIOS 3.6): read
 * only when a report is told, for looking for the tables takes time.
 */
#ifndef DRIVERS_SMBIOS_H
#define DRIVERS_SMBIOS_H

#include "lib/base/types.h"

/*
 * Looks for the entry point in [area, area + bytes), which lies at a physical
 * address of 16 bytes' alignment, and gives where the structures lie; false:
 * there is none with a right checksum.
 */
bool smbios_find(const void *area, size_t bytes, phys_addr_t *structures, uint32_t *length);

/*
 * Manufacturer and product out of the structures, "QEMU Standard PC (Q35 + ICH9,
 * 2009)", printable characters only; false: they do not say.
 */
bool smbios_system(const void *structures, size_t bytes, char *to, size_t size);

#endif
