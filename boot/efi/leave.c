/* SPDX-License-Identifier: MIT */
/*
 * The memory map, and the end of boot services (UEFI 2.10, §7.2 and §7.4.6).
 * Firmware gives a map with a key, and lets go only of who holds the newest one:
 * an event that it serves in between changes the map, and all begins again.
 */
#include "boot/efi/loader.h"

#define TRIES 8

/* The map is kept here, so that keeping it does not change it. 500 descriptors and more. */
static UINT8 map[32768] __attribute__((aligned(16)));

static UINT32 kind_of(UINT32 type)
{
    switch (type) {
    case EfiConventionalMemory:
    case EfiLoaderCode: /* we are done with it when the kernel gives memory out */
    case EfiLoaderData:
    case EfiBootServicesCode:
    case EfiBootServicesData:
        return BOOT_RANGE_RAM;
    case EfiACPIReclaimMemory:
        return BOOT_RANGE_ACPI;
    case EfiACPIMemoryNVS:
        return BOOT_RANGE_NVS;
    default:
        return BOOT_RANGE_RESERVED;
    }
}

static BOOLEAN joins(const struct boot_range *before, const struct boot_range *range)
{
    return before->type == range->type && before->start + before->bytes == range->start;
}

/* In rising order; firmware has many small ranges side by side, which become one. */
static void add_range(struct boot_info *info, struct boot_range range)
{
    struct boot_range *ranges = info->ranges;
    UINT32 at = info->n_ranges;

    while (at && ranges[at - 1].start > range.start)
        at--;
    if (at && joins(&ranges[at - 1], &range)) {
        ranges[at - 1].bytes += range.bytes;
        return;
    }
    if (at < info->n_ranges && joins(&range, &ranges[at])) {
        ranges[at].start = range.start;
        ranges[at].bytes += range.bytes;
        return;
    }
    if (info->n_ranges == BOOT_MAX_RANGES) {
        info->n_ranges_dropped++;
        return;
    }
    for (UINT32 i = info->n_ranges++; i > at; i--)
        ranges[i] = ranges[i - 1];
    ranges[at] = range;
}

void take_memory_map(struct boot_info *info, const UINT8 *from, UINTN bytes, UINTN descriptor_bytes)
{
    info->n_ranges = info->n_ranges_dropped = 0;
    if (descriptor_bytes < sizeof(EFI_MEMORY_DESCRIPTOR) || descriptor_bytes % sizeof(UINT64))
        return;
    for (; bytes >= descriptor_bytes; bytes -= descriptor_bytes, from += descriptor_bytes) {
        const EFI_MEMORY_DESCRIPTOR *descriptor = (const void *)from;
        UINT64 start = descriptor->PhysicalStart, pages = descriptor->NumberOfPages;

        if (pages && pages <= (UINT64_MAX - start) / EFI_PAGE_SIZE)
            add_range(info, (struct boot_range){ start, pages * EFI_PAGE_SIZE,
                                                 kind_of(descriptor->Type) });
    }
}

EFI_STATUS leave_firmware(EFI_BOOT_SERVICES *services, EFI_HANDLE program, struct boot_info *info)
{
    EFI_STATUS status = EFI_ABORTED;

    for (unsigned i = 0; i < TRIES; i++) {
        UINTN bytes = sizeof(map), key, descriptor_bytes;
        UINT32 version;

        status = services->GetMemoryMap(&bytes, (EFI_MEMORY_DESCRIPTOR *)map, &key,
                                        &descriptor_bytes, &version);
        if (EFI_ERROR(status))
            return status;
        take_memory_map(info, map, bytes < sizeof(map) ? bytes : sizeof(map), descriptor_bytes);
        status = services->ExitBootServices(program, key);
        if (status != EFI_INVALID_PARAMETER) /* the map is no longer the newest */
            return status;
    }
    return status;
}
