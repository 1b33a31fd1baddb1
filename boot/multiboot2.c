/* SPDX-License-Identifier: MIT */
/*
 * From the Multiboot2 information to struct boot_info. It lies in memory that
 * will be given out: what is wanted later than the memory map is copied.
 */
#include "boot/multiboot2.h"
#include "boot/handover.h"
#include "lib/base/string.h"

#define INFO_MAX_BYTES (1 * MIB) /* a map of thousands of ranges and some texts */
#define RSDP_BYTES     36        /* as much as anybody reads of one */

static uint8_t rsdp[RSDP_BYTES] __attribute__((aligned(16)));

/* A text that does not end within its tag is none. */
static void take_cmdline(const struct multiboot2_tag *tag)
{
    const char *text = (const char *)(tag + 1);
    size_t room = tag->size - sizeof(*tag);

    if (room && strnlen(text, room) < room)
        handover_cmdline((uintptr_t)text);
}

static void take_module(const struct multiboot2_tag *tag)
{
    const struct multiboot2_tag_module *module = (const void *)tag;

    if (tag->size >= sizeof(*module) && module->mod_end >= module->mod_start)
        handover_module(module->mod_start, module->mod_end - module->mod_start);
}

static void take_memory_map(const struct multiboot2_tag *tag)
{
    const struct multiboot2_tag_mmap *map = (const void *)tag;
    const uint8_t *at = (const uint8_t *)(map + 1);
    uint32_t n;

    if (tag->size < sizeof(*map) || map->entry_size < sizeof(struct multiboot2_mmap_entry))
        return;
    n = (uint32_t)((tag->size - sizeof(*map)) / map->entry_size);
    for (uint32_t i = 0; i < n; i++, at += map->entry_size) {
        struct multiboot2_mmap_entry entry;

        memcpy(&entry, at, sizeof(entry)); /* entries of another size need not be aligned */
        if (!handover_range(entry.base_addr, entry.length, entry.type, n - i))
            return;
    }
}

static void take_framebuffer(const struct multiboot2_tag *tag)
{
    const struct multiboot2_tag_framebuffer *screen = (const void *)tag;

    if (tag->size < sizeof(*screen) || screen->framebuffer_type != MULTIBOOT2_FRAMEBUFFER_RGB)
        return;
    boot_info.framebuffer = (struct boot_framebuffer){
        .start = screen->framebuffer_addr,
        .pitch = screen->framebuffer_pitch,
        .width = screen->framebuffer_width,
        .height = screen->framebuffer_height,
        .bits = screen->framebuffer_bpp,
    };
}

/* The newer of two wins, in whatever order they come. */
static void take_rsdp(const struct multiboot2_tag *tag)
{
    size_t bytes = MIN(tag->size - sizeof(*tag), sizeof(rsdp));

    if (tag->type == MULTIBOOT2_TAG_ACPI_OLD && boot_info.rsdp)
        return;
    memset(rsdp, 0, sizeof(rsdp));
    memcpy(rsdp, tag + 1, bytes);
    boot_info.rsdp = (uintptr_t)rsdp;
}

static void take_tag(const struct multiboot2_tag *tag)
{
    switch (tag->type) {
    case MULTIBOOT2_TAG_CMDLINE:
        take_cmdline(tag);
        break;
    case MULTIBOOT2_TAG_MODULE:
        take_module(tag);
        break;
    case MULTIBOOT2_TAG_MMAP:
        take_memory_map(tag);
        break;
    case MULTIBOOT2_TAG_FRAMEBUFFER:
        take_framebuffer(tag);
        break;
    case MULTIBOOT2_TAG_ACPI_OLD:
    case MULTIBOOT2_TAG_ACPI_NEW:
        take_rsdp(tag);
        break;
    default:
        break;
    }
}

/* Each tag is at least its own header, so that the walk ends, and lies within the whole. */
static void take_tags(uintptr_t at, uintptr_t end)
{
    while (end - at >= sizeof(struct multiboot2_tag)) {
        const struct multiboot2_tag *tag = handover_at(at);

        if (tag->type == MULTIBOOT2_TAG_END || tag->size < sizeof(*tag) || tag->size > end - at)
            return;
        take_tag(tag);
        at += MIN(ALIGN_UP((uintptr_t)tag->size, (uintptr_t)MULTIBOOT2_TAG_ALIGN), end - at);
    }
}

void multiboot2_main(const struct multiboot2_info *info)
{
    uintptr_t start = (uintptr_t)info;

    handover_begin("multiboot2");
    /* Where UEFI has run, there is nothing to be found, and an RSDP is told. */
    boot_info.has_bios = true;
    if (IS_ALIGNED(start, (uintptr_t)MULTIBOOT2_TAG_ALIGN) &&
        handover_is_mapped(start, sizeof(*info)) && info->total_size >= sizeof(*info) &&
        info->total_size <= INFO_MAX_BYTES && handover_is_mapped(start, info->total_size))
        take_tags(start + sizeof(*info), start + info->total_size);
    kernel_main(&boot_info);
}
