/* SPDX-License-Identifier: MIT */
/*
 * What the Linux/x86 boot protocol hands over (Linux, Documentation/arch/x86/
 * boot.rst and zero-page.rst): the fields that are read. All addresses are
 * physical.
 */
#ifndef BOOT_LINUX_H
#define BOOT_LINUX_H

#include "lib/base/types.h"

#define LINUX_HEADER_MAGIC    0x53726448 /* "HdrS" */
#define LINUX_CMDLINE_VERSION 0x0202     /* from here on cmd_line_ptr is there */
#define LINUX_SETUP_VERSION   0x0209     /* and setup_data */
#define LINUX_E820_MAX        128

struct linux_e820_entry {
    uint64_t addr, size;
    uint32_t type;
} __attribute__((packed));

/* A list of what does not fit below; the bytes follow. */
struct linux_setup_data {
    uint64_t next; /* 0: there is none */
    uint32_t type, len;
} __attribute__((packed));

#define LINUX_SETUP_E820_EXT 1 /* entries beyond LINUX_E820_MAX */

#define LINUX_SCREEN_VESA 0x23 /* orig_video_isVGA: a linear framebuffer */
#define LINUX_SCREEN_EFI  0x70

struct linux_boot_params {
    uint8_t reserved_000[0x00f];
    uint8_t orig_video_isVGA; /* 0x00f */
    uint8_t reserved_010[0x012 - 0x010];
    uint16_t lfb_width, lfb_height, lfb_depth; /* 0x012 */
    uint32_t lfb_base;                         /* 0x018 */
    uint8_t reserved_01c[0x024 - 0x01c];
    uint16_t lfb_linelength; /* 0x024 */
    uint8_t reserved_026[0x03a - 0x026];
    uint32_t ext_lfb_base; /* 0x03a */
    uint8_t reserved_03e[0x070 - 0x03e];
    uint64_t acpi_rsdp_addr; /* 0x070; 0: not told */
    uint8_t reserved_078[0x0c0 - 0x078];
    uint32_t ext_ramdisk_image, ext_ramdisk_size, ext_cmd_line_ptr; /* 0x0c0 */
    uint8_t reserved_0cc[0x1e8 - 0x0cc];
    uint8_t e820_entries; /* 0x1e8 */
    uint8_t reserved_1e9[0x202 - 0x1e9];
    uint32_t header;  /* 0x202, LINUX_HEADER_MAGIC */
    uint16_t version; /* 0x206 */
    uint8_t reserved_208[0x218 - 0x208];
    uint32_t ramdisk_image, ramdisk_size; /* 0x218 */
    uint8_t reserved_220[0x228 - 0x220];
    uint32_t cmd_line_ptr; /* 0x228 */
    uint8_t reserved_22c[0x250 - 0x22c];
    uint64_t setup_data; /* 0x250, struct linux_setup_data */
    uint8_t reserved_258[0x2d0 - 0x258];
    struct linux_e820_entry e820_table[LINUX_E820_MAX]; /* 0x2d0 */
} __attribute__((packed));

void linux_main(const struct linux_boot_params *params);

#endif
