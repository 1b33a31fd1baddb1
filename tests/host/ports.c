/* SPDX-License-Identifier: MIT */
/* How: the fault's instruction is looked at, carried out by the test's functions, and passed by. */
#define _GNU_SOURCE
#include "tests/host/ports.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

struct host_ports host_ports;

static struct sigaction before; /* whose the other faults are */

/* Opcodes of `in` and `out`: bit 0: wide; bit 1: out; bit 3: the port is in dx, else a byte
 * follows. */
#define OPCODE      0xe4
#define OPCODE_MASK 0xf4
#define WIDE        0x01
#define OUT         0x02
#define BY_DX       0x08

static void on_fault(int signal_number, siginfo_t *fault, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)registers[REG_RIP];
    bool word = *code == 0x66;
    uint8_t opcode = code[word];
    unsigned bytes = !(opcode & WIDE) ? 1 : word ? 2 : 4;
    uint32_t mask = UINT32_MAX >> (32 - 8 * bytes);
    uint16_t port;

    if ((opcode & OPCODE_MASK) != OPCODE) {
        if (before.sa_flags & SA_SIGINFO) {
            before.sa_sigaction(signal_number, fault, context);
            return;
        }
        fprintf(stderr, "fault at %p, code at %p\n", fault->si_addr, (const void *)code);
        abort();
    }
    port = opcode & BY_DX ? (uint16_t)registers[REG_RDX] : code[word + 1];
    registers[REG_RIP] += word + (opcode & BY_DX ? 1 : 2);
    if (opcode & OUT) {
        host_ports.write(port, bytes, (uint32_t)registers[REG_RAX] & mask);
        return;
    }
    /* A 32-bit result clears the upper half, narrower ones leave the rest. */
    registers[REG_RAX] = bytes == 4 ? (greg_t)host_ports.read(port, bytes)
                                    : (registers[REG_RAX] & ~(greg_t)mask) |
                                          (greg_t)(host_ports.read(port, bytes) & mask);
}

void host_ports_watch(void)
{
    struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

    struct sigaction now;

    sigaction(SIGSEGV, NULL, &now);
    if (now.sa_sigaction == on_fault)
        return;
    before = now;
    sigaction(SIGSEGV, &fault, NULL);
}
