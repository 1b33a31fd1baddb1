/* SPDX-License-Identifier: MIT */
#include "kernel/exit.h"

#include "arch/x86_64/cpu.h"
#include "kernel/log.h"
#include "kernel/power.h"
#include "kernel/smp.h"

/* In images that hold the audit, see kernel/page_audit.h. */
extern int audit_at_exit(int status) __attribute__((weak));

/* On every console there is: whoever reads one of them waits for it. */
void exit_record(int status)
{
    irq_disable();
    console_flush();
    console_everywhere();
    if (audit_at_exit && status != EXIT_PANIC)
        status = audit_at_exit(status);
    log_line(LOG_ERROR, "aerostat: exit %d", status);
    console_flush(); /* a VMM that ends now drops what its UART still holds: "exit 101" became "exit
                        1" */
}

void exit_machine(void)
{
    irq_disable();
    power_off();
    power_reset();
    cpu_reset();
}

void kernel_exit(int status)
{
    static bool ends;

    irq_disable();
    /* Where several CPUs come to the end, the first has it; a panic comes last. */
    if (status != EXIT_PANIC && __atomic_exchange_n(&ends, true, __ATOMIC_SEQ_CST))
        smp_halt();
    exit_record(status);
    exit_machine();
}
