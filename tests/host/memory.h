/* SPDX-License-Identifier: MIT */
/*
 * Memory for hosted tests: a shared mapping whose addresses serve as physical
 * ones stands behind kernel/page, and the page tables of arch/x86_64/paging.h
 * are mappings of the same memory at the addresses of the application's window.
 * A SIGSEGV there goes to vmem_fault(), so that kernel/vmem works as in a guest.
 */
#ifndef TESTS_HOST_MEMORY_H
#define TESTS_HOST_MEMORY_H

#include "lib/base/types.h"

/*
 * The first physical address: below 2 GiB, where the address sanitizer leaves
 * room and page numbers have 32 bits, as balloons want them.
 */
#define HOST_MEMORY UINT64_C(0x40000000)

/* Gives so much memory to the page allocator. Once, first of all. */
void host_memory_init(uint64_t bytes);

/* Sends page faults to vmem_fault(); again in each test, because cmocka takes the signal. */
void host_memory_catch_faults(void);

/* Pages in page tables. */
uint64_t host_memory_tables(void);

/* What is hidden just now, and how often other CPUs were made to forget so far. */
extern struct host_memory_hidden {
    uint64_t pages, tables, tables_forgotten;
    unsigned words;
} host_memory_hidden;

#endif
