/* SPDX-License-Identifier: MIT */
/*
 * The UEFI loader on Linux: kernels that are damaged, command lines that are
 * none, and a firmware that does not let go at once, or never.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/efi/loader.h"

/* ---- leaving the firmware */

static struct {
    EFI_MEMORY_DESCRIPTOR map[400];
    UINTN n, descriptor_bytes, key;
    unsigned maps, exits, refusals; /* how often it is still to refuse */
    unsigned grows;                 /* descriptors that each look at the map adds */
    EFI_STATUS map_status, exit_status;
} firmware;

static EFI_STATUS EFIAPI get_memory_map(UINTN *bytes, EFI_MEMORY_DESCRIPTOR *map, UINTN *key,
                                        UINTN *descriptor_bytes, UINT32 *version)
{
    UINTN wanted = firmware.n * firmware.descriptor_bytes;

    firmware.maps++;
    if (EFI_ERROR(firmware.map_status))
        return firmware.map_status;
    if (wanted > *bytes) {
        *bytes = wanted;
        return EFI_BUFFER_TOO_SMALL;
    }
    memset(map, 0xee, wanted);
    for (UINTN i = 0; i < firmware.n; i++)
        memcpy((char *)map + i * firmware.descriptor_bytes, &firmware.map[i],
               MIN(firmware.descriptor_bytes, sizeof(*map)));
    *bytes = wanted;
    *descriptor_bytes = firmware.descriptor_bytes;
    *key = ++firmware.key;
    *version = 1;
    firmware.n += firmware.grows;
    return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI exit_boot_services(EFI_HANDLE program, UINTN key)
{
    firmware.exits++;
    assert_ptr_equal(program, &firmware);
    assert_int_equal(key, firmware.key);
    if (firmware.refusals) {
        firmware.refusals--;
        return EFI_INVALID_PARAMETER;
    }
    return firmware.exit_status;
}

static EFI_BOOT_SERVICES services = { .GetMemoryMap = get_memory_map,
                                      .ExitBootServices = exit_boot_services };
static struct handover handover;

static void add(UINT32 type, UINT64 start, UINT64 pages)
{
    firmware.map[firmware.n++] =
        (EFI_MEMORY_DESCRIPTOR){ .Type = type, .PhysicalStart = start, .NumberOfPages = pages };
}

static int begin(void **state)
{
    (void)state;
    memset(&firmware, 0, sizeof(firmware));
    memset(&handover, 0x55, sizeof(handover));
    firmware.descriptor_bytes = sizeof(EFI_MEMORY_DESCRIPTOR) + 8; /* as real ones have it */
    return 0;
}

static EFI_STATUS leave(void)
{
    return leave_firmware(&services, &firmware, &handover.info);
}

static void assert_range(unsigned i, UINT64 start, UINT64 bytes, UINT32 type)
{
    assert_int_equal(handover.info.ranges[i].start, start);
    assert_int_equal(handover.info.ranges[i].bytes, bytes);
    assert_int_equal(handover.info.ranges[i].type, type);
}

static void what_is_ours_after_the_firmware_is_one_range_of_ram(void **state)
{
    (void)state;
    add(EfiBootServicesCode, 0, 1);
    add(EfiConventionalMemory, 0x1000, 0x9f);
    add(EfiLoaderData, 0x100000, 0x50);
    add(EfiConventionalMemory, 0x150000, 0x10);
    add(EfiLoaderCode, 0x160000, 1);
    add(EfiBootServicesData, 0x161000, 1);
    add(EfiRuntimeServicesData, 0x162000, 1);
    add(EfiACPIReclaimMemory, 0x163000, 2);
    add(EfiACPIMemoryNVS, 0x165000, 1);
    add(EfiMemoryMappedIO, 0xe0000000, 0x10000);
    add(EfiReservedMemoryType, 0xf0000000, 1);
    add(0x80000001, 0xf0001000, 1); /* a type that a vendor made up */
    assert_int_equal(leave(), EFI_SUCCESS);
    assert_int_equal(handover.info.n_ranges, 6);
    assert_range(0, 0, 0xa0000, BOOT_RANGE_RAM);
    assert_range(1, 0x100000, 0x62000, BOOT_RANGE_RAM);
    assert_range(2, 0x162000, 0x1000, BOOT_RANGE_RESERVED);
    assert_range(3, 0x163000, 0x2000, BOOT_RANGE_ACPI);
    assert_range(4, 0x165000, 0x1000, BOOT_RANGE_NVS);
    assert_range(5, 0xe0000000, 0x10002000, BOOT_RANGE_RESERVED);
    assert_int_equal(firmware.exits, 1);
}

static void a_map_in_any_order_is_sorted_and_joined(void **state)
{
    (void)state;
    add(EfiConventionalMemory, 0x300000, 0x100);
    add(EfiConventionalMemory, 0x100000, 0x100);
    add(EfiReservedMemoryType, 0x500000, 1);
    add(EfiLoaderData, 0x200000, 0x100);
    leave();
    assert_int_equal(handover.info.n_ranges, 3);
    assert_range(0, 0x100000, 0x200000, BOOT_RANGE_RAM);
    assert_range(1, 0x300000, 0x100000, BOOT_RANGE_RAM);
}

static void nonsense_in_a_map_is_left_out(void **state)
{
    (void)state;
    add(EfiConventionalMemory, 0x1000, 0);
    add(EfiConventionalMemory, 0x100000, UINT64_MAX);
    add(EfiConventionalMemory, UINT64_MAX - 0xfff, 2);
    add(EfiConventionalMemory, 0x200000, 1);
    assert_int_equal(leave(), EFI_SUCCESS);
    assert_int_equal(handover.info.n_ranges, 1);
    assert_range(0, 0x200000, 0x1000, BOOT_RANGE_RAM);
    static const UINTN sizes[] = { 0, 8, 39, 43 };
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        firmware.descriptor_bytes = sizes[i];
        assert_int_equal(leave(), EFI_SUCCESS);
        assert_int_equal(handover.info.n_ranges, 0);
    }
}

static void more_ranges_than_there_is_room_for_are_counted(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BOOT_MAX_RANGES + 3; i++)
        add(i % 2 ? EfiConventionalMemory : EfiReservedMemoryType, i * 0x10000UL, 1);
    assert_int_equal(leave(), EFI_SUCCESS);
    assert_int_equal(handover.info.n_ranges, BOOT_MAX_RANGES);
    assert_int_equal(handover.info.n_ranges_dropped, 3);
}

static void a_firmware_that_refuses_once_is_asked_again_with_a_new_map(void **state)
{
    (void)state;
    add(EfiConventionalMemory, 0x100000, 1);
    firmware.map[1] = (EFI_MEMORY_DESCRIPTOR){ .Type = EfiConventionalMemory,
                                               .PhysicalStart = 0x900000,
                                               .NumberOfPages = 1 };
    firmware.grows = 1;
    firmware.refusals = 1;
    assert_int_equal(leave(), EFI_SUCCESS);
    assert_int_equal(firmware.maps, 2);
    assert_int_equal(firmware.exits, 2);
    assert_int_equal(handover.info.n_ranges, 2); /* the second map's */
}

static void a_firmware_that_always_refuses_is_given_up(void **state)
{
    (void)state;
    firmware.refusals = 1000;
    assert_int_equal(leave(), EFI_INVALID_PARAMETER);
    assert_int_equal(firmware.exits, 8);
}

static void other_errors_are_final(void **state)
{
    (void)state;
    firmware.exit_status = EFI_DEVICE_ERROR;
    assert_int_equal(leave(), EFI_DEVICE_ERROR);
    assert_int_equal(firmware.exits, 1);
    firmware.map_status = EFI_ACCESS_DENIED;
    assert_int_equal(leave(), EFI_ACCESS_DENIED);
    assert_int_equal(firmware.exits, 1);
}

static void a_map_larger_than_any_is_an_error_and_not_an_overrun(void **state)
{
    (void)state;
    firmware.descriptor_bytes = 4096;
    for (unsigned i = 0; i < 10; i++)
        add(EfiConventionalMemory, i * 0x10000UL, 1);
    assert_int_equal(leave(), EFI_BUFFER_TOO_SMALL);
    assert_int_equal(firmware.exits, 0);
}

/* ---- command lines */

#define OPTIONS(text) cmdline_from_options(&handover, L##text, sizeof(L##text))

static void options_that_are_text_are_the_command_line(void **state)
{
    (void)state;
    assert_true(OPTIONS("irq=poll -- one"));
    assert_string_equal(handover.info.cmdline, "irq=poll -- one");
    assert_false(handover.info.cmdline_truncated);
    assert_true(OPTIONS("fs0:\\EFI\\BootX64.EFI  irq=poll"));
    assert_string_equal(handover.info.cmdline, "irq=poll");
    assert_true(OPTIONS("efi .efi"));
    assert_string_equal(handover.info.cmdline, "efi .efi");
    /* Without an end. */
    assert_true(cmdline_from_options(&handover, L"abc", 6));
    assert_string_equal(handover.info.cmdline, "abc");
}

static void options_that_are_no_text_are_none(void **state)
{
    static const unsigned char guid[16]
        __attribute__((aligned(2))) = { 0x4e, 0xac, 0x08, 0x81, 0x11, 0x9f, 0x4d, 0x59 };

    (void)state;
    assert_false(cmdline_from_options(&handover, guid, sizeof(guid)));
    assert_string_equal(handover.info.cmdline, "");
    assert_false(cmdline_from_options(&handover, NULL, 100));
    assert_false(cmdline_from_options(&handover, L"abc", 5));
    assert_false(cmdline_from_options(&handover, (const char *)guid + 1, 8));
    assert_false(cmdline_from_options(&handover, L"abc", 0));
    assert_false(OPTIONS(""));
    assert_false(OPTIONS("bootx64.efi"));
    assert_false(OPTIONS("a\x00e4"));
}

static void a_long_command_line_is_cut_and_marked(void **state)
{
    static CHAR16 wide[2 * BOOT_MAX_CMDLINE];
    static char narrow[2 * BOOT_MAX_CMDLINE];

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(wide); i++)
        wide[i] = narrow[i] = 'x';
    assert_true(cmdline_from_options(&handover, wide, (BOOT_MAX_CMDLINE - 1) * sizeof(CHAR16)));
    assert_false(handover.info.cmdline_truncated);
    assert_int_equal(strlen(handover.info.cmdline), BOOT_MAX_CMDLINE - 1);
    assert_true(cmdline_from_options(&handover, wide, BOOT_MAX_CMDLINE * sizeof(CHAR16)));
    assert_true(handover.info.cmdline_truncated);
    assert_int_equal(strlen(handover.info.cmdline), BOOT_MAX_CMDLINE - 1);
    cmdline_from_file(&handover, narrow, sizeof(narrow));
    assert_true(handover.info.cmdline_truncated);
}

static void a_file_gives_its_first_line(void **state)
{
    (void)state;
    cmdline_from_file(&handover, "irq=poll\r\nsecond", 16);
    assert_string_equal(handover.info.cmdline, "irq=poll");
    cmdline_from_file(&handover, "abc", 2);
    assert_string_equal(handover.info.cmdline, "ab");
    cmdline_from_file(&handover, NULL, 0);
    assert_string_equal(handover.info.cmdline, "");
}

/* ---- kernels */

/* The one that was built, in memory of its very size. */
static UINT8 *file;
static UINTN file_bytes;

static int read_kernel(void **state)
{
    FILE *from = fopen(KERNEL_FILE, "rb");

    (void)state;
    if (!from || fseek(from, 0, SEEK_END))
        return -1;
    file_bytes = (UINTN)ftell(from);
    file = malloc(file_bytes);
    rewind(from);
    file_bytes = file && fread(file, 1, file_bytes, from) == file_bytes ? file_bytes : 0;
    fclose(from);
    return file_bytes ? 0 : -1;
}

static int drop_kernel(void **state)
{
    (void)state;
    free(file);
    return 0;
}

static void the_kernel_of_this_build_is_found_and_lies_at_1_mib(void **state)
{
    struct kernel kernel;

    (void)state;
    assert_int_equal(kernel_find(&kernel, file, file_bytes), EFI_SUCCESS);
    assert_int_equal(kernel.start, 0x100000);
    assert_int_equal(kernel.end % 4096, 0);
    assert_true(kernel.entry > kernel.start && kernel.entry < kernel.end);
}

static void a_kernel_that_is_cut_off_is_refused(void **state)
{
    /* What loads ends before the symbols do. */
    UINTN loaded = 0;
    struct kernel kernel;

    (void)state;
    for (UINTN i = 0; i < 3; i++) {
        UINT64 offset, bytes;

        memcpy(&offset, file + 64 + i * 56 + 8, 8);
        memcpy(&bytes, file + 64 + i * 56 + 32, 8);
        loaded = MAX(loaded, offset + bytes);
    }
    for (UINTN bytes = 0; bytes < loaded; bytes += bytes < 512 ? 1 : 997) {
        UINT8 *cut = malloc(bytes + 1);

        memcpy(cut + 1, file, bytes); /* not aligned either */
        memmove(cut, cut + 1, bytes);
        cut = realloc(cut, bytes ? bytes : 1);
        assert_int_equal(kernel_find(&kernel, cut, bytes), EFI_LOAD_ERROR);
        free(cut);
    }
    assert_int_equal(kernel_find(&kernel, file, loaded), EFI_SUCCESS);
}

static void headers_that_lie_are_refused_and_read_nowhere_else(void **state)
{
    UINT8 *damaged = malloc(file_bytes);
    struct kernel kernel;
    unsigned refused = 0;

    (void)state;
    srand(1);
    for (unsigned i = 0; i < 3000; i++) {
        memcpy(damaged, file, MIN(file_bytes, 65536u));
        for (unsigned j = 0; j < 1 + i % 4; j++)
            damaged[(unsigned)rand() % 0x158] = (UINT8)rand();
        refused += kernel_find(&kernel, damaged, MIN(file_bytes, 65536u)) != EFI_SUCCESS;
    }
    assert_int_equal(refused, 3000); /* the file is cut, so that it must be refused each time */
    free(damaged);
}

static void a_kernel_that_means_another_struct_is_refused(void **state)
{
    UINT8 *other = malloc(file_bytes);
    struct kernel kernel;
    unsigned found = 0;

    (void)state;
    memcpy(other, file, file_bytes);
    for (UINTN i = 0; i + 40 < file_bytes; i++)
        if (!memcmp(other + i, "Aerostat\0\0\0\0", 12) && other[i - 4] == 1 && other[i - 12] == 9) {
            other[i + 20] ^= 8;
            found++;
        }
    assert_int_equal(found, 1);
    assert_int_equal(kernel_find(&kernel, other, file_bytes), EFI_LOAD_ERROR);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_ours_after_the_firmware_is_one_range_of_ram, begin),
        cmocka_unit_test_setup(a_map_in_any_order_is_sorted_and_joined, begin),
        cmocka_unit_test_setup(nonsense_in_a_map_is_left_out, begin),
        cmocka_unit_test_setup(more_ranges_than_there_is_room_for_are_counted, begin),
        cmocka_unit_test_setup(a_firmware_that_refuses_once_is_asked_again_with_a_new_map, begin),
        cmocka_unit_test_setup(a_firmware_that_always_refuses_is_given_up, begin),
        cmocka_unit_test_setup(other_errors_are_final, begin),
        cmocka_unit_test_setup(a_map_larger_than_any_is_an_error_and_not_an_overrun, begin),
        cmocka_unit_test_setup(options_that_are_text_are_the_command_line, begin),
        cmocka_unit_test_setup(options_that_are_no_text_are_none, begin),
        cmocka_unit_test_setup(a_long_command_line_is_cut_and_marked, begin),
        cmocka_unit_test_setup(a_file_gives_its_first_line, begin),
        cmocka_unit_test(the_kernel_of_this_build_is_found_and_lies_at_1_mib),
        cmocka_unit_test(a_kernel_that_is_cut_off_is_refused),
        cmocka_unit_test(headers_that_lie_are_refused_and_read_nowhere_else),
        cmocka_unit_test(a_kernel_that_means_another_struct_is_refused),
    };

    return cmocka_run_group_tests(tests, read_kernel, drop_kernel);
}
