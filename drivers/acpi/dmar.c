/* SPDX-License-Identifier: MIT */
/*
 * IOMMUs of Intel's kind (VT-d specification 4.1): found by the DMAR table, §8,
 * and turned off before a device is driven, so that a bus address is a physical
 * one also for virtio devices that insist on going through them (virtio 1.4 §6,
 * ACCESS_PLATFORM), and messages reach the local APIC as they were written.
 * Machines start with them off; firmware and boot loaders may have had other ideas.
 *
 * Concurrency: once, at the start.
 */
#include "drivers/acpi/acpi.h"
#include "kernel/dma.h"
#include "kernel/driver.h"
#include "kernel/log.h"
#include "kernel/mmio.h"
#include "kernel/report.h"
#include "lib/base/errno.h"
#include "lib/base/io.h"

struct dmar_table {
    struct acpi_header header;
    uint8_t address_width, flags, reserved[10];
} __attribute__((packed));

struct dmar_structure {
    le16 type;
    le16 bytes; /* with these two */
} __attribute__((packed));

#define DMAR_DRHD 0 /* a unit */

struct dmar_drhd {
    struct dmar_structure structure;
    uint8_t flags, size;
    le16 segment;
    le64 registers;
} __attribute__((packed));

/* Registers, §11.4. GCMD has the bits of GSTS, the last one written counts for all. */
#define UNIT_BYTES 0x1000
#define UNIT_VER   0x00 /* major and minor number in 8 bits */
#define UNIT_GCMD  0x18
#define UNIT_GSTS  0x1c

#define GSTS_TES  (1u << 31) /* DMA is translated */
#define GSTS_IRES (1u << 25) /* interrupts are remapped */

/* The bits that describe a state, as software has to write them back; the others are commands. */
#define GCMD_STATES 0x96ffffffu
#define VER_MAX     0xffu

/* There is no clock yet. A look takes from some 100 ns to 2 µs. */
#define LOOKS 20000

#define UNITS_TOLD 8

static const char off[] = "off", turned_off[] = "turned off", stays_on[] = "stays on",
                  out_of_reach[] = "out of reach";

static struct {
    phys_addr_t registers;
    const char *state;
} units[UNITS_TOLD];
static unsigned n_units;

/* §11.4.4: one bit at a time, and the next one only when the unit has obeyed. */
static bool turn_off(volatile uint8_t *unit, uint32_t bit)
{
    uint32_t status = mmio_read32(unit + UNIT_GSTS);

    if (status & bit)
        mmio_write32(unit + UNIT_GCMD, status & GCMD_STATES & ~bit);
    for (unsigned i = 0; i < LOOKS && (status & bit); i++)
        status = mmio_read32(unit + UNIT_GSTS);
    return !(status & bit);
}

static const char *silence(phys_addr_t registers)
{
    volatile uint8_t *unit = NULL;
    uint32_t version, status;

    if (registers && IS_ALIGNED(registers, UNIT_BYTES))
        unit = mmio_map(registers, UNIT_BYTES);
    version = unit ? mmio_read32(unit + UNIT_VER) : 0;
    if (version == 0 || version > VER_MAX) /* a wrong address, where something else may be */
        return out_of_reach;
    status = mmio_read32(unit + UNIT_GSTS);
    if (!(status & (GSTS_TES | GSTS_IRES)))
        return off;
    return turn_off(unit, GSTS_TES) && turn_off(unit, GSTS_IRES) ? turned_off : stays_on;
}

static void take_unit(phys_addr_t registers)
{
    const char *state = silence(registers);

    if (state != off)
        log_line(state == turned_off ? LOG_INFO : LOG_ERROR, "iommu at 0x%lx: %s", registers,
                 state);
    if (state != off && state != turned_off)
        dma_is_translated = true;
    if (n_units < UNITS_TOLD) {
        units[n_units].registers = registers;
        units[n_units++].state = state;
    }
}

static int start(void)
{
    const struct acpi_header *dmar = acpi_table("DMAR");
    uint32_t at = sizeof(struct dmar_table), bytes;

    for (; dmar && at + sizeof(struct dmar_structure) <= dmar->length; at += bytes) {
        const struct dmar_drhd *drhd = (const void *)((const char *)dmar + at);

        bytes = drhd->structure.bytes;
        /* A length of 0 would never end, one beyond the table would read outside. */
        if (bytes < sizeof(drhd->structure) || bytes > dmar->length - at)
            return -EINVAL;
        if (drhd->structure.type == DMAR_DRHD && bytes >= sizeof(*drhd))
            take_unit(drhd->registers);
    }
    return 0;
}

DRIVER(dmar) = { "dmar", DRIVER_PLATFORM, start };

static void tell(struct report *report)
{
    report_open_list(report, "unit");
    for (unsigned i = 0; i < n_units; i++) {
        report_open_item(report, "0x%llx", (unsigned long long)units[i].registers);
        report_text(report, "state", "%s", units[i].state);
        report_close(report);
    }
    report_close(report);
}

REPORTER(iommu_reporter) = { "iommu", 38, tell };
