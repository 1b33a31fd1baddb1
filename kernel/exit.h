/* SPDX-License-Identifier: MIT */
/* How the VM ends, and what scripts read of it. */
#ifndef KERNEL_EXIT_H
#define KERNEL_EXIT_H

enum exit_status {
    EXIT_APPLICATION_MAX = 99, /* larger values of main() become this */
    EXIT_PANIC = 101,
    EXIT_START_FAILED = 102,
};

/* Writes the last record, `aerostat: exit N`, and turns the machine off. Any context. */
_Noreturn void kernel_exit(int status);

/* Its halves, for the panic, which has something to do between them. */
void exit_record(int status);
_Noreturn void exit_machine(void);

#endif
