/* SPDX-License-Identifier: MIT */
/* From a struct boot_info that a loader of our own has filled: see boot/entry64.asm. */
#include "boot/handover.h"

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
