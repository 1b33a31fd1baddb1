/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tests/host/memory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/x86_64/paging.h"
#include "kernel/page.h"
#include "kernel/vmem.h"
#include "lib/base/errno.h"

#define WINDOW_BYTES (UINT64_C(1) << 40) /* of the application's window, what tests may use */
#define LARGE        PAGE_BYTES(PAGE_ORDER_2M)

static int memory_file;
static uint64_t *entries; /* by page of the window: physical address, and: */
#define IN_LARGE  (UINT64_C(1) << 0)
#define HIDDEN    (UINT64_C(1) << 1)
#define FORGOTTEN (UINT64_C(1) << 2)
static phys_addr_t *table_pages; /* by 2 MiB of the window; 0: no table */
static uint64_t tables;
struct host_memory_hidden host_memory_hidden;

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    if (!vmem_fault((uintptr_t)info->si_addr))
        signal(signal_number, SIG_DFL);
}

static void *reserve(uintptr_t at, uint64_t bytes, int file)
{
    int flags = MAP_NORESERVE | (at ? MAP_FIXED_NOREPLACE : 0) |
                (file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
    void *got = mmap((void *)at, bytes, PROT_READ | PROT_WRITE, flags, file, 0);

    if (got == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return got;
}

void host_memory_init(uint64_t bytes)
{
    memory_file = memfd_create("guest", 0);
    if (memory_file < 0 || ftruncate(memory_file, (off_t)bytes)) {
        perror("memfd");
        exit(1);
    }
    reserve(HOST_MEMORY, bytes, memory_file);
    entries = reserve(0, WINDOW_BYTES / PAGE_SIZE * sizeof(*entries), -1);
    table_pages = reserve(0, WINDOW_BYTES / LARGE * sizeof(*table_pages), -1);
    page_add_range(HOST_MEMORY, bytes);
}

void host_memory_catch_faults(void)
{
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };

    sigaction(SIGSEGV, &action, NULL);
}

uint64_t host_memory_tables(void)
{
    return tables;
}

bool page_section_map(phys_addr_t start, uint64_t bytes)
{
    return start >= HOST_MEMORY && bytes > 0;
}

static uint64_t *entry_of(uintptr_t virtual)
{
    uint64_t offset = virtual - PAGING_IDENTITY_END;

    if (offset >= WINDOW_BYTES)
        abort();
    return &entries[offset / PAGE_SIZE];
}

static phys_addr_t *table_of(uintptr_t virtual)
{
    return &table_pages[(virtual - PAGING_IDENTITY_END) / LARGE];
}

static int need_table(uintptr_t virtual)
{
    if (*table_of(virtual))
        return 0;
    *table_of(virtual) = page_alloc(0);
    if (!*table_of(virtual))
        return -ENOMEM;
    tables++;
    return 0;
}

static void set_mapping(uintptr_t virtual, phys_addr_t physical, uint64_t bytes)
{
    if (mmap((void *)virtual, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory_file,
             (off_t)(physical - HOST_MEMORY)) == MAP_FAILED) {
        perror("mmap");
        abort();
    }
}

int paging_map(uintptr_t virtual, phys_addr_t physical, uint64_t bytes, unsigned flags)
{
    bool large = IS_ALIGNED(virtual | physical, LARGE) && bytes == LARGE && !*table_of(virtual);
    uint64_t done;

    (void)flags;
    for (done = 0; done < bytes; done += PAGE_SIZE) {
        if (!large && need_table(virtual + done))
            return -ENOMEM;
        *entry_of(virtual + done) = (physical + done) | large;
    }
    set_mapping(virtual, physical, bytes);
    return 0;
}

uint64_t paging_hole(uintptr_t virtual)
{
    if (virtual - PAGING_IDENTITY_END >= WINDOW_BYTES) /* nothing was ever there */
        return 512 * GIB;
    return *entry_of(virtual) & IN_LARGE || !*table_of(virtual) ? LARGE : PAGE_SIZE;
}

static int split(uintptr_t virtual)
{
    uintptr_t start = ALIGN_DOWN(virtual, LARGE);

    if (need_table(virtual))
        return -ENOMEM;
    for (uint64_t done = 0; done < LARGE; done += PAGE_SIZE)
        *entry_of(start + done) &= ~IN_LARGE;
    return 0;
}

/* Nobody may touch it from here on, in this process neither. */
int paging_hide(uintptr_t virtual, uint64_t room, uint64_t *bytes)
{
    uint64_t whole = paging_hole(virtual);

    *bytes = MIN(whole - virtual % whole, room);
    if (!*entry_of(virtual) || *entry_of(virtual) & HIDDEN)
        return 0;
    if (*bytes < whole && whole == LARGE && split(virtual))
        return -ENOMEM;
    *bytes = *bytes < whole ? PAGE_SIZE : whole;
    for (uint64_t done = 0; done < *bytes; done += PAGE_SIZE)
        *entry_of(virtual + done) |= HIDDEN;
    munmap((void *)virtual, *bytes);
    host_memory_hidden.pages += *bytes / PAGE_SIZE;
    return 1;
}

/* What is taken without having been forgotten could still be written by another CPU. */
phys_addr_t paging_take_hidden(uintptr_t virtual, uint64_t *bytes)
{
    uint64_t entry = *entry_of(virtual), whole = paging_hole(virtual);

    *bytes = whole - virtual % whole;
    if (!(entry & HIDDEN))
        return 0;
    if (!(entry & FORGOTTEN))
        abort();
    for (uint64_t done = 0; done < *bytes; done += PAGE_SIZE)
        *entry_of(virtual + done) = 0;
    host_memory_hidden.pages -= *bytes / PAGE_SIZE;
    return entry & ~(uint64_t)(PAGE_SIZE - 1);
}

phys_addr_t paging_table(uintptr_t virtual)
{
    return *table_of(virtual);
}

void paging_move_table(uintptr_t virtual, phys_addr_t to)
{
    page_free(*table_of(virtual), 0);
    *table_of(virtual) = to;
}

unsigned paging_hide_tables(uintptr_t start, uintptr_t end)
{
    unsigned n = 0;

    for (start = ALIGN_UP(start, LARGE); start + LARGE <= end; start += LARGE) {
        if (!*table_of(start))
            continue;
        for (uint64_t done = 0; done < LARGE; done += PAGE_SIZE)
            if (*entry_of(start + done) && !(*entry_of(start + done) & HIDDEN))
                abort();
        n++;
    }
    host_memory_hidden.tables += n;
    return n;
}

void paging_free_tables(uintptr_t start, unsigned n)
{
    for (start = ALIGN_UP(start, LARGE); n; start += LARGE) {
        if (!*table_of(start))
            continue;
        if (host_memory_hidden.tables != host_memory_hidden.tables_forgotten)
            abort();
        page_free(*table_of(start), 0);
        *table_of(start) = 0;
        tables--;
        n--;
        host_memory_hidden.tables--;
        host_memory_hidden.tables_forgotten--;
    }
}

void paging_forget(uintptr_t start, uint64_t bytes, bool with_tables)
{
    host_memory_hidden.words++;
    if (with_tables)
        host_memory_hidden.tables_forgotten = host_memory_hidden.tables;
    for (uint64_t done = 0; done < bytes; done += PAGE_SIZE)
        if (*entry_of(start + done) & HIDDEN)
            *entry_of(start + done) |= FORGOTTEN;
}

phys_addr_t paging_lookup(uintptr_t virtual, uint64_t *bytes_left)
{
    uint64_t entry = *entry_of(virtual);
    uint64_t bytes = paging_hole(virtual);

    *bytes_left = bytes - virtual % bytes;
    return entry && !(entry & HIDDEN) ? (entry & ~IN_LARGE) + virtual % PAGE_SIZE : 0;
}
