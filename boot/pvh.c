/* SPDX-License-Identifier: MIT */
/*
 * From the PVH start information to struct boot_info. The structures come from
 * the VMM: addresses are believed only where the boot tables map memory, counts
 * are bounded.
 */
#include "boot/pvh.h"
#include "boot/boot_info.h"
#include "lib/base/string.h"

/* What boot/pvh.asm mapped; everything a VMM hands over lies below. */
#define MAPPED_BYTES GIB

static struct boot_info boot_info;

static bool is_mapped(uint64_t start, uint64_t bytes)
{
    return start && start < MAPPED_BYTES && bytes <= MAPPED_BYTES - start;
}

static const void *at(uint64_t address)
{
    return (const void *)(uintptr_t)address;
}

/* It may lie right below the end of what is mapped; there it must be terminated. */
static void take_cmdline(uint64_t address)
{
    size_t room;

    if (!is_mapped(address, 1))
        return;
    room = MIN(MAPPED_BYTES - address, BOOT_MAX_CMDLINE);
    boot_info.cmdline_truncated = strnlen(at(address), room) == room;
    if (room == BOOT_MAX_CMDLINE || !boot_info.cmdline_truncated)
        boot_info.cmdline = at(address);
}

static void take_memory_map(const struct hvm_start_info *start)
{
    const struct hvm_memmap_table_entry *entry = at(start->memmap_paddr);
    uint32_t n = start->memmap_entries;

    if (start->version < 1 || n > MAPPED_BYTES / sizeof(*entry) ||
        !is_mapped(start->memmap_paddr, n * sizeof(*entry)))
        return;
    for (uint32_t i = 0; i < n; i++) {
        if (boot_info.n_ranges == BOOT_MAX_RANGES) {
            boot_info.n_ranges_dropped = n - i;
            return;
        }
        boot_info.ranges[boot_info.n_ranges++] =
            (struct boot_range){ entry[i].addr, entry[i].size, entry[i].type };
    }
}

static void take_modules(const struct hvm_start_info *start)
{
    const struct hvm_modlist_entry *entry = at(start->modlist_paddr);
    uint32_t n = MIN(start->nr_modules, BOOT_MAX_MODULES);

    if (!is_mapped(start->modlist_paddr, n * sizeof(*entry)))
        return;
    for (uint32_t i = 0; i < n; i++)
        boot_info.modules[boot_info.n_modules++] =
            (struct boot_module){ entry[i].paddr, entry[i].size };
}

void pvh_main(const struct hvm_start_info *start)
{
    boot_info.path = "PVH";
    boot_info.cmdline = "";
    if (is_mapped((uintptr_t)start, sizeof(*start)) && start->magic == HVM_START_MAGIC_VALUE) {
        take_cmdline(start->cmdline_paddr);
        take_memory_map(start);
        take_modules(start);
        boot_info.rsdp = start->rsdp_paddr;
    }
    kernel_main(&boot_info);
}
