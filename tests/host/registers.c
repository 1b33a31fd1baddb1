/* SPDX-License-Identifier: MIT */
/*
 * How: the page may not be touched. The fault tells where and whether a store;
 * the instruction tells how wide. The page is opened, the instruction runs by
 * itself with the trap flag set, and the trap closes the page again.
 */
#define _GNU_SOURCE
#include "tests/host/registers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define TRAP_FLAG   0x100
#define FAULT_WRITE 2

struct host_registers host_registers;

static struct {
    bool store;
    size_t offset;
    unsigned bytes;
} pending;

static void protect(int how)
{
    mprotect(host_registers.page, HOST_REGISTERS_BYTES, how);
}

static bool is_byte_opcode(uint8_t opcode)
{
    return opcode == 0x88 || opcode == 0x8a || opcode == 0xc6 || opcode == 0x80 || opcode == 0xf6 ||
           opcode == 0x38 || opcode == 0x3a || opcode == 0x84;
}

/* Of the loads and stores that compilers make; 0: another instruction. */
static unsigned access_bytes(const uint8_t *code)
{
    bool word = false, wide = false;

    for (;; code++) {
        if (*code == 0x66)
            word = true;
        else if ((*code & 0xf0) == 0x40)
            wide = *code & 8;
        else
            break;
    }
    if (*code == 0x0f)
        return code[1] == 0xb6 || code[1] == 0xbe ? 1 : code[1] == 0xb7 || code[1] == 0xbf ? 2 : 0;
    if (is_byte_opcode(*code))
        return 1;
    return wide ? 8 : word ? 2 : 4;
}

static void on_fault(int signal_number, siginfo_t *fault, void *context)
{
    ucontext_t *user = context;
    size_t offset = (size_t)((uint8_t *)fault->si_addr - host_registers.page);

    (void)signal_number;
    if (offset >= HOST_REGISTERS_BYTES) {
        fprintf(stderr, "fault at %p, code at %p\n", fault->si_addr,
                (void *)user->uc_mcontext.gregs[REG_RIP]);
        abort();
    }
    pending.store = user->uc_mcontext.gregs[REG_ERR] & FAULT_WRITE;
    pending.offset = offset;
    pending.bytes = access_bytes((const uint8_t *)user->uc_mcontext.gregs[REG_RIP]);
    protect(PROT_READ | PROT_WRITE);
    if (!pending.store)
        host_registers.read(pending.offset, pending.bytes);
    user->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_trap(int signal_number, siginfo_t *trap, void *context)
{
    ucontext_t *user = context;

    (void)signal_number, (void)trap;
    user->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
    if (pending.store)
        host_registers.written(pending.offset, pending.bytes);
    protect(PROT_NONE);
}

uint8_t *host_registers_map(void)
{
    if (!host_registers.page)
        host_registers.page = mmap(NULL, HOST_REGISTERS_BYTES, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    protect(PROT_READ | PROT_WRITE);
    memset(host_registers.page, 0, HOST_REGISTERS_BYTES);
    return host_registers.page;
}

void host_registers_watch(bool watch)
{
    struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    struct sigaction trap = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

    sigaction(SIGSEGV, &fault, NULL);
    sigaction(SIGTRAP, &trap, NULL);
    protect(watch ? PROT_NONE : PROT_READ | PROT_WRITE);
}
