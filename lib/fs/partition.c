/* SPDX-License-Identifier: MIT */
/* Reading of partition tables. See partition.h. */
#include "lib/fs/partition.h"

#include "kernel/alloc.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

/* ---- as they lie on the disk; all of it unaligned and little-endian */

#define MBR_SIGNATURE_OFFSET 510
#define MBR_SIGNATURE        0xaa55
#define MBR_ENTRIES_OFFSET   446
#define MBR_ID_OFFSET        440
#define MBR_ENTRIES          4

#define MBR_BOOTABLE       0x80
#define MBR_EXTENDED       0x05
#define MBR_EXTENDED_LBA   0x0f
#define MBR_EXTENDED_LINUX 0x85
#define MBR_PROTECTIVE     0xee

struct mbr_entry {
    uint8_t status;
    uint8_t first_chs[3];
    uint8_t type;
    uint8_t last_chs[3];
    le32 first_lba;
    le32 n_lba;
} __attribute__((packed));

#define GPT_SIGNATURE       UINT64_C(0x5452415020494645) /* "EFI PART" */
#define GPT_HEADER_BYTES    92
#define GPT_ENTRY_BYTES     128
#define GPT_ENTRY_BYTES_MAX 4096
#define GPT_ARRAY_BYTES_MAX MIB /* more is no table but an attempt to keep us busy */

struct gpt_header {
    le64 signature;
    le32 revision;
    le32 header_bytes;
    le32 header_crc;
    le32 reserved;
    le64 my_lba, alternate_lba;
    le64 first_usable_lba, last_usable_lba;
    struct guid disk_id;
    le64 entries_lba;
    le32 n_entries;
    le32 entry_bytes;
    le32 entries_crc;
} __attribute__((packed));

struct gpt_entry {
    struct guid type, id;
    le64 first_lba, last_lba;
    le64 attributes;
    uint8_t name[72]; /* UTF-16, little-endian */
} __attribute__((packed));

_Static_assert(sizeof(struct mbr_entry) == 16, "MBR entry");
_Static_assert(sizeof(struct gpt_header) == GPT_HEADER_BYTES, "GPT header");
_Static_assert(sizeof(struct gpt_entry) == GPT_ENTRY_BYTES, "GPT entry");

/* ---- one scan */

#define BUFFER_BYTES 16384

struct scan {
    struct blkdev *dev;
    struct partition_table *table;
    uint64_t blocks; /* of the disk; tables count in logical blocks */
    uint32_t block_bytes;
    uint8_t *buffer; /* BUFFER_BYTES or a block, whichever is larger */
};

/* The first problem is the one that explains the others. */
static void complain(struct scan *scan, const char *problem)
{
    if (!scan->table->problem)
        scan->table->problem = problem;
}

static int read_blocks(struct scan *scan, uint64_t block, uint32_t n)
{
    if (block >= scan->blocks || n > scan->blocks - block)
        return -EINVAL;
    return blkdev_read(scan->dev, block * (scan->block_bytes / BLK_SECTOR_BYTES), scan->buffer,
                       n * scan->block_bytes);
}

/*
 * Adds [first, first + n), in blocks, if all of it lies on the disk; NULL: it
 * does not, or the list is full.
 */
static struct partition *add(struct scan *scan, unsigned number, uint64_t first, uint64_t n)
{
    struct partition_table *table = scan->table;
    uint64_t sectors_per_block = scan->block_bytes / BLK_SECTOR_BYTES;
    struct partition *partition;

    if (!n || first >= scan->blocks || n > scan->blocks - first) {
        complain(scan, "a partition reaches beyond the disk");
        return NULL;
    }
    if (table->n_partitions == PARTITIONS_MAX) {
        complain(scan, "more partitions than can be listed");
        return NULL;
    }
    partition = &table->partition[table->n_partitions++];
    partition->number = number;
    partition->first_sector = first * sectors_per_block;
    partition->sectors = n * sectors_per_block;
    return partition;
}

/* ---- GPT */

/* CRC-32 as in IEEE 802.3, half a byte at a time: small, and tables are read rarely. */
static uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t n)
{
    static const uint32_t of_nibble[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };

    crc = ~crc;
    for (; n; n--, bytes++) {
        crc = of_nibble[(crc ^ *bytes) & 15] ^ crc >> 4;
        crc = of_nibble[(crc ^ *bytes >> 4) & 15] ^ crc >> 4;
    }
    return ~crc;
}

static bool header_crc_is_right(uint8_t *bytes, const struct gpt_header *header)
{
    memset(bytes + offsetof(struct gpt_header, header_crc), 0, sizeof(header->header_crc));
    return crc32(0, bytes, header->header_bytes) == header->header_crc;
}

static bool entries_make_sense(const struct scan *scan, const struct gpt_header *header)
{
    uint64_t bytes = (uint64_t)header->n_entries * header->entry_bytes;

    return header->entry_bytes >= GPT_ENTRY_BYTES && header->entry_bytes <= GPT_ENTRY_BYTES_MAX &&
           !(header->entry_bytes & (header->entry_bytes - 1)) && bytes <= GPT_ARRAY_BYTES_MAX &&
           header->entries_lba < scan->blocks;
}

/* NULL, or what is wrong with the header at this block. */
static const char *read_gpt_header(struct scan *scan, uint64_t block, struct gpt_header *header)
{
    if (read_blocks(scan, block, 1))
        return "the GPT header cannot be read";
    memcpy(header, scan->buffer, sizeof(*header));
    if (header->signature != GPT_SIGNATURE)
        return "the GPT header has no signature";
    if (header->header_bytes < GPT_HEADER_BYTES || header->header_bytes > scan->block_bytes)
        return "the GPT header's length is wrong";
    if (!header_crc_is_right(scan->buffer, header))
        return "the GPT header's checksum is wrong";
    if (header->my_lba != block)
        return "the GPT header belongs elsewhere";
    if (header->first_usable_lba > header->last_usable_lba ||
        header->last_usable_lba >= scan->blocks)
        return "the GPT's usable range is beyond the disk";
    if (!entries_make_sense(scan, header))
        return "the GPT's entries are beyond measure";
    return NULL;
}

/* UTF-8 of a name in UTF-16; what is not a printable character becomes '?'. */
static void convert_name(char *to, const uint8_t *from, unsigned units)
{
    for (unsigned i = 0; i < units; i++) {
        uint32_t unit = from[2 * i] | (uint32_t)from[2 * i + 1] << 8;

        if (!unit)
            break;
        if (unit < 0x20 || (unit >= 0x7f && unit < 0xa0) || (unit >= 0xd800 && unit < 0xe000))
            unit = '?';
        if (unit < 0x80) {
            *to++ = (char)unit;
            continue;
        }
        if (unit < 0x800) {
            *to++ = (char)(0xc0 | unit >> 6);
        } else {
            *to++ = (char)(0xe0 | unit >> 12);
            *to++ = (char)(0x80 | (unit >> 6 & 0x3f));
        }
        *to++ = (char)(0x80 | (unit & 0x3f));
    }
    *to = '\0';
}

static void add_gpt_entry(struct scan *scan, const struct gpt_header *header, unsigned number,
                          const struct gpt_entry *entry)
{
    static const struct guid unused;
    struct partition *partition;

    if (!memcmp(&entry->type, &unused, sizeof(unused)))
        return;
    if (entry->first_lba < header->first_usable_lba || entry->last_lba > header->last_usable_lba ||
        entry->first_lba > entry->last_lba) {
        complain(scan, "a partition lies outside the usable range");
        return;
    }
    partition = add(scan, number, entry->first_lba, entry->last_lba - entry->first_lba + 1);
    if (!partition)
        return;
    partition->type = entry->type;
    partition->id = entry->id;
    convert_name(partition->name, entry->name, sizeof(entry->name) / 2);
}

static void add_gpt_entries(struct scan *scan, const struct gpt_header *header, uint32_t first,
                            uint32_t bytes)
{
    for (uint32_t at = 0; at + header->entry_bytes <= bytes; at += header->entry_bytes) {
        struct gpt_entry entry;

        memcpy(&entry, scan->buffer + at, sizeof(entry));
        add_gpt_entry(scan, header, first + at / header->entry_bytes + 1, &entry);
    }
}

/* NULL, or what is wrong with the array of entries; what it lists is believed only then. */
static const char *read_gpt_entries(struct scan *scan, const struct gpt_header *header)
{
    uint32_t left = header->n_entries * header->entry_bytes; /* at most GPT_ARRAY_BYTES_MAX */
    uint32_t most = MAX(BUFFER_BYTES, scan->block_bytes), crc = 0, first = 0;
    uint64_t block = header->entries_lba;

    while (left) {
        uint32_t bytes = MIN(left, most);
        uint32_t n = (bytes + scan->block_bytes - 1) / scan->block_bytes;

        if (read_blocks(scan, block, n))
            return "the GPT's entries cannot be read";
        crc = crc32(crc, scan->buffer, bytes);
        add_gpt_entries(scan, header, first, bytes);
        first += bytes / header->entry_bytes;
        block += n;
        left -= bytes;
    }
    return crc == header->entries_crc ? NULL : "the checksum of the GPT's entries is wrong";
}

static const char *read_gpt_at(struct scan *scan, uint64_t block)
{
    struct gpt_header header = { 0 };
    const char *problem = read_gpt_header(scan, block, &header);

    scan->table->n_partitions = 0;
    scan->table->gpt_id = header.disk_id;
    if (!problem)
        problem = read_gpt_entries(scan, &header);
    if (problem)
        scan->table->n_partitions = 0;
    return problem;
}

static void read_gpt(struct scan *scan)
{
    const char *problem = read_gpt_at(scan, 1);

    scan->table->scheme = PARTITION_GPT;
    if (!problem)
        return;
    scan->table->problem = problem;
    if (read_gpt_at(scan, scan->blocks - 1))
        memset(&scan->table->gpt_id, 0, sizeof(scan->table->gpt_id));
    else
        scan->table->from_backup = true;
}

/* ---- MBR */

/* Copies the entries of the block just read; false: it has none. */
static bool take_mbr_entries(const struct scan *scan, struct mbr_entry entry[MBR_ENTRIES])
{
    const uint8_t *block = scan->buffer;

    if ((block[MBR_SIGNATURE_OFFSET] | block[MBR_SIGNATURE_OFFSET + 1] << 8) != MBR_SIGNATURE)
        return false;
    memcpy(entry, block + MBR_ENTRIES_OFFSET, MBR_ENTRIES * sizeof(*entry));
    for (unsigned i = 0; i < MBR_ENTRIES; i++) {
        if (entry[i].status & ~MBR_BOOTABLE) /* the boot sector of a file system */
            return false;
    }
    return true;
}

static bool is_extended(const struct mbr_entry *entry)
{
    return entry->type == MBR_EXTENDED || entry->type == MBR_EXTENDED_LBA ||
           entry->type == MBR_EXTENDED_LINUX;
}

static void add_mbr_entry(struct scan *scan, unsigned number, uint64_t base,
                          const struct mbr_entry *entry)
{
    struct partition *partition;

    if (!entry->type)
        return;
    partition = add(scan, number, base + entry->first_lba, entry->n_lba);
    if (!partition)
        return;
    partition->mbr_type = entry->type;
    partition->bootable = entry->status == MBR_BOOTABLE;
}

static bool was_seen(const uint64_t *seen, unsigned n, uint64_t block)
{
    while (n--) {
        if (seen[n] == block)
            return true;
    }
    return false;
}

/*
 * The chain of extended boot records: in each, the first entry is a logical
 * partition, relative to the record, and the second the next record, relative
 * to the extended partition. A chain that comes back to itself ends there.
 */
static void read_logical(struct scan *scan, const struct mbr_entry *extended)
{
    uint64_t seen[PARTITIONS_MAX], block = extended->first_lba;
    struct mbr_entry entry[MBR_ENTRIES];

    for (unsigned n = 0;; n++) {
        if (n == PARTITIONS_MAX || was_seen(seen, n, block)) {
            complain(scan, "the chain of logical partitions has no end");
            return;
        }
        seen[n] = block;
        if (read_blocks(scan, block, 1) || !take_mbr_entries(scan, entry)) {
            complain(scan, "the chain of logical partitions is broken");
            return;
        }
        add_mbr_entry(scan, MBR_ENTRIES + 1 + n, block, &entry[0]);
        if (!is_extended(&entry[1]) || !entry[1].n_lba)
            return;
        block = (uint64_t)extended->first_lba + entry[1].first_lba;
    }
}

static void read_mbr(struct scan *scan, const struct mbr_entry entry[MBR_ENTRIES])
{
    const struct mbr_entry *extended = NULL;

    scan->table->scheme = PARTITION_MBR;
    memcpy(&scan->table->mbr_id, scan->buffer + MBR_ID_OFFSET, sizeof(scan->table->mbr_id));
    for (unsigned i = 0; i < MBR_ENTRIES; i++) {
        add_mbr_entry(scan, i + 1, 0, &entry[i]);
        if (is_extended(&entry[i]) && !extended)
            extended = &entry[i];
    }
    if (extended)
        read_logical(scan, extended);
}

/* An entry that guards a GPT against programs that know the MBR only. */
static bool is_protective(const struct mbr_entry entry[MBR_ENTRIES])
{
    for (unsigned i = 0; i < MBR_ENTRIES; i++) {
        if (entry[i].type == MBR_PROTECTIVE && entry[i].first_lba == 1)
            return true;
    }
    return false;
}

static void scan_disk(struct scan *scan)
{
    struct mbr_entry entry[MBR_ENTRIES];

    if (!scan->blocks)
        return;
    if (read_blocks(scan, 0, 1))
        complain(scan, "the first block cannot be read");
    else if (!take_mbr_entries(scan, entry))
        return;
    else if (is_protective(entry))
        read_gpt(scan);
    else
        read_mbr(scan, entry);
}

struct partition_table *partition_table_read(struct blkdev *dev)
{
    struct scan scan = {
        .dev = dev,
        .table = kalloc(sizeof(struct partition_table)),
        .blocks = dev->sectors / (dev->block_bytes / BLK_SECTOR_BYTES),
        .block_bytes = dev->block_bytes,
        .buffer = kalloc(MAX(BUFFER_BYTES, dev->block_bytes)),
    };

    if (scan.table && scan.buffer) {
        scan_disk(&scan);
    } else {
        kfree(scan.table);
        scan.table = NULL;
    }
    kfree(scan.buffer);
    return scan.table;
}
