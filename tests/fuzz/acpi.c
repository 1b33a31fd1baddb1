/* SPDX-License-Identifier: MIT */
/*
 * Firmware's tables out of the input: a root pointer, a root table and up to
 * eight tables, of which the last is where a FADT says that the DSDT is.
 * Lengths and checksums are put right unless the input wants them as they are.
 * All that the kernel asks of them is asked. Each table is an allocation of its
 * own.
 */
#include "drivers/acpi/acpi.h"

#include "drivers/acpi/aml.h"
#include "drivers/acpi/tables.h"
#include "kernel/mmio.h"
#include "tests/fuzz/input.h"
#include "tests/host/log.h"

#define TABLES      8
#define START       UINT64_C(0x7fe0000)
#define APART       0x10000
#define RSDP_BYTES  36
#define BYTES_MAX   4096
#define DSDT        (TABLES + 1)
#define WITH_XSDT   1
#define AS_THEY_ARE 2

static struct {
    uint8_t *start; /* NULL: nothing is there */
    size_t bytes;
} regions[TABLES + 2]; /* the root pointer, the root table, the tables */

static uint64_t address_of(unsigned region)
{
    return START + (uint64_t)region * APART;
}

const void *memory_map(phys_addr_t start, uint64_t bytes)
{
    for (unsigned i = 0; i < TABLES + 2; i++) {
        uint64_t offset = start - address_of(i);

        if (regions[i].start && offset <= regions[i].bytes && bytes <= regions[i].bytes - offset)
            return regions[i].start + offset;
    }
    return NULL;
}

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void put_right(uint8_t *bytes, size_t size, size_t checksum)
{
    uint8_t sum = 0;

    bytes[checksum] = 0;
    for (size_t i = 0; i < size; i++)
        sum += bytes[i];
    bytes[checksum] = (uint8_t)-sum;
}

static uint8_t *make(unsigned region, size_t bytes)
{
    regions[region].start = calloc(1, bytes);
    regions[region].bytes = bytes;
    return regions[region].start;
}

/* A header with signature and length, and then the input. */
static void make_table(struct input *input, unsigned region, bool as_they_are)
{
    size_t bytes = take16(input) % BYTES_MAX;
    uint8_t *table;

    if (bytes > input->left)
        bytes = input->left;
    if (bytes == 0)
        return;
    table = make(region, bytes);
    take(input, table, bytes);
    if (as_they_are || bytes < sizeof(struct acpi_header))
        return;
    put(table + 4, bytes, 4);
    if (!memcmp(table, "FACP", 4) && bytes >= 44)
        put(table + 40, address_of(DSDT), 4);
    put_right(table, bytes, offsetof(struct acpi_header, checksum));
}

static void make_roots(bool xsdt)
{
    unsigned width = xsdt ? 8 : 4;
    size_t bytes = sizeof(struct acpi_header) + TABLES * width;
    uint8_t *rsdp = make(0, RSDP_BYTES), *root = make(1, bytes);

    memcpy(rsdp, "RSD PTR ", 8);
    rsdp[15] = xsdt ? 2 : 0;
    put(rsdp + 16, xsdt ? 0 : address_of(1), 4);
    put(rsdp + 20, RSDP_BYTES, 4);
    put(rsdp + 24, xsdt ? address_of(1) : 0, 8);
    put_right(rsdp, 20, 8);
    put_right(rsdp, RSDP_BYTES, 32);
    memcpy(root, xsdt ? "XSDT" : "RSDT", 4);
    put(root + 4, bytes, 4);
    for (unsigned i = 0; i < TABLES; i++)
        put(root + sizeof(struct acpi_header) + (size_t)i * width, address_of(2 + i), width);
    put_right(root, bytes, offsetof(struct acpi_header, checksum));
}

static void ask_the_dsdt(void)
{
    struct acpi_device found[4];
    struct acpi_ecam regions_found[4];
    struct aml_event_device event;
    struct aml aml = acpi_dsdt(), body;
    phys_addr_t base;
    uint8_t type;

    aml_sleep_type_s5(aml, &type);
    aml_ecam_base(aml, &base);
    aml_generation_id(aml, &base);
    while (aml_next_device(&aml, "ACPI0013", &body))
        aml_event_device(body, &event);
    expect(acpi_find_devices("LNRO0005", found, 4) <= 4, "no more devices than there is room for");
    acpi_dsdt_ecam(regions_found, 4);
}

static void ask(void)
{
    static struct acpi_madt madt;
    struct acpi_ecam ecam[4];
    int n;

    if (acpi_madt(&madt) == 0)
        expect(madt.n_cpus <= ACPI_MAX_CPUS && madt.n_ioapics <= ACPI_MAX_IOAPICS,
               "no more processors and I/O APICs than there is room for");
    for (unsigned irq = 0; irq < ACPI_ISA_IRQS; irq++)
        acpi_isa_irq(irq);
    n = acpi_mcfg(ecam, 4);
    expect(n <= 4, "no more regions than there is room for");
    for (int i = 0; i < n; i++)
        expect(ecam[i].bus_first <= ecam[i].bus_last, "a region has a bus");
    acpi_fadt();
    acpi_sci();
    acpi_hpet();
    ask_the_dsdt();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = { bytes, size };
    uint8_t flags = take8(&input);

    host_log_clear();
    make_roots(flags & WITH_XSDT);
    for (unsigned i = 0; i < TABLES; i++)
        make_table(&input, 2 + i, flags & AS_THEY_ARE);
    acpi_set_rsdp(address_of(0), false);
    ask();
    for (unsigned i = 0; i < TABLES + 2; i++) {
        free(regions[i].start);
        regions[i].start = NULL;
    }
    return 0;
}
