/* SPDX-License-Identifier: MIT */
/*
 * The firmware's static tables, as far as this kernel uses them: processors and
 * interrupt controllers (MADT), PCI configuration space (MCFG), fixed hardware
 * (FADT), the HPET, and a few facts read out of the DSDT's bytes. There is no
 * AML interpreter. ACPI 6.5, section 5.2.
 *
 * Everything here comes from outside. Each table is bounded and its checksum
 * verified when it is first asked for, once; a bad one is named in the log and
 * from then on is not there.
 *
 * Concurrency: kernel context; tables do not change.
 */
#ifndef DRIVERS_ACPI_ACPI_H
#define DRIVERS_ACPI_ACPI_H

#include "lib/base/types.h"

/*
 * Where the root pointer (RSDP) lies, from the boot information. Where that has
 * none or a wrong one, search tells whether to look where a BIOS leaves it, which
 * costs some 30,000 instructions: a PVH start has its word that there is none.
 * Called once, before anything else here; nothing is read before the first table
 * is asked for.
 */
void acpi_set_rsdp(phys_addr_t rsdp, bool search);

/* What every table starts with, §5.2.6. */
struct acpi_header {
    char signature[4];
    le32 length; /* bytes, with this header */
    uint8_t revision;
    uint8_t checksum; /* all bytes of the table add up to 0 modulo 256 */
    char oem_id[6];
    char oem_table_id[8];
    le32 oem_revision;
    char creator_id[4];
    le32 creator_revision;
} __attribute__((packed));

/*
 * A verified table, mapped for good; header->length bytes may be read. NULL: not
 * there, or broken. The first of its kind ("APIC", "MCFG" ...).
 */
const struct acpi_header *acpi_table(const char *signature);

/* The index-th good one of them, from 0: there may be several secondary tables ("SSDT"). */
const struct acpi_header *acpi_table_at(const char *signature, unsigned index);

/* An interrupt pin with its electrical conventions, ready for irq_route(). */
struct acpi_irq {
    uint32_t gsi;
    bool level_triggered, active_low;
};

/* The MADT ("APIC"), §5.2.12. */
#define ACPI_MAX_CPUS    256
#define ACPI_MAX_IOAPICS 8
#define ACPI_ISA_IRQS    16
#define ACPI_DEFAULT_SCI 9

struct acpi_ioapic {
    phys_addr_t address;
    uint32_t gsi_base;
    uint8_t id;
};

struct acpi_madt {
    phys_addr_t lapic_address; /* of the registers, where not in x2APIC mode */
    bool has_8259;             /* the old controllers are there, and want to be masked */
    unsigned n_cpus;           /* enabled ones */
    unsigned n_ioapics;
    unsigned n_dropped; /* processors and I/O APICs beyond what is kept */
    uint32_t apic_ids[ACPI_MAX_CPUS];
    struct acpi_ioapic ioapics[ACPI_MAX_IOAPICS];
};

/* Fills *madt. -ENODEV: there is no usable MADT. */
int acpi_madt(struct acpi_madt *madt);

/* The pin of an ISA interrupt, overrides applied; its own number, edge, high without a MADT. */
struct acpi_irq acpi_isa_irq(unsigned irq);

/* The same of one that a PCI device was given: level, low unless overridden. */
struct acpi_irq acpi_pci_irq(unsigned irq);

/*
 * Configuration space in memory: from the MCFG (PCI Firmware Specification 3.3,
 * §4.1.2), or, where a hardware-reduced machine has none (QEMU's microvm), from
 * the host bridge's _CBA in the DSDT.
 */
struct acpi_ecam {
    phys_addr_t base; /* of bus 0, even where bus_first is larger */
    uint16_t segment;
    uint8_t bus_first, bus_last; /* bus_first <= bus_last; all of it below 2^46 */
};

/* Up to max regions; how many, or -ENODEV: none known. */
int acpi_mcfg(struct acpi_ecam *regions, unsigned max);

/* A register: in memory or a port. Generic Address Structure, §5.2.3.2. */
enum acpi_space { ACPI_SPACE_NONE, ACPI_SPACE_MEMORY, ACPI_SPACE_PORT };

struct acpi_register {
    enum acpi_space space; /* NONE: there is no such register */
    phys_addr_t address;   /* below 2^16 for a port */
};

/* The FADT ("FACP"), §5.2.9. */
struct acpi_fadt {
    bool hardware_reduced;                       /* no PM1 registers, no SCI */
    bool has_8042;                               /* a keyboard controller, which can reset */
    bool has_rtc;                                /* a CMOS real-time clock */
    bool pm_timer_32bit;                         /* else it counts in 24 bits */
    bool has_power_button;                       /* as a fixed event */
    struct acpi_register pm_timer;               /* 3.579545 MHz, 32-bit reads */
    struct acpi_register pm1a_event, pm1b_event; /* status; enable follows */
    uint8_t pm1_event_bytes;                     /* of status and enable together, 4 or more */
    struct acpi_register pm1a_control, pm1b_control;
    struct acpi_register sleep_control, sleep_status; /* hardware-reduced, 8-bit */
    struct acpi_register reset;                       /* 8-bit */
    uint8_t reset_value;
    uint16_t sci;      /* ISA interrupt number or GSI; see acpi_sci() */
    uint16_t smi_port; /* 0: ACPI mode can not and need not be switched on */
    uint8_t acpi_enable;
    uint8_t rtc_century; /* CMOS index of the century; 0: none */
    phys_addr_t dsdt;
};

/* NULL: there is no usable FADT. */
const struct acpi_fadt *acpi_fadt(void);

/* The pin of the System Control Interrupt: level, low unless overridden. */
struct acpi_irq acpi_sci(void);

/*
 * Devices that the DSDT describes in plain bytes, as QEMU's microvm does: those
 * with this _HID string, and the first memory range and interrupt of their _CRS.
 * Up to max; how many, 0 also without a usable DSDT. Costs a few instructions
 * for each byte of the DSDT (200 bytes on microvm, 8 KiB on q35).
 */
struct acpi_device {
    phys_addr_t base; /* 0 bytes: it has no memory range */
    uint32_t bytes;
    bool has_irq;
    struct acpi_irq irq;
};

unsigned acpi_find_devices(const char *hid, struct acpi_device *found, unsigned max);

/*
 * What the DSDT's PCI host bridge passes on: memory below 4 GiB, what its descriptor for
 * 64-bit addresses says, and ports: where devices can be placed on a machine whose firmware
 * has not. -ENODEV: none is found. Costs as acpi_find_devices().
 */
enum acpi_pci_space { ACPI_PCI_LOW, ACPI_PCI_HIGH, ACPI_PCI_PORTS };

struct acpi_window {
    uint64_t start, bytes;
};

int acpi_pci_window(enum acpi_pci_space space, struct acpi_window *window);

/*
 * The buses that the DSDT's host bridges lead to, but for those that do not say: up to max, in no
 * order; how many. Costs as acpi_find_devices().
 */
unsigned acpi_pci_roots(uint8_t *buses, unsigned max);

/* The address of the first HPET's registers; 0: none. HPET specification 1.0a, §3.2.4. */
phys_addr_t acpi_hpet(void);

#endif
