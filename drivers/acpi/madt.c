/* SPDX-License-Identifier: MIT */
/* The MADT, §5.2.12: a list of entries that each say their type and length. */
#include "drivers/acpi/acpi.h"
#include "kernel/log.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

struct madt_header {
    struct acpi_header header;
    le32 lapic_address;
    le32 flags;
} __attribute__((packed));

#define MADT_HAS_8259 (1u << 0)

struct madt_entry {
    uint8_t type;
    uint8_t bytes; /* with these two */
} __attribute__((packed));

enum {
    MADT_LAPIC = 0,
    MADT_IOAPIC = 1,
    MADT_OVERRIDE = 2,
    MADT_LAPIC_ADDRESS = 5,
    MADT_X2APIC = 9,
};

#define CPU_ENABLED (1u << 0)

struct madt_lapic {
    struct madt_entry entry;
    uint8_t processor, apic_id;
    le32 flags;
} __attribute__((packed));

struct madt_ioapic {
    struct madt_entry entry;
    uint8_t id, reserved;
    le32 address, gsi_base;
} __attribute__((packed));

struct madt_override {
    struct madt_entry entry;
    uint8_t bus, irq; /* bus 0: ISA */
    le32 gsi;
    le16 flags;
} __attribute__((packed));

/* MPS INTI flags, §5.2.12.5; 0 in either: as the bus has it. */
#define POLARITY(flags) ((flags)&3)
#define TRIGGER(flags)  ((flags) >> 2 & 3)
#define POLARITY_LOW    3
#define TRIGGER_LEVEL   3

struct madt_lapic_address {
    struct madt_entry entry;
    le16 reserved;
    le64 address;
} __attribute__((packed));

struct madt_x2apic {
    struct madt_entry entry;
    le16 reserved;
    le32 apic_id, flags, processor;
} __attribute__((packed));

/* Calls visit for every entry that lies whole inside the table. */
static void walk(const struct madt_header *header, void *argument,
                 void (*visit)(const struct madt_entry *entry, void *argument))
{
    const uint8_t *at = (const uint8_t *)(header + 1);
    size_t left = header->header.length - sizeof(*header);

    while (left >= sizeof(struct madt_entry)) {
        const struct madt_entry *entry = (const void *)at;

        /* A length of 0 would never end, one beyond the table would read outside. */
        if (entry->bytes < sizeof(*entry) || entry->bytes > left) {
            log_error("acpi: MADT entry of type %u claims %u bytes of %zu, the rest is ignored",
                      entry->type, entry->bytes, left);
            return;
        }
        visit(entry, argument);
        at += entry->bytes;
        left -= entry->bytes;
    }
}

static const struct madt_header *find_madt(void)
{
    const struct madt_header *header = (const void *)acpi_table("APIC");

    return header && header->header.length >= sizeof(*header) ? header : NULL;
}

static void add_cpu(struct acpi_madt *madt, uint32_t apic_id, uint32_t flags)
{
    if (!(flags & CPU_ENABLED))
        return;
    if (madt->n_cpus == ACPI_MAX_CPUS)
        madt->n_dropped++;
    else
        madt->apic_ids[madt->n_cpus++] = apic_id;
}

static void add_ioapic(struct acpi_madt *madt, const struct madt_ioapic *ioapic)
{
    if (madt->n_ioapics == ACPI_MAX_IOAPICS)
        madt->n_dropped++;
    else
        madt->ioapics[madt->n_ioapics++] =
            (struct acpi_ioapic){ ioapic->address, ioapic->gsi_base, ioapic->id };
}

static void visit_controller(const struct madt_entry *entry, void *argument)
{
    struct acpi_madt *madt = argument;
    const struct madt_lapic *lapic = (const void *)entry;
    const struct madt_x2apic *x2apic = (const void *)entry;

    if (entry->type == MADT_LAPIC && entry->bytes >= sizeof(*lapic))
        add_cpu(madt, lapic->apic_id, lapic->flags);
    else if (entry->type == MADT_X2APIC && entry->bytes >= sizeof(*x2apic))
        add_cpu(madt, x2apic->apic_id, x2apic->flags);
    else if (entry->type == MADT_IOAPIC && entry->bytes >= sizeof(struct madt_ioapic))
        add_ioapic(madt, (const void *)entry);
    else if (entry->type == MADT_LAPIC_ADDRESS && entry->bytes >= sizeof(struct madt_lapic_address))
        madt->lapic_address = ((const struct madt_lapic_address *)(const void *)entry)->address;
}

int acpi_madt(struct acpi_madt *madt)
{
    const struct madt_header *header = find_madt();

    if (!header)
        return -ENODEV;
    madt->lapic_address = header->lapic_address;
    madt->has_8259 = header->flags & MADT_HAS_8259;
    madt->n_cpus = madt->n_ioapics = madt->n_dropped = 0;
    walk(header, madt, visit_controller);
    if (madt->n_dropped)
        log_error("acpi: MADT lists %u processors and I/O APICs more than are kept",
                  madt->n_dropped);
    return 0;
}

static void visit_override(const struct madt_entry *entry, void *argument)
{
    const struct madt_override *override = (const void *)entry;
    const struct madt_override **of_irq = argument;

    if (entry->type == MADT_OVERRIDE && entry->bytes >= sizeof(*override) && override->bus == 0 &&
        override->irq < ACPI_ISA_IRQS)
        of_irq[override->irq] = override;
}

/* The bus's own convention is kept where an override does not say otherwise. */
static struct acpi_irq find_pin(uint32_t irq, bool level_triggered, bool active_low)
{
    const struct madt_override *of_irq[ACPI_ISA_IRQS] = { NULL };
    const struct madt_header *header = find_madt();
    struct acpi_irq pin = { irq, level_triggered, active_low };

    if (!header || irq >= ACPI_ISA_IRQS)
        return pin;
    walk(header, of_irq, visit_override);
    if (!of_irq[irq])
        return pin;
    pin.gsi = of_irq[irq]->gsi;
    if (TRIGGER(of_irq[irq]->flags))
        pin.level_triggered = TRIGGER(of_irq[irq]->flags) == TRIGGER_LEVEL;
    if (POLARITY(of_irq[irq]->flags))
        pin.active_low = POLARITY(of_irq[irq]->flags) == POLARITY_LOW;
    return pin;
}

struct acpi_irq acpi_isa_irq(unsigned irq)
{
    return find_pin(irq, false, false);
}

struct acpi_irq acpi_pci_irq(unsigned irq)
{
    return find_pin(irq, true, true);
}

struct acpi_irq acpi_sci(void)
{
    const struct acpi_fadt *fadt = acpi_fadt();

    return find_pin(fadt ? fadt->sci : ACPI_DEFAULT_SCI, true, true);
}
