/* SPDX-License-Identifier: MIT */
/*
 * What every boot path hands to kernel_main(). Filled by boot/ from what the
 * VMM or firmware gave; nothing after it knows which one it was. Addresses are
 * physical; everything pointed to stays untouched until the kernel has copied
 * it.
 */
#ifndef BOOT_BOOT_INFO_H
#define BOOT_BOOT_INFO_H

#include "lib/base/types.h"

enum boot_range_type {
    BOOT_RANGE_RAM = 1,
    BOOT_RANGE_RESERVED = 2,
    BOOT_RANGE_ACPI = 3, /* ACPI tables; ours once read, never given out today */
    BOOT_RANGE_NVS = 4,
};

struct boot_range {
    phys_addr_t start;
    uint64_t bytes;
    uint32_t type; /* enum boot_range_type; unknown types count as reserved */
};

struct boot_module {
    phys_addr_t start;
    uint64_t bytes;
};

/* What a loader left on the screen. */
struct boot_framebuffer {
    phys_addr_t start; /* 0: there is none */
    uint32_t pitch;    /* bytes from one line to the next */
    uint32_t width, height;
    uint8_t bits; /* of a pixel: 16 to 32 */
};

#define BOOT_MAX_RANGES  128
#define BOOT_MAX_MODULES 4
#define BOOT_MAX_CMDLINE 4096 /* bytes, with the terminating zero */

struct boot_info {
    const char *path;          /* "PVH", "Linux" ...: how we were started, for the boot report */
    const char *cmdline;       /* zero-terminated, if within BOOT_MAX_CMDLINE; never NULL */
    bool cmdline_truncated;    /* it was not */
    phys_addr_t rsdp;          /* ACPI root pointer; 0: not given */
    bool has_bios;             /* one has run: what it leaves in the first MiB may be looked at */
    uint32_t n_ranges;         /* sorted as given; may overlap, may be nonsense */
    uint32_t n_ranges_dropped; /* beyond BOOT_MAX_RANGES */
    uint32_t n_modules;
    struct boot_range ranges[BOOT_MAX_RANGES];
    struct boot_module modules[BOOT_MAX_MODULES];
    struct boot_framebuffer framebuffer;
};

extern uint64_t boot_tsc; /* the CPU's time stamp at our first instruction */

_Noreturn void kernel_main(const struct boot_info *boot);

#endif
