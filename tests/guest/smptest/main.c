/* SPDX-License-Identifier: MIT */
/*
 * Work on other CPUs:
 *
 *     -append "log=error -- torture 4 10000"
 *
 * The first number is that of the CPUs, for which it waits.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aerostat/cpu.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/pvclock.h"
#include "kernel/alloc.h"
#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/exit.h"
#include "kernel/irq.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/page_audit.h"
#include "kernel/panic.h"
#include "kernel/smp.h"
#include "kernel/thread.h"
#include "kernel/vmem.h"
#include "lib/base/barrier.h"
#include "lib/base/io.h"
#include "lib/base/latest.h"
#include "lib/libc/kernel_call.h"

#define MAX_CPUS    64
#define PATIENCE_NS (30 * NSEC_PER_SEC)
#define HELD        24 /* blocks that a CPU holds at a time */

static bool failed;

static void report(bool passed, const char *what)
{
    printf("%s: %s\n", passed ? "PASS" : "FAIL", what);
    failed |= !passed;
}

/* What each CPU works on, in a thread of its own. */
static struct work {
    unsigned cpu, rounds;
    unsigned long done, wrong;
    void (*function)(struct work *work);
    struct event event, ended;
} works[MAX_CPUS];

static void wait_for_cpus(unsigned cpus)
{
    const struct timespec while_waiting = { 0, 1000000 };

    for (unsigned tries = 0; smp_count() < cpus && tries < 30000; tries++)
        nanosleep(&while_waiting, NULL);
    report(smp_count() == cpus, "all CPUs are up");
}

static void work(void *argument)
{
    struct work *work = argument;

    work->function(work);
    event_signal(&work->ended);
}

/* The kernel's threads that need no kernel lock, one on each CPU. */
static void run_on_all(unsigned cpus, void (*function)(struct work *), unsigned rounds)
{
    bool ran = true, ended = true;

    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        works[cpu] = (struct work){ .cpu = cpu, .rounds = rounds, .function = function };
        event_init(&works[cpu].event);
        event_init(&works[cpu].ended);
    }
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        ran &= KERNEL_CALL(bool, thread_create_parallel(cpu, "work", work, &works[cpu]) != NULL);
    report(ran, "each CPU gets a thread");
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        ended &= KERNEL_CALL(
                     int, event_wait(&works[cpu].ended, clock_monotonic_ns() + PATIENCE_NS)) == 0;
    report(ended, "each comes to its end");
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        if (works[cpu].done != rounds || works[cpu].wrong)
            printf("CPU %u: %lu rounds, %lu wrong\n", cpu, works[cpu].done, works[cpu].wrong);
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        failed |= works[cpu].done != rounds || works[cpu].wrong;
}

/* ---- torture: all take and give memory, and look whether it stays theirs */

struct held {
    uint64_t *words;
    unsigned order; /* of pages; or kalloc's */
    bool is_object;
};

static void check_and_free(struct work *work, struct held *held, unsigned at)
{
    uint64_t mark = (uint64_t)work->cpu << 32 | at;
    size_t last = (held->is_object ? (size_t)32 << held->order : PAGE_BYTES(held->order)) / 8 - 1;

    if (held->words[0] != mark || held->words[last] != ~mark)
        work->wrong++;
    if (held->is_object)
        kfree(held->words);
    else
        page_free((uintptr_t)held->words, held->order);
    held->words = NULL;
}

static void take(struct work *work, struct held *held, unsigned at, unsigned random)
{
    uint64_t mark = (uint64_t)work->cpu << 32 | at;
    size_t bytes;

    held->is_object = random & 1;
    held->order = random >> 1 & 3;
    bytes = held->is_object ? (size_t)32 << held->order : PAGE_BYTES(held->order);
    held->words = held->is_object ? kalloc(bytes) : (uint64_t *)page_alloc(held->order);
    if (!held->words)
        return;
    held->words[0] = mark;
    held->words[bytes / 8 - 1] = ~mark;
}

static void torture(struct work *work)
{
    struct held held[HELD];
    uint32_t random = work->cpu * 2654435761u + 1;

    memset(held, 0, sizeof(held));
    for (; work->done < work->rounds; work->done++) {
        unsigned at;

        random = random * 1664525 + 1013904223;
        at = (random >> 24) % HELD;
        if (held[at].words)
            check_and_free(work, &held[at], at);
        else
            take(work, &held[at], at, random >> 16);
    }
    for (unsigned at = 0; at < HELD; at++)
        if (held[at].words)
            check_and_free(work, &held[at], at);
}

/* Until nothing changes for a second: the thread that starts the CPUs may not have ended yet. */
static void wait_for_quiet(struct kalloc_stats *objects)
{
    unsigned quiet = 0;

    kalloc_get_stats(objects);
    for (unsigned tries = 0; quiet < 20 && tries < 600; tries++) {
        uint64_t used_bytes = objects->used_bytes;

        nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
        kalloc_get_stats(objects);
        quiet = objects->used_bytes == used_bytes ? quiet + 1 : 0;
    }
}

static void run_torture(unsigned cpus, unsigned rounds)
{
    struct page_stats before, after;
    struct kalloc_stats objects_before, objects_after;

    wait_for_quiet(&objects_before);
    page_get_stats(&before);
    run_on_all(cpus, torture, rounds);
    for (unsigned tries = 0; tries < 200; tries++) { /* the threads themselves may take a while */
        nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
        page_get_stats(&after);
        kalloc_get_stats(&objects_after);
        if (objects_after.used_bytes == objects_before.used_bytes)
            break;
    }
    report(KERNEL_CALL(bool, page_audit()), "every page is exactly one of free and allocated");
    report(objects_after.used_bytes == objects_before.used_bytes &&
               after.promised == before.promised,
           "all memory came back");
}

/* ---- events: one goes round all CPUs, and each looks that it runs where it was put */

/* Waits again and again for so short that time-outs meet signals; or once. */
static bool wait_for_turn(struct work *work, bool is_short)
{
    uint64_t end_ns = clock_monotonic_ns() + PATIENCE_NS;

    if (!is_short)
        return event_wait(&work->event, end_ns) == 0;
    while (event_wait(&work->event, clock_monotonic_ns() + work->done % 32 * 1000))
        if (clock_monotonic_ns() > end_ns)
            return false;
    return true;
}

static void go_round(struct work *work, bool is_short)
{
    unsigned next = work->cpu + 1;

    if (next == MAX_CPUS || !works[next].function)
        next = 0;
    if (!work->cpu)
        event_signal(&work->event);
    while (work->done < work->rounds && wait_for_turn(work, is_short)) {
        work->wrong += cpu_current()->number != work->cpu;
        /* It is nobody else's turn: a signal that came twice would show. */
        work->wrong += works[next].done != work->done + (next == 0);
        work->done++;
        event_signal(&works[next].event);
    }
}

static void pass_on(struct work *work)
{
    go_round(work, false);
}

static void pass_on_in_time(struct work *work)
{
    go_round(work, true);
}

/* ---- sleep: each wakes when it is time, and not much earlier or later */

static void sleep_often(struct work *work)
{
    for (; work->done < work->rounds; work->done++) {
        uint64_t until_ns =
            clock_monotonic_ns() + (1 + (work->done + work->cpu) % 5) * NSEC_PER_MSEC;

        thread_sleep_until(until_ns);
        work->wrong += clock_monotonic_ns() < until_ns;
    }
}

/* ---- lock: threads that count under the kernel lock, which they lose only where they wait */

static volatile unsigned long counted;

static void count_up(void *argument)
{
    struct work *work = argument;

    for (; work->done < work->rounds; work->done++) {
        unsigned long seen = counted;

        for (volatile unsigned i = 0; i < 50; i++)
            ;
        work->wrong += counted != seen;
        counted = seen + 1;
        if (work->done % 4 == 0)
            thread_yield();
    }
    event_signal(&work->ended);
}

static void run_lock(unsigned cpus, unsigned rounds)
{
    bool ran = true, ended = true;
    unsigned long wrong = 0, entered = 0;

    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        works[cpu] = (struct work){ .cpu = cpu, .rounds = rounds };
        event_init(&works[cpu].ended);
        ran &= KERNEL_CALL(bool, thread_create_on(cpu, "count", count_up, &works[cpu]) != NULL);
    }
    report(ran, "each CPU gets a thread");
    for (; entered < rounds; entered++) /* as the application's calls do */
        KERNEL_CALL(int, (counted++, 0));
    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        ended &= KERNEL_CALL(
                     int, event_wait(&works[cpu].ended, clock_monotonic_ns() + PATIENCE_NS)) == 0;
        wrong += works[cpu].wrong;
    }
    report(ended, "each comes to its end");
    report(!wrong && counted == (unsigned long)rounds * (cpus + 1),
           "one at a time is in the kernel");
}

/* ---- clock: what one CPU has read no other reads a time before */

static uint64_t latest_ns;

static void compare_clocks(struct work *work)
{
    for (; work->done < work->rounds; work->done++) {
        uint64_t before_ns = __atomic_load_n(&latest_ns, __ATOMIC_SEQ_CST);
        uint64_t now_ns = clock_monotonic_ns();

        if (now_ns < before_ns)
            work->wrong++;
        latest(&latest_ns, now_ns);
    }
    work->wrong += cpu_current()->pv.clock.flags & PVCLOCK_GUEST_STOPPED; /* which was seen */
}

static void run_clock(unsigned cpus, unsigned rounds)
{
    uint64_t started_ns = clock_monotonic_ns();
    bool filled = true;

    for (unsigned cpu = 0; cpu < cpus; cpu++)
        filled &= cpu_numbered(cpu)->pv.clock.version && cpu_numbered(cpu)->pv.steal_time.version;
    report(filled == !strcmp(clock_source_name(), "kvm-clock"),
           "KVM fills each CPU's page of the clock, and of stolen time");
    run_on_all(cpus, compare_clocks, rounds);
    report(!failed, "time goes back for nobody");
    report(latest_ns > started_ns, "time goes on");
    printf("after %lu us by %s\n", (latest_ns - started_ns) / 1000, clock_source_name());
}

static bool comes(const struct work *work, unsigned long beyond)
{
    uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_NS;

    while (__atomic_load_n(&work->done, __ATOMIC_SEQ_CST) <= beyond)
        if (clock_monotonic_ns() > deadline_ns)
            return false;
    return true;
}

/* ---- unmap: the first CPU gives memory back that all others read, and it gets another use */

#define POISON UINT64_C(0xdeadbeefdeadbeef)

static struct {
    uint64_t *words; /* the first of each page has the round in which it was written; 0: nothing */
    size_t pages;
    uint64_t given_back; /* the latest round of which nothing may be read any more */
    bool is_over;
} range;

/* Reads on until told to stop. done: what it read; wrong: of memory that is no more there. */
static void read_range(void *argument)
{
    struct work *work = argument;

    while (!load_acquire(&range.is_over)) {
        for (size_t page = 0; page < range.pages; page++, work->done++) {
            uint64_t given_back = load_acquire(&range.given_back);
            uint64_t value = load_once(&range.words[page * PAGE_SIZE / 8]);

            if (value && (value == POISON || value <= given_back))
                work->wrong++;
        }
    }
    event_signal(&work->ended);
}

/* What was freed a moment ago is at once somebody else's, and written to. */
static void use_otherwise(size_t pages)
{
    static phys_addr_t taken[1024];

    for (size_t i = 0; i < pages; i++) {
        taken[i] = page_alloc(0);
        if (taken[i])
            *(uint64_t *)taken[i] = POISON;
    }
    for (size_t i = 0; i < pages; i++)
        if (taken[i])
            page_free(taken[i], 0);
}

static void run_unmap(unsigned cpus, unsigned rounds)
{
    uint64_t round, wrong = 0;
    bool ran = true, ended = true;

    for (unsigned large = 0; large < (rounds < 16 ? 1 : 2); large++) {
        range.pages = large ? 1024 : 24;
        range.words = KERNEL_CALL(void *, vmem_alloc(range.pages * PAGE_SIZE));
        range.given_back = 0;
        range.is_over = false;
        for (unsigned cpu = 1; cpu < cpus; cpu++) {
            works[cpu] = (struct work){ .cpu = cpu };
            event_init(&works[cpu].ended);
            ran &= KERNEL_CALL(bool, thread_create_parallel(cpu, "read", read_range, &works[cpu]) !=
                                         NULL);
        }
        for (unsigned cpu = 1; cpu < cpus; cpu++)
            ran &= comes(&works[cpu], 0);
        for (round = 1; round <= (large ? rounds / 16 : rounds); round++) {
            for (size_t page = 0; page < range.pages; page++)
                store_once(&range.words[page * PAGE_SIZE / 8], round);
            KERNEL_CALL(int, (vmem_discard(range.words, range.pages * PAGE_SIZE), 0));
            store_release(&range.given_back, round);
            KERNEL_CALL(int, (use_otherwise(range.pages), 0));
        }
        store_release(&range.is_over, true);
        for (unsigned cpu = 1; cpu < cpus; cpu++) {
            ended &= KERNEL_CALL(int, event_wait(&works[cpu].ended,
                                                 clock_monotonic_ns() + PATIENCE_NS)) == 0;
            wrong += works[cpu].wrong;
        }
        KERNEL_CALL(int, (vmem_free(range.words), 0));
    }
    report(ran && ended, "all others have read meanwhile");
    report(!wrong, "nobody has read what was given back");
    if (wrong)
        printf("%lu stale\n", wrong);
    report(KERNEL_CALL(bool, page_audit()), "every page is exactly one of free and allocated");
}

/* ---- preempt: a kernel thread runs where the application computes without end */

static volatile bool stop_spinning;

static int spin_until_told(void *argument)
{
    volatile unsigned long *spins = argument;

    while (!stop_spinning)
        ++*spins;
    return 0;
}

static void be_seen(void *argument)
{
    struct work *work = argument;

    for (; work->done < work->rounds; work->done++) {
        work->wrong += cpu_current()->number != work->cpu;
        thread_sleep_until(clock_monotonic_ns() + NSEC_PER_MSEC);
    }
    event_signal(&work->ended);
}

static void run_preempt(unsigned cpus, unsigned rounds)
{
    static unsigned long spins[MAX_CPUS];
    bool ended = true, went_on = true;

    for (unsigned cpu = 1; cpu < cpus; cpu++) {
        works[cpu] = (struct work){ .cpu = cpu, .rounds = rounds };
        event_init(&works[cpu].ended);
        ended &= aerostat_cpu_run(cpu, spin_until_told, &spins[cpu], 0) == 0;
        ended &= KERNEL_CALL(bool, thread_create_on(cpu, "seen", be_seen, &works[cpu]) != NULL);
    }
    for (unsigned cpu = 1; cpu < cpus; cpu++) {
        ended &= KERNEL_CALL(
                     int, event_wait(&works[cpu].ended, clock_monotonic_ns() + PATIENCE_NS)) == 0;
        failed |= works[cpu].wrong != 0;
    }
    report(ended, "kernel threads run where the application computes");
    stop_spinning = true;
    for (unsigned cpu = 1; cpu < cpus; cpu++)
        went_on &= aerostat_cpu_wait(cpu, NULL, 10000) == 0 && spins[cpu];
    report(went_on, "and it goes on behind them");
}

/* ---- vectors: each CPU's own handler, called by other CPUs and by the board's clock */

#define RTC_INDEX    0x70
#define RTC_VALUE    0x71
#define RTC_B        0x0b
#define RTC_C        0x0c
#define RTC_PERIODIC 0x40
#define RTC_GSI      8

static void count_here(void *argument)
{
    struct work *work = argument;

    if (cpu_current()->number != work->cpu)
        work->wrong++;
    __atomic_add_fetch(&work->done, 1, __ATOMIC_SEQ_CST);
}

static uint8_t rtc_read(uint8_t index)
{
    port_write8(RTC_INDEX, index);
    return port_read8(RTC_VALUE);
}

static void rtc_write(uint8_t index, uint8_t value)
{
    port_write8(RTC_INDEX, index);
    port_write8(RTC_VALUE, value);
}

/* The handler's CPU reads the cause, as a driver's would. */
static void take_tick(void *argument)
{
    count_here(argument);
    rtc_read(RTC_C);
}

static bool ticks_on(struct work *work, int irq)
{
    bool came;

    if (KERNEL_CALL(int, irq_route(RTC_GSI, irq, false, false)))
        return false;
    KERNEL_CALL(int, (rtc_write(RTC_B, rtc_read(RTC_B) | RTC_PERIODIC), 0));
    KERNEL_CALL(int, (rtc_read(RTC_C), 0));
    came = comes(work, 3);
    KERNEL_CALL(int, (rtc_write(RTC_B, rtc_read(RTC_B) & (uint8_t)~RTC_PERIODIC), 0));
    KERNEL_CALL(int, (irq_unroute(RTC_GSI), 0));
    return came;
}

static void run_vectors(unsigned cpus)
{
    static int irqs[MAX_CPUS];
    bool given = true, called = true, ticked = true, aimed = true;

    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        works[cpu] = (struct work){ .cpu = cpu };
        irqs[cpu] = KERNEL_CALL(int, irq_alloc_on(cpu, take_tick, &works[cpu], "smptest"));
        if (irqs[cpu] == -ERANGE && cpu_numbered(cpu)->apic_id > 254)
            printf("no message names CPU %u of APIC id %u\n", cpu, cpu_numbered(cpu)->apic_id);
        else
            given &= irqs[cpu] > 0 && irq_cpu(irqs[cpu]) == cpu;
    }
    report(given, "each CPU has a vector of its own");
    for (unsigned cpu = 1; cpu < cpus; cpu++) {
        struct irq_message message;
        uint32_t id = cpu_numbered(cpu)->apic_id;

        if (irqs[cpu] < 0)
            continue;
        message = irq_message(irqs[cpu]);
        aimed &= ((message.address >> 12 & 0xff) | (message.address >> 5 & 0x7f) << 8) == id;
        KERNEL_CALL(int, apic_send_interrupt(id, message.data));
        called &= comes(&works[cpu], 0);
    }
    report(aimed, "each message names its CPU");
    report(called, "each is called by the first CPU");
    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        if (irqs[cpu] < 0)
            continue;
        works[cpu].done = 0;
        ticked &= ticks_on(&works[cpu], irqs[cpu]);
        KERNEL_CALL(int, (irq_free(irqs[cpu]), 0));
    }
    report(ticked, "the board's clock interrupts each in turn");
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        failed |= works[cpu].wrong != 0;
    report(!failed, "no handler runs on another CPU");
}

/* ---- panic: one falls while all others are busy */

static void spin(void *argument)
{
    (void)argument;
    for (;;)
        cpu_pause();
}

static void fall(void *argument)
{
    (void)argument;
    panic("on purpose");
}

static void write_there(void *argument)
{
    *(volatile int *)argument = 1;
}

static void run_fall(unsigned cpus, unsigned victim, void (*function)(void *))
{
    for (unsigned cpu = 1; cpu < cpus; cpu++)
        if (cpu != victim)
            KERNEL_CALL(bool, thread_create_parallel(cpu, "spin", spin, NULL) != NULL);
    printf("others spin\n");
    KERNEL_CALL(bool, thread_create_parallel(victim, "fall", function, (void *)8) != NULL);
    for (;;)
        cpu_pause();
}

/* ---- log: the lines of all CPUs, each whole; exit: from another CPU */

static void write_lines(struct work *work)
{
    for (; work->done < work->rounds; work->done++)
        log_info("CPU %u says %lu of %u", work->cpu, work->done, work->rounds);
}

static void end_vm(void *argument)
{
    (void)argument;
    kernel_exit(7);
}

static unsigned n_at_end, n_wanted;

/* All at the same time. */
static void end_together(void *argument)
{
    (void)argument;
    __atomic_add_fetch(&n_at_end, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&n_at_end, __ATOMIC_SEQ_CST) < n_wanted)
        cpu_pause();
    kernel_exit(7);
}

static void run_ends(unsigned cpus)
{
    n_wanted = cpus - 1;
    for (unsigned cpu = 1; cpu < cpus; cpu++)
        KERNEL_CALL(bool, thread_create_parallel(cpu, "end", end_together, NULL) != NULL);
    for (;;)
        cpu_pause();
}

int main(int argc, char **argv)
{
    const char *name = argc > 2 ? argv[1] : "";
    unsigned cpus = argc > 2 ? (unsigned)atoi(argv[2]) : 0,
             number = argc > 3 ? (unsigned)atoi(argv[3]) : 0;

    if (!cpus || cpus > MAX_CPUS) {
        printf("usage: torture|events|sleep|race|lock|preempt|log|clock|unmap CPUS ROUNDS, "
               "panic|fault|exit CPUS VICTIM, vectors CPUS\n");
        return 2;
    }
    wait_for_cpus(cpus);
    if (!strcmp(name, "torture"))
        run_torture(cpus, number);
    else if (!strcmp(name, "events"))
        run_on_all(cpus, pass_on, number);
    else if (!strcmp(name, "sleep"))
        run_on_all(cpus, sleep_often, number);
    else if (!strcmp(name, "race"))
        run_on_all(cpus, pass_on_in_time, number);
    else if (!strcmp(name, "preempt"))
        run_preempt(cpus, number);
    else if (!strcmp(name, "lock"))
        run_lock(cpus, number);
    else if (!strcmp(name, "clock"))
        run_clock(cpus, number);
    else if (!strcmp(name, "unmap"))
        run_unmap(cpus, number);
    else if (!strcmp(name, "vectors"))
        run_vectors(cpus);
    else if (!strcmp(name, "panic"))
        run_fall(cpus, number, fall);
    else if (!strcmp(name, "fault"))
        run_fall(cpus, number, write_there);
    else if (!strcmp(name, "log"))
        run_on_all(cpus, write_lines, number);
    else if (!strcmp(name, "exit"))
        run_fall(cpus, number, end_vm);
    else if (!strcmp(name, "ends"))
        run_ends(cpus);
    return failed;
}
