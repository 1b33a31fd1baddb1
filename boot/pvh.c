/* SPDX-License-Identifier: MIT */
/* From the PVH start information to struct boot_info. */
#include "boot/pvh.h"
#include "boot/handover.h"

static void take_memory_map(const struct hvm_start_info *start)
{
    const struct hvm_memmap_table_entry *entry = handover_at(start->memmap_paddr);
    uint32_t n = start->memmap_entries;

    if (start->version < 1 || !handover_is_mapped(start->memmap_paddr, n * sizeof(*entry)))
        return;
    for (uint32_t i = 0; i < n; i++)
        if (!handover_range(entry[i].addr, entry[i].size, entry[i].type, n - i))
            return;
}

static void take_modules(const struct hvm_start_info *start)
{
    const struct hvm_modlist_entry *entry = handover_at(start->modlist_paddr);
    uint32_t n = MIN(start->nr_modules, BOOT_MAX_MODULES);

    if (!handover_is_mapped(start->modlist_paddr, n * sizeof(*entry)))
        return;
    for (uint32_t i = 0; i < n; i++)
        handover_module(entry[i].paddr, entry[i].size);
}

void pvh_main(const struct hvm_start_info *start)
{
    handover_begin("PVH");
    if (handover_is_mapped((uintptr_t)start, sizeof(*start)) &&
        start->magic == HVM_START_MAGIC_VALUE) {
        handover_cmdline(start->cmdline_paddr);
        take_memory_map(start);
        take_modules(start);
        boot_info.rsdp = start->rsdp_paddr;
    }
    kernel_main(&boot_info);
}
