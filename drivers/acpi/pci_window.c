/* SPDX-License-Identifier: MIT */
/* What the DSDT tells of PCI host bridges: windows, out of the bytes of a constant _CRS, and buses.
 */
#include "drivers/acpi/tables.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

/*
 * Address space descriptors, §6.4.3.5.1 to §6.4.3.5.3: tag, 16 bits of length, type, two
 * bytes of flags; then granularity, first and last address, translation and length, of 8, 4
 * or 2 bytes each.
 */
#define TYPE    3
#define FLAGS   4
#define NUMBERS 6
enum number { GRANULARITY, FIRST, LAST, TRANSLATION, BYTES, N_NUMBERS };

#define FLAGS_FIXED_RANGE 0x0c /* neither end moves */
#define PATTERN_BYTES     4    /* up to and with the type */
#define DESCRIPTOR(width) (NUMBERS + N_NUMBERS * (width))

static const struct {
    uint8_t pattern[PATTERN_BYTES], width;
    uint32_t least_bytes;
} windows[] = {
    [ACPI_PCI_LOW] = { { 0x87, DESCRIPTOR(4) - TYPE, 0, 0 }, 4, MIB },
    [ACPI_PCI_HIGH] = { { 0x8a, DESCRIPTOR(8) - TYPE, 0, 0 }, 8, MIB },
    [ACPI_PCI_PORTS] = { { 0x88, DESCRIPTOR(2) - TYPE, 0, 1 }, 2, 4 * KIB },
};

static const uint8_t bus_numbers[] = { 0x88, DESCRIPTOR(2) - TYPE, 0, 2 };

static uint64_t number(const uint8_t *descriptor, enum number which, unsigned width)
{
    uint64_t value = 0;

    memcpy(&value, descriptor + NUMBERS + which * width, width);
    return value;
}

static bool is_usable(const uint8_t *at, unsigned width, uint32_t least_bytes)
{
    uint64_t first = number(at, FIRST, width), last = number(at, LAST, width),
             bytes = number(at, BYTES, width);

    return (at[FLAGS] & FLAGS_FIXED_RANGE) == FLAGS_FIXED_RANGE &&
           !number(at, TRANSLATION, width) && bytes >= least_bytes && first <= last &&
           last - first == bytes - 1;
}

static void skip_one(struct aml *aml)
{
    aml->at++;
    aml->bytes--;
}

/*
 * To where the host bridge tells of itself: inside a device of this _HID, or, as on a PC, where
 * the DSDT gives the root bus 0 to somebody.
 */
static bool find_host_bridge(struct aml *aml)
{
    struct aml rest = *aml;

    if (aml_next_device(&rest, "PNP0A08", aml))
        return true;
    for (rest = *aml; aml_find(&rest, bus_numbers, PATTERN_BYTES) && rest.bytes >= DESCRIPTOR(2);
         skip_one(&rest))
        if (number(rest.at, FIRST, 2) == 0) {
            *aml = rest;
            return true;
        }
    return false;
}

int acpi_pci_window(enum acpi_pci_space space, struct acpi_window *window)
{
    unsigned width = windows[space].width;
    struct aml aml = acpi_dsdt();

    if (!find_host_bridge(&aml))
        return -ENODEV;
    for (; aml_find(&aml, windows[space].pattern, PATTERN_BYTES) && aml.bytes >= DESCRIPTOR(width);
         skip_one(&aml))
        if (is_usable(aml.at, width, windows[space].least_bytes)) {
            *window =
                (struct acpi_window){ number(aml.at, FIRST, width), number(aml.at, BYTES, width) };
            return 0;
        }
    return -ENODEV;
}

unsigned acpi_pci_roots(uint8_t *buses, unsigned max)
{
    return aml_root_buses(acpi_dsdt(), buses, max);
}
