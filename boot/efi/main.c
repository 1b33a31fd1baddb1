/* SPDX-License-Identifier: MIT */
/* The loader as a story: see boot/efi/loader.h. */
#include "boot/efi/loader.h"

#include <efilib.h>

#define CMDLINE_FILE   L"\\aerostat\\cmdline"
#define INITRD_FILE    L"\\aerostat\\initrd"
#define COM1           0x3f8
#define HANDOVER_BELOW (GIB - 1) /* what the kernel can read at first */

extern const UINT8 kernel_file[], kernel_file_end[]; /* boot/efi/image.asm */

static EFI_STATUS fail(const CHAR16 *what, EFI_STATUS status)
{
    Print(L"aerostat: %s (%r)\r\n", what, status);
    return status;
}

/* Pages at an address, or anywhere up to one; NULL: there are none. */
static void *allocate(EFI_ALLOCATE_TYPE how, UINT64 address, UINTN bytes)
{
    EFI_PHYSICAL_ADDRESS at = address;

    if (EFI_ERROR(BS->AllocatePages(how, EfiLoaderData, EFI_SIZE_TO_PAGES(bytes), &at)))
        return NULL;
    return (void *)(UINTN)at;
}

/* A whole file of the volume that we come from; NULL: there is none, or no memory. */
static void *read_file(EFI_FILE *volume, CHAR16 *name, UINT64 below, UINTN *bytes)
{
    EFI_FILE *file;
    EFI_FILE_INFO *about;
    void *memory = NULL;

    if (!volume || EFI_ERROR(volume->Open(volume, &file, name, EFI_FILE_MODE_READ, 0)))
        return NULL;
    about = LibFileInfo(file);
    if (about && about->FileSize && about->FileSize < GIB) {
        *bytes = (UINTN)about->FileSize;
        memory = allocate(AllocateMaxAddress, below, *bytes);
        if (memory && EFI_ERROR(file->Read(file, bytes, memory)))
            memory = NULL;
    }
    if (about)
        FreePool(about);
    file->Close(file);
    return memory;
}

static void find_cmdline(struct handover *handover, const EFI_LOADED_IMAGE *program,
                         EFI_FILE *volume)
{
    const char *text;
    UINTN bytes;

    if (cmdline_from_options(handover, program->LoadOptions, program->LoadOptionsSize))
        return;
    text = read_file(volume, CMDLINE_FILE, HANDOVER_BELOW, &bytes);
    cmdline_from_file(handover, text, text ? bytes : 0);
}

static void find_module(struct boot_info *info, EFI_FILE *volume)
{
    UINTN bytes;
    void *memory = read_file(volume, INITRD_FILE, UINT64_MAX, &bytes);

    if (memory)
        info->modules[info->n_modules++] = (struct boot_module){ (UINTN)memory, bytes };
}

static void find_acpi(struct boot_info *info)
{
    EFI_GUID newer = ACPI_20_TABLE_GUID, older = ACPI_TABLE_GUID;
    void *rsdp = NULL;

    if (EFI_ERROR(LibGetSystemConfigurationTable(&newer, &rsdp)) || !rsdp)
        LibGetSystemConfigurationTable(&older, &rsdp);
    info->rsdp = (UINTN)rsdp;
}

static void find_framebuffer(struct boot_info *info)
{
    EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
    EFI_GRAPHICS_OUTPUT_PROTOCOL *screen;
    const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode;

    if (EFI_ERROR(LibLocateProtocol(&guid, (void **)&screen)) || !screen->Mode ||
        !screen->Mode->Info)
        return;
    mode = screen->Mode->Info;
    if (mode->PixelFormat != PixelRedGreenBlueReserved8BitPerColor &&
        mode->PixelFormat != PixelBlueGreenRedReserved8BitPerColor)
        return;
    info->framebuffer = (struct boot_framebuffer){ .start = screen->Mode->FrameBufferBase,
                                                   .pitch = mode->PixelsPerScanLine * 4,
                                                   .width = mode->HorizontalResolution,
                                                   .height = mode->VerticalResolution,
                                                   .bits = 32 };
}

/*
 * Half of the firmware may be gone already (UEFI 2.10, §7.4.6): neither its console nor a
 * way back can be counted on, but a reset.
 */
static _Noreturn void give_up(void)
{
    static const char text[] = "aerostat: the firmware does not let go\r\naerostat: exit 102\r\n";

    for (UINTN i = 0; i + 1 < sizeof(text); i++)
        __asm__ volatile("outb %0, %1" : : "a"(text[i]), "d"((UINT16)COM1));
    RT->ResetSystem(EfiResetCold, EFI_ABORTED, 0, NULL);
    for (;;)
        __asm__ volatile("hlt");
}

/* Paging stays as the firmware has it: the entry sees to its own. */
static _Noreturn void enter(const struct kernel *kernel, const struct boot_info *info)
{
    __asm__ volatile("cli; jmp *%0" : : "r"(kernel->entry), "D"(info) : "memory");
    __builtin_unreachable();
}

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system)
{
    struct handover *handover;
    EFI_LOADED_IMAGE *program;
    struct kernel kernel;
    EFI_FILE *volume;
    EFI_STATUS status;

    InitializeLib(handle, system);
    status = kernel_find(&kernel, kernel_file, (UINTN)(kernel_file_end - kernel_file));
    if (EFI_ERROR(status))
        return fail(L"the kernel in this file is damaged", status);
    status = BS->HandleProtocol(handle, &LoadedImageProtocol, (void **)&program);
    if (EFI_ERROR(status))
        return fail(L"the firmware does not know us", status);
    if (!allocate(AllocateAddress, kernel.start, kernel.end - kernel.start))
        return fail(L"the kernel must lie at 1 MiB, and memory there is not free",
                    EFI_OUT_OF_RESOURCES);
    handover = allocate(AllocateMaxAddress, HANDOVER_BELOW, sizeof(*handover));
    if (!handover)
        return fail(L"no memory below 1 GiB", EFI_OUT_OF_RESOURCES);

    ZeroMem(handover, sizeof(*handover));
    volume = LibOpenRoot(program->DeviceHandle);
    find_cmdline(handover, program, volume);
    find_module(&handover->info, volume);
    find_acpi(&handover->info);
    find_framebuffer(&handover->info);
    kernel_place(&kernel);
    status = leave_firmware(BS, handle, &handover->info);
    if (EFI_ERROR(status))
        give_up();
    enter(&kernel, &handover->info);
}
