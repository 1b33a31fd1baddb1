/* SPDX-License-Identifier: MIT */
#include "boot/handover.h"

#include "lib/base/string.h"

struct boot_info boot_info;

void handover_begin(const char *path)
{
    boot_info.path = path;
    boot_info.cmdline = "";
}

bool handover_is_mapped(uint64_t start, uint64_t bytes)
{
    return start && start < MAPPED_BYTES && bytes <= MAPPED_BYTES - start;
}

/* It may lie right below the end of what is mapped; there it must be terminated. */
void handover_cmdline(uint64_t address)
{
    size_t room;

    if (!handover_is_mapped(address, 1))
        return;
    room = MIN(MAPPED_BYTES - address, BOOT_MAX_CMDLINE);
    boot_info.cmdline_truncated = strnlen(handover_at(address), room) == room;
    if (room == BOOT_MAX_CMDLINE || !boot_info.cmdline_truncated)
        boot_info.cmdline = handover_at(address);
}

bool handover_range(uint64_t start, uint64_t bytes, uint32_t type, uint32_t n_left)
{
    if (boot_info.n_ranges == BOOT_MAX_RANGES) {
        boot_info.n_ranges_dropped = n_left;
        return false;
    }
    boot_info.ranges[boot_info.n_ranges++] = (struct boot_range){ start, bytes, type };
    return true;
}

void handover_module(uint64_t start, uint64_t bytes)
{
    if (boot_info.n_modules < BOOT_MAX_MODULES)
        boot_info.modules[boot_info.n_modules++] = (struct boot_module){ start, bytes };
}

extern const char entry_64[]; /* boot/entry64.asm */

/* The ELF note by which a loader of our own finds that entry, and knows that we mean the same. */
static const struct {
    uint32_t name_bytes, descriptor_bytes, type;
    char name[12];
    const char *entry;
    uint64_t info_bytes;
} entry_note __attribute__((used, section(".note.aerostat"), aligned(4))) = {
    sizeof("Aerostat"), 16, 1, "Aerostat", entry_64, sizeof(struct boot_info)
};

void handover_main(const struct boot_info *given)
{
    uintptr_t cmdline;
    bool cut;

    if (handover_is_mapped((uintptr_t)given, sizeof(*given)))
        boot_info = *given;
    cmdline = (uintptr_t)boot_info.cmdline;
    cut = boot_info.cmdline_truncated;
    handover_begin("UEFI");
    handover_cmdline(cmdline);
    boot_info.cmdline_truncated |= cut;
    boot_info.n_ranges = MIN(boot_info.n_ranges, BOOT_MAX_RANGES);
    boot_info.n_modules = MIN(boot_info.n_modules, BOOT_MAX_MODULES);
    kernel_main(&boot_info);
}
