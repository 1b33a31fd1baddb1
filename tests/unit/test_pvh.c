/* SPDX-License-Identifier: MIT */
/* Start information as no VMM should hand it over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boot/pvh.h"
#include "tests/host/low_memory.h"

#define CMDLINE (AREA + 0x1000)
#define MEMMAP  (AREA + 0x4000)
#define MODULES (AREA + 0x8000)

static struct hvm_start_info *const start = (struct hvm_start_info *)AREA;
static struct hvm_memmap_table_entry *const memmap = (struct hvm_memmap_table_entry *)MEMMAP;
static struct hvm_modlist_entry *const modules = (struct hvm_modlist_entry *)MODULES;

static void start_pvh(const void *given)
{
    pvh_main(given);
}

static void boot_with(const void *given)
{
    host_boot(start_pvh, given);
    assert_string_equal(boot_info.path, "PVH");
}

static int begin(void **state)
{
    (void)state;
    host_clear_low_memory();
    *start = (struct hvm_start_info){ .magic = HVM_START_MAGIC_VALUE,
                                      .version = 1,
                                      .cmdline_paddr = CMDLINE,
                                      .rsdp_paddr = 0xe0000,
                                      .memmap_paddr = MEMMAP,
                                      .memmap_entries = 2,
                                      .modlist_paddr = MODULES,
                                      .nr_modules = 1 };
    strcpy((char *)CMDLINE, "irq=poll -- one");
    memmap[0] = (struct hvm_memmap_table_entry){ 0, 0x9fc00, 1, 0 };
    memmap[1] = (struct hvm_memmap_table_entry){ 0x100000, UINT64_MAX, 77, 0 };
    modules[0] = (struct hvm_modlist_entry){ 0x2000000, 0x1234, 0, 0 };
    return 0;
}

static void all_that_a_vmm_tells_is_passed_on(void **state)
{
    (void)state;
    boot_with(start);
    assert_string_equal(boot_info.cmdline, "irq=poll -- one");
    assert_false(boot_info.cmdline_truncated);
    assert_int_equal(boot_info.rsdp, 0xe0000);
    assert_int_equal(boot_info.n_ranges, 2);
    assert_int_equal(boot_info.n_ranges_dropped, 0);
    assert_int_equal(boot_info.ranges[0].bytes, 0x9fc00);
    assert_int_equal(boot_info.ranges[0].type, BOOT_RANGE_RAM);
    assert_int_equal(boot_info.ranges[1].start, 0x100000);
    assert_int_equal(boot_info.ranges[1].bytes, UINT64_MAX);
    assert_int_equal(boot_info.n_modules, 1);
    assert_int_equal(boot_info.modules[0].start, 0x2000000);
    assert_int_equal(boot_info.modules[0].bytes, 0x1234);
}

static void expect_nothing(void)
{
    assert_string_equal(boot_info.cmdline, "");
    assert_int_equal(boot_info.n_ranges, 0);
    assert_int_equal(boot_info.n_modules, 0);
    assert_int_equal(boot_info.rsdp, 0);
}

static void start_information_that_can_not_be_is_ignored(void **state)
{
    static const uintptr_t nowhere[] = { 0, MAPPED_BYTES - sizeof(struct hvm_start_info) + 1,
                                         MAPPED_BYTES, 0xfffffffff8, UINTPTR_MAX };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++) {
        boot_with((const void *)nowhere[i]);
        expect_nothing();
    }
    start->magic++;
    boot_with(start);
    expect_nothing();
}

static void start_information_may_end_where_the_mapping_does(void **state)
{
    struct hvm_start_info *last = (struct hvm_start_info *)MAPPED_BYTES - 1;

    (void)state;
    *last = *start;
    boot_with(last);
    assert_int_equal(boot_info.n_ranges, 2);
}

static void a_command_line_of_the_longest_length_is_whole(void **state)
{
    (void)state;
    memset((char *)CMDLINE, 'x', BOOT_MAX_CMDLINE - 1);
    boot_with(start);
    assert_false(boot_info.cmdline_truncated);
    assert_int_equal(strlen(boot_info.cmdline), BOOT_MAX_CMDLINE - 1);
}

static void a_command_line_without_an_end_is_marked(void **state)
{
    (void)state;
    memset((char *)CMDLINE, 'x', BOOT_MAX_CMDLINE);
    boot_with(start);
    assert_true(boot_info.cmdline_truncated);
    assert_int_equal((uintptr_t)boot_info.cmdline, CMDLINE);
}

/* It was lost there, without a word. */
static void a_short_command_line_right_below_the_end_of_the_mapping_is_taken(void **state)
{
    (void)state;
    start->cmdline_paddr = MAPPED_BYTES - 5;
    strcpy((char *)MAPPED_BYTES - 5, "a=bc");
    boot_with(start);
    assert_string_equal(boot_info.cmdline, "a=bc");
    assert_false(boot_info.cmdline_truncated);
}

static void a_command_line_that_runs_into_the_end_of_the_mapping_is_refused(void **state)
{
    (void)state;
    start->cmdline_paddr = MAPPED_BYTES - 4;
    memcpy((char *)MAPPED_BYTES - 4, "abcd", 4);
    boot_with(start);
    assert_string_equal(boot_info.cmdline, "");
    assert_true(boot_info.cmdline_truncated);
}

static void a_command_line_nowhere_is_empty(void **state)
{
    static const uint64_t nowhere[] = { 0, MAPPED_BYTES, 0x400000000000, UINT64_MAX };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++) {
        start->cmdline_paddr = nowhere[i];
        boot_with(start);
        assert_string_equal(boot_info.cmdline, "");
    }
}

static void ranges_beyond_our_room_are_counted(void **state)
{
    static const unsigned numbers[] = { 0, 1, BOOT_MAX_RANGES, BOOT_MAX_RANGES + 1, 300 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        start->memmap_entries = numbers[i];
        boot_with(start);
        assert_int_equal(boot_info.n_ranges, MIN(numbers[i], BOOT_MAX_RANGES));
        assert_int_equal(boot_info.n_ranges_dropped, numbers[i] - MIN(numbers[i], BOOT_MAX_RANGES));
    }
}

static void a_memory_map_that_reaches_beyond_the_mapping_is_refused(void **state)
{
    (void)state;
    start->memmap_entries = UINT32_MAX;
    boot_with(start);
    assert_int_equal(boot_info.n_ranges, 0);
    start->memmap_paddr = MAPPED_BYTES - sizeof(*memmap);
    start->memmap_entries = 2;
    boot_with(start);
    assert_int_equal(boot_info.n_ranges, 0);
    start->memmap_entries = 1;
    boot_with(start);
    assert_int_equal(boot_info.n_ranges, 1);
    start->memmap_paddr = UINT64_MAX - 7;
    boot_with(start);
    assert_int_equal(boot_info.n_ranges, 0);
}

static void nothing_need_be_aligned(void **state)
{
    struct hvm_start_info *odd = (void *)((uintptr_t)start + 1);

    (void)state;
    memmove((char *)MEMMAP + 3, memmap, 2 * sizeof(*memmap));
    memmove((char *)MODULES + 5, modules, sizeof(*modules));
    start->memmap_paddr += 3;
    start->modlist_paddr += 5;
    start->cmdline_paddr += 1;
    memmove(odd, start, sizeof(*start));
    boot_with(odd);
    assert_string_equal(boot_info.cmdline, "rq=poll -- one");
    assert_int_equal(boot_info.n_ranges, 2);
    assert_int_equal(boot_info.ranges[1].bytes, UINT64_MAX);
    assert_int_equal(boot_info.modules[0].start, 0x2000000);
}

static void version_0_has_no_memory_map(void **state)
{
    (void)state;
    start->version = 0;
    boot_with(start);
    assert_int_equal(boot_info.n_ranges, 0);
    assert_string_equal(boot_info.cmdline, "irq=poll -- one");
}

static void modules_beyond_our_room_are_left_out(void **state)
{
    (void)state;
    start->nr_modules = UINT32_MAX;
    boot_with(start);
    assert_int_equal(boot_info.n_modules, BOOT_MAX_MODULES);
    start->nr_modules = 0;
    boot_with(start);
    assert_int_equal(boot_info.n_modules, 0);
}

/* So that they are known, and not given out as memory. */
static void a_list_of_one_module_may_end_where_the_mapping_does(void **state)
{
    struct hvm_modlist_entry *last = (struct hvm_modlist_entry *)MAPPED_BYTES - 1;

    (void)state;
    last->paddr = 0x3000000;
    start->modlist_paddr = (uintptr_t)last;
    boot_with(start);
    assert_int_equal(boot_info.n_modules, 1);
    assert_int_equal(boot_info.modules[0].start, 0x3000000);
    start->nr_modules = 2;
    boot_with(start);
    assert_int_equal(boot_info.n_modules, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_that_a_vmm_tells_is_passed_on, begin),
        cmocka_unit_test_setup(start_information_that_can_not_be_is_ignored, begin),
        cmocka_unit_test_setup(start_information_may_end_where_the_mapping_does, begin),
        cmocka_unit_test_setup(a_command_line_of_the_longest_length_is_whole, begin),
        cmocka_unit_test_setup(a_command_line_without_an_end_is_marked, begin),
        cmocka_unit_test_setup(a_short_command_line_right_below_the_end_of_the_mapping_is_taken,
                               begin),
        cmocka_unit_test_setup(a_command_line_that_runs_into_the_end_of_the_mapping_is_refused,
                               begin),
        cmocka_unit_test_setup(a_command_line_nowhere_is_empty, begin),
        cmocka_unit_test_setup(ranges_beyond_our_room_are_counted, begin),
        cmocka_unit_test_setup(a_memory_map_that_reaches_beyond_the_mapping_is_refused, begin),
        cmocka_unit_test_setup(nothing_need_be_aligned, begin),
        cmocka_unit_test_setup(version_0_has_no_memory_map, begin),
        cmocka_unit_test_setup(modules_beyond_our_room_are_left_out, begin),
        cmocka_unit_test_setup(a_list_of_one_module_may_end_where_the_mapping_does, begin),
    };

    return cmocka_run_group_tests(tests, host_map_low_memory, NULL);
}
