/* SPDX-License-Identifier: MIT */
/* All CPUs that are wanted: by number, and by local APIC id, as a CPU finds itself (ap.asm). */
#include "arch/x86_64/percpu.h"
#include "lib/base/barrier.h"

#define SLOTS 512 /* as in ap.asm; more than CPUs, so that each search ends */
_Static_assert(SLOTS > CPU_MAX, "a slot stays free");

/* Ids mostly follow each other, and each has its slot; else it has the next free one. */
struct cpu *cpu_slots[SLOTS];

static struct cpu *cpus[CPU_MAX];
static unsigned n_cpus;

static struct cpu **slot_of(uint32_t apic_id)
{
    uint32_t slot = apic_id % SLOTS;

    while (cpu_slots[slot] && cpu_slots[slot]->apic_id != apic_id)
        slot = (slot + 1) % SLOTS;
    return &cpu_slots[slot];
}

bool cpu_add(struct cpu *cpu)
{
    struct cpu **slot = slot_of(cpu->apic_id);

    if (*slot || n_cpus == CPU_MAX)
        return false;
    cpu->number = n_cpus;
    *slot = cpus[n_cpus] = cpu;
    store_release(&n_cpus, n_cpus + 1); /* pairs with cpu_wanted() */
    return true;
}

bool cpu_is_known(uint32_t apic_id)
{
    return *slot_of(apic_id);
}

unsigned cpu_wanted(void)
{
    return load_acquire(&n_cpus);
}

struct cpu *cpu_numbered(unsigned number)
{
    return number < cpu_wanted() ? cpus[number] : NULL;
}
