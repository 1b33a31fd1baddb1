/* SPDX-License-Identifier: MIT */
/*
 * Where virtio-mmio devices are: the DSDT of a machine without a chip set names
 * them, and so do words of the command line, as for Linux:
 * virtio_mmio.device=SIZE@ADDRESS:IRQ[:ID].
 */
#include "drivers/acpi/acpi.h"
#include "drivers/virtio/mmio.h"
#include "kernel/cmdline.h"
#include "kernel/driver.h"
#include "kernel/log.h"
#include "lib/base/errno.h"
#include "lib/base/parse.h"

#define MAX_SLOTS 32
#define MAX_GSI   1023

static struct irq_line line_of(struct acpi_irq irq)
{
    return (struct irq_line){ irq.gsi, irq.level_triggered, irq.active_low };
}

/* Machines with a chip set have their devices on PCI, and a DSDT that is long to search. */
static void add_from_dsdt(void)
{
    const struct acpi_fadt *fadt = acpi_fadt();
    struct acpi_device found[MAX_SLOTS];
    unsigned n =
        fadt && fadt->hardware_reduced ? acpi_find_devices("LNRO0005", found, MAX_SLOTS) : 0;

    for (unsigned i = 0; i < n; i++) {
        struct irq_line line = line_of(found[i].irq);

        if (found[i].bytes)
            virtio_mmio_add(found[i].base, found[i].bytes, found[i].has_irq ? &line : NULL);
    }
}

struct place {
    uint64_t bytes, base, irq;
};

static bool skip_over(const char **at, char wanted)
{
    if (**at != wanted)
        return false;
    (*at)++;
    return true;
}

static bool parse_place(const char *text, struct place *place)
{
    uint64_t id;

    return parse_size(&text, UINT64_MAX, &place->bytes) == 0 && skip_over(&text, '@') &&
           parse_size(&text, UINT64_MAX, &place->base) == 0 && skip_over(&text, ':') &&
           parse_number(&text, MAX_GSI, &place->irq) == 0 &&
           (!skip_over(&text, ':') || parse_number(&text, UINT32_MAX, &id) == 0) && !*text;
}

static void add_from_words(void)
{
    const char *text;

    for (unsigned i = 0; (text = cmdline_value_nth("virtio_mmio.device", i)); i++) {
        struct irq_line line;
        struct place place;

        if (!parse_place(text, &place)) {
            log_error("command line: virtio_mmio.device=%s: not SIZE@ADDRESS:IRQ", text);
            continue;
        }
        line = line_of(acpi_isa_irq((unsigned)place.irq));
        virtio_mmio_add(place.base, place.bytes, &line);
    }
}

static int start(void)
{
    add_from_dsdt();
    add_from_words();
    return 0;
}

DRIVER(virtio_mmio) = { "virtio-mmio", DRIVER_BUS, start };
