/* SPDX-License-Identifier: MIT */
/*
 * Starting CPUs (Intel SDM volume 3, "Multiple-Processor Initialization"). A
 * hypervisor takes INIT and startup IPI one after the other without the pauses that
 * boards once needed, so all are sent theirs at once. Who has not answered after a
 * while gets the second one that the protocol allows.
 */
#include "kernel/smp.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/tlb.h"
#include "boot/boot_info.h"
#include "kernel/alloc.h"
#include "kernel/clock.h"
#include "kernel/irq.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/thread.h"
#include "kernel/thread_entry.h"
#include "kernel/timer.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

#define LOW_END         0xa0000 /* where video memory was */
#define SECOND_TRY_NS   (100 * NSEC_PER_MSEC)
#define PATIENCE_NS     (5 * NSEC_PER_SEC)
#define FIRST_LOOK_NS   NSEC_PER_MSEC
#define LONGEST_LOOK_NS (50 * NSEC_PER_MSEC)
#define HALT_TICKS      (1ull << 28) /* of the TSC: a tenth of a second */

/* A further CPU's memory. The page below its stack is not mapped, to catch an overflow. */
struct further {
    struct cpu cpu __attribute__((aligned(4096)));
    uint8_t guard[PAGE_SIZE] __attribute__((aligned(4096)));
    uint8_t stack[2 * PAGE_SIZE];
    struct trap_stacks traps;
};

#define FURTHER_ORDER 3
_Static_assert(sizeof(struct further) <= PAGE_BYTES(FURTHER_ORDER), "memory of a further CPU");
_Static_assert(offsetof(struct cpu, stack_top) == 8, "as ap.asm has it");
_Static_assert(offsetof(struct cpu, apic_id) == 20, "as ap.asm has it");
_Static_assert(offsetof(struct cpu, taken) == 24, "as ap.asm has it");

/* arch/x86_64/ap.asm */
extern const uint8_t ap_trampoline[], ap_trampoline_end[], ap_trampoline_gdt[];
extern const uint8_t boot_gdt_pointer[];

static phys_addr_t start_page;
static unsigned total;    /* that the MADT names, whether there is memory for them or not */
static int vector;        /* tells a CPU that others have made threads of its ready */
static unsigned n_up;     /* by further CPUs, atomically */
static unsigned n_halted; /* the same */
static bool done;         /* who is not up now is not waited for any more */

static bool is_free(const struct boot_info *boot, phys_addr_t page)
{
    bool is_ram = false;

    for (uint32_t i = 0; i < boot->n_ranges; i++) {
        const struct boot_range *range = &boot->ranges[i];
        bool ram = range->type == BOOT_RANGE_RAM;

        if (ram && page >= range->start && range->bytes >= PAGE_SIZE &&
            page - range->start <= range->bytes - PAGE_SIZE)
            is_ram = true;
        if (!ram && (page - range->start < range->bytes || range->start - page < PAGE_SIZE))
            return false;
    }
    for (uint32_t i = 0; i < boot->n_modules; i++)
        if (page - boot->modules[i].start < boot->modules[i].bytes ||
            boot->modules[i].start - page < PAGE_SIZE)
            return false;
    return is_ram;
}

/* The highest: what a firmware left and forgot to name lies low. */
phys_addr_t smp_find_start_page(const struct boot_info *boot)
{
    for (phys_addr_t page = LOW_END - PAGE_SIZE; page; page -= PAGE_SIZE)
        if (is_free(boot, page))
            return start_page = page;
    return 0;
}

_Noreturn void smp_halt(void)
{
    tlb_part();
    __atomic_add_fetch(&n_halted, 1, __ATOMIC_SEQ_CST);
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* It halts when this returns. */
void ap_main(struct cpu *cpu);
void ap_main(struct cpu *cpu)
{
    cpu_take(cpu, &CONTAINER_OF(cpu, struct further, cpu)->traps);
    apic_init_further();
    if (apic_id() != cpu->apic_id) /* messages would reach another */
        return;
    timer_start_hardware();
    tlb_arrive();
    store_release(&cpu->up, true);
    __atomic_add_fetch(&n_up, 1, __ATOMIC_SEQ_CST);
    barrier_full(); /* first "up", then the look at the arrivals; pairs with smp_wake() */
    thread_run();
}

/* false: no memory. */
static bool prepare(uint32_t apic_id)
{
    phys_addr_t memory = page_alloc(FURTHER_ORDER);
    struct further *further = (struct further *)(uintptr_t)memory;

    if (!memory)
        return false;
    memset(&further->cpu, 0, sizeof(further->cpu));
    further->cpu.apic_id = apic_id;
    further->cpu.stack_top = (uintptr_t)(further->stack + sizeof(further->stack));
    if (thread_prepare(&further->cpu) || paging_unmap_4k((uintptr_t)further->guard)) {
        kfree(further->cpu.scheduler);
        page_free(memory, FURTHER_ORDER);
        return false;
    }
    return cpu_add(&further->cpu);
}

/* All there will be: before drivers ask for their vectors. */
static void prepare_all(const uint32_t *apic_ids, unsigned n)
{
    bool has_memory = true;

    total = 1;
    for (unsigned i = 0; i < n && total < CPU_MAX; i++) {
        if (cpu_is_known(apic_ids[i])) /* our own, or named twice */
            continue;
        total++;
        has_memory = has_memory && prepare(apic_ids[i]);
    }
}

static void write_trampoline(void)
{
    uint8_t *page = (uint8_t *)start_page;

    memcpy(page, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
    memcpy(page + (ap_trampoline_gdt - ap_trampoline), boot_gdt_pointer, 6);
}

/* How many can come. */
static unsigned send_for_all(void)
{
    unsigned sent = 0;

    for (unsigned i = 1; i < cpu_wanted(); i++) {
        uint32_t id = cpu_numbered(i)->apic_id;

        if (!apic_send_init(id) && !apic_send_startup(id, start_page))
            sent++;
    }
    return sent;
}

static bool has_come(unsigned number)
{
    return load_acquire(&cpu_numbered(number)->up);
}

static void send_again(void)
{
    for (unsigned i = 1; i < cpu_wanted(); i++)
        if (!has_come(i))
            apic_send_startup(cpu_numbered(i)->apic_id, start_page);
}

static void tell_missing(void)
{
    for (unsigned i = 1; i < cpu_wanted(); i++)
        if (!has_come(i))
            log_error("cpu: the one of APIC id %u did not come up", cpu_numbered(i)->apic_id);
    if (cpu_wanted() < total)
        log_error("cpu: no memory for more than %u", cpu_wanted());
}

static void start_all(void *argument)
{
    uint64_t started_ns = clock_monotonic_ns(), pause_ns = FIRST_LOOK_NS;
    bool again = false;
    unsigned sent;

    (void)argument;
    write_trampoline();
    tsc_compare();
    sent = send_for_all();
    while (load_acquire(&n_up) < sent && clock_monotonic_ns() - started_ns < PATIENCE_NS) {
        thread_sleep_until(clock_monotonic_ns() + pause_ns);
        pause_ns = MIN(2 * pause_ns, LONGEST_LOOK_NS);
        if (!again && clock_monotonic_ns() - started_ns >= SECOND_TRY_NS) {
            send_again();
            again = true;
        }
    }
    tsc_compare();
    done = true;
    if (smp_count() < total)
        tell_missing();
    log_info("cpu: %u of %u up", smp_count(), total);
}

static void take_news(void *argument)
{
    (void)argument;
    thread_take_arrivals();
}

/* One that is not up yet looks for itself when it comes. */
void smp_wake(const struct cpu *cpu)
{
    if (!cpu->number || load_acquire(&cpu->up))
        apic_send_interrupt(cpu->apic_id, (unsigned)vector);
}

int smp_wait_for(unsigned number)
{
    if (number >= cpu_wanted())
        return -ENODEV;
    while (number && !has_come(number)) {
        if (done)
            return -ENODEV;
        thread_sleep_until(clock_monotonic_ns() + FIRST_LOOK_NS);
    }
    return 0;
}

void smp_start(const uint32_t *apic_ids, unsigned n)
{
    if (n < 2)
        return;
    if (!start_page) {
        log_error("cpu: no memory below 1 MiB to start others at");
        return;
    }
    vector = irq_alloc_everywhere(take_news, NULL, "cpus");
    if (vector < 0 || tlb_start()) {
        log_error("cpu: no vector for more than one");
        return;
    }
    prepare_all(apic_ids, n);
    done = !thread_create("cpus", start_all, NULL);
    if (done)
        log_error("cpu: no memory to start others");
}

unsigned smp_count(void)
{
    return load_acquire(&n_up) + 1;
}

unsigned smp_wanted(void)
{
    return MAX(cpu_wanted(), 1u);
}

unsigned smp_current(void)
{
    return cpu_current()->number;
}

void smp_stop_others(void)
{
    struct cpu *self = cpu_current();
    uint64_t start = tsc_read();
    unsigned others = smp_count() - 1;

    if (self->number)
        apic_send_nmi(cpu_numbered(0)->apic_id);
    for (unsigned i = 1; i < cpu_wanted(); i++)
        if (i != self->number && has_come(i))
            apic_send_nmi(cpu_numbered(i)->apic_id);
    while (load_acquire(&n_halted) < others && tsc_read() - start < HALT_TICKS)
        cpu_pause();
}
