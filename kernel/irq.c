/* SPDX-License-Identifier: MIT */
/*
 * The low vectors are each CPU's own, the highest ones the same on all CPUs: by those
 * CPUs call each other.
 *
 * Concurrency: one lock, with interrupts off. Handlers are found without it: a handler
 * is written last and taken away first.
 */
#include "kernel/irq.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/trap.h"
#include "kernel/alloc.h"
#include "kernel/irq_entry.h"
#include "kernel/random.h"
#include "kernel/spinlock.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"

/* The spurious vector has no handler and wants no end. */
#define FIRST_EVERYWHERE (TRAP_SPURIOUS - 15)
#define N_OWN            (FIRST_EVERYWHERE - TRAP_FIRST_INTERRUPT)
#define N_EVERYWHERE     (TRAP_SPURIOUS - FIRST_EVERYWHERE)

/* A handle: the CPU's number above its vector. */
#define HANDLE_CPU(irq)    ((unsigned)(irq) >> 8)
#define HANDLE_VECTOR(irq) ((unsigned)(irq)&0xff)

struct irq_vector {
    irq_handler handler; /* NULL: free */
    void *argument;
    const char *name;
    uint64_t count; /* by the CPU whose it is */
};

/* A CPU's own. Those of further CPUs are made when the first is wanted, and stay. */
struct irq_vectors {
    struct irq_vector own[N_OWN];
    unsigned next;
};

static struct irq_vectors of_first;
static struct irq_vector everywhere[N_EVERYWHERE];
static struct spinlock lock;

enum irq_mode irq_mode = IRQ_MODE_MSIX;

static struct irq_vectors *vectors_of(struct cpu *cpu)
{
    return cpu->number ? load_acquire(&cpu->vectors) : &of_first;
}

/* Where nobody has asked for one of a further CPU yet. */
static struct irq_vectors *make_vectors(struct cpu *cpu)
{
    struct irq_vectors *mine = kalloc(sizeof(*mine)), *others = NULL;

    if (!mine)
        return NULL;
    if (__atomic_compare_exchange_n(&cpu->vectors, &others, mine, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return mine;
    kfree(mine);
    return others;
}

static void fill(struct irq_vector *entry, irq_handler handler, void *argument, const char *name)
{
    entry->argument = argument;
    entry->name = name;
    entry->count = 0;
    store_release(&entry->handler, handler); /* pairs with irq_entry() */
}

static int take_free(struct irq_vectors *vectors, irq_handler handler, void *argument,
                     const char *name)
{
    for (unsigned tried = 0; tried < N_OWN; tried++) {
        unsigned i = vectors->next++ % N_OWN;

        if (vectors->own[i].handler)
            continue;
        fill(&vectors->own[i], handler, argument, name);
        trap_open_interrupt(TRAP_FIRST_INTERRUPT + i);
        return (int)(TRAP_FIRST_INTERRUPT + i);
    }
    return -ENOSPC;
}

int irq_alloc_on(unsigned number, irq_handler handler, void *argument, const char *name)
{
    struct cpu *cpu = cpu_numbered(number);
    struct irq_vectors *vectors;
    bool were_on;
    int vector;

    if (!cpu)
        return -ENODEV;
    if (!apic_message_address(cpu->apic_id))
        return -ERANGE;
    if (number)
        spin_become_several(); /* its handler will run there */
    vectors = vectors_of(cpu);
    if (!vectors)
        vectors = make_vectors(cpu);
    if (!vectors)
        return -ENOMEM;
    were_on = irq_lock(&lock);
    vector = take_free(vectors, handler, argument, name);
    irq_unlock(&lock, were_on);
    return vector < 0 ? vector : (int)(number << 8) | vector;
}

int irq_alloc(irq_handler handler, void *argument, const char *name)
{
    return irq_alloc_on(0, handler, argument, name);
}

int irq_alloc_everywhere(irq_handler handler, void *argument, const char *name)
{
    bool were_on = irq_lock(&lock);
    int vector = -ENOSPC;

    for (unsigned i = 0; i < N_EVERYWHERE && vector < 0; i++) {
        if (everywhere[i].handler)
            continue;
        fill(&everywhere[i], handler, argument, name);
        vector = (int)(FIRST_EVERYWHERE + i);
        trap_open_interrupt((unsigned)vector);
    }
    irq_unlock(&lock, were_on);
    return vector;
}

static struct cpu *cpu_of(int irq)
{
    return cpu_numbered(HANDLE_CPU(irq));
}

void irq_free(int irq)
{
    struct cpu *cpu = cpu_of(irq);
    unsigned vector = HANDLE_VECTOR(irq);

    __atomic_store_n(&vectors_of(cpu)->own[vector - TRAP_FIRST_INTERRUPT].handler, NULL,
                     __ATOMIC_SEQ_CST);
    if (cpu == cpu_current())
        return;
    barrier_full(); /* pairs with irq_entry(): it sees no handler, or we see it serving */
    while (load_acquire(&cpu->serving) == vector)
        spin_pause();
}

unsigned irq_cpu(int irq)
{
    return HANDLE_CPU(irq);
}

struct irq_message irq_message(int irq)
{
    return (struct irq_message){ apic_message_address(cpu_of(irq)->apic_id), HANDLE_VECTOR(irq) };
}

int irq_route(uint32_t gsi, int irq, bool level_triggered, bool active_low)
{
    bool were_on = irq_lock(&lock); /* a handler may unroute its own pin */
    int error =
        ioapic_route(gsi, cpu_of(irq)->apic_id, HANDLE_VECTOR(irq), level_triggered, active_low);

    irq_unlock(&lock, were_on);
    return error;
}

void irq_unroute(uint32_t gsi)
{
    bool were_on = irq_lock(&lock);

    ioapic_unroute(gsi);
    irq_unlock(&lock, were_on);
}

/* NULL: no handler can be there. */
static struct irq_vector *vector_here(struct cpu *cpu, unsigned vector)
{
    struct irq_vectors *vectors;

    if (vector >= FIRST_EVERYWHERE)
        return vector < TRAP_SPURIOUS ? &everywhere[vector - FIRST_EVERYWHERE] : NULL;
    vectors = vectors_of(cpu);
    return vectors ? &vectors->own[vector - TRAP_FIRST_INTERRUPT] : NULL;
}

void irq_entry(unsigned vector)
{
    struct cpu *cpu = cpu_current();
    struct irq_vector *entry = vector_here(cpu, vector);
    irq_handler handler;

    if (vector == TRAP_SPURIOUS)
        return;
    random_note_moment();
    if (UNLIKELY(spin_several)) {
        store_once(&cpu->serving, vector);
        barrier_full(); /* pairs with irq_free() */
    }
    /* A vector freed a moment ago may still have been on its way. */
    handler = entry ? load_acquire(&entry->handler) : NULL;
    if (handler)
        handler(entry->argument);
    if (handler && vector < FIRST_EVERYWHERE)
        entry->count++;
    store_release(&cpu->serving, 0); /* pairs with irq_free() */
    apic_eoi();
}

bool irq_seen(unsigned number, unsigned at, struct irq_seen *seen)
{
    struct cpu *cpu = cpu_numbered(number);
    struct irq_vectors *vectors = cpu ? vectors_of(cpu) : NULL;
    const struct irq_vector *entry;

    if (at >= N_OWN)
        return false;
    entry = vectors ? &vectors->own[at] : NULL;
    seen->vector = TRAP_FIRST_INTERRUPT + at;
    seen->name = entry && entry->handler ? entry->name : NULL;
    seen->count = entry ? entry->count : 0;
    return true;
}
