/* SPDX-License-Identifier: MIT */
/*
 * What a loader or firmware hands over, out of the input: its first byte says to
 * which boot path. All below 1 GiB is mapped here as boot/start.asm maps it, and
 * nothing behind, where the structure ends or else the memory that it points
 * into. What the UEFI program reads lies in an allocation of its very size.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <sys/mman.h>

#include "boot/efi/loader.h"
#include "boot/handover.h"
#include "boot/linux.h"
#include "boot/multiboot2.h"
#include "boot/pvh.h"
#include "tests/fuzz/input.h"

enum path { PVH, MULTIBOOT2, LINUX, OWN, EFI_MAP, EFI_KERNEL, EFI_OPTIONS, EFI_CMDLINE, PATHS };

/* With the path: sizes, magic numbers and descriptors are the input's; a text comes many times. */
#define AS_IT_IS 0x80

#define LOWEST      0x10000UL /* Linux maps nothing below */
#define LAST_BYTES  4096UL    /* of what is mapped: nothing else is written */
#define PVH_ROOM    1536UL    /* an input fills it, so that texts reach its end */
#define OWN_ROOM    (sizeof(struct boot_info) + 64)
#define TEXT_TIMES  5   /* then it can be longer than BOOT_MAX_CMDLINE */
#define PLACE_BYTES MIB /* a larger kernel is not placed: it would take all the time */

/* tests/fuzz/make-seeds writes it into the note of its kernels. */
_Static_assert(sizeof(struct boot_info) == 3208, "the seeds have another size");

extern const char entry_64[];
const char entry_64[1]; /* what the note of boot/entry64.c names */

static jmp_buf reached_kernel;

void kernel_main(const struct boot_info *boot)
{
    expect(boot == &boot_info, "the kernel is handed the one struct that there is");
    longjmp(reached_kernel, 1);
}

static void map_low_memory(void)
{
    static bool mapped;
    void *got;

    if (mapped)
        return;
    got = mmap((void *)LOWEST, MAPPED_BYTES - LOWEST, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    expect(got == (void *)LOWEST, "memory below 1 GiB is free");
    mapped = true;
}

/* Where it ends where the mapping does. */
static void *last(size_t bytes)
{
    return (void *)(MAPPED_BYTES - bytes);
}

static uint64_t mapped_here(uint64_t address)
{
    return address && address < LOWEST ? address + LOWEST : address;
}

/* The kernel reads BOOT_MAX_CMDLINE bytes where it finds no end before. */
static void check_cmdline(void)
{
    uintptr_t at = (uintptr_t)boot_info.cmdline;
    size_t length;

    expect(at, "there is a command line, though it may be empty");
    if (*boot_info.cmdline == '\0')
        return;
    expect(at >= LOWEST && at < MAPPED_BYTES, "the command line lies in mapped memory");
    length = strnlen(boot_info.cmdline, BOOT_MAX_CMDLINE);
    expect(at + length < MAPPED_BYTES || length == BOOT_MAX_CMDLINE,
           "the command line ends, or is as long as it may be");
    expect(length < BOOT_MAX_CMDLINE || boot_info.cmdline_truncated, "a cut is told of");
}

static void check_handover(void)
{
    check_cmdline();
    expect(boot_info.n_ranges <= BOOT_MAX_RANGES, "there is room for all ranges");
    expect(!boot_info.n_ranges_dropped || boot_info.n_ranges == BOOT_MAX_RANGES,
           "no range is dropped while there is room");
    expect(boot_info.n_modules <= BOOT_MAX_MODULES, "there is room for all modules");
}

static void boot_pvh(struct input *input, bool as_it_is)
{
    struct hvm_start_info start, *given = last(PVH_ROOM);

    take(input, &start, sizeof(start));
    if (!as_it_is) {
        start.magic = HVM_START_MAGIC_VALUE;
        start.version |= 1;
    }
    start.cmdline_paddr = mapped_here(start.cmdline_paddr);
    start.memmap_paddr = mapped_here(start.memmap_paddr);
    start.modlist_paddr = mapped_here(start.modlist_paddr);
    *given = start;
    take(input, given + 1, PVH_ROOM - sizeof(start));
    if (!setjmp(reached_kernel))
        pvh_main(given);
    expect(boot_info.n_ranges == 0 ||
               boot_info.n_ranges + boot_info.n_ranges_dropped <= start.memmap_entries,
           "no range is there or counted twice");
}

/* It ends where the mapping does; then it is overwritten, as when memory is given out. */
static void boot_multiboot2(struct input *input, bool as_it_is)
{
    size_t bytes = MAX(ALIGN_UP(MIN(input->left, LAST_BYTES), (size_t)MULTIBOOT2_TAG_ALIGN),
                       sizeof(struct multiboot2_info));
    struct multiboot2_info *given = last(bytes);

    take(input, given, bytes);
    if (!as_it_is)
        given->total_size = (uint32_t)bytes;
    if (!setjmp(reached_kernel))
        multiboot2_main(given);
    check_cmdline();
    memset(given, 0xee, bytes);
    boot_info.cmdline = "";
    if (boot_info.rsdp) {
        uint8_t copy[36]; /* as much as anybody reads */

        expect(boot_info.rsdp - (uintptr_t)given >= bytes, "the root pointer is a copy");
        memcpy(copy, (const void *)boot_info.rsdp, sizeof(copy));
    }
}

/* Each entry begins a range, or goes on where the one before ended. Others may follow. */
static void check_entries(const struct linux_e820_entry *entry, unsigned n)
{
    const struct boot_range *range = boot_info.ranges;
    uint64_t covered = 0;

    for (unsigned i = 0; i < n; i++, entry++) {
        if (i && entry->type == range->type && entry->addr > range->start &&
            entry->addr - range->start == covered && entry->size <= UINT64_MAX - entry->addr) {
            covered += entry->size;
            continue;
        }
        expect(!i || range->bytes == covered, "a range ends with its last entry");
        range += i != 0;
        expect(range->start == entry->addr && range->type == entry->type,
               "each range is where the loader said");
        covered = entry->size;
    }
    expect(!n || range->bytes >= covered, "each entry is in a range");
    expect(!n || (uint32_t)(range - boot_info.ranges) < boot_info.n_ranges, "each range is there");
}

static void boot_linux(struct input *input, bool as_it_is)
{
    static struct linux_boot_params params;
    struct linux_boot_params *given = last(sizeof(params));
    unsigned n;

    take(input, &params, sizeof(params));
    if (!as_it_is) {
        params.header = LINUX_HEADER_MAGIC;
        params.version |= LINUX_CMDLINE_VERSION;
        params.setup_data = mapped_here(params.setup_data);
    }
    if (!params.ext_cmd_line_ptr)
        params.cmd_line_ptr = (uint32_t)mapped_here(params.cmd_line_ptr);
    *given = params;
    if (!setjmp(reached_kernel))
        linux_main(given);
    n = params.header == LINUX_HEADER_MAGIC ? MIN(params.e820_entries, LINUX_E820_MAX) : 0;
    check_entries(params.e820_table, n);
}

/* By the entry for our own loaders; a bool is one there. */
static void boot_own(struct input *input)
{
    struct boot_info *given = last(OWN_ROOM);

    take(input, given, offsetof(struct boot_info, ranges));
    given->cmdline = (const char *)mapped_here((uintptr_t)given->cmdline);
    *(uint8_t *)&given->cmdline_truncated &= 1;
    *(uint8_t *)&given->has_bios &= 1;
    take(input, given + 1, OWN_ROOM - sizeof(*given));
    if (!setjmp(reached_kernel))
        handover_main(given);
    boot_info.n_ranges_dropped = 0; /* passed on as it came */
}

/* All that is left of the input, where the sanitizer sees each byte beyond it; never NULL. */
static uint8_t *rest_of(struct input *input, size_t *bytes)
{
    uint8_t *copy = malloc(input->left ? input->left : 1);

    *bytes = input->left;
    take(input, copy, input->left);
    return copy;
}

/* Of eight bytes each, so that an input makes more of them than there is room for. */
static uint8_t *make_descriptors(struct input *input, size_t *bytes)
{
    size_t n = input->left / 8;
    EFI_MEMORY_DESCRIPTOR *map = calloc(n + 1, sizeof(*map));

    for (size_t i = 0; i < n; i++) {
        map[i].Type = take8(input);
        map[i].NumberOfPages = take8(input);
        map[i].PhysicalStart = (UINT64)take16(input) << 32;
        map[i].PhysicalStart |= take32(input);
    }
    *bytes = n * sizeof(*map);
    return (uint8_t *)map;
}

static bool lies_in_a_range(const struct boot_info *info, uint64_t start, uint64_t bytes)
{
    for (unsigned i = 0; i < info->n_ranges; i++)
        if (info->ranges[i].start <= start &&
            info->ranges[i].start + info->ranges[i].bytes >= start + bytes)
            return true;
    return bytes == 0;
}

/* In rising order, and no byte more or less than the map has. */
static void efi_map(struct input *input, bool as_it_is)
{
    static struct boot_info info;
    uint16_t descriptor_bytes = as_it_is ? take16(input) : sizeof(EFI_MEMORY_DESCRIPTOR);
    uint64_t told = 0, kept = 0;
    size_t bytes;
    uint8_t *map = as_it_is ? rest_of(input, &bytes) : make_descriptors(input, &bytes);

    take_memory_map(&info, map, bytes, descriptor_bytes);
    expect(info.n_ranges <= BOOT_MAX_RANGES, "there is room for all ranges");
    for (unsigned i = 0; i < info.n_ranges; i++) {
        const struct boot_range *range = &info.ranges[i];

        expect(range->bytes && range->bytes <= UINT64_MAX - range->start, "no range wraps around");
        expect(!i || range->start >= range[-1].start, "ranges rise");
        kept += range->bytes;
    }
    for (size_t at = 0; descriptor_bytes >= sizeof(EFI_MEMORY_DESCRIPTOR) &&
                        descriptor_bytes % sizeof(UINT64) == 0 && bytes - at >= descriptor_bytes;
         at += descriptor_bytes) {
        EFI_MEMORY_DESCRIPTOR descriptor;
        uint64_t size;

        memcpy(&descriptor, map + at, sizeof(descriptor));
        if (descriptor.NumberOfPages > (UINT64_MAX - descriptor.PhysicalStart) / EFI_PAGE_SIZE)
            continue;
        size = descriptor.NumberOfPages * EFI_PAGE_SIZE;
        expect(info.n_ranges_dropped || lies_in_a_range(&info, descriptor.PhysicalStart, size),
               "what the map tells is in a range");
        told += size;
    }
    expect(info.n_ranges_dropped || told == kept, "every byte of the map is in a range");
    free(map);
}

static bool is_zero(uint64_t start, uint64_t bytes)
{
    for (const uint8_t *at = (const uint8_t *)start; bytes--; at++)
        if (*at)
            return false;
    return true;
}

/* The loader allocates from start to end; nothing else may be written. */
static void place(const struct kernel *kernel)
{
    uint64_t bytes = kernel->end - kernel->start;

    expect(kernel->start % EFI_PAGE_SIZE == 0 && kernel->end % EFI_PAGE_SIZE == 0,
           "whole pages are allocated");
    expect(kernel->entry >= kernel->start && kernel->entry < kernel->end,
           "the entry lies in the kernel");
    expect(kernel->end <= MAPPED_BYTES, "the kernel lies where it is mapped");
    if (bytes > PLACE_BYTES || kernel->start < LOWEST + EFI_PAGE_SIZE)
        return;
    kernel_place(kernel);
    expect(is_zero(kernel->start - EFI_PAGE_SIZE, EFI_PAGE_SIZE), "nothing is written below");
    expect(kernel->end > MAPPED_BYTES - EFI_PAGE_SIZE || is_zero(kernel->end, EFI_PAGE_SIZE),
           "nothing is written above");
    memset((void *)kernel->start, 0, bytes);
}

static void efi_kernel(struct input *input)
{
    struct kernel kernel;
    size_t bytes;
    uint8_t *file = rest_of(input, &bytes);

    if (kernel_find(&kernel, file, bytes) == EFI_SUCCESS)
        place(&kernel);
    free(file);
}

/* The input so many times. */
static uint8_t *make_text(struct input *input, unsigned times, size_t *bytes)
{
    uint8_t *text = malloc(input->left ? input->left * times : 1);

    for (unsigned i = 0; i < times; i++)
        memcpy(text + i * input->left, input->at, input->left);
    *bytes = input->left * times;
    return text;
}

static void efi_cmdline(struct input *input, bool options, unsigned times)
{
    static struct handover handover;
    bool is_text = false;
    size_t bytes, length;
    uint8_t *text = make_text(input, times, &bytes);

    memset(handover.cmdline, 'x', sizeof(handover.cmdline));
    if (options)
        is_text = cmdline_from_options(&handover, text, bytes);
    else
        cmdline_from_file(&handover, (const char *)text, bytes);
    expect(handover.info.cmdline == handover.cmdline, "it is kept with what is handed over");
    length = strnlen(handover.cmdline, sizeof(handover.cmdline));
    expect(length < sizeof(handover.cmdline), "the command line ends");
    expect(!options || is_text == (length > 0), "what is no text leaves nothing");
    for (size_t i = 0; options && i < length; i++)
        expect(handover.cmdline[i] >= ' ' && handover.cmdline[i] < 127, "options are text");
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = { bytes, size };
    uint8_t first = take8(&input);
    bool as_it_is = first & AS_IT_IS;
    enum path path = first % AS_IT_IS % PATHS;

    map_low_memory();
    memset(&boot_info, 0, sizeof(boot_info));
    boot_info.cmdline = "";
    memset(last(LAST_BYTES), 0, LAST_BYTES);
    switch (path) {
    case PVH:
        boot_pvh(&input, as_it_is);
        break;
    case MULTIBOOT2:
        boot_multiboot2(&input, as_it_is);
        break;
    case LINUX:
        boot_linux(&input, as_it_is);
        break;
    case OWN:
        boot_own(&input);
        break;
    case EFI_MAP:
        efi_map(&input, as_it_is);
        break;
    case EFI_KERNEL:
        efi_kernel(&input);
        break;
    case EFI_OPTIONS:
    case EFI_CMDLINE:
        efi_cmdline(&input, path == EFI_OPTIONS, as_it_is ? TEXT_TIMES : 1);
        break;
    case PATHS:
        break;
    }
    check_handover();
    return 0;
}
