/* SPDX-License-Identifier: MIT */
#include "drivers/smbios.h"

#include "kernel/mmio.h"
#include "kernel/report.h"
#include "lib/base/format.h"
#include "lib/base/string.h"

/* Where a BIOS leaves the entry point, §5.2. */
#define BIOS_AREA       0xf0000
#define BIOS_AREA_BYTES 0x10000

#define ENTRY_ALIGN      16
#define MAX_TABLES_BYTES (64 * KIB)
#define NAME_BYTES       96

#define TYPE_SYSTEM 1
#define TYPE_END    127

/* The 32-bit entry point, §5.2.1, and the 64-bit one, §5.2.2, as far as they matter here. */
struct entry_32 {
    char anchor[4]; /* "_SM_" */
    uint8_t checksum, length;
    uint8_t unused[16];
    le16 structures_bytes;
    le32 structures;
} __attribute__((packed));

struct entry_64 {
    char anchor[5]; /* "_SM3_" */
    uint8_t checksum, length;
    uint8_t unused[5];
    le32 structures_bytes_max;
    le64 structures;
} __attribute__((packed));

struct structure {
    uint8_t type, length; /* of the part before the strings */
    le16 handle;
};

/* The system information, §7.2: numbers of strings that follow the structure; 0: none. */
struct system_structure {
    struct structure header;
    uint8_t manufacturer, product;
};

static bool checksum_is_right(const void *start, size_t bytes, size_t available)
{
    const uint8_t *at = start;
    uint8_t sum = 0;

    if (bytes > available)
        return false;
    for (size_t i = 0; i < bytes; i++)
        sum = (uint8_t)(sum + at[i]);
    return sum == 0;
}

static bool take_entry(const uint8_t *at, size_t left, phys_addr_t *structures, uint32_t *length)
{
    struct entry_32 entry_32;
    struct entry_64 entry_64;

    if (left >= sizeof(entry_64) && !memcmp(at, "_SM3_", 5)) {
        memcpy(&entry_64, at, sizeof(entry_64));
        *structures = entry_64.structures;
        *length = entry_64.structures_bytes_max;
        return entry_64.length >= sizeof(entry_64) && checksum_is_right(at, entry_64.length, left);
    }
    if (left >= sizeof(entry_32) && !memcmp(at, "_SM_", 4)) {
        memcpy(&entry_32, at, sizeof(entry_32));
        *structures = entry_32.structures;
        *length = entry_32.structures_bytes;
        return entry_32.length >= sizeof(entry_32) && checksum_is_right(at, entry_32.length, left);
    }
    return false;
}

bool smbios_find(const void *area, size_t bytes, phys_addr_t *structures, uint32_t *length)
{
    const uint8_t *start = area;

    for (size_t i = 0; i < bytes; i += ENTRY_ALIGN)
        if (take_entry(start + i, bytes - i, structures, length))
            return true;
    return false;
}

/* The n-th string (from 1) of those that end with an empty one; NULL: there is none. */
static const char *string_of(const char *at, const char *end, unsigned n)
{
    while (n && at < end && *at) {
        size_t length = strnlen(at, (size_t)(end - at));

        if (at + length == end)
            return NULL; /* not terminated */
        if (--n == 0)
            return at;
        at += length + 1;
    }
    return NULL;
}

/* Where the strings end: behind two zeros in a row. */
static const char *strings_end(const char *at, const char *end)
{
    for (; end - at >= 2; at++)
        if (!at[0] && !at[1])
            return at + 2;
    return end;
}

static void copy_printable(char *to, size_t size, const char *manufacturer, const char *product)
{
    int length = format(to, size, "%s%s%s", manufacturer ? manufacturer : "",
                        manufacturer && product ? " " : "", product ? product : "");

    for (size_t i = 0; i < MIN((size_t)length, size - 1); i++)
        if (to[i] < ' ' || to[i] > '~')
            to[i] = '?';
}

bool smbios_system(const void *structures, size_t bytes, char *to, size_t size)
{
    const char *at = structures, *end = at + bytes;
    struct system_structure system;

    while ((size_t)(end - at) >= sizeof(system)) {
        const char *strings;

        memcpy(&system, at, sizeof(system));
        if (system.header.length < sizeof(system.header) || system.header.type == TYPE_END ||
            system.header.length > (size_t)(end - at))
            return false;
        strings = at + system.header.length;
        if (system.header.type == TYPE_SYSTEM && system.header.length >= sizeof(system)) {
            const char *manufacturer = string_of(strings, end, system.manufacturer);
            const char *product = string_of(strings, end, system.product);

            copy_printable(to, size, manufacturer, product);
            return manufacturer || product;
        }
        at = strings_end(strings, end);
    }
    return false;
}

static void tell(struct report *report)
{
    const void *area = memory_map(BIOS_AREA, BIOS_AREA_BYTES), *structures;
    phys_addr_t address;
    uint32_t bytes;
    char name[NAME_BYTES] = "";

    if (area && smbios_find(area, BIOS_AREA_BYTES, &address, &bytes) && bytes <= MAX_TABLES_BYTES) {
        structures = memory_map(address, bytes);
        if (structures)
            smbios_system(structures, bytes, name, sizeof(name));
    }
    report_text(report, "product", "%s", name[0] ? name : "not told");
}

REPORTER(machine_reporter) = { "machine", 15, tell };
