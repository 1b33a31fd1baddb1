/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tests/host/halt.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#define CLI 0xfa
#define STI 0xfb
#define HLT 0xf4

static void (*halt)(void);

static void on_fault(int number, siginfo_t *fault, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint8_t opcode = *(const uint8_t *)registers[REG_RIP];

    (void)fault;
    if (opcode == HLT)
        halt();
    else if (opcode != CLI && opcode != STI) {
        signal(number, SIG_DFL); /* it faults again */
        return;
    }
    registers[REG_RIP]++;
}

void host_halt_by(void (*function)(void))
{
    struct sigaction action = { .sa_sigaction = on_fault,
                                .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

    halt = function;
    sigaction(SIGSEGV, &action, NULL);
}

void host_signal_stack(void *stack)
{
    stack_t on = { .ss_sp = stack, .ss_size = HOST_SIGNAL_STACK_BYTES };

    sigaltstack(&on, NULL);
}
