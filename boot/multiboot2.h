/* SPDX-License-Identifier: MIT */
/* The Multiboot2 boot information (Multiboot2 Specification 2.0, §3.6). All addresses are physical.
 */
#ifndef BOOT_MULTIBOOT2_H
#define BOOT_MULTIBOOT2_H

#include "lib/base/types.h"

struct multiboot2_info {
    uint32_t total_size; /* bytes, with this header; tags follow */
    uint32_t reserved;
};

struct multiboot2_tag {
    uint32_t type;
    uint32_t size; /* bytes, with this header; the next one is at a multiple of 8 */
};

#define MULTIBOOT2_TAG_ALIGN 8

#define MULTIBOOT2_TAG_END         0
#define MULTIBOOT2_TAG_CMDLINE     1 /* a terminated text */
#define MULTIBOOT2_TAG_MODULE      3
#define MULTIBOOT2_TAG_MMAP        6
#define MULTIBOOT2_TAG_FRAMEBUFFER 8
#define MULTIBOOT2_TAG_ACPI_OLD    14 /* a copy of the RSDP, revision 0 */
#define MULTIBOOT2_TAG_ACPI_NEW    15 /* of a later one */

struct multiboot2_tag_module {
    struct multiboot2_tag tag;
    uint32_t mod_start, mod_end; /* a text follows */
};

struct multiboot2_tag_mmap {
    struct multiboot2_tag tag;
    uint32_t entry_size; /* bytes, at least those of one below */
    uint32_t entry_version;
};

struct multiboot2_mmap_entry {
    uint64_t base_addr, length;
    uint32_t type; /* as in E820 */
    uint32_t reserved;
};

#define MULTIBOOT2_FRAMEBUFFER_RGB 1

struct multiboot2_tag_framebuffer {
    struct multiboot2_tag tag;
    uint64_t framebuffer_addr;
    uint32_t framebuffer_pitch, framebuffer_width, framebuffer_height;
    uint8_t framebuffer_bpp, framebuffer_type;
    uint16_t reserved;
};

void multiboot2_main(const struct multiboot2_info *info);

#endif
