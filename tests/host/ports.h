/* SPDX-License-Identifier: MIT */
/*
 * I/O ports for hosted tests of code that accesses them directly: a program has
 * none, so that each `in` and `out` faults and the test answers it. x86-64 Linux.
 *
 *     host_ports.read = answer;            what an `in` gets
 *     host_ports.write = act;              what an `out` does
 *     host_ports_watch();                  in each test: cmocka takes the signal itself
 *
 * Together with tests/host/registers.h: after host_registers_watch(), which wants the same signal.
 */
#ifndef TESTS_HOST_PORTS_H
#define TESTS_HOST_PORTS_H

#include <stdint.h>

struct host_ports {
    uint32_t (*read)(uint16_t port, unsigned bytes);
    void (*write)(uint16_t port, unsigned bytes, uint32_t value);
};

extern struct host_ports host_ports;

void host_ports_watch(void);

#endif
