/* SPDX-License-Identifier: MIT */
/* The PCI host bridge's memory window, out of the bytes of its constant _CRS. */
#include "drivers/acpi/tables.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

/* A 32-bit address space descriptor, §6.4.3.5.2, as it begins for memory. */
struct window_descriptor {
    uint8_t tag;
    uint8_t length[2];
    uint8_t type; /* 0: memory */
    uint8_t flags, memory_flags;
    le32 granularity, first, last, translation, bytes;
} __attribute__((packed));

#define FLAGS_FIXED_RANGE 0x0c /* neither end moves */
#define LEAST_BYTES       MIB

static const uint8_t memory_window[] = { 0x87, sizeof(struct window_descriptor) - 3, 0, 0 };

static bool is_usable(const struct window_descriptor *window)
{
    return (window->flags & FLAGS_FIXED_RANGE) == FLAGS_FIXED_RANGE && !window->translation &&
           window->bytes >= LEAST_BYTES && window->first <= window->last &&
           window->last - window->first == window->bytes - 1;
}

int acpi_pci_window(struct acpi_window *window)
{
    struct aml rest = acpi_dsdt(), aml;
    struct window_descriptor found;

    if (!aml_next_device(&rest, "PNP0A08", &aml))
        return -ENODEV;
    while (aml_find(&aml, memory_window, sizeof(memory_window))) {
        if (aml.bytes < sizeof(found))
            return -ENODEV;
        memcpy(&found, aml.at, sizeof(found));
        if (is_usable(&found)) {
            *window = (struct acpi_window){ found.first, found.bytes };
            return 0;
        }
        aml.at++;
        aml.bytes--;
    }
    return -ENODEV;
}
