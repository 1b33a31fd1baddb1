/* SPDX-License-Identifier: MIT */
/* Partition tables for people, in the form of `fdisk -l`. */
#include "lib/base/string.h"
#include "lib/fs/partition.h"

static const struct {
    uint8_t type;
    const char *text;
} mbr_types[] = {
    { 0x01, "FAT12" },
    { 0x04, "FAT16 <32M" },
    { 0x05, "Extended" },
    { 0x06, "FAT16" },
    { 0x07, "HPFS/NTFS/exFAT" },
    { 0x0b, "W95 FAT32" },
    { 0x0c, "W95 FAT32 (LBA)" },
    { 0x0e, "W95 FAT16 (LBA)" },
    { 0x0f, "W95 Ext'd (LBA)" },
    { 0x82, "Linux swap / Solaris" },
    { 0x83, "Linux" },
    { 0x85, "Linux extended" },
    { 0x8e, "Linux LVM" },
    { 0xa5, "FreeBSD" },
    { 0xee, "GPT" },
    { 0xef, "EFI (FAT-12/16/32)" },
    { 0xfd, "Linux raid autodetect" },
};

/* As they are written; see write_guid() for the order of the bytes. */
static const struct {
    const char *guid, *text;
} gpt_types[] = {
    { "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "EFI System" },
    { "21686148-6449-6E6F-744E-656564454649", "BIOS boot" },
    { "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "Microsoft basic data" },
    { "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "Linux filesystem" },
    { "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "Linux swap" },
    { "E6D6D379-F507-44C2-A23C-238F2A3DF928", "Linux LVM" },
    { "A19D880F-05FC-4D3B-A006-743F0F84911E", "Linux RAID" },
    { "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "Linux root (x86-64)" },
    { "933AC7E1-2EB4-4F13-B844-0E14E2AEF915", "Linux home" },
    { "BC13C2FF-59E6-4262-A352-B275FD6F7172", "Linux extended boot" },
};

#define GUID_TEXT_BYTES 37

static void write_guid(char to[GUID_TEXT_BYTES], const struct guid *guid)
{
    /* The first three groups are little-endian numbers, the rest bytes in order. */
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    struct text text;

    text_init(&text, to, GUID_TEXT_BYTES);
    for (unsigned i = 0; i < 16; i++)
        text_add(&text, "%s%02X", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                 guid->byte[order[i]]);
}

static const char *gpt_type_text(const struct guid *type)
{
    char written[GUID_TEXT_BYTES];

    write_guid(written, type);
    for (unsigned i = 0; i < ARRAY_SIZE(gpt_types); i++) {
        if (!strcmp(gpt_types[i].guid, written))
            return gpt_types[i].text;
    }
    return "unknown";
}

const char *partition_type_text(const struct partition_table *table,
                                const struct partition *partition)
{
    if (table->scheme == PARTITION_GPT)
        return gpt_type_text(&partition->type);
    for (unsigned i = 0; i < ARRAY_SIZE(mbr_types); i++) {
        if (mbr_types[i].type == partition->mbr_type)
            return mbr_types[i].text;
    }
    return "unknown";
}

/* "64M", "1.5 GiB": at most one decimal, rounded. */
static void write_size(char *to, size_t size, uint64_t bytes, const char *space, const char *unit)
{
    static const char letters[] = "BKMGTPE";
    unsigned power = 0;
    uint64_t tenths;
    struct text text;

    while (power + 2 < sizeof(letters) && bytes >> (10 * power) >= 1024)
        power++;
    tenths = power ? ((bytes >> (10 * (power - 1))) * 10 + 512) >> 10 : bytes * 10;
    text_init(&text, to, size);
    text_add(&text, "%llu", (unsigned long long)tenths / 10);
    if (tenths % 10)
        text_add(&text, ".%llu", (unsigned long long)tenths % 10);
    text_add(&text, "%s%c%s", space, letters[power], power ? unit : "");
}

static void describe_disk(struct blkdev *dev, const struct partition_table *table,
                          struct text *text)
{
    uint64_t bytes = dev->sectors * BLK_SECTOR_BYTES;
    char size[16], id[GUID_TEXT_BYTES];

    write_size(size, sizeof(size), bytes, " ", "iB");
    text_add(text, "Disk /dev/%s: %s, %llu bytes, %llu sectors\n", dev->name, size,
             (unsigned long long)bytes, (unsigned long long)(bytes / dev->block_bytes));
    if (*blkdev_identity(dev))
        text_add(text, "Disk serial: %s\n", blkdev_identity(dev));
    text_add(text, "Units: sectors of 1 * %u = %u bytes\n", dev->block_bytes, dev->block_bytes);
    if (table->scheme == PARTITION_GPT) {
        write_guid(id, &table->gpt_id);
        text_add(text, "Disklabel type: gpt\nDisk identifier: %s\n", id);
    } else if (table->scheme == PARTITION_MBR) {
        text_add(text, "Disklabel type: dos\nDisk identifier: 0x%08x\n", table->mbr_id);
    }
    if (table->problem)
        text_add(text, "Problem: %s%s\n", table->problem,
                 table->from_backup ? "; the backup is used" : "");
}

static void describe_partition(struct blkdev *dev, const struct partition_table *table,
                               const struct partition *partition, struct text *text)
{
    uint64_t sectors_per_block = dev->block_bytes / BLK_SECTOR_BYTES;
    uint64_t first = partition->first_sector / sectors_per_block;
    uint64_t n = partition->sectors / sectors_per_block;
    char device[24], size[16];

    format(device, sizeof(device), "/dev/%s%u", dev->name, partition->number);
    write_size(size, sizeof(size), partition->sectors * BLK_SECTOR_BYTES, "", "");
    text_add(text, "%-11s", device);
    if (table->scheme == PARTITION_MBR)
        text_add(text, " %-4s", partition->bootable ? "*" : "");
    text_add(text, " %10llu %10llu %10llu %6s", (unsigned long long)first,
             (unsigned long long)(first + n - 1), (unsigned long long)n, size);
    if (table->scheme == PARTITION_MBR)
        text_add(text, " %2x", partition->mbr_type);
    text_add(text, " %s\n", partition_type_text(table, partition));
}

void partition_table_describe(struct blkdev *dev, const struct partition_table *table,
                              struct text *text)
{
    bool mbr = table->scheme == PARTITION_MBR;

    describe_disk(dev, table, text);
    if (!table->n_partitions)
        return;
    text_add(text, "\n%-11s%s %10s %10s %10s %6s%s Type\n", "Device", mbr ? " Boot" : "", "Start",
             "End", "Sectors", "Size", mbr ? " Id" : "");
    for (unsigned i = 0; i < table->n_partitions; i++)
        describe_partition(dev, table, &table->partition[i], text);
}
