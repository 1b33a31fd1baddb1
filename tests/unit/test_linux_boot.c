/* SPDX-License-Identifier: MIT */
/* Linux's boot parameters, good and as no loader should hand them over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <asm/bootparam.h>
#include <cmocka.h>

#include "boot/linux.h"
#include "tests/host/low_memory.h"

#define CMDLINE (AREA + 0x2000)

static struct linux_boot_params *const params = (struct linux_boot_params *)AREA;

static void start_linux(const void *given)
{
    linux_main(given);
}

static void boot_with(const void *given)
{
    host_boot(start_linux, given);
    assert_string_equal(boot_info.path, "Linux");
    assert_true(boot_info.has_bios);
}

static int begin(void **state)
{
    (void)state;
    host_clear_low_memory();
    params->header = LINUX_HEADER_MAGIC;
    params->version = 0x020c;
    params->cmd_line_ptr = CMDLINE;
    strcpy((char *)CMDLINE, "irq=poll -- one");
    params->e820_entries = 2;
    params->e820_table[0] = (struct linux_e820_entry){ 0, 0x9fc00, 1 };
    params->e820_table[1] = (struct linux_e820_entry){ 0x100000, UINT64_MAX, 77 };
    return 0;
}

/* Each field is where Linux's own header has it. */
#define SAME(ours, theirs)                                              \
    _Static_assert(offsetof(struct linux_boot_params, ours) ==          \
                           offsetof(struct boot_params, theirs) &&      \
                       sizeof(((struct linux_boot_params *)0)->ours) == \
                           sizeof(((struct boot_params *)0)->theirs),   \
                   #ours)

SAME(orig_video_isVGA, screen_info.orig_video_isVGA);
SAME(lfb_width, screen_info.lfb_width);
SAME(lfb_height, screen_info.lfb_height);
SAME(lfb_depth, screen_info.lfb_depth);
SAME(lfb_base, screen_info.lfb_base);
SAME(lfb_linelength, screen_info.lfb_linelength);
SAME(ext_lfb_base, screen_info.ext_lfb_base);
SAME(acpi_rsdp_addr, acpi_rsdp_addr);
SAME(ext_ramdisk_image, ext_ramdisk_image);
SAME(ext_ramdisk_size, ext_ramdisk_size);
SAME(ext_cmd_line_ptr, ext_cmd_line_ptr);
SAME(e820_entries, e820_entries);
SAME(header, hdr.header);
SAME(version, hdr.version);
SAME(ramdisk_image, hdr.ramdisk_image);
SAME(ramdisk_size, hdr.ramdisk_size);
SAME(cmd_line_ptr, hdr.cmd_line_ptr);
SAME(setup_data, hdr.setup_data);
SAME(e820_table, e820_table);
_Static_assert(sizeof(struct linux_setup_data) == sizeof(struct setup_data), "setup_data");
_Static_assert(offsetof(struct linux_setup_data, type) == offsetof(struct setup_data, type),
               "setup_data");
_Static_assert(offsetof(struct linux_setup_data, len) == offsetof(struct setup_data, len),
               "setup_data");
_Static_assert(LINUX_SETUP_E820_EXT == SETUP_E820_EXT, "setup_data");
_Static_assert(sizeof(struct linux_e820_entry) == sizeof(struct boot_e820_entry), "E820");
_Static_assert(LINUX_E820_MAX == E820_MAX_ENTRIES_ZEROPAGE, "E820");

static void all_that_a_loader_tells_is_passed_on(void **state)
{
    (void)state;
    params->ramdisk_image = 0x2000000;
    params->ramdisk_size = 0x1234;
    params->ext_ramdisk_image = 1;
    params->acpi_rsdp_addr = 0xe0000;
    params->orig_video_isVGA = LINUX_SCREEN_EFI;
    params->lfb_base = 0xc0000000;
    params->ext_lfb_base = 2;
    params->lfb_linelength = 4096;
    params->lfb_width = 1024;
    params->lfb_height = 768;
    params->lfb_depth = 32;
    boot_with(params);
    assert_string_equal(boot_info.cmdline, "irq=poll -- one");
    assert_int_equal(boot_info.rsdp, 0xe0000);
    assert_int_equal(boot_info.n_ranges, 2);
    assert_int_equal(boot_info.ranges[0].bytes, 0x9fc00);
    assert_int_equal(boot_info.ranges[1].bytes, UINT64_MAX);
    assert_int_equal(boot_info.n_modules, 1);
    assert_int_equal(boot_info.modules[0].start, 0x102000000);
    assert_int_equal(boot_info.modules[0].bytes, 0x1234);
    assert_int_equal(boot_info.framebuffer.start, 0x2c0000000);
    assert_int_equal(boot_info.framebuffer.pitch, 4096);
    assert_int_equal(boot_info.framebuffer.bits, 32);
}

static void parameters_that_can_not_be_are_ignored(void **state)
{
    static const uintptr_t nowhere[] = { 0, MAPPED_BYTES - sizeof(*params) + 1, MAPPED_BYTES,
                                         UINTPTR_MAX };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++) {
        boot_with((const void *)nowhere[i]);
        assert_string_equal(boot_info.cmdline, "");
        assert_int_equal(boot_info.n_ranges, 0);
    }
    params->header++;
    boot_with(params);
    assert_string_equal(boot_info.cmdline, "");
    assert_int_equal(boot_info.n_ranges, 0);
    assert_int_equal(boot_info.rsdp, 0);
}

static void a_map_that_claims_more_than_its_table_holds_is_cut(void **state)
{
    (void)state;
    params->e820_entries = 255;
    boot_with(params);
    assert_int_equal(boot_info.n_ranges, LINUX_E820_MAX);
}

static struct linux_setup_data *place_setup(uintptr_t at, uint64_t next, uint32_t type, uint32_t n)
{
    struct linux_setup_data *setup = (struct linux_setup_data *)at;
    struct linux_e820_entry *entry = (struct linux_e820_entry *)(setup + 1);

    *setup = (struct linux_setup_data){ next, type, n * (uint32_t)sizeof(*entry) };
    for (uint32_t i = 0; i < n; i++)
        entry[i] = (struct linux_e820_entry){ at + 2 * i * GIB, GIB, 1 };
    return setup;
}

static void entries_beyond_the_table_are_found_in_the_list(void **state)
{
    (void)state;
    params->setup_data = AREA + 0x3001; /* anywhere */
    place_setup(AREA + 0x3001, AREA + 0x4000, LINUX_SETUP_E820_EXT, 5);
    place_setup(AREA + 0x4000, AREA + 0x5000, 2, 7); /* something else */
    place_setup(AREA + 0x5000, 0, LINUX_SETUP_E820_EXT, 1);
    boot_with(params);
    assert_int_equal(boot_info.n_ranges, 2 + 5 + 1);
    assert_int_equal(boot_info.ranges[2].start, AREA + 0x3001);
    assert_int_equal(boot_info.ranges[6].start, AREA + 0x3001 + 8 * GIB);
    assert_int_equal(boot_info.ranges[7].start, AREA + 0x5000);
    params->version = 0x0208; /* that had no such field */
    boot_with(params);
    assert_int_equal(boot_info.n_ranges, 2);
}

static void a_list_that_ends_nowhere_or_never_ends_the_walk(void **state)
{
    struct linux_setup_data *setup;

    (void)state;
    params->setup_data = AREA + 0x3000;
    place_setup(AREA + 0x3000, AREA + 0x3000, LINUX_SETUP_E820_EXT, 3);
    boot_with(params);
    assert_int_equal(boot_info.n_ranges, BOOT_MAX_RANGES);
    assert_int_equal(boot_info.n_ranges_dropped, 64 * 3 - (BOOT_MAX_RANGES - 2));
    setup = place_setup(AREA + 0x3000, MAPPED_BYTES - 15, LINUX_SETUP_E820_EXT, 1);
    boot_with(params);
    assert_int_equal(boot_info.n_ranges, 3);
    setup->next = UINT64_MAX;
    setup->len = (uint32_t)(MAPPED_BYTES - AREA); /* the last of them is not mapped */
    boot_with(params);
    assert_int_equal(boot_info.n_ranges, 2);
    params->setup_data = MAPPED_BYTES - sizeof(*setup);
    *(struct linux_setup_data *)params->setup_data = (struct linux_setup_data){ 0, 1, 20 };
    boot_with(params);
    assert_int_equal(boot_info.n_ranges, 2);
}

static void ranges_that_touch_are_one(void **state)
{
    static const struct linux_e820_entry map[] = {
        { 0x1000, 0x1000, 1 },     { 0x2000, 0x3000, 1 }, { 0x5000, 0x1000, 2 }, /* another type */
        { 0x6000, 0x1000, 1 },     { 0x7001, 0x1000, 1 },                        /* a gap */
        { 0x7000, 0x1001, 1 },                                                   /* overlaps */
        { 0x8001, UINT64_MAX, 1 },                                               /* wraps around */
        { 0x8000, 0, 1 },
    };

    (void)state;
    memcpy(params->e820_table, map, sizeof(map));
    params->e820_entries = ARRAY_SIZE(map);
    boot_with(params);
    assert_int_equal(boot_info.n_ranges, ARRAY_SIZE(map) - 1);
    assert_int_equal(boot_info.ranges[0].start, 0x1000);
    assert_int_equal(boot_info.ranges[0].bytes, 0x4000);
    for (size_t i = 2; i < ARRAY_SIZE(map); i++) {
        assert_int_equal(boot_info.ranges[i - 1].start, map[i].addr);
        assert_int_equal(boot_info.ranges[i - 1].bytes, map[i].size);
    }
}

static void a_map_of_hundreds_that_touch_is_kept_whole(void **state)
{
    uint32_t n = 600;

    (void)state;
    params->setup_data = AREA + 0x3000;
    place_setup(AREA + 0x3000, 0, LINUX_SETUP_E820_EXT, n);
    for (uint32_t i = 0; i < n; i++)
        ((struct linux_e820_entry *)(AREA + 0x3010))[i] =
            (struct linux_e820_entry){ (4 + i) * GIB, GIB, 1 + i / 100 % 2 };
    boot_with(params);
    assert_int_equal(boot_info.n_ranges, 2 + 6);
    assert_int_equal(boot_info.n_ranges_dropped, 0);
    assert_int_equal(boot_info.ranges[7].start, 504 * GIB);
    assert_int_equal(boot_info.ranges[7].bytes, 100 * GIB);
}

static void a_command_line_above_4_gib_is_none_that_we_can_read(void **state)
{
    (void)state;
    params->ext_cmd_line_ptr = 1;
    boot_with(params);
    assert_string_equal(boot_info.cmdline, "");
}

static void an_old_loader_has_no_command_line_there(void **state)
{
    (void)state;
    params->version = 0x0201;
    boot_with(params);
    assert_string_equal(boot_info.cmdline, "");
    assert_int_equal(boot_info.n_ranges, 2);
}

static void a_screen_in_text_mode_is_no_framebuffer(void **state)
{
    (void)state;
    params->orig_video_isVGA = 1;
    params->lfb_base = 0xc0000000;
    boot_with(params);
    assert_int_equal(boot_info.framebuffer.start, 0);
}

static void random_bytes_do_no_harm(void **state)
{
    (void)state;
    srand(1);
    for (unsigned i = 0; i < 20000; i++) {
        struct linux_boot_params *last = (struct linux_boot_params *)(MAPPED_BYTES - sizeof(*last));
        uint8_t *bytes = (uint8_t *)last;

        for (unsigned j = 0; j < sizeof(*last); j += 1 + (unsigned)rand() % 64)
            bytes[j] = (uint8_t)rand();
        last->header = LINUX_HEADER_MAGIC;
        last->cmd_line_ptr = (uint32_t)(rand() % 2 ? rand() : MAPPED_BYTES - 1 - rand() % 100);
        boot_with(last);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_that_a_loader_tells_is_passed_on, begin),
        cmocka_unit_test_setup(parameters_that_can_not_be_are_ignored, begin),
        cmocka_unit_test_setup(a_map_that_claims_more_than_its_table_holds_is_cut, begin),
        cmocka_unit_test_setup(entries_beyond_the_table_are_found_in_the_list, begin),
        cmocka_unit_test_setup(a_list_that_ends_nowhere_or_never_ends_the_walk, begin),
        cmocka_unit_test_setup(ranges_that_touch_are_one, begin),
        cmocka_unit_test_setup(a_map_of_hundreds_that_touch_is_kept_whole, begin),
        cmocka_unit_test_setup(a_command_line_above_4_gib_is_none_that_we_can_read, begin),
        cmocka_unit_test_setup(an_old_loader_has_no_command_line_there, begin),
        cmocka_unit_test_setup(a_screen_in_text_mode_is_no_framebuffer, begin),
        cmocka_unit_test_setup(random_bytes_do_no_harm, begin),
    };

    return cmocka_run_group_tests(tests, host_map_low_memory, NULL);
}
