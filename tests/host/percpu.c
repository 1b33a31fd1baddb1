/* SPDX-License-Identifier: MIT */
/* CPUs in hosted tests: a thread is the one that its GS base points to, as in the kernel. */
#include "tests/host/percpu.h"

#include <asm/prctl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct cpu *cpus[HOST_CPUS];

void host_be_cpu(struct cpu *cpu)
{
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, cpu))
        abort();
}

void host_add_cpu(struct cpu *cpu, unsigned number)
{
    cpu->self = cpu;
    cpu->number = number;
    list_init(&cpu->timers.pending);
    cpus[number] = cpu;
}

struct cpu *cpu_numbered(unsigned number)
{
    return number < HOST_CPUS ? cpus[number] : NULL;
}

/* Before main(), so that the test has one. */
__attribute__((constructor)) static void begin(void)
{
    static struct cpu first;

    host_add_cpu(&first, 0);
    host_be_cpu(&first);
}
