/* SPDX-License-Identifier: MIT */
/*
 * The firmware's tables: those of QEMU's machines, and broken ones. Every table
 * lies in an allocation of its own, so that the sanitizer sees each byte read
 * beyond it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/acpi/acpi.h"
#include "drivers/acpi/aml.h"
#include "drivers/acpi/tables.h"
#include "kernel/mmio.h"
#include "lib/base/errno.h"
#include "tests/host/log.h"
#include "tests/unit/fixtures/acpi_microvm.h"
#include "tests/unit/fixtures/acpi_microvm_pcie.h"
#include "tests/unit/fixtures/acpi_pc.h"
#include "tests/unit/fixtures/acpi_q35.h"

/* ---- The machine's memory */

#define MAX_REGIONS 64

static struct {
    uint64_t start;
    size_t bytes;
    uint8_t *memory;
} regions[MAX_REGIONS];
static unsigned n_regions;

const void *memory_map(phys_addr_t start, uint64_t bytes)
{
    for (unsigned i = 0; i < n_regions; i++)
        if (start >= regions[i].start && bytes <= regions[i].bytes &&
            start - regions[i].start <= regions[i].bytes - bytes)
            return regions[i].memory + (start - regions[i].start);
    return NULL;
}

static uint8_t *place(uint64_t start, const void *from, size_t bytes)
{
    uint8_t *memory = malloc(bytes);

    memcpy(memory, from, bytes);
    regions[n_regions].start = start;
    regions[n_regions].bytes = bytes;
    regions[n_regions++].memory = memory;
    return memory;
}

static int clear_memory(void **state)
{
    (void)state;
    while (n_regions)
        free(regions[--n_regions].memory);
    host_log_clear();
    return 0;
}

static void place_machine(const struct acpi_fixture *tables, size_t n)
{
    for (size_t i = 0; i < n; i++)
        place(tables[i].address, tables[i].bytes, tables[i].n);
    acpi_set_rsdp(tables[0].address, false);
}

#define PLACE(machine) place_machine(machine##_tables, ARRAY_SIZE(machine##_tables))

/* ---- Crafted tables */

static uint8_t sum_of(const uint8_t *at, size_t bytes)
{
    uint8_t sum = 0;

    while (bytes--)
        sum = (uint8_t)(sum + *at++);
    return sum;
}

static void seal(uint8_t *table, size_t bytes)
{
    table[9] = 0;
    table[9] = (uint8_t)-sum_of(table, bytes);
}

#define RSDP_AT  0x2000u
#define XSDT_AT  0x3000u
#define TABLE_AT 0x4000u

/* A table with this body behind its header. */
static uint8_t *place_table(uint64_t at, const char *signature, const void *body, size_t bytes)
{
    uint8_t table[4096] = { 0 };
    uint32_t length = (uint32_t)(sizeof(struct acpi_header) + bytes);

    memcpy(table, signature, 4);
    memcpy(table + 4, &length, sizeof(length));
    table[8] = 6;
    memcpy(table + sizeof(struct acpi_header), body, bytes);
    seal(table, length);
    return place(at, table, length);
}

static uint8_t *place_root(const uint64_t *entries, size_t n)
{
    uint8_t rsdp[36] = "RSD PTR ";
    uint64_t xsdt = XSDT_AT;
    uint32_t length = sizeof(rsdp);

    rsdp[15] = 2;
    memcpy(rsdp + 20, &length, sizeof(length));
    memcpy(rsdp + 24, &xsdt, sizeof(xsdt));
    rsdp[8] = (uint8_t)-sum_of(rsdp, 20);
    rsdp[32] = (uint8_t)-sum_of(rsdp, sizeof(rsdp));
    acpi_set_rsdp(RSDP_AT, false);
    place_table(XSDT_AT, "XSDT", entries, n * sizeof(*entries));
    return place(RSDP_AT, rsdp, sizeof(rsdp));
}

static uint8_t *place_one(const char *signature, const void *body, size_t bytes)
{
    place_root((const uint64_t[]){ TABLE_AT }, 1);
    return place_table(TABLE_AT, signature, body, bytes);
}

/* ---- Real machines */

static void q35_is_read_as_qemu_means_it(void **state)
{
    static struct acpi_madt madt;
    const struct acpi_fadt *fadt;
    struct acpi_ecam ecam[4];
    struct acpi_irq irq;

    (void)state;
    PLACE(q35);
    assert_int_equal(acpi_madt(&madt), 0);
    assert_int_equal(madt.lapic_address, 0xfee00000);
    assert_true(madt.has_8259);
    assert_int_equal(madt.n_cpus, 1);
    assert_int_equal(madt.apic_ids[0], 0);
    assert_int_equal(madt.n_ioapics, 1);
    assert_int_equal(madt.ioapics[0].address, 0xfec00000);
    assert_int_equal(madt.ioapics[0].gsi_base, 0);
    irq = acpi_isa_irq(0); /* the timer sits on pin 2 */
    assert_int_equal(irq.gsi, 2);
    assert_false(irq.level_triggered);
    irq = acpi_isa_irq(4);
    assert_int_equal(irq.gsi, 4);
    assert_false(irq.level_triggered || irq.active_low);
    irq = acpi_sci();
    assert_int_equal(irq.gsi, 9);
    assert_true(irq.level_triggered);
    assert_false(irq.active_low);
    assert_int_equal(acpi_mcfg(ecam, ARRAY_SIZE(ecam)), 1);
    assert_int_equal(ecam[0].base, 0xb0000000);
    assert_int_equal(ecam[0].bus_first, 0);
    assert_int_equal(ecam[0].bus_last, 255);
    assert_int_equal(acpi_hpet(), 0xfed00000);
    fadt = acpi_fadt();
    assert_non_null(fadt);
    assert_false(fadt->hardware_reduced);
    assert_int_equal(fadt->pm_timer.space, ACPI_SPACE_PORT);
    assert_int_equal(fadt->pm_timer.address, 0x608);
    assert_int_equal(fadt->pm1a_event.address, 0x600);
    assert_int_equal(fadt->pm1a_control.address, 0x604);
    assert_int_equal(fadt->pm1b_control.space, ACPI_SPACE_NONE);
    assert_int_equal(fadt->reset.address, 0xcf9);
    assert_int_equal(fadt->reset_value, 0x0f);
    assert_int_equal(fadt->sci, 9);
    assert_int_equal(fadt->smi_port, 0xb2);
    assert_int_equal(fadt->acpi_enable, 2);
    assert_int_equal(fadt->rtc_century, 0x32);
    assert_true(fadt->has_rtc && fadt->has_power_button);
}

static void pc_with_an_acpi_1_table_is_read(void **state)
{
    const struct acpi_fadt *fadt;
    struct acpi_ecam ecam;

    (void)state;
    PLACE(pc);
    fadt = acpi_fadt();
    assert_non_null(fadt);
    assert_int_equal(fadt->pm_timer.address, 0x608);
    assert_int_equal(fadt->pm1a_control.address, 0x604);
    assert_int_equal(fadt->reset.space, ACPI_SPACE_NONE);
    assert_true(fadt->has_8042 && fadt->has_rtc);
    assert_int_equal(acpi_mcfg(&ecam, 1), -ENODEV);
}

static void microvm_is_hardware_reduced(void **state)
{
    static struct acpi_madt madt;
    const struct acpi_fadt *fadt;
    struct acpi_ecam ecam;

    (void)state;
    PLACE(microvm);
    fadt = acpi_fadt();
    assert_non_null(fadt);
    assert_true(fadt->hardware_reduced);
    assert_int_equal(fadt->pm_timer.space, ACPI_SPACE_NONE);
    assert_int_equal(fadt->sleep_control.space, ACPI_SPACE_MEMORY);
    assert_int_equal(fadt->sleep_control.address, 0xfea00200);
    assert_int_equal(fadt->reset.address, 0xfea00202);
    assert_int_equal(fadt->reset_value, 0x42);
    assert_int_equal(acpi_madt(&madt), 0);
    assert_int_equal(madt.n_ioapics, 2);
    assert_int_equal(madt.ioapics[1].gsi_base, 24);
    assert_int_equal(acpi_mcfg(&ecam, 1), -ENODEV);
    assert_int_equal(acpi_hpet(), 0);
}

static void microvm_with_pcie_has_its_ecam_in_the_dsdt(void **state)
{
    struct acpi_ecam ecam;

    (void)state;
    PLACE(microvm_pcie);
    assert_int_equal(acpi_mcfg(&ecam, 1), 1);
    assert_int_equal(ecam.base, 0xe0000000);
    assert_int_equal(ecam.bus_last, 255);
    assert_int_equal(acpi_mcfg(&ecam, 0), -ENODEV);
}

static void virtio_mmio_devices_of_the_dsdt_are_found(void **state)
{
    struct acpi_device found[3];

    (void)state;
    PLACE(microvm);
    assert_int_equal(acpi_find_devices("LNRO0005", found, 3), 2);
    assert_int_equal(found[0].base, 0xfeb02e00);
    assert_int_equal(found[0].bytes, 0x200);
    assert_true(found[0].has_irq);
    assert_int_equal(found[0].irq.gsi, 47);
    assert_true(found[0].irq.level_triggered);
    assert_false(found[0].irq.active_low);
    assert_int_equal(found[1].base, 0xfeb02c00);
    assert_int_equal(acpi_find_devices("LNRO0005", found, 1), 1);
    assert_int_equal(acpi_find_devices("LNRO000", found, 3), 0);
    assert_int_equal(acpi_find_devices("LNRO0005", found, 0), 0);
}

static void s5_is_found_on_every_machine(void **state)
{
    uint8_t type = 99;

    (void)state;
    PLACE(q35);
    assert_true(aml_sleep_type_s5(acpi_dsdt(), &type));
    assert_int_equal(type, 0);
    clear_memory(state);
    PLACE(microvm);
    assert_true(aml_sleep_type_s5(acpi_dsdt(), &type));
    assert_int_equal(type, 5);
}

/* Device(NAME) { Name(_HID, hid) rest }, whose PkgLength takes so many bytes; how many in all. */
static size_t put_device(uint8_t *at, size_t length_bytes, const char *hid, size_t rest)
{
    size_t statement = 6 + strlen(hid) + 1, length = length_bytes + 4 + statement + rest;

    memcpy(at, "\x5b\x82", 2);
    at[2] = (uint8_t)(length_bytes == 1 ? length : (length_bytes - 1) << 6 | (length & 15));
    for (size_t i = 1; i < length_bytes; i++)
        at[2 + i] = (uint8_t)(length >> (4 + 8 * (i - 1)));
    at += 2 + length_bytes;
    memcpy(at, "DEV0\x08_HID\x0d", 10);
    memcpy(at + 10, hid, strlen(hid) + 1);
    return 2 + length;
}

static void devices_are_found_whatever_the_bytes_of_their_length(void **state)
{
    (void)state;
    for (size_t length_bytes = 1; length_bytes <= 4; length_bytes++) {
        uint8_t *table = calloc(1, 200);
        struct aml rest = { table, 200 }, body;
        size_t inner = 3 + put_device(table + 3, length_bytes, "ACPI0004", 40);

        put_device(table + inner - 40, length_bytes, "LNRO0005", 2); /* inside the first */
        put_device(table + inner, length_bytes, "LNRO0005", 5);
        assert_true(aml_next_device(&rest, "LNRO0005", &body));
        assert_ptr_equal(body.at, table + inner - 40 + 2 + length_bytes + 4);
        assert_int_equal(body.bytes, 15 + 2);
        assert_true(aml_next_device(&rest, "LNRO0005", &body));
        assert_ptr_equal(body.at, table + inner + 2 + length_bytes + 4);
        assert_int_equal(body.bytes, 15 + 5);
        assert_false(aml_next_device(&rest, "LNRO0005", &body));
        assert_int_equal(rest.bytes, 0);
        free(table);
    }
}

static void a_hid_that_opens_no_device_is_none(void **state)
{
    static const size_t lies[] = { 0, 1, 2, 3, 6 }; /* opcode, PkgLength, name, Name's opcode */
    uint8_t table[60];
    struct aml body;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        struct aml rest = { table, sizeof(table) };

        memset(table, 0, sizeof(table));
        put_device(table, 1, "LNRO0005", 0);
        memmove(table + lies[i] + 1, table + lies[i], sizeof(table) - lies[i] - 1);
        table[lies[i]] = 0xa3; /* a no-op in between, or all of it a byte later */
        assert_int_equal(aml_next_device(&rest, "LNRO0005", &body), lies[i] == 0);
    }
    for (unsigned length = 0; length < 64; length++) { /* the device must hold its statement */
        struct aml rest = { table, sizeof(table) };

        memset(table, 0, sizeof(table));
        put_device(table, 1, "LNRO0005", 0);
        table[2] = (uint8_t)length;
        assert_int_equal(aml_next_device(&rest, "LNRO0005", &body), length >= 20 && length <= 58);
    }
}

static void sums_of_every_size_are_right(void **state)
{
    uint8_t body[3000];

    (void)state;
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)(255 - i % 7);
    for (size_t n = 0; n < sizeof(body); n += 1 + n / 40) {
        const uint64_t entries[] = { TABLE_AT };
        uint8_t *table;

        place_root(entries, 1);
        table = place_table(TABLE_AT, "TEST", body, n);
        acpi_set_rsdp(RSDP_AT, false);
        assert_non_null(acpi_table("TEST"));
        table[sizeof(struct acpi_header) + n - 1]++;
        acpi_set_rsdp(RSDP_AT, false);
        assert_null(acpi_table("TEST"));
        clear_memory(NULL);
    }
}

static void the_power_button_of_microvm_is_found(void **state)
{
    struct aml_event_device events;
    struct acpi_device device;
    struct aml rest, body;

    (void)state;
    PLACE(microvm);
    rest = acpi_dsdt();
    assert_true(aml_next_device(&rest, "ACPI0013", &body));
    assert_true(aml_resources(body, &device));
    assert_true(device.has_irq);
    assert_int_equal(device.irq.gsi, 9);
    assert_false(device.irq.level_triggered);
    assert_int_equal(device.bytes, 0);
    assert_true(aml_event_device(body, &events));
    assert_int_equal(events.events, 0xfea00000);
    assert_int_equal(events.power_button, 2);
    assert_false(aml_next_device(&rest, "ACPI0013", &body));
}

/* Every prefix of every DSDT, in memory that ends there: found or not, nothing beyond is read. */
static void a_dsdt_cut_anywhere_is_scanned_without_reading_beyond(void **state)
{
    static const struct {
        const uint8_t *bytes;
        size_t n;
    } dsdts[] = { { microvm_dsdt, sizeof(microvm_dsdt) },
                  { microvm_pcie_dsdt, sizeof(microvm_pcie_dsdt) } };
    struct aml_event_device events;
    struct acpi_device device;
    struct aml body;
    phys_addr_t base;
    uint8_t type;

    (void)state;
    for (size_t d = 0; d < ARRAY_SIZE(dsdts); d++) {
        for (size_t n = 0; n < dsdts[d].n; n += 1 + n / 300) {
            uint8_t *cut = malloc(n ? n : 1);
            struct aml all = { cut, n }, rest = all;

            memcpy(cut, dsdts[d].bytes, n);
            aml_sleep_type_s5(all, &type);
            aml_ecam_base(all, &base);
            while (aml_next_device(&rest, "ACPI0013", &body)) {
                aml_resources(body, &device);
                aml_event_device(body, &events);
            }
            free(cut);
        }
    }
}

/* Each byte in turn becomes the extremes: scans end, and stay inside. */
static void a_dsdt_with_any_byte_changed_is_scanned_safely(void **state)
{
    static const uint8_t values[] = { 0x00, 0x01, 0x3f, 0x7f, 0x80, 0xc0, 0xff };
    struct aml_event_device events;
    struct acpi_device device;
    uint8_t *copy = malloc(sizeof(microvm_dsdt)), type;

    (void)state;
    for (size_t i = 0; i < sizeof(microvm_dsdt); i++) {
        for (size_t v = 0; v < sizeof(values); v++) {
            struct aml all = { copy, sizeof(microvm_dsdt) }, rest = all, body;

            memcpy(copy, microvm_dsdt, sizeof(microvm_dsdt));
            copy[i] = values[v];
            aml_sleep_type_s5(all, &type);
            while (aml_next_device(&rest, "LNRO0005", &body))
                aml_resources(body, &device);
            rest = all;
            while (aml_next_device(&rest, "ACPI0013", &body))
                aml_event_device(body, &events);
        }
    }
    free(copy);
}

/* ---- Broken roots */

static void without_a_root_pointer_there_are_no_tables(void **state)
{
    (void)state;
    acpi_set_rsdp(0, false);
    assert_null(acpi_table("APIC"));
    assert_null(acpi_fadt());
    assert_int_equal(acpi_hpet(), 0);
    assert_int_equal(acpi_isa_irq(3).gsi, 3);
    assert_int_equal(acpi_sci().gsi, 9);
    assert_int_equal(acpi_dsdt().bytes, 0);
}

static void a_root_pointer_outside_memory_is_named(void **state)
{
    (void)state;
    acpi_set_rsdp(UINT64_MAX - 3, false);
    assert_null(acpi_table("APIC"));
    assert_non_null(strstr(host_log_text(), "no root pointer"));
}

static void a_root_pointer_is_searched_where_a_bios_leaves_it(void **state)
{
    static const uint32_t places[] = { 0x159e0, 0x159f0, 0x15a00, 0x15a10, 0x10000, 0x1ffd0, 0x20 };
    static uint8_t area[0x20000];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        PLACE(q35);
        memset(area, 0, sizeof(area));
        memcpy(area + 0x10, "RSD PTR ", 8); /* only looks like one */
        area[0x18] = 1;
        memcpy(area + places[i], q35_rsdp, sizeof(q35_rsdp));
        place(0xe0000, area, 0x10000);
        place(0xf0000, area + 0x10000, 0x10000);
        acpi_set_rsdp(0, true);
        assert_non_null(acpi_table("HPET"));
        acpi_set_rsdp(0, false);
        assert_null(acpi_table("HPET"));
        clear_memory(NULL);
    }
}

static void a_broken_second_half_of_the_root_pointer_falls_back_to_the_first(void **state)
{
    uint8_t *rsdp;
    uint32_t rsdt = TABLE_AT + 0x1000, hpet = TABLE_AT;

    (void)state;
    rsdp = place_one("HPET", (const uint8_t[20]){ 0 }, 20);
    rsdp = regions[1].memory;
    place_table(rsdt, "RSDT", &hpet, sizeof(hpet));
    memcpy(rsdp + 16, &rsdt, sizeof(rsdt));
    rsdp[8] = 0;
    rsdp[8] = (uint8_t)-sum_of(rsdp, 20);
    rsdp[32] ^= 1;
    acpi_set_rsdp(RSDP_AT, false);
    assert_non_null(acpi_table("HPET"));
    assert_non_null(strstr(host_log_text(), "second half"));
}

static void a_root_table_with_a_wrong_checksum_is_ignored(void **state)
{
    (void)state;
    place_one("HPET", (const uint8_t[20]){ 0 }, 20);
    regions[0].memory[9]++;
    assert_null(acpi_table("HPET"));
    assert_non_null(strstr(host_log_text(), "XSDT has a wrong checksum"));
}

static void root_entries_that_lead_nowhere_are_passed_over(void **state)
{
    const uint64_t entries[] = { 0, UINT64_MAX, 1, TABLE_AT };

    (void)state;
    place_root(entries, ARRAY_SIZE(entries));
    place_table(TABLE_AT, "HPET", (const uint8_t[20]){ 0 }, 20);
    assert_non_null(acpi_table("HPET"));
    assert_non_null(strstr(host_log_text(), "out of reach"));
}

static void more_tables_than_are_kept_do_no_harm(void **state)
{
    uint64_t entries[100];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        entries[i] = TABLE_AT;
    place_root(entries, ARRAY_SIZE(entries));
    place_table(TABLE_AT, "HPET", (const uint8_t[20]){ 0 }, 20);
    assert_non_null(acpi_table("HPET"));
    assert_null(acpi_table("APIC"));
}

/* ---- Broken tables */

static void a_table_with_a_wrong_checksum_is_named_once_and_ignored(void **state)
{
    uint8_t *table;

    (void)state;
    table = place_one("HPET", (const uint8_t[20]){ 0 }, 20);
    table[40] ^= 0x10;
    assert_null(acpi_table("HPET"));
    assert_non_null(strstr(host_log_text(), "HPET has a wrong checksum"));
    host_log_clear();
    assert_null(acpi_table("HPET"));
    assert_string_equal(host_log_text(), "");
}

static void of_several_tables_of_a_kind_the_good_ones_are_numbered(void **state)
{
    const uint64_t entries[] = { 0x4000, 0x5000, 0x6000 };
    uint8_t *tables[3];

    (void)state;
    place_root(entries, ARRAY_SIZE(entries));
    for (unsigned i = 0; i < ARRAY_SIZE(entries); i++)
        tables[i] = place_table(entries[i], "SSDT", &i, sizeof(i));
    tables[1][9]++;
    assert_ptr_equal(acpi_table("SSDT"), tables[0]);
    assert_ptr_equal(acpi_table_at("SSDT", 0), tables[0]);
    assert_ptr_equal(acpi_table_at("SSDT", 1), tables[2]);
    assert_null(acpi_table_at("SSDT", 2));
    assert_null(acpi_table_at("SSDT", UINT32_MAX));
}

static void absurd_table_lengths_are_refused(void **state)
{
    static const uint32_t lengths[] = { 0, 1, 35, 4 * 1024 * 1024, UINT32_MAX };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        uint8_t *table = place_one("HPET", (const uint8_t[20]){ 0 }, 20);

        memcpy(table + 4, &lengths[i], sizeof(lengths[i]));
        assert_null(acpi_table("HPET"));
        assert_non_null(strstr(host_log_text(), "claims"));
        clear_memory(state);
    }
}

static void a_table_that_ends_beyond_memory_is_refused(void **state)
{
    uint8_t *table;
    uint32_t length = 57;

    (void)state;
    table = place_one("HPET", (const uint8_t[20]){ 0 }, 20);
    memcpy(table + 4, &length, sizeof(length));
    assert_null(acpi_table("HPET"));
}

static void a_table_of_nothing_but_its_header_has_no_content(void **state)
{
    static const char *const names[] = { "HPET", "MCFG", "APIC", "FACP" };
    static struct acpi_madt madt;
    struct acpi_ecam ecam;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        place_one(names[i], "", 0);
        assert_int_equal(acpi_hpet(), 0);
        assert_int_equal(acpi_mcfg(&ecam, 1), -ENODEV);
        assert_int_equal(acpi_madt(&madt), -ENODEV);
        if (acpi_fadt())
            assert_int_equal(acpi_fadt()->pm_timer.space, ACPI_SPACE_NONE);
        assert_int_equal(acpi_dsdt().bytes, 0);
        clear_memory(state);
    }
}

static void madt_entries_without_length_end_the_walk(void **state)
{
    const uint8_t body[] = { 0, 0, 0xe0, 0xfe, 1, 0, 0, 0, /* address, flags */
                             0, 8, 0,    7,    1, 0, 0, 0, /* one CPU */
                             1, 0, 0,    0 };              /* an I/O APIC of no bytes */
    static struct acpi_madt madt;

    (void)state;
    place_one("APIC", body, sizeof(body));
    assert_int_equal(acpi_madt(&madt), 0);
    assert_int_equal(madt.n_cpus, 1);
    assert_int_equal(madt.apic_ids[0], 7);
    assert_int_equal(madt.n_ioapics, 0);
    assert_non_null(strstr(host_log_text(), "claims 0 bytes"));
}

static void madt_entries_beyond_the_table_end_the_walk(void **state)
{
    const uint8_t body[] = { 0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 1, 12, 0, 0, 0, 0, 0xc0 };
    static struct acpi_madt madt;

    (void)state;
    place_one("APIC", body, sizeof(body));
    assert_int_equal(acpi_madt(&madt), 0);
    assert_int_equal(madt.n_ioapics, 0);
    assert_int_equal(acpi_isa_irq(1).gsi, 1);
}

static void madt_entries_shorter_than_their_type_are_passed_over(void **state)
{
    const uint8_t body[] = { 0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 0, 2, 1, 3, 0, 2, 2,
                             0, 9, 4,    0,    0, 5, 2, 0, 8, 0, 3, 1, 0, 0, 0 };
    static struct acpi_madt madt;

    (void)state;
    place_one("APIC", body, sizeof(body));
    assert_int_equal(acpi_madt(&madt), 0);
    assert_int_equal(madt.n_ioapics, 0);
}

static void madt_of_many_processors_keeps_what_fits_and_says_so(void **state)
{
    static uint8_t body[8 + 300 * 8];
    static struct acpi_madt madt;

    (void)state;
    for (unsigned i = 0; i < 300; i++)
        memcpy(body + 8 + i * 8, (const uint8_t[]){ 0, 8, 0, (uint8_t)i, 1, 0, 0, 0 }, 8);
    place_one("APIC", body, sizeof(body));
    assert_int_equal(acpi_madt(&madt), 0);
    assert_int_equal(madt.n_cpus, ACPI_MAX_CPUS);
    assert_int_equal(madt.n_dropped, 300 - ACPI_MAX_CPUS);
    assert_non_null(strstr(host_log_text(), "44 processors"));
}

static void madt_x2apics_address_and_disabled_processors(void **state)
{
    const uint8_t body[] = {
        0, 0,  0xe0, 0xfe, 0,    0,    0,    0,                               /**/
        9, 16, 0,    0,    0x00, 0x01, 0,    0,    1,    0, 0, 0, 0, 0, 0, 0, /* x2APIC 256 */
        9, 16, 0,    0,    0x01, 0x01, 0,    0,    0,    0, 0, 0, 0, 0, 0, 0, /* disabled */
        5, 12, 0,    0,    0,    0,    0xe1, 0xfe, 1,    0, 0, 0,             /* address */
        2, 10, 1,    5,    0x63, 0,    0,    0,    0x0f, 0,                   /* not ISA */
        2, 10, 0,    200,  0x63, 0,    0,    0,    0x0f, 0,                   /* no such IRQ */
        2, 10, 0,    9,    0x14, 0,    0,    0,    0x0f, 0,                   /* level, low */
        2, 10, 0,    5,    0x05, 0,    0,    0,    0x00, 0, /* as the bus has it */
    };
    static struct acpi_madt madt;

    (void)state;
    place_one("APIC", body, sizeof(body));
    assert_int_equal(acpi_madt(&madt), 0);
    assert_int_equal(madt.n_cpus, 1);
    assert_int_equal(madt.apic_ids[0], 256);
    assert_int_equal(madt.lapic_address, 0x1fee10000);
    assert_false(madt.has_8259);
    assert_int_equal(acpi_isa_irq(9).gsi, 0x14);
    assert_true(acpi_isa_irq(9).level_triggered && acpi_isa_irq(9).active_low);
    assert_false(acpi_isa_irq(5).level_triggered || acpi_isa_irq(5).active_low);
    assert_int_equal(acpi_isa_irq(200).gsi, 200);
}

static void mcfg_regions_that_can_not_be_are_ignored(void **state)
{
    struct entry {
        uint64_t base;
        uint16_t segment;
        uint8_t first, last;
        uint32_t reserved;
    } __attribute__((packed));
    struct {
        uint64_t reserved;
        struct entry entries[6];
        uint8_t rest[15]; /* less than an entry */
    } __attribute__((packed)) body = {
        .entries = { { 0, 0, 0, 255, 0 },
                     { 0xb0000001, 0, 0, 255, 0 },
                     { 0xb0000000, 0, 5, 4, 0 },
                     { UINT64_MAX << 20, 0, 0, 255, 0 },
                     { 0xb0000000, 7, 3, 3, 0 },
                     { 0xc0000000, 8, 0, 0, 0 } },
    };
    struct acpi_ecam ecam[4];

    (void)state;
    place_one("MCFG", &body, sizeof(body));
    assert_int_equal(acpi_mcfg(ecam, ARRAY_SIZE(ecam)), 2);
    assert_int_equal(ecam[0].segment, 7);
    assert_int_equal(ecam[0].bus_first, 3);
    assert_int_equal(ecam[1].base, 0xc0000000);
    assert_int_equal(acpi_mcfg(ecam, 1), 1);
}

static void mcfg_regions_of_several_segments_may_lie_above_4_gib(void **state)
{
    const struct {
        uint64_t reserved;
        struct {
            uint64_t base;
            uint16_t segment;
            uint8_t first, last;
            uint32_t reserved;
        } __attribute__((packed)) entries[3];
    } __attribute__((packed)) body = {
        .entries = { { 0xb0000000, 0, 0, 0x3f, 0 },
                     { UINT64_C(0x7fc0000000), 1, 0x40, 255, 0 },
                     { UINT64_C(0x3ffff0000000), 0xffff, 0, 255, 0 } }, /* ends beyond 2^46 */
    };
    struct acpi_ecam ecam[4];

    (void)state;
    place_one("MCFG", &body, sizeof(body));
    assert_int_equal(acpi_mcfg(ecam, ARRAY_SIZE(ecam)), 2);
    assert_int_equal(ecam[0].segment, 0);
    assert_int_equal(ecam[0].bus_last, 0x3f);
    assert_int_equal(ecam[1].base, UINT64_C(0x7fc0000000));
    assert_int_equal(ecam[1].segment, 1);
    assert_int_equal(ecam[1].bus_first, 0x40);
}

static void registers_in_unknown_spaces_and_ports_beyond_64_kib_are_not_there(void **state)
{
    uint8_t body[268 - 36] = { 0 };
    const uint32_t reset_supported = 1u << 10, port = 0x12345;

    (void)state;
    memcpy(body + 112 - 36, &reset_supported, sizeof(reset_supported));
    body[116 - 36] = 2; /* PCI configuration space */
    body[120 - 36] = 0xf9;
    memcpy(body + 56 - 36, &port, sizeof(port));
    memcpy(body + 76 - 36, &port, sizeof(port));
    body[88 - 36] = 3; /* fewer bytes than status and enable take */
    place_one("FACP", body, sizeof(body));
    assert_int_equal(acpi_fadt()->reset.space, ACPI_SPACE_NONE);
    assert_int_equal(acpi_fadt()->pm1a_event.space, ACPI_SPACE_NONE);
    assert_int_equal(acpi_fadt()->pm_timer.space, ACPI_SPACE_NONE);
    assert_int_equal(acpi_fadt()->smi_port, 0);
}

static void a_broken_dsdt_is_not_scanned(void **state)
{
    (void)state;
    PLACE(microvm);
    for (unsigned i = 0; i < n_regions; i++)
        if (memcmp(regions[i].memory, "DSDT", 4) == 0)
            regions[i].memory[60] ^= 1;
    assert_int_equal(acpi_dsdt().bytes, 0);
    assert_non_null(strstr(host_log_text(), "DSDT has a wrong checksum"));
}

static void sleep_types_other_than_constants_are_passed_over(void **state)
{
    static const uint8_t call[] = { 8, '_', 'S', '5', '_', 0x12, 6, 1, 'A', 'B', 'C', 'D' };
    static const uint8_t ones[] = { 8, '_', 'S', '5', '_', 0x12, 3, 1, 0xff };
    static const uint8_t short_package[] = { '_', 'S', '5', '_', 0x12, 1, 0x0a };
    static const uint8_t word[] = { '_', 'S', '5', '_', 0x12, 5, 1, 0x0b, 0x07, 0x00 };
    uint8_t type = 99;

    (void)state;
    assert_false(aml_sleep_type_s5((struct aml){ call, sizeof(call) }, &type));
    assert_false(aml_sleep_type_s5((struct aml){ short_package, sizeof(short_package) }, &type));
    assert_int_equal(type, 99);
    assert_true(aml_sleep_type_s5((struct aml){ ones, sizeof(ones) }, &type));
    assert_int_equal(type, 7);
    assert_true(aml_sleep_type_s5((struct aml){ word, sizeof(word) }, &type));
    assert_int_equal(type, 7);
    assert_false(aml_sleep_type_s5((struct aml){ NULL, 0 }, &type));
}

#define TEST(name) cmocka_unit_test_teardown(name, clear_memory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(q35_is_read_as_qemu_means_it),
        TEST(pc_with_an_acpi_1_table_is_read),
        TEST(microvm_is_hardware_reduced),
        TEST(microvm_with_pcie_has_its_ecam_in_the_dsdt),
        TEST(virtio_mmio_devices_of_the_dsdt_are_found),
        TEST(s5_is_found_on_every_machine),
        TEST(devices_are_found_whatever_the_bytes_of_their_length),
        TEST(a_hid_that_opens_no_device_is_none),
        TEST(sums_of_every_size_are_right),
        TEST(the_power_button_of_microvm_is_found),
        TEST(a_dsdt_cut_anywhere_is_scanned_without_reading_beyond),
        TEST(a_dsdt_with_any_byte_changed_is_scanned_safely),
        TEST(without_a_root_pointer_there_are_no_tables),
        TEST(a_root_pointer_outside_memory_is_named),
        TEST(a_root_pointer_is_searched_where_a_bios_leaves_it),
        TEST(a_broken_second_half_of_the_root_pointer_falls_back_to_the_first),
        TEST(a_root_table_with_a_wrong_checksum_is_ignored),
        TEST(root_entries_that_lead_nowhere_are_passed_over),
        TEST(more_tables_than_are_kept_do_no_harm),
        TEST(a_table_with_a_wrong_checksum_is_named_once_and_ignored),
        TEST(of_several_tables_of_a_kind_the_good_ones_are_numbered),
        TEST(absurd_table_lengths_are_refused),
        TEST(a_table_that_ends_beyond_memory_is_refused),
        TEST(a_table_of_nothing_but_its_header_has_no_content),
        TEST(madt_entries_without_length_end_the_walk),
        TEST(madt_entries_beyond_the_table_end_the_walk),
        TEST(madt_entries_shorter_than_their_type_are_passed_over),
        TEST(madt_of_many_processors_keeps_what_fits_and_says_so),
        TEST(madt_x2apics_address_and_disabled_processors),
        TEST(mcfg_regions_that_can_not_be_are_ignored),
        TEST(mcfg_regions_of_several_segments_may_lie_above_4_gib),
        TEST(registers_in_unknown_spaces_and_ports_beyond_64_kib_are_not_there),
        TEST(a_broken_dsdt_is_not_scanned),
        TEST(sleep_types_other_than_constants_are_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
