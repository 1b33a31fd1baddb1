/* SPDX-License-Identifier: MIT */
/* The PCI host bridge's memory windows, out of the bytes of its constant _CRS. */
#include "drivers/acpi/tables.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

/*
 * Address space descriptors for memory, §6.4.3.5.1 and §6.4.3.5.2: tag, 16 bits of
 * length, type 0, flags, memory flags; then granularity, first and last address,
 * translation and length, of 8 or 4 bytes each.
 */
#define FLAGS   4
#define NUMBERS 6
enum number { GRANULARITY, FIRST, LAST, TRANSLATION, BYTES, N_NUMBERS };

#define FLAGS_FIXED_RANGE 0x0c /* neither end moves */
#define LEAST_BYTES       MIB
#define DESCRIPTOR(width) (NUMBERS + N_NUMBERS * (width))

static const uint8_t low_window[] = { 0x87, DESCRIPTOR(4) - 3, 0, 0 };
static const uint8_t high_window[] = { 0x8a, DESCRIPTOR(8) - 3, 0, 0 };

static uint64_t number(const uint8_t *descriptor, enum number which, unsigned width)
{
    uint64_t value = 0;

    memcpy(&value, descriptor + NUMBERS + which * width, width);
    return value;
}

static bool is_usable(const uint8_t *at, unsigned width)
{
    uint64_t first = number(at, FIRST, width), last = number(at, LAST, width),
             bytes = number(at, BYTES, width);

    return (at[FLAGS] & FLAGS_FIXED_RANGE) == FLAGS_FIXED_RANGE &&
           !number(at, TRANSLATION, width) && bytes >= LEAST_BYTES && first <= last &&
           last - first == bytes - 1;
}

int acpi_pci_window(bool high, struct acpi_window *window)
{
    const uint8_t *pattern = high ? high_window : low_window;
    unsigned width = high ? 8 : 4;
    struct aml rest = acpi_dsdt(), aml;

    if (!aml_next_device(&rest, "PNP0A08", &aml))
        return -ENODEV;
    while (aml_find(&aml, pattern, sizeof(low_window)) && aml.bytes >= DESCRIPTOR(width)) {
        if (is_usable(aml.at, width)) {
            *window =
                (struct acpi_window){ number(aml.at, FIRST, width), number(aml.at, BYTES, width) };
            return 0;
        }
        aml.at++;
        aml.bytes--;
    }
    return -ENODEV;
}
