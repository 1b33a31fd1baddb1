/* SPDX-License-Identifier: MIT */
/*
 * The kernel as an ELF file in our own memory: checked before anything is
 * written, for a file that was cut off on its way would otherwise start.
 */
#include "boot/efi/loader.h"

#define PT_LOAD 1
#define PT_NOTE 4

#define NOTE_TYPE_ENTRY 1 /* of our name: see boot/entry64.c */

#define ELF_MAGIC       0x464c457fu /* as the number that the first bytes make */
#define ELF_64_LITTLE   0x0102u
#define NOTE_NAME       0x746174736f726541u /* "Aerostat" */
#define NOTE_NAME_BYTES 9

struct elf_header {
    UINT32 magic;
    UINT16 class_and_order;
    UINT8 ident[10];
    UINT16 type, machine;
    UINT32 version;
    UINT64 entry, program_headers, section_headers;
    UINT32 flags;
    UINT16 header_bytes, program_header_bytes, n_program_headers;
};

struct program_header {
    UINT32 type, flags;
    UINT64 offset, virtual_address, physical_address, file_bytes, memory_bytes, align;
};

/* As boot/entry64.c writes it. */
struct entry_note {
    UINT32 name_bytes, descriptor_bytes, type;
    UINT64 name;
    UINT32 name_end; /* zeros */
    UINT64 entry;
    UINT64 info_bytes; /* of struct boot_info, as the kernel knows it */
} __attribute__((packed));

static BOOLEAN within(const struct kernel *kernel, UINT64 offset, UINT64 bytes)
{
    return offset <= kernel->bytes && bytes <= kernel->bytes - offset;
}

/* NULL beyond the last. */
static const struct program_header *program_header(const struct kernel *kernel, unsigned i)
{
    const struct elf_header *elf = (const void *)kernel->file;

    if (i >= elf->n_program_headers)
        return NULL;
    return (const void *)(kernel->file + elf->program_headers + i * sizeof(struct program_header));
}

static BOOLEAN is_elf(const struct kernel *kernel)
{
    const struct elf_header *elf = (const void *)kernel->file;

    return kernel->bytes >= sizeof(*elf) && elf->magic == ELF_MAGIC &&
           elf->class_and_order == ELF_64_LITTLE &&
           elf->program_header_bytes == sizeof(struct program_header) &&
           elf->program_headers % sizeof(UINT64) == 0 &&
           within(kernel, elf->program_headers,
                  (UINT64)elf->n_program_headers * sizeof(struct program_header));
}

static BOOLEAN take_segment(struct kernel *kernel, const struct program_header *segment)
{
    UINT64 start = segment->physical_address, end = start + segment->memory_bytes;

    if (segment->file_bytes > segment->memory_bytes || end < start || end >= GIB ||
        !within(kernel, segment->offset, segment->file_bytes))
        return 0;
    if (!kernel->end || start < kernel->start)
        kernel->start = start & ~(UINT64)(EFI_PAGE_SIZE - 1);
    if (end > kernel->end)
        kernel->end = (end + EFI_PAGE_SIZE - 1) & ~(UINT64)(EFI_PAGE_SIZE - 1);
    return 1;
}

/* Notes of several names follow each other in one segment. */
static void look_for_entry(struct kernel *kernel, const struct program_header *segment)
{
    if (!within(kernel, segment->offset, segment->file_bytes))
        return;
    for (UINT64 at = 0; at + sizeof(struct entry_note) <= segment->file_bytes; at += 4) {
        struct entry_note note; /* aligned to 4 in the file */

        __builtin_memcpy(&note, kernel->file + segment->offset + at, sizeof(note));
        if (note.name_bytes == NOTE_NAME_BYTES && note.type == NOTE_TYPE_ENTRY &&
            note.name == NOTE_NAME && note.info_bytes == sizeof(struct boot_info))
            kernel->entry = note.entry;
    }
}

EFI_STATUS kernel_find(struct kernel *kernel, const UINT8 *file, UINTN bytes)
{
    const struct program_header *segment;

    *kernel = (struct kernel){ .file = file, .bytes = bytes };
    if (!is_elf(kernel))
        return EFI_LOAD_ERROR;
    for (unsigned i = 0; (segment = program_header(kernel, i)) != NULL; i++) {
        if (segment->type == PT_LOAD && !take_segment(kernel, segment))
            return EFI_LOAD_ERROR;
        if (segment->type == PT_NOTE)
            look_for_entry(kernel, segment);
    }
    return kernel->entry >= kernel->start && kernel->entry < kernel->end ? EFI_SUCCESS
                                                                         : EFI_LOAD_ERROR;
}

void kernel_place(const struct kernel *kernel)
{
    const struct program_header *segment;

    for (unsigned i = 0; (segment = program_header(kernel, i)) != NULL; i++) {
        UINT8 *to = (UINT8 *)(UINTN)segment->physical_address;

        if (segment->type != PT_LOAD)
            continue;
        __builtin_memcpy(to, kernel->file + segment->offset, segment->file_bytes);
        __builtin_memset(to + segment->file_bytes, 0, segment->memory_bytes - segment->file_bytes);
    }
}
