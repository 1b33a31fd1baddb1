/* SPDX-License-Identifier: MIT */
/* From Linux's boot parameters ("zero page") to struct boot_info. */
#include "boot/linux.h"
#include "boot/handover.h"

#define SETUP_DATA_MAX 64

static uint64_t join(uint32_t low, uint32_t high)
{
    return (uint64_t)high << 32 | low;
}

static void take_entries(const struct linux_e820_entry *entry, uint32_t n)
{
    for (; n && handover_range(entry->addr, entry->size, entry->type, n); n--)
        entry++;
}

/* The list may lead in a circle. */
static void take_setup_data(uint64_t address)
{
    const struct linux_setup_data *setup;

    for (unsigned i = 0; i < SETUP_DATA_MAX; i++, address = setup->next) {
        setup = handover_at(address);
        if (!handover_is_mapped(address, sizeof(*setup)))
            return;
        if (setup->type == LINUX_SETUP_E820_EXT &&
            handover_is_mapped(address + sizeof(*setup), setup->len))
            take_entries((const void *)(setup + 1), setup->len / sizeof(struct linux_e820_entry));
    }
}

static void take_memory_map(const struct linux_boot_params *params)
{
    take_entries(params->e820_table, MIN(params->e820_entries, LINUX_E820_MAX));
    if (params->version >= LINUX_SETUP_VERSION)
        take_setup_data(params->setup_data);
}

static void take_framebuffer(const struct linux_boot_params *params)
{
    if (params->orig_video_isVGA != LINUX_SCREEN_VESA &&
        params->orig_video_isVGA != LINUX_SCREEN_EFI)
        return;
    boot_info.framebuffer = (struct boot_framebuffer){
        .start = join(params->lfb_base, params->ext_lfb_base),
        .pitch = params->lfb_linelength,
        .width = params->lfb_width,
        .height = params->lfb_height,
        .bits = (uint8_t)MIN(params->lfb_depth, UINT8_MAX),
    };
}

static void take_header(const struct linux_boot_params *params)
{
    uint64_t ramdisk_bytes = join(params->ramdisk_size, params->ext_ramdisk_size);

    if (params->version >= LINUX_CMDLINE_VERSION)
        handover_cmdline(join(params->cmd_line_ptr, params->ext_cmd_line_ptr));
    if (ramdisk_bytes)
        handover_module(join(params->ramdisk_image, params->ext_ramdisk_image), ramdisk_bytes);
}

void linux_main(const struct linux_boot_params *params)
{
    handover_begin("Linux");
    boot_info.has_bios = true; /* loaders without a word about ACPI put its root pointer there */
    if (handover_is_mapped((uintptr_t)params, sizeof(*params)) &&
        params->header == LINUX_HEADER_MAGIC) {
        take_header(params);
        take_memory_map(params);
        take_framebuffer(params);
        boot_info.rsdp = params->acpi_rsdp_addr;
    }
    kernel_main(&boot_info);
}
