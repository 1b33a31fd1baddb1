/* SPDX-License-Identifier: MIT */
/* Partition tables, sound and hostile: lib/fs/partition.c and partition_text.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/alloc.h"
#include "lib/fs/partition.h"
#include "tests/host/ramdisk.h"

#define DISK_SECTORS 65536 /* 32 MiB */

static struct ramdisk disk;
static struct partition_table *table;

static void make_disk(uint64_t sectors, uint32_t block_bytes)
{
    ramdisk_init(&disk, sectors, block_bytes);
}

static void scan(void)
{
    kfree(table);
    table = partition_table_read(&disk.dev);
    assert_non_null(table);
}

static int setup(void **state)
{
    (void)state;
    make_disk(DISK_SECTORS, 512);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kfree(table);
    table = NULL;
    ramdisk_free(&disk);
    return 0;
}

static void put(uint64_t at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        disk.bytes[at + i] = (uint8_t)(value >> 8 * i);
}

/* One bit at a time, unlike the code under test. */
static uint32_t crc_of(uint64_t at, size_t n)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        crc ^= disk.bytes[at + i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void put_mbr_entry(uint64_t block, unsigned i, uint8_t type, uint32_t first, uint32_t n)
{
    uint64_t at = block * disk.dev.block_bytes;

    put(at + 446 + 16 * i + 4, type, 1);
    put(at + 446 + 16 * i + 8, first, 4);
    put(at + 446 + 16 * i + 12, n, 4);
    put(at + 510, 0xaa55, 2);
}

/* ---- a GPT as UEFI 5.3 has it, with the entries at `entries` and n of them */

static const uint8_t linux_type[16] = { 0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
                                        0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4 };

static uint64_t last_block(void)
{
    return disk.dev.sectors * 512 / disk.dev.block_bytes - 1;
}

static void seal_header(uint64_t block)
{
    uint64_t at = block * disk.dev.block_bytes;
    uint64_t entries = 0;
    uint32_t n = 0, bytes = 0;

    memcpy(&entries, disk.bytes + at + 72, 8);
    memcpy(&n, disk.bytes + at + 80, 4);
    memcpy(&bytes, disk.bytes + at + 84, 4);
    if ((uint64_t)n * bytes <= 65536 && entries < disk.dev.sectors &&
        entries * disk.dev.block_bytes + (uint64_t)n * bytes <= disk.dev.sectors * 512)
        put(at + 88, crc_of(entries * disk.dev.block_bytes, (size_t)n * bytes), 4);
    put(at + 16, 0, 4);
    put(at + 16, crc_of(at, 92), 4);
}

static void put_gpt_header(uint64_t block, uint64_t other, uint64_t entries, uint32_t n,
                           uint32_t entry_bytes)
{
    uint64_t at = block * disk.dev.block_bytes;

    memcpy(disk.bytes + at, "EFI PART", 8);
    put(at + 8, 0x10000, 4);
    put(at + 12, 92, 4);
    put(at + 24, block, 8);
    put(at + 32, other, 8);
    put(at + 40, 40, 8);
    put(at + 48, last_block() - 33, 8);
    memset(disk.bytes + at + 56, 0x5a, 16);
    put(at + 72, entries, 8);
    put(at + 80, n, 4);
    put(at + 84, entry_bytes, 4);
    seal_header(block);
}

static void put_gpt_entry(uint64_t entries, uint32_t entry_bytes, unsigned i, uint64_t first,
                          uint64_t last, const char *name)
{
    uint64_t at = entries * disk.dev.block_bytes + (uint64_t)i * entry_bytes;

    memcpy(disk.bytes + at, linux_type, 16);
    memset(disk.bytes + at + 16, (int)i + 1, 16);
    put(at + 32, first, 8);
    put(at + 40, last, 8);
    for (unsigned c = 0; name[c]; c++)
        put(at + 56 + 2 * c, (uint8_t)name[c], 2);
}

static void make_gpt(void)
{
    put_mbr_entry(0, 0, 0xee, 1, UINT32_MAX);
    put_gpt_entry(2, 128, 0, 2048, 4095, "first");
    put_gpt_entry(2, 128, 127, 8192, 8192, "last");
    memcpy(disk.bytes + (last_block() - 32) * disk.dev.block_bytes,
           disk.bytes + 2 * disk.dev.block_bytes, 16384);
    put_gpt_header(1, last_block(), 2, 128, 128);
    put_gpt_header(last_block(), 1, last_block() - 32, 128, 128);
}

static void assert_sound_gpt(void)
{
    assert_int_equal(table->scheme, PARTITION_GPT);
    assert_int_equal(table->n_partitions, 2);
    assert_int_equal(table->partition[0].number, 1);
    assert_string_equal(table->partition[0].name, "first");
    assert_int_equal(table->partition[1].number, 128);
    assert_int_equal(table->gpt_id.byte[0], 0x5a);
}

/* ---- MBR */

static void an_empty_disk_has_no_table(void **state)
{
    (void)state;
    scan();
    assert_int_equal(table->scheme, PARTITION_NONE);
    assert_int_equal(table->n_partitions, 0);
    assert_null(table->problem);
}

static void a_disk_without_sectors_is_not_read(void **state)
{
    (void)state;
    disk.dev.sectors = 0;
    scan();
    assert_int_equal(table->scheme, PARTITION_NONE);
    assert_int_equal(disk.requests, 0);
}

static void a_disk_smaller_than_a_block_is_not_read(void **state)
{
    (void)state;
    disk.dev.sectors = 7;
    disk.dev.block_bytes = 4096;
    scan();
    assert_int_equal(table->scheme, PARTITION_NONE);
    assert_int_equal(disk.requests, 0);
}

static void a_one_sector_disk_may_claim_a_gpt(void **state)
{
    (void)state;
    put_mbr_entry(0, 0, 0xee, 1, UINT32_MAX);
    disk.dev.sectors = 1;
    scan();
    assert_int_equal(table->scheme, PARTITION_GPT);
    assert_int_equal(table->n_partitions, 0);
    assert_non_null(table->problem);
}

static void primary_partitions_are_listed_with_their_numbers(void **state)
{
    (void)state;
    put_mbr_entry(0, 0, 0x83, 2048, 2048);
    put_mbr_entry(0, 2, 0x0c, 8192, DISK_SECTORS - 8192);
    put(446 + 32, 0x80, 1);
    put(440, 0xdeadbeef, 4);
    scan();
    assert_int_equal(table->scheme, PARTITION_MBR);
    assert_int_equal(table->mbr_id, 0xdeadbeef);
    assert_int_equal(table->n_partitions, 2);
    assert_int_equal(table->partition[0].number, 1);
    assert_false(table->partition[0].bootable);
    assert_int_equal(table->partition[1].number, 3);
    assert_true(table->partition[1].bootable);
    assert_int_equal(table->partition[1].first_sector, 8192);
    assert_int_equal(table->partition[1].sectors, DISK_SECTORS - 8192);
    assert_null(table->problem);
}

static void partitions_beyond_the_disk_are_left_out_and_told(void **state)
{
    (void)state;
    put_mbr_entry(0, 0, 0x83, 2048, 1);
    put_mbr_entry(0, 1, 0x83, DISK_SECTORS, 1);
    put_mbr_entry(0, 2, 0x83, 8192, DISK_SECTORS - 8191);
    put_mbr_entry(0, 3, 0x83, UINT32_MAX, UINT32_MAX);
    scan();
    assert_int_equal(table->n_partitions, 1);
    assert_non_null(table->problem);
}

static void the_boot_sector_of_a_file_system_is_no_table(void **state)
{
    (void)state;
    put_mbr_entry(0, 0, 0x83, 2048, 2048);
    put(446 + 16, 0x41, 1);
    scan();
    assert_int_equal(table->scheme, PARTITION_NONE);
}

static void logical_partitions_follow_their_chain(void **state)
{
    (void)state;
    put_mbr_entry(0, 0, 0x83, 2048, 2048);
    put_mbr_entry(0, 1, 0x05, 8192, 32768);
    put_mbr_entry(8192, 0, 0x83, 2048, 1000);
    put_mbr_entry(8192, 1, 0x05, 4096, 4000);
    put_mbr_entry(8192 + 4096, 0, 0x82, 2048, 500);
    scan();
    assert_int_equal(table->n_partitions, 4);
    assert_int_equal(table->partition[2].number, 5);
    assert_int_equal(table->partition[2].first_sector, 8192 + 2048);
    assert_int_equal(table->partition[3].number, 6);
    assert_int_equal(table->partition[3].first_sector, 8192 + 4096 + 2048);
    assert_int_equal(table->partition[3].sectors, 500);
    assert_null(table->problem);
}

static void a_chain_that_returns_to_itself_ends(void **state)
{
    (void)state;
    put_mbr_entry(0, 0, 0x0f, 8192, 32768);
    put_mbr_entry(8192, 0, 0x83, 2048, 1000);
    put_mbr_entry(8192, 1, 0x05, 4096, 4000);
    put_mbr_entry(8192 + 4096, 0, 0x83, 2048, 500);
    put_mbr_entry(8192 + 4096, 1, 0x05, 0, 4000);
    scan();
    assert_int_equal(table->n_partitions, 3);
    assert_non_null(table->problem);
    assert_true(disk.requests < 10);
}

static void a_chain_that_leaves_the_disk_ends(void **state)
{
    (void)state;
    put_mbr_entry(0, 0, 0x05, 8192, 32768);
    put_mbr_entry(8192, 0, 0x83, 2048, 1000);
    put_mbr_entry(8192, 1, 0x05, UINT32_MAX, 4000);
    scan();
    assert_int_equal(table->n_partitions, 2);
    assert_non_null(table->problem);
}

static void an_endless_chain_of_new_records_is_bounded(void **state)
{
    (void)state;
    put_mbr_entry(0, 0, 0x05, 100, 60000);
    for (uint32_t i = 0; i < 400; i++) {
        put_mbr_entry(100 + i, 0, 0x83, 1, 1);
        put_mbr_entry(100 + i, 1, 0x05, i + 1, 1);
    }
    scan();
    assert_int_equal(table->n_partitions, PARTITIONS_MAX);
    assert_non_null(table->problem);
    assert_true(disk.requests < 200);
}

static void an_unreadable_first_block_is_a_problem_not_an_end(void **state)
{
    (void)state;
    disk.bad_sector = 0;
    scan();
    assert_int_equal(table->scheme, PARTITION_NONE);
    assert_non_null(table->problem);
}

/* ---- GPT */

static void a_gpt_is_listed(void **state)
{
    (void)state;
    make_gpt();
    scan();
    assert_sound_gpt();
    assert_int_equal(table->partition[0].first_sector, 2048);
    assert_int_equal(table->partition[0].sectors, 2048);
    assert_int_equal(table->partition[1].sectors, 1);
    assert_string_equal(partition_type_text(table, &table->partition[0]), "Linux filesystem");
    assert_null(table->problem);
    assert_false(table->from_backup);
}

static void a_gpt_counts_in_logical_blocks(void **state)
{
    (void)state;
    ramdisk_free(&disk);
    make_disk(DISK_SECTORS * 8, 4096);
    make_gpt();
    scan();
    assert_sound_gpt();
    assert_int_equal(table->partition[0].first_sector, 2048 * 8);
    assert_int_equal(table->partition[0].sectors, 2048 * 8);
}

static void a_gpt_without_its_protective_mbr_is_not_looked_for(void **state)
{
    (void)state;
    make_gpt();
    memset(disk.bytes, 0, 512);
    scan();
    assert_int_equal(table->scheme, PARTITION_NONE);
}

/* Each byte of header and used entries, flipped, must lead to the backup. */
static void any_damage_to_the_primary_leads_to_the_backup(void **state)
{
    (void)state;
    make_gpt();
    for (uint64_t at = 512; at < 512 + 92; at++) {
        disk.bytes[at] ^= 0x10;
        scan();
        assert_sound_gpt();
        assert_true(table->from_backup);
        assert_non_null(table->problem);
        disk.bytes[at] ^= 0x10;
    }
    for (uint64_t at = 1024; at < 1024 + 256; at++) {
        disk.bytes[at] ^= 1;
        scan();
        assert_sound_gpt();
        assert_true(table->from_backup);
        disk.bytes[at] ^= 1;
    }
    scan();
    assert_false(table->from_backup);
}

static void an_unreadable_primary_leads_to_the_backup(void **state)
{
    (void)state;
    make_gpt();
    disk.bad_sector = 1;
    scan();
    assert_sound_gpt();
    assert_true(table->from_backup);
    disk.bad_sector = 3;
    scan();
    assert_sound_gpt();
    assert_true(table->from_backup);
}

static void two_damaged_tables_list_nothing(void **state)
{
    (void)state;
    make_gpt();
    disk.bytes[512 + 60] ^= 1;
    disk.bytes[last_block() * 512 + 60] ^= 1;
    scan();
    assert_int_equal(table->scheme, PARTITION_GPT);
    assert_int_equal(table->n_partitions, 0);
    assert_non_null(table->problem);
    assert_false(table->from_backup);
}

/* With a correct checksum, so that only the bounds can refuse it. */
static void hostile_headers_are_refused(void **state)
{
    static const struct {
        unsigned offset, bytes;
        uint64_t value;
    } lies[] = {
        { 12, 4, 91 },         { 12, 4, 513 },        { 12, 4, UINT32_MAX }, { 24, 8, 2 },
        { 40, 8, UINT64_MAX }, { 48, 8, 65536 },      { 48, 8, UINT64_MAX }, { 72, 8, 65536 },
        { 72, 8, UINT64_MAX }, { 80, 4, UINT32_MAX }, { 80, 4, 8193 },       { 84, 4, 0 },
        { 84, 4, 127 },        { 84, 4, 129 },        { 84, 4, 8192 },       { 84, 4, UINT32_MAX },
        { 84, 4, 64 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        make_gpt();
        put(512 + lies[i].offset, lies[i].value, lies[i].bytes);
        seal_header(1);
        scan();
        assert_sound_gpt();
        assert_true(table->from_backup);
    }
}

static void a_table_without_entries_is_an_empty_one(void **state)
{
    (void)state;
    make_gpt();
    put_gpt_header(1, last_block(), 2, 0, 128);
    scan();
    assert_int_equal(table->scheme, PARTITION_GPT);
    assert_int_equal(table->n_partitions, 0);
    assert_null(table->problem);
}

static void entries_that_reach_the_disks_end_are_not_read_beyond(void **state)
{
    (void)state;
    make_gpt();
    put(512 + 72, last_block(), 8);
    seal_header(1);
    scan();
    assert_sound_gpt();
    assert_true(table->from_backup);
}

static void large_entries_over_several_reads_are_listed(void **state)
{
    (void)state;
    put_mbr_entry(0, 0, 0xee, 1, UINT32_MAX);
    for (unsigned i = 0; i < 20; i++)
        put_gpt_entry(1000, 2048, i, 4096 + i, 4096 + i, "x");
    put_gpt_header(1, last_block(), 1000, 20, 2048);
    scan();
    assert_null(table->problem);
    assert_int_equal(table->n_partitions, 20);
    assert_int_equal(table->partition[19].number, 20);
    assert_int_equal(table->partition[19].first_sector, 4096 + 19);
}

static void more_partitions_than_can_be_listed_are_told(void **state)
{
    (void)state;
    put_mbr_entry(0, 0, 0xee, 1, UINT32_MAX);
    for (unsigned i = 0; i < 200; i++)
        put_gpt_entry(1000, 128, i, 4096 + i, 4096 + i, "x");
    put_gpt_header(1, last_block(), 1000, 200, 128);
    scan();
    assert_int_equal(table->n_partitions, PARTITIONS_MAX);
    assert_non_null(table->problem);
}

static void partitions_outside_the_usable_range_are_left_out(void **state)
{
    (void)state;
    make_gpt();
    put_gpt_entry(2, 128, 1, 39, 100, "before");
    put_gpt_entry(2, 128, 2, 100, last_block() - 32, "behind");
    put_gpt_entry(2, 128, 3, 200, 199, "backwards");
    put_gpt_entry(2, 128, 4, 0, UINT64_MAX, "all");
    seal_header(1);
    scan();
    assert_sound_gpt();
    assert_false(table->from_backup);
    assert_non_null(table->problem);
}

static void names_become_utf8_without_control_characters(void **state)
{
    uint64_t at = 1024 + 56;

    (void)state;
    make_gpt();
    put(at, 0xe4, 2);       /* two bytes of UTF-8 */
    put(at + 2, 0x20ac, 2); /* three */
    put(at + 4, 0x1b, 2);
    put(at + 6, 0xd800, 2);
    for (unsigned i = 4; i < 36; i++)
        put(at + 2 * i, 0xffff, 2);
    seal_header(1);
    scan();
    assert_int_equal(strlen(table->partition[0].name), 2 + 3 + 1 + 1 + 32 * 3);
    assert_memory_equal(table->partition[0].name, "\xc3\xa4\xe2\x82\xac??\xef\xbf\xbf", 10);
}

static void a_disk_of_8_tib_has_its_backup_at_the_end(void **state)
{
    struct ramdisk large;
    struct partition_table *empty;

    (void)state;
    ramdisk_init_empty(&large, UINT64_C(8) << 31, 512);
    empty = partition_table_read(&large.dev);
    assert_non_null(empty);
    assert_int_equal(empty->scheme, PARTITION_NONE);
    kfree(empty);
    ramdisk_free(&large);
}

/* ---- text */

static void the_text_is_that_of_fdisk(void **state)
{
    char buffer[2000];
    struct text text;

    (void)state;
    make_gpt();
    disk.identity = "serial\n1";
    scan();
    text_init(&text, buffer, sizeof(buffer));
    partition_table_describe(&disk.dev, table, &text);
    assert_non_null(strstr(buffer, ": 32 MiB, 33554432 bytes, 65536 sectors\n"));
    assert_non_null(strstr(buffer, "Disk serial: serial?1\n"));
    assert_non_null(strstr(buffer, "Disklabel type: gpt\n"
                                   "Disk identifier: 5A5A5A5A-5A5A-5A5A-5A5A-5A5A5A5A5A5A\n"));
    assert_non_null(strstr(buffer, "       2048       4095       2048     1M Linux filesystem\n"));
    assert_non_null(strstr(buffer, "       8192       8192          1   512B Linux filesystem\n"));
}

static void the_text_of_an_mbr_has_boot_flags_and_ids(void **state)
{
    char buffer[2000];
    struct text text;

    (void)state;
    put_mbr_entry(0, 0, 0x83, 2048, 3072);
    put(446, 0x80, 1);
    put(440, 0x1234, 4);
    scan();
    text_init(&text, buffer, sizeof(buffer));
    partition_table_describe(&disk.dev, table, &text);
    assert_non_null(strstr(buffer, "Disklabel type: dos\nDisk identifier: 0x00001234\n"));
    assert_non_null(strstr(buffer, " *          2048       5119       3072   1.5M 83 Linux\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_disk_has_no_table),
        TEST(a_disk_without_sectors_is_not_read),
        TEST(a_disk_smaller_than_a_block_is_not_read),
        TEST(a_one_sector_disk_may_claim_a_gpt),
        TEST(primary_partitions_are_listed_with_their_numbers),
        TEST(partitions_beyond_the_disk_are_left_out_and_told),
        TEST(the_boot_sector_of_a_file_system_is_no_table),
        TEST(logical_partitions_follow_their_chain),
        TEST(a_chain_that_returns_to_itself_ends),
        TEST(a_chain_that_leaves_the_disk_ends),
        TEST(an_endless_chain_of_new_records_is_bounded),
        TEST(an_unreadable_first_block_is_a_problem_not_an_end),
        TEST(a_gpt_is_listed),
        TEST(a_gpt_counts_in_logical_blocks),
        TEST(a_gpt_without_its_protective_mbr_is_not_looked_for),
        TEST(any_damage_to_the_primary_leads_to_the_backup),
        TEST(an_unreadable_primary_leads_to_the_backup),
        TEST(two_damaged_tables_list_nothing),
        TEST(hostile_headers_are_refused),
        TEST(a_table_without_entries_is_an_empty_one),
        TEST(entries_that_reach_the_disks_end_are_not_read_beyond),
        TEST(large_entries_over_several_reads_are_listed),
        TEST(more_partitions_than_can_be_listed_are_told),
        TEST(partitions_outside_the_usable_range_are_left_out),
        TEST(names_become_utf8_without_control_characters),
        TEST(a_disk_of_8_tib_has_its_backup_at_the_end),
        TEST(the_text_is_that_of_fdisk),
        TEST(the_text_of_an_mbr_has_boot_flags_and_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
