/* SPDX-License-Identifier: MIT */
/*
 * Partition tables: a disk whose sectors are those of the input, at the places
 * where the input wants them, and whose GPT checksums are put right if it says
 * so. What is listed must lie on the disk, and the text must end.
 */
#include "lib/fs/partition.h"

#include "kernel/alloc.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/memory.h"
#include "tests/host/ramdisk.h"

#define SECTORS     256
#define CHECKSUMS   1
#define LARGE_BLOCK 2
#define TEXT_BYTES  65536

static struct ramdisk disk;

/* One bit at a time, unlike the code under test. */
static uint32_t crc_of(const uint8_t *at, size_t bytes)
{
    uint32_t crc = UINT32_MAX;

    while (bytes--) {
        crc ^= *at++;
        for (unsigned i = 0; i < 8; i++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
    }
    return ~crc;
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;

    memcpy(&value, at, bytes);
    return value;
}

/* Checksums of a GPT header, of its entries first. UEFI 2.10, §5.3.2. */
static void put_right(uint64_t block, uint32_t block_bytes)
{
    uint8_t *header = disk.bytes + block * block_bytes;
    uint64_t entries = get(header + 72, 8) % (SECTORS * BLK_SECTOR_BYTES / block_bytes);
    uint64_t bytes = get(header + 80, 4) * get(header + 84, 4), header_bytes = get(header + 12, 4);
    uint64_t left = SECTORS * BLK_SECTOR_BYTES - entries * block_bytes;
    uint32_t crc;

    if (bytes <= left) {
        crc = crc_of(disk.bytes + entries * block_bytes, bytes);
        memcpy(header + 88, &crc, 4);
    }
    memset(header + 16, 0, 4);
    if (header_bytes > block_bytes)
        return;
    crc = crc_of(header, header_bytes);
    memcpy(header + 16, &crc, 4);
}

static void check(const struct partition_table *table)
{
    expect(table->n_partitions <= PARTITIONS_MAX, "no more partitions than there is room for");
    for (unsigned i = 0; i < table->n_partitions; i++) {
        const struct partition *one = &table->partition[i];

        expect(one->sectors > 0 && one->first_sector < SECTORS &&
                   one->sectors <= SECTORS - one->first_sector,
               "a partition that is listed lies on the disk");
        expect(memchr(one->name, 0, sizeof(one->name)), "a partition's name ends");
        expect(partition_type_text(table, one), "a partition's type has a text");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static char memory[TEXT_BYTES];
    struct input input = { bytes, size };
    uint8_t flags = take8(&input);
    uint32_t block_bytes = flags & LARGE_BLOCK ? 4096 : 512;
    struct partition_table *table;
    struct text text;

    ramdisk_init(&disk, SECTORS, block_bytes);
    while (input.left) {
        size_t at = (size_t)take8(&input) * BLK_SECTOR_BYTES + take16(&input) % BLK_SECTOR_BYTES;
        size_t most = take8(&input) + 1u;

        if (most > SECTORS * BLK_SECTOR_BYTES - at)
            most = SECTORS * BLK_SECTOR_BYTES - at;
        take(&input, disk.bytes + at, most);
    }
    if (flags & CHECKSUMS) {
        put_right(1, block_bytes);
        put_right(SECTORS * BLK_SECTOR_BYTES / block_bytes - 1, block_bytes);
    }
    table = partition_table_read(&disk.dev);
    if (table) {
        check(table);
        text_init(&text, memory, sizeof(memory));
        partition_table_describe(&disk.dev, table, &text);
    }
    kfree(table);
    ramdisk_free(&disk);
    expect(fuzz_memory_left().objects == 0, "nothing is left");
    return 0;
}
