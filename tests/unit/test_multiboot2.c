/* SPDX-License-Identifier: MIT */
/* Multiboot2 information, good and as no loader should hand it over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/multiboot2.h"
#include "tests/host/low_memory.h"

static struct multiboot2_info *const info = (struct multiboot2_info *)AREA;
static uintptr_t end; /* where the next tag goes */

static void start_multiboot2(const void *given)
{
    multiboot2_main(given);
}

static void boot(void)
{
    info->total_size = (uint32_t)(end - AREA);
    host_boot(start_multiboot2, info);
    assert_string_equal(boot_info.path, "multiboot2");
    assert_true(boot_info.has_bios);
}

static struct multiboot2_tag *add_tag(uint32_t type, const void *content, size_t bytes)
{
    struct multiboot2_tag *tag = (struct multiboot2_tag *)end;

    tag->type = type;
    tag->size = (uint32_t)(sizeof(*tag) + bytes);
    if (bytes)
        memcpy(tag + 1, content, bytes);
    end = ALIGN_UP(end + tag->size, (uintptr_t)8);
    return tag;
}

static struct multiboot2_tag_mmap *add_map(unsigned n, uint32_t entry_size)
{
    static uint8_t content[8 + 300 * 32];
    uint32_t head[2] = { entry_size, 0 };

    memset(content, 0, sizeof(content));
    memcpy(content, head, sizeof(head));
    for (unsigned i = 0; i < n; i++) {
        struct multiboot2_mmap_entry entry = { i * 0x100000UL, 0x1000UL + i, i % 2 + 1, 0 };

        memcpy(content + 8 + (size_t)i * entry_size, &entry, MIN(sizeof(entry), entry_size));
    }
    return (void *)add_tag(MULTIBOOT2_TAG_MMAP, content, 8 + (size_t)n * entry_size);
}

static int begin(void **state)
{
    (void)state;
    host_clear_low_memory();
    end = AREA + sizeof(*info);
    return 0;
}

static void all_that_a_loader_tells_is_passed_on(void **state)
{
    uint32_t module[2] = { 0x2000000, 0x2001234 };
    struct multiboot2_tag_framebuffer screen = { .framebuffer_addr = 0xfd000000,
                                                 .framebuffer_pitch = 4096,
                                                 .framebuffer_width = 1024,
                                                 .framebuffer_height = 768,
                                                 .framebuffer_bpp = 32,
                                                 .framebuffer_type = MULTIBOOT2_FRAMEBUFFER_RGB };

    (void)state;
    add_tag(MULTIBOOT2_TAG_CMDLINE, "irq=poll -- one", 16);
    add_tag(99, "unknown", 8);
    add_tag(MULTIBOOT2_TAG_MODULE, module, sizeof(module));
    add_map(3, sizeof(struct multiboot2_mmap_entry));
    add_tag(MULTIBOOT2_TAG_FRAMEBUFFER, &screen.framebuffer_addr,
            sizeof(screen) - sizeof(screen.tag));
    add_tag(MULTIBOOT2_TAG_END, NULL, 0);
    boot();
    assert_string_equal(boot_info.cmdline, "irq=poll -- one");
    assert_int_equal(boot_info.n_modules, 1);
    assert_int_equal(boot_info.modules[0].start, 0x2000000);
    assert_int_equal(boot_info.modules[0].bytes, 0x1234);
    assert_int_equal(boot_info.n_ranges, 3);
    assert_int_equal(boot_info.ranges[2].start, 0x200000);
    assert_int_equal(boot_info.ranges[2].bytes, 0x1002);
    assert_int_equal(boot_info.ranges[1].type, BOOT_RANGE_RESERVED);
    assert_int_equal(boot_info.framebuffer.start, 0xfd000000);
    assert_int_equal(boot_info.framebuffer.pitch, 4096);
    assert_int_equal(boot_info.framebuffer.width, 1024);
    assert_int_equal(boot_info.framebuffer.height, 768);
    assert_int_equal(boot_info.framebuffer.bits, 32);
    assert_int_equal(boot_info.rsdp, 0);
}

static void text_on_a_screen_is_no_framebuffer(void **state)
{
    struct multiboot2_tag_framebuffer screen = { .framebuffer_addr = 0xb8000,
                                                 .framebuffer_type = 2 };

    (void)state;
    add_tag(MULTIBOOT2_TAG_FRAMEBUFFER, &screen.framebuffer_addr,
            sizeof(screen) - sizeof(screen.tag));
    boot();
    assert_int_equal(boot_info.framebuffer.start, 0);
}

/* The information lies in memory that is given out before ACPI is looked at. */
static void the_root_pointer_is_copied_and_the_newer_one_wins(void **state)
{
    static const uint32_t orders[2][2] = { { MULTIBOOT2_TAG_ACPI_OLD, MULTIBOOT2_TAG_ACPI_NEW },
                                           { MULTIBOOT2_TAG_ACPI_NEW, MULTIBOOT2_TAG_ACPI_OLD } };

    for (unsigned i = 0; i < 2; i++) {
        begin(state);
        for (unsigned j = 0; j < 2; j++) {
            bool is_new = orders[i][j] == MULTIBOOT2_TAG_ACPI_NEW;

            add_tag(orders[i][j],
                    is_new ? "RSD PTR new, of 36 bytes ..........." : "RSD PTR old, of 20..",
                    is_new ? 36 : 20);
        }
        boot();
        memset((void *)AREA, 0x55, AREA_BYTES);
        assert_false(boot_info.rsdp >= AREA && boot_info.rsdp < AREA + AREA_BYTES);
        assert_memory_equal((void *)(uintptr_t)boot_info.rsdp,
                            "RSD PTR new, of 36 bytes ...........", 36);
    }
}

static void a_long_or_empty_root_pointer_stays_within_its_room(void **state)
{
    static uint8_t content[500];

    (void)state;
    memset(content, 7, sizeof(content));
    add_tag(MULTIBOOT2_TAG_ACPI_NEW, content, sizeof(content));
    boot();
    assert_int_equal(((uint8_t *)(uintptr_t)boot_info.rsdp)[35], 7);
    begin(state);
    add_tag(MULTIBOOT2_TAG_ACPI_NEW, NULL, 0);
    boot();
    assert_int_equal(((uint8_t *)(uintptr_t)boot_info.rsdp)[0], 0);
}

static void information_that_can_not_be_is_ignored(void **state)
{
    static const uintptr_t nowhere[] = { 0, AREA + 4, MAPPED_BYTES - 4, MAPPED_BYTES,
                                         UINTPTR_MAX - 7 };

    (void)state;
    add_tag(MULTIBOOT2_TAG_CMDLINE, "a", 2);
    for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++) {
        host_boot(start_multiboot2, (const void *)nowhere[i]);
        assert_string_equal(boot_info.cmdline, "");
    }
    static const uint32_t sizes[] = { 0, 7, INT32_MAX, UINT32_MAX };
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        info->total_size = sizes[i];
        host_boot(start_multiboot2, info);
        assert_string_equal(boot_info.cmdline, "");
    }
}

static void tags_without_an_end_a_size_or_room_end_the_walk(void **state)
{
    static const uint32_t sizes[] = { 0, 1, 7, 0x7fffffff, 0xfffffff8, UINT32_MAX };

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct multiboot2_tag *tag;

        begin(state);
        tag = add_tag(MULTIBOOT2_TAG_CMDLINE, "abc", 4);
        add_tag(MULTIBOOT2_TAG_CMDLINE, "not reached", 12);
        tag->size = sizes[i];
        boot();
        assert_string_equal(boot_info.cmdline, "");
    }
}

static void information_may_end_where_the_mapping_does(void **state)
{
    struct multiboot2_info *last = (struct multiboot2_info *)(MAPPED_BYTES - 32);
    struct multiboot2_tag *tag = (struct multiboot2_tag *)(last + 1);

    (void)state;
    last->total_size = 32;
    tag->type = MULTIBOOT2_TAG_CMDLINE;
    tag->size = 24;
    strcpy((char *)(tag + 1), "fifteen letters");
    host_boot(start_multiboot2, last);
    assert_string_equal(boot_info.cmdline, "fifteen letters");
    /* One more byte, and nothing of it is believed. */
    last->total_size = 33;
    host_boot(start_multiboot2, last);
    assert_string_equal(boot_info.cmdline, "");
}

static void a_command_line_must_end_within_its_tag(void **state)
{
    (void)state;
    add_tag(MULTIBOOT2_TAG_CMDLINE, "abcdefgh", 8);
    add_tag(99, "ijk", 4);
    boot();
    assert_string_equal(boot_info.cmdline, "");
    begin(state);
    add_tag(MULTIBOOT2_TAG_CMDLINE, NULL, 0);
    boot();
    assert_string_equal(boot_info.cmdline, "");
}

static void memory_maps_have_the_entry_size_that_they_tell(void **state)
{
    static const uint32_t sizes[] = { 24, 28, 32 }, too_small[] = { 0, 1, 20, 23 };

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        begin(state);
        add_map(5, sizes[i]);
        boot();
        assert_int_equal(boot_info.n_ranges, 5);
        assert_int_equal(boot_info.ranges[4].start, 0x400000);
        assert_int_equal(boot_info.ranges[4].bytes, 0x1004);
    }
    for (size_t i = 0; i < ARRAY_SIZE(too_small); i++) {
        begin(state);
        add_map(5, 24)->entry_size = too_small[i];
        boot();
        assert_int_equal(boot_info.n_ranges, 0);
    }
    begin(state);
    add_map(5, 24)->tag.size = 15;
    boot();
    assert_int_equal(boot_info.n_ranges, 0);
}

static void ranges_beyond_our_room_are_counted(void **state)
{
    (void)state;
    add_map(BOOT_MAX_RANGES + 7, 24);
    boot();
    assert_int_equal(boot_info.n_ranges, BOOT_MAX_RANGES);
    assert_int_equal(boot_info.n_ranges_dropped, 7);
}

static void modules_that_end_before_they_begin_or_are_too_many_are_left_out(void **state)
{
    uint32_t module[2] = { 0x2000000, 0x1ffffff };

    (void)state;
    add_tag(MULTIBOOT2_TAG_MODULE, module, sizeof(module));
    add_tag(MULTIBOOT2_TAG_MODULE, module, 4);
    boot();
    assert_int_equal(boot_info.n_modules, 0);
    module[1] = module[0];
    for (unsigned i = 0; i < BOOT_MAX_MODULES + 2; i++)
        add_tag(MULTIBOOT2_TAG_MODULE, module, sizeof(module));
    boot();
    assert_int_equal(boot_info.n_modules, BOOT_MAX_MODULES);
}

/* Whatever the bytes are: no read outside, no endless walk. */
static void random_bytes_do_no_harm(void **state)
{
    (void)state;
    srand(1);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t *words = (uint32_t *)TOP;

        for (unsigned j = 0; j < TOP_BYTES / 4; j += 1 + (unsigned)rand() % 64)
            words[j] = rand() % 4 ? (uint32_t)rand() % 40 : (uint32_t)rand();
        words[0] = (uint32_t)rand() % (TOP_BYTES + 16);
        host_boot(start_multiboot2, words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_that_a_loader_tells_is_passed_on, begin),
        cmocka_unit_test_setup(text_on_a_screen_is_no_framebuffer, begin),
        cmocka_unit_test_setup(the_root_pointer_is_copied_and_the_newer_one_wins, begin),
        cmocka_unit_test_setup(a_long_or_empty_root_pointer_stays_within_its_room, begin),
        cmocka_unit_test_setup(information_that_can_not_be_is_ignored, begin),
        cmocka_unit_test_setup(tags_without_an_end_a_size_or_room_end_the_walk, begin),
        cmocka_unit_test_setup(information_may_end_where_the_mapping_does, begin),
        cmocka_unit_test_setup(a_command_line_must_end_within_its_tag, begin),
        cmocka_unit_test_setup(memory_maps_have_the_entry_size_that_they_tell, begin),
        cmocka_unit_test_setup(ranges_beyond_our_room_are_counted, begin),
        cmocka_unit_test_setup(modules_that_end_before_they_begin_or_are_too_many_are_left_out,
                               begin),
        cmocka_unit_test_setup(random_bytes_do_no_harm, begin),
    };

    return cmocka_run_group_tests(tests, host_map_low_memory, NULL);
}
