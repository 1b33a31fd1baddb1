/* SPDX-License-Identifier: MIT */
/*
 * The UEFI program that carries the kernel (UEFI Specification 2.10): asks the
 * firmware what it knows, puts the kernel where it must lie, takes leave of the
 * firmware, and goes to the kernel's 64-bit entry with a struct boot_info.
 *
 * What firmware says is bounded and checked; what it refuses ends in a message
 * on its console and an error to whoever started the program.
 */
#ifndef BOOT_EFI_LOADER_H
#define BOOT_EFI_LOADER_H

#include <efi.h>

#include "boot/boot_info.h"

/* boot/efi/main.c, called by GNU-EFI's start-up. */
EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system);

/* What is handed over, in one piece below 1 GiB. */
struct handover {
    struct boot_info info;
    char cmdline[BOOT_MAX_CMDLINE];
};

/* The kernel and how it wants to be entered, as its ELF file says. */
struct kernel {
    const UINT8 *file;
    UINTN bytes;
    UINT64 start, end; /* of all it needs, in whole pages */
    UINT64 entry;
};

/* boot/efi/kernel.c. EFI_LOAD_ERROR: it is cut off, or none of ours. */
EFI_STATUS kernel_find(struct kernel *kernel, const UINT8 *file, UINTN bytes);

/* Copies it to where it belongs; the memory is ours. */
void kernel_place(const struct kernel *kernel);

/*
 * boot/efi/cmdline.c. What a boot manager or shell gave: UTF-16, maybe with the program's
 * name first. Returns whether it is a text at all; what does not fit is cut, and marked.
 */
BOOLEAN cmdline_from_options(struct handover *handover, const void *options, UINTN bytes);

/* A file's text: its first line. */
void cmdline_from_file(struct handover *handover, const char *text, UINTN bytes);

/*
 * boot/efi/leave.c. Puts the memory map into the struct and ends boot services, again
 * when the map has changed meanwhile. Nothing of the firmware may be called after
 * success; after an error only what may be called while services end.
 */
EFI_STATUS leave_firmware(EFI_BOOT_SERVICES *services, EFI_HANDLE program, struct boot_info *info);

/* Part of it: what the kernel is to know of a map. */
void take_memory_map(struct boot_info *info, const UINT8 *map, UINTN bytes, UINTN descriptor_bytes);

#endif
