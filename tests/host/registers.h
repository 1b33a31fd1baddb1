/* SPDX-License-Identifier: MIT */
/*
 * Device registers for hosted tests of code that accesses them directly: a page
 * that faults, so that the test sees every access with its width, fills in
 * what is read and acts on what was written. x86-64 Linux.
 *
 *     uint8_t *page = host_registers_map();
 *     host_registers.read = fill;          before a load: write into page + offset
 *     host_registers.written = act;        after a store: look into page + offset
 *     host_registers_watch(true);          in each test: cmocka takes the signals itself
 */
#ifndef TESTS_HOST_REGISTERS_H
#define TESTS_HOST_REGISTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOST_REGISTERS_BYTES 0x4000

struct host_registers {
    uint8_t *page;
    void (*read)(size_t offset, unsigned bytes);
    void (*written)(size_t offset, unsigned bytes);
};

extern struct host_registers host_registers;

/* The same memory for the whole program, cleared; not watched until it is asked for. */
uint8_t *host_registers_map(void);

void host_registers_watch(bool watch);

#endif
