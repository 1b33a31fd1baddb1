/* SPDX-License-Identifier: MIT */
/*
 * The PVH start information, as Xen's "x86/HVM direct boot ABI" defines it. All
 * addresses are physical. Nothing says that any of it is aligned: hence packed.
 */
#ifndef BOOT_PVH_H
#define BOOT_PVH_H

#include "lib/base/types.h"

#define HVM_START_MAGIC_VALUE 0x336ec578

struct hvm_start_info {
    uint32_t magic;
    uint32_t version; /* 1: the memory map fields are there */
    uint32_t flags;
    uint32_t nr_modules;
    uint64_t modlist_paddr;
    uint64_t cmdline_paddr;
    uint64_t rsdp_paddr;
    uint64_t memmap_paddr;
    uint32_t memmap_entries;
    uint32_t reserved;
} __attribute__((packed));

struct hvm_modlist_entry {
    uint64_t paddr;
    uint64_t size;
    uint64_t cmdline_paddr;
    uint64_t reserved;
} __attribute__((packed));

struct hvm_memmap_table_entry {
    uint64_t addr;
    uint64_t size;
    uint32_t type; /* as in E820 */
    uint32_t reserved;
} __attribute__((packed));

void pvh_main(const struct hvm_start_info *start);

#endif
