/* SPDX-License-Identifier: MIT */
#include "arch/x86_64/paging.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/tlb.h"
#include "boot/boot_info.h"
#include "kernel/memory_lock.h"
#include "kernel/mmio.h"
#include "kernel/page.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

#define PTE_PRESENT       (UINT64_C(1) << 0)
#define PTE_WRITE         (UINT64_C(1) << 1)
#define PTE_WRITE_THROUGH (UINT64_C(1) << 3)
#define PTE_NO_CACHE      (UINT64_C(1) << 4)
#define PTE_LARGE         (UINT64_C(1) << 7)
#define PTE_NX            (UINT64_C(1) << 63)
#define PTE_ADDRESS       UINT64_C(0x000ffffffffff000)

#define ENTRIES 512

extern uint64_t boot_page_tables[ENTRIES]; /* the PML4, set by boot/ */
extern const char __image_start[], __image_end[];

static const struct boot_info *memory;

/* Level 0 is a page table (4 KiB entries), level 3 the PML4. */
static unsigned level_shift(unsigned level)
{
    return 12 + 9 * level;
}

static uint64_t level_bytes(unsigned level)
{
    return UINT64_C(1) << level_shift(level);
}

static uint64_t *table_of(uint64_t entry)
{
    return (uint64_t *)(uintptr_t)(entry & PTE_ADDRESS);
}

static uint64_t *entry_in(uint64_t *table, uintptr_t virtual, unsigned level)
{
    return &table[virtual >> level_shift(level) & (ENTRIES - 1)];
}

static bool has_1g_pages(void)
{
    return cpuid(0x80000001, 0).d & CPUID_80000001_EDX_PAGE1G;
}

/* A new table with the same meaning as the large page, or an empty one. */
static uint64_t *split(uint64_t *entry, unsigned level)
{
    uint64_t old = *entry;
    phys_addr_t page = old ? page_alloc(0) : page_alloc_zeroed(0);
    uint64_t *table = (uint64_t *)(uintptr_t)page;

    if (!page)
        return NULL;
    if (*entry != old) { /* the allocation opened a section of memory right here */
        page_free(page, 0);
        return *entry & PTE_LARGE ? split(entry, level) : table_of(*entry);
    }
    if (old) {
        uint64_t each = level == 1 ? old & ~PTE_LARGE : old;

        for (unsigned i = 0; i < ENTRIES; i++)
            table[i] = each + i * level_bytes(level - 1);
    }
    store_release(entry,
                  page | PTE_PRESENT | PTE_WRITE); /* others may be on their way through it */
    return table;
}

/*
 * The entry for the address at a level, and the tables on the way to it. NULL:
 * no memory for a table.
 */
static uint64_t *walk_to(uintptr_t virtual, unsigned to_level)
{
    uint64_t *table = boot_page_tables;

    for (unsigned level = 3; level > to_level; level--) {
        uint64_t *entry = entry_in(table, virtual, level);

        if (!(*entry & PTE_PRESENT) || *entry & PTE_LARGE)
            table = split(entry, level);
        else
            table = table_of(*entry);
        if (!table)
            return NULL;
    }
    return entry_in(table, virtual, to_level);
}

void paging_init(const struct boot_info *boot)
{
    memory = boot;
    *walk_to(0, 0) = 0; /* its table is among those of boot/ */
    tlb_flush_page(0);
}

/* The entry that decides about the address, and its level. */
static uint64_t *walk(uintptr_t virtual, unsigned *level)
{
    uint64_t *table = boot_page_tables;

    for (*level = 3;; --*level) {
        uint64_t *entry = entry_in(table, virtual, *level);

        if (*level == 0 || !(*entry & PTE_PRESENT) || *entry & PTE_LARGE)
            return entry;
        table = table_of(*entry);
    }
}

static bool fits(unsigned level, uintptr_t virtual, phys_addr_t physical, uint64_t bytes)
{
    return bytes >= level_bytes(level) && IS_ALIGNED(virtual | physical, level_bytes(level));
}

int paging_map(uintptr_t virtual, phys_addr_t physical, uint64_t bytes, unsigned flags)
{
    SPIN_SCOPE(&memory_lock);
    uintptr_t start = virtual;
    bool replaces = false;
    uint64_t bits = PTE_PRESENT | PTE_NX | (flags & PAGING_WRITE ? PTE_WRITE : 0) |
                    (flags & PAGING_UNCACHED ? PTE_NO_CACHE | PTE_WRITE_THROUGH : 0);

    while (bytes) {
        unsigned level = 0, decided_at;
        uint64_t *entry, *old = walk(virtual, &decided_at);

        if (fits(2, virtual, physical, bytes) && has_1g_pages())
            level = 2;
        else if (fits(1, virtual, physical, bytes))
            level = 1;
        /* A table that is there already stays: its entries are filled one by one. */
        if (level > decided_at)
            level = decided_at;
        entry = level == decided_at ? old : walk_to(virtual, level);
        if (!entry)
            return -ENOMEM;
        replaces |= *entry & PTE_PRESENT;
        *entry = physical | bits | (level ? PTE_LARGE : 0);
        tlb_flush_page(virtual);
        virtual += level_bytes(level);
        physical += level_bytes(level);
        bytes -= level_bytes(level);
    }
    if (replaces) /* nobody remembers that nothing was there */
        tlb_forget(start, virtual - start, false);
    return 0;
}

uint64_t paging_hole(uintptr_t virtual)
{
    SPIN_SCOPE(&memory_lock);
    unsigned level;

    walk(virtual, &level);
    return level_bytes(level);
}

int paging_unmap_4k(uintptr_t virtual)
{
    SPIN_SCOPE(&memory_lock);
    uint64_t *entry = walk_to(virtual, 0);

    if (!entry)
        return -ENOMEM;
    *entry = 0;
    tlb_flush_page(virtual);
    tlb_forget(virtual, PAGE_SIZE, false);
    return 0;
}

/* ---- Unmapping much at once: what is hidden has lost its present bit and nothing else. */

int paging_hide(uintptr_t virtual, uint64_t room, uint64_t *bytes)
{
    SPIN_SCOPE(&memory_lock);
    unsigned level;
    uint64_t *entry = walk(virtual, &level);
    uint64_t left = level_bytes(level) - (virtual & (level_bytes(level) - 1));

    *bytes = MIN(left, room);
    if (!(*entry & PTE_PRESENT))
        return 0;
    if (*bytes < level_bytes(level)) {
        level = 0;
        entry = walk_to(virtual, level);
        if (!entry)
            return -ENOMEM;
    }
    *entry &= ~PTE_PRESENT;
    tlb_flush_page(virtual);
    *bytes = level_bytes(level);
    return 1;
}

phys_addr_t paging_take_hidden(uintptr_t virtual, uint64_t *bytes)
{
    SPIN_SCOPE(&memory_lock);
    uint64_t *table = boot_page_tables, *entry, old;
    unsigned level = 3;

    /* Through tables that are hidden, too. */
    for (;; level--) {
        entry = entry_in(table, virtual, level);
        if (level == 0 || !*entry || *entry & PTE_LARGE)
            break;
        table = table_of(*entry);
    }
    *bytes = level_bytes(level) - (virtual & (level_bytes(level) - 1));
    old = *entry;
    if (!old || old & PTE_PRESENT)
        return 0;
    *entry = 0;
    return old & PTE_ADDRESS & ~(level_bytes(level) - 1);
}

/* The entry that may lead to a table of the 2 MiB around the address. NULL: there is none. */
static uint64_t *table_entry(uintptr_t virtual)
{
    uint64_t *table = boot_page_tables, *entry;

    for (unsigned level = 3; level > 1; level--) {
        entry = entry_in(table, virtual, level);
        if (!(*entry & PTE_PRESENT) || *entry & PTE_LARGE)
            return NULL;
        table = table_of(*entry);
    }
    entry = entry_in(table, virtual, 1);
    return *entry & PTE_LARGE ? NULL : entry;
}

phys_addr_t paging_table(uintptr_t virtual)
{
    SPIN_SCOPE(&memory_lock);
    const uint64_t *entry = table_entry(virtual);

    return entry && *entry & PTE_PRESENT ? *entry & PTE_ADDRESS : 0;
}

/* Until they have forgotten it others go through the old one, in which nothing changes. */
void paging_move_table(uintptr_t virtual, phys_addr_t to)
{
    SPIN_SCOPE(&memory_lock);
    uintptr_t start = ALIGN_DOWN(virtual, level_bytes(1));
    uint64_t *entry = table_entry(start);
    phys_addr_t old = *entry & PTE_ADDRESS;

    memcpy((void *)(uintptr_t)to, (void *)(uintptr_t)old, PAGE_SIZE);
    store_release(entry, to | (*entry & ~PTE_ADDRESS));
    tlb_flush_page(start);
    tlb_forget(start, level_bytes(1), true);
    page_free(old, 0);
}

unsigned paging_hide_tables(uintptr_t start, uintptr_t end)
{
    SPIN_SCOPE(&memory_lock);
    unsigned n = 0;

    for (start = ALIGN_UP(start, level_bytes(1)); start + level_bytes(1) <= end;
         start += level_bytes(1)) {
        uint64_t *entry = table_entry(start);

        if (!entry || !(*entry & PTE_PRESENT))
            continue;
        *entry &= ~PTE_PRESENT;
        tlb_flush_page(start); /* with it, what this CPU remembers of the table */
        n++;
    }
    return n;
}

void paging_free_tables(uintptr_t start, unsigned n)
{
    SPIN_SCOPE(&memory_lock);

    for (start = ALIGN_UP(start, level_bytes(1)); n; start += level_bytes(1)) {
        uint64_t *entry = table_entry(start);

        if (!entry || !*entry || *entry & PTE_PRESENT)
            continue;
        page_free(*entry & PTE_ADDRESS, 0);
        *entry = 0;
        n--;
    }
}

void paging_forget(uintptr_t start, uint64_t bytes, bool tables)
{
    SPIN_SCOPE(&memory_lock);
    tlb_forget(start, bytes, tables);
}

phys_addr_t paging_lookup(uintptr_t virtual, uint64_t *bytes_left)
{
    unsigned level;
    uint64_t entry = *walk(virtual, &level), offset = virtual & (level_bytes(level) - 1);

    *bytes_left = level_bytes(level) - offset;
    if (!(entry & PTE_PRESENT))
        return 0;
    return (entry & PTE_ADDRESS & ~(level_bytes(level) - 1)) + offset;
}

/* The first GiB is boot/'s work and never comes here. Tables of firmware may have been mapped
 * already. */
bool page_section_map(phys_addr_t start, uint64_t bytes)
{
    if (start + bytes > PAGING_IDENTITY_END)
        return false;
    return paging_map(start, start, ALIGN_UP(bytes, PAGE_SIZE), PAGING_WRITE) == 0;
}

/* Also where the second one, which comes from the VMM, wraps around. */
static bool overlap(phys_addr_t start, uint64_t bytes, phys_addr_t other, uint64_t other_bytes)
{
    return start - other < other_bytes || other - start < bytes;
}

/* The image counts, whether the memory map names RAM there or not. */
bool mmio_meets_ram(phys_addr_t start, uint64_t bytes)
{
    if (overlap(start, bytes, (uintptr_t)__image_start, (uintptr_t)(__image_end - __image_start)))
        return true;
    for (uint32_t i = 0; i < memory->n_ranges; i++) {
        const struct boot_range *range = &memory->ranges[i];

        if (range->type == BOOT_RANGE_RAM && overlap(start, bytes, range->start, range->bytes))
            return true;
    }
    return false;
}

/* The pages around [start, start + bytes); false: not an area that can be mapped. */
static bool pages_around(phys_addr_t *start, uint64_t *bytes)
{
    phys_addr_t end = *start + *bytes;

    if (!*bytes || end < *start || end > PAGING_IDENTITY_END || *start < PAGE_SIZE)
        return false;
    *start = ALIGN_DOWN(*start, PAGE_SIZE);
    *bytes = ALIGN_UP(end, PAGE_SIZE) - *start;
    return true;
}

static bool is_mapped_uncached(phys_addr_t start, uint64_t bytes)
{
    for (uint64_t done = 0; done < bytes;) {
        unsigned level;
        uint64_t entry = *walk(start + done, &level);

        if (!(entry & PTE_PRESENT) || !(entry & PTE_NO_CACHE))
            return false;
        done += level_bytes(level) - ((start + done) & (level_bytes(level) - 1));
    }
    return true;
}

volatile void *mmio_map(phys_addr_t start, uint64_t bytes)
{
    phys_addr_t page = start;

    if (!pages_around(&page, &bytes) || mmio_meets_ram(page, bytes))
        return NULL;
    if (!is_mapped_uncached(page, bytes) &&
        paging_map(page, page, bytes, PAGING_WRITE | PAGING_UNCACHED))
        return NULL;
    return (volatile void *)(uintptr_t)start;
}

const void *memory_map(phys_addr_t start, uint64_t bytes)
{
    phys_addr_t page = start;
    uint64_t left;

    if (!pages_around(&page, &bytes))
        return NULL;
    for (uint64_t done = 0; done < bytes; done += PAGE_SIZE)
        if (!paging_lookup(page + done, &left) &&
            paging_map(page + done, page + done, PAGE_SIZE, 0))
            return NULL;
    return (const void *)(uintptr_t)start;
}

static unsigned physical_bits(void)
{
    if (cpuid(0x80000000, 0).a < 0x80000008)
        return 36; /* of a CPU that does not say */
    return cpuid(0x80000008, 0).a & 0xff;
}

bool mmio_high_area(phys_addr_t *start, uint64_t *bytes)
{
    unsigned bits = physical_bits();
    phys_addr_t end = MIN(UINT64_C(1) << MIN(bits, 63u), PAGING_IDENTITY_END);
    phys_addr_t first = MAX(end / 2, UINT64_C(1) << 32);

    for (uint32_t i = 0; i < memory->n_ranges; i++) {
        const struct boot_range *range = &memory->ranges[i];

        if (range->start + range->bytes > first && range->start < end)
            first = ALIGN_UP(range->start + range->bytes, GIB);
    }
    if (first >= end)
        return false;
    *start = first;
    *bytes = end - first;
    return true;
}
