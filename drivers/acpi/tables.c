/* SPDX-License-Identifier: MIT */
/*
 * From the root pointer to verified tables. The root table is walked once, when
 * the first table is asked for, and a table is only read as a whole when
 * somebody wants it: a boot pays for what it uses.
 */
#include "drivers/acpi/tables.h"
#include "drivers/acpi/acpi.h"
#include "kernel/log.h"
#include "kernel/mmio.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

/* The root pointer, §5.2.5.3. Revision 0 ends before `length`. */
struct rsdp {
    char signature[8];
    uint8_t checksum; /* of the first RSDP_V1_BYTES */
    char oem_id[6];
    uint8_t revision;
    le32 rsdt;
    le32 length;
    le64 xsdt;
    uint8_t extended_checksum;
    uint8_t reserved[3];
} __attribute__((packed));

#define RSDP_V1_BYTES 20
#define RSDP_STEP     16

/* A real table has a few KiB; what claims more than this is a lie or a mistake. */
#define MAX_TABLE_BYTES (1 * MIB)
#define MAX_TABLES      32

enum table_state { UNREAD, GOOD, BAD };

static struct table {
    char signature[4];
    enum table_state state;
    const struct acpi_header *header;
} tables[MAX_TABLES];
static unsigned n_tables;

static phys_addr_t given_rsdp;
static bool may_search, root_read;

unsigned acpi_generation;

void acpi_set_rsdp(phys_addr_t rsdp, bool search)
{
    given_rsdp = rsdp;
    may_search = search;
    root_read = false;
    n_tables = 0;
    acpi_generation++;
}

/*
 * Of 1 to 128 words: the even bytes in four lanes of 16 bits. Taken from the sum of the whole
 * words they leave 256 times those of the odd bytes, with nothing lost but the highest lane's upper
 * byte. Both together do not fill a lane either.
 */
static uint8_t sum_words(const uint8_t *at, size_t words)
{
    uint64_t even = 0, whole = 0, lanes, word;

    do {
        __builtin_memcpy(&word, at, sizeof(word));
        at += sizeof(word);
        whole += word;
        even += word & UINT64_C(0x00ff00ff00ff00ff);
    } while (--words);
    lanes = even + ((whole - even) >> 8);
    return (uint8_t)(lanes + (lanes >> 16) + (lanes >> 32) + (lanes >> 48));
}

/* Modulo 256. The DSDT has kilobytes, and they are summed at each start. */
static uint8_t sum(const void *start, size_t bytes)
{
    const uint8_t *at = start;
    uint16_t total = 0;

    while (bytes >= sizeof(uint64_t)) {
        size_t words = MIN(bytes / sizeof(uint64_t), 128u);

        total = (uint16_t)(total + sum_words(at, words));
        at += words * sizeof(uint64_t);
        bytes -= words * sizeof(uint64_t);
    }
    while (bytes--)
        total = (uint16_t)(total + *at++);
    return (uint8_t)total;
}

/* The length is looked at before more than the header is mapped. */
static const struct acpi_header *map_table(phys_addr_t address)
{
    const struct acpi_header *header = memory_map(address, sizeof(*header));
    uint32_t bytes;

    if (!header) {
        log_error("acpi: a table at 0x%llx is out of reach", (unsigned long long)address);
        return NULL;
    }
    bytes = header->length;
    if (bytes < sizeof(*header) || bytes > MAX_TABLE_BYTES) {
        log_error("acpi: the table at 0x%llx claims %u bytes", (unsigned long long)address, bytes);
        return NULL;
    }
    return memory_map(address, bytes);
}

/* Dozens of signatures are compared in a boot. */
static bool is_same(const char *a, const char *b)
{
    uint32_t x, y;

    __builtin_memcpy(&x, a, sizeof(x));
    __builtin_memcpy(&y, b, sizeof(y));
    return x == y;
}

static bool verify_table(const struct acpi_header *header, const char *signature)
{
    if (!is_same(header->signature, signature)) {
        log_error("acpi: no %.4s where it should be", signature);
        return false;
    }
    if (sum(header, header->length) != 0) {
        log_error("acpi: %.4s has a wrong checksum, ignored", signature);
        return false;
    }
    return true;
}

static bool is_rsdp(const struct rsdp *rsdp)
{
    return memcmp(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature)) == 0 &&
           sum(rsdp, RSDP_V1_BYTES) == 0;
}

static bool is_signed(const char *at)
{
    uint64_t word;

    __builtin_memcpy(&word, at, sizeof(word));
    return word == UINT64_C(0x2052545020445352); /* "RSD PTR " */
}

/*
 * The next candidate at or behind `at`, or the end. Most of a boot's time where a BIOS tells
 * nothing, so four steps are one turn.
 */
static const char *skip_to_rsdp(const char *at, const char *end)
{
    for (; end - at > 3 * RSDP_STEP; at += 4 * RSDP_STEP)
        if (is_signed(at) || is_signed(at + RSDP_STEP) || is_signed(at + 2 * RSDP_STEP) ||
            is_signed(at + 3 * RSDP_STEP))
            break;
    while (at < end && !is_signed(at))
        at += RSDP_STEP;
    return at;
}

/*
 * Where a BIOS leaves it, §5.2.5.1, the likeliest place first. The pointer to the extended BIOS
 * data area lies in page 0, which is never mapped here; that area is the last KiB below 640 KiB on
 * every VMM.
 */
static const struct rsdp *search_rsdp(void)
{
    static const struct {
        phys_addr_t start;
        uint64_t bytes;
    } areas[] = { { 0xf0000, 0x10000 }, { 0xe0000, 0x10000 }, { 0x9fc00, 0x400 } };

    for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
        const char *at = memory_map(areas[i].start, areas[i].bytes);
        const char *end = at + areas[i].bytes - sizeof(struct rsdp) + 1;

        for (; at && (at = skip_to_rsdp(at, end)) < end; at += RSDP_STEP)
            if (is_rsdp((const void *)at))
                return (const void *)at;
    }
    return NULL;
}

static const struct rsdp *find_rsdp(void)
{
    if (given_rsdp) {
        const struct rsdp *rsdp = memory_map(given_rsdp, sizeof(*rsdp));

        if (rsdp && is_rsdp(rsdp))
            return rsdp;
        log_error("acpi: no root pointer at 0x%llx, where the boot information has it",
                  (unsigned long long)given_rsdp);
    }
    return may_search ? search_rsdp() : NULL;
}

void acpi_add_table(phys_addr_t address)
{
    const struct acpi_header *header;

    if (!address) /* an empty slot is legal */
        return;
    if (n_tables == MAX_TABLES) {
        log_error("acpi: more than %d tables, the rest is ignored", MAX_TABLES);
        return;
    }
    header = map_table(address);
    if (!header)
        return;
    memcpy(tables[n_tables].signature, header->signature, sizeof(header->signature));
    tables[n_tables].state = UNREAD;
    tables[n_tables++].header = header;
}

/* RSDT and XSDT differ in their signature and in the bytes of an entry, §5.2.7 and §5.2.8. */
static bool read_root(phys_addr_t address, const char *signature, size_t entry_bytes)
{
    const struct acpi_header *root = map_table(address);
    const char *entries;
    size_t n;

    if (!root || !verify_table(root, signature))
        return false;
    entries = (const char *)(root + 1);
    n = (root->length - sizeof(*root)) / entry_bytes;
    for (size_t i = 0; i < n && n_tables < MAX_TABLES; i++) {
        uint64_t entry = 0;

        memcpy(&entry, entries + i * entry_bytes, entry_bytes);
        acpi_add_table(entry);
    }
    return true;
}

static bool has_xsdt(const struct rsdp *rsdp)
{
    if (rsdp->revision < 2 || !rsdp->xsdt)
        return false;
    if (rsdp->length != sizeof(*rsdp) || sum(rsdp, sizeof(*rsdp)) != 0) {
        log_error("acpi: the root pointer's second half is broken, using its first");
        return false;
    }
    return true;
}

static void read_tables(void)
{
    const struct rsdp *rsdp = find_rsdp();

    root_read = true;
    if (!rsdp) {
        log_info("acpi: no tables");
        return;
    }
    if (has_xsdt(rsdp) && read_root(rsdp->xsdt, "XSDT", sizeof(uint64_t)))
        return;
    if (rsdp->rsdt)
        read_root(rsdp->rsdt, "RSDT", sizeof(uint32_t));
}

const struct acpi_header *acpi_table(const char *signature)
{
    return acpi_table_at(signature, 0);
}

const struct acpi_header *acpi_table_at(const char *signature, unsigned index)
{
    if (!root_read)
        read_tables();
    for (unsigned i = 0; i < n_tables; i++) {
        struct table *table = &tables[i];

        if (!is_same(table->signature, signature))
            continue;
        if (table->state == UNREAD)
            table->state = verify_table(table->header, signature) ? GOOD : BAD;
        if (table->state == GOOD && index-- == 0)
            return table->header;
    }
    return NULL;
}

phys_addr_t acpi_hpet(void)
{
    const struct hpet_table {
        struct acpi_header header;
        le32 event_timer_block_id;
        uint8_t space; /* 0: memory */
        uint8_t register_bits, register_offset, reserved;
        le64 address;
    } __attribute__((packed)) *hpet = (const void *)acpi_table("HPET");

    if (!hpet || hpet->header.length < sizeof(*hpet) || hpet->space != 0)
        return 0;
    return hpet->address;
}

int acpi_mcfg(struct acpi_ecam *regions, unsigned max)
{
    const struct mcfg_entry {
        le64 base;
        le16 segment;
        uint8_t bus_first, bus_last;
        le32 reserved;
    } __attribute__((packed)) * entry;
    const struct acpi_header *mcfg = acpi_table("MCFG");
    const size_t entries_at = sizeof(*mcfg) + 8;
    unsigned n = 0;

    if (!mcfg)
        return acpi_dsdt_ecam(regions, max);
    if (mcfg->length < entries_at)
        return -ENODEV;
    entry = (const void *)((const char *)mcfg + entries_at);
    for (size_t left = (mcfg->length - entries_at) / sizeof(*entry); left > 0; left--, entry++) {
        if (!acpi_ecam_is_sane(entry->base, entry->bus_first, entry->bus_last)) {
            log_error("acpi: MCFG gives buses %u to %u at 0x%llx, ignored", entry->bus_first,
                      entry->bus_last, (unsigned long long)entry->base);
            continue;
        }
        if (n == max)
            break;
        regions[n++] =
            (struct acpi_ecam){ entry->base, entry->segment, entry->bus_first, entry->bus_last };
    }
    return n ? (int)n : -ENODEV;
}

/* Configuration space of a bus takes 1 MiB, and this kernel maps 64 TiB. */
bool acpi_ecam_is_sane(phys_addr_t base, unsigned bus_first, unsigned bus_last)
{
    return base != 0 && IS_ALIGNED(base, MIB) && bus_first <= bus_last &&
           base < (UINT64_C(1) << 46) - 256 * MIB;
}
