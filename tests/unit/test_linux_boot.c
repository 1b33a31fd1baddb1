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
SAME(e820_table, e820_table);
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
        cmocka_unit_test_setup(a_command_line_above_4_gib_is_none_that_we_can_read, begin),
        cmocka_unit_test_setup(an_old_loader_has_no_command_line_there, begin),
        cmocka_unit_test_setup(a_screen_in_text_mode_is_no_framebuffer, begin),
        cmocka_unit_test_setup(random_bytes_do_no_harm, begin),
    };

    return cmocka_run_group_tests(tests, host_map_low_memory, NULL);
}
