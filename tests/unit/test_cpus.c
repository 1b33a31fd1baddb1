/* SPDX-License-Identifier: MIT */
/*
 * kernel/thread.c on several CPUs at once, each a thread of Linux with a GS base of its
 * own. A CPU that halts sleeps until another one tells it, or its timer's time has come;
 * it takes interrupts nowhere else.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#include "arch/x86_64/apic.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/tls.h"
#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/irq.h"
#include "kernel/page.h"
#include "kernel/smp.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "kernel/thread_entry.h"
#include "kernel/timer.h"
#include "kernel/vmem.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"
#include "tests/host/halt.h"
#include "tests/host/percpu.h"

#define CPUS        4
#define PATIENCE_NS (60 * NSEC_PER_SEC)

/* ---- what they stand on */

static struct board {
    struct cpu cpu;
    pthread_mutex_t mutex;
    pthread_cond_t told;
    bool is_told, stands_still;
    uint64_t timer_ns;
    uint8_t signal_stack[HOST_SIGNAL_STACK_BYTES];
} boards[CPUS];

/* Between the tests, where cmocka has the signal that stands for hlt: nobody but the test runs. */
static bool pausing;

static struct board *here(void)
{
    return &boards[cpu_current()->number];
}

uint64_t clock_monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

void smp_wake(const struct cpu *cpu)
{
    struct board *board = &boards[cpu->number];

    pthread_mutex_lock(&board->mutex);
    board->is_told = true;
    pthread_cond_signal(&board->told);
    pthread_mutex_unlock(&board->mutex);
}

int irq_alloc_everywhere(irq_handler handler, void *argument, const char *name)
{
    (void)handler;
    (void)argument;
    (void)name;
    return 240;
}

bool irq_save(void)
{
    return true;
}

void irq_restore(bool were_on)
{
    (void)were_on;
}

void apic_timer_init(unsigned vector)
{
    (void)vector;
    here()->timer_ns = CLOCK_NEVER;
}

void apic_timer_set(uint64_t deadline_ns)
{
    here()->timer_ns = deadline_ns;
}

void trap_exception(void);
void trap_exception(void)
{
    abort();
}

void trap_interrupt(void);
void trap_interrupt(void)
{
    abort();
}

void *kalloc(size_t bytes)
{
    return calloc(1, bytes);
}

void kfree(void *object)
{
    free(object);
}

phys_addr_t page_alloc(unsigned order)
{
    return (uintptr_t)aligned_alloc(PAGE_SIZE, PAGE_BYTES(order));
}

void page_free(phys_addr_t page, unsigned order)
{
    (void)order;
    free((void *)page);
}

int paging_unmap_4k(uintptr_t virtual)
{
    return mprotect((void *)virtual, PAGE_SIZE, PROT_NONE);
}

int paging_map(uintptr_t virtual, phys_addr_t physical, uint64_t bytes, unsigned flags)
{
    (void)physical;
    (void)flags;
    return mprotect((void *)virtual, bytes, PROT_READ | PROT_WRITE);
}

void *vmem_alloc(size_t bytes)
{
    return aligned_alloc(PAGE_SIZE, bytes);
}

void vmem_free(void *range)
{
    free(range);
}

uintptr_t tls_new(void)
{
    return 1;
}

void tls_free(uintptr_t tls)
{
    (void)tls;
}

void tls_load(uintptr_t tls)
{
    (void)tls;
}

static void halt(void)
{
    struct board *board = here();
    struct timespec until = { (time_t)MIN(board->timer_ns / NSEC_PER_SEC, UINT64_C(1) << 40),
                              (long)(board->timer_ns % NSEC_PER_SEC) };

    pthread_mutex_lock(&board->mutex);
    while (!board->is_told && pthread_cond_timedwait(&board->told, &board->mutex, &until) !=
                                  110 /* Linux's ETIMEDOUT */)
        ;
    board->stands_still = true;
    while (load_once(&pausing) && board->cpu.number)
        pthread_cond_wait(&board->told, &board->mutex);
    board->stands_still = board->is_told = false;
    pthread_mutex_unlock(&board->mutex);
    if (clock_monotonic_ns() >= board->timer_ns) {
        board->timer_ns = CLOCK_NEVER;
        timer_run();
    }
    thread_take_arrivals();
}

static bool stands_still(struct board *board)
{
    bool stands;

    pthread_mutex_lock(&board->mutex);
    stands = board->stands_still;
    pthread_mutex_unlock(&board->mutex);
    return stands;
}

static void pause_others(void)
{
    uint64_t end_ns = clock_monotonic_ns() + PATIENCE_NS;

    store_once(&pausing, true);
    for (unsigned i = 1; i < CPUS; i++)
        while (!stands_still(&boards[i]) && clock_monotonic_ns() < end_ns)
            smp_wake(&boards[i].cpu);
}

static void go_on(void)
{
    store_once(&pausing, false);
    for (unsigned i = 1; i < CPUS; i++)
        smp_wake(&boards[i].cpu);
}

static void begin_cpu(struct board *board)
{
    host_signal_stack(board->signal_stack);
    host_be_cpu(&board->cpu);
    timer_start_hardware();
}

static void *run_cpu(void *board)
{
    begin_cpu(board);
    thread_run();
}

/* ---- threads of the test; the test itself is the first CPU's first */

struct part {
    unsigned cpu, rounds, done, wrong;
    struct event turn, ended;
    void (*function)(struct part *part);
};

static struct part parts[CPUS * 3];

static void run_part(void *argument)
{
    struct part *part = argument;

    part->function(part);
    event_signal(&part->ended);
}

typedef struct thread *(*create_function)(unsigned cpu, const char *name, void (*entry)(void *),
                                          void *argument);

static void on_all(unsigned n, void (*function)(struct part *), unsigned rounds,
                   create_function create)
{
    unsigned missing = n;

    host_halt_by(halt);
    go_on();
    for (unsigned i = 0; i < n; i++) {
        parts[i] = (struct part){ .cpu = i % CPUS, .rounds = rounds, .function = function };
        event_init(&parts[i].turn);
        event_init(&parts[i].ended);
    }
    for (unsigned i = 0; i < n; i++)
        assert_non_null(create(i % CPUS, "part", run_part, &parts[i]));
    while (missing && !event_wait(&parts[n - missing].ended, clock_monotonic_ns() + PATIENCE_NS))
        missing--;
    pause_others();
    assert_int_equal(missing, 0);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(parts[i].done, rounds);
        assert_int_equal(parts[i].wrong, 0);
    }
}

static void go_round(struct part *part)
{
    struct part *next = &parts[(part->cpu + 1) % CPUS];

    if (!part->cpu)
        event_signal(&part->turn);
    while (part->done < part->rounds &&
           !event_wait(&part->turn, clock_monotonic_ns() + PATIENCE_NS)) {
        part->wrong += cpu_current()->number != part->cpu;
        part->wrong += next->done != part->done + (next == parts);
        part->done++;
        event_signal(&next->turn);
    }
}

static void a_signal_goes_round_all_cpus_and_is_never_lost(void **state)
{
    (void)state;
    on_all(CPUS, go_round, 25000, thread_create_parallel);
}

/* The longest wait for a signal is so short that both meet. */
static void go_round_in_time(struct part *part)
{
    struct part *next = &parts[(part->cpu + 1) % CPUS];
    uint64_t end_ns = clock_monotonic_ns() + PATIENCE_NS;

    if (!part->cpu)
        event_signal(&part->turn);
    while (part->done < part->rounds) {
        while (event_wait(&part->turn, clock_monotonic_ns() + part->done % 64 * 500))
            if (clock_monotonic_ns() > end_ns)
                return;
        part->wrong += next->done != part->done + (next == parts);
        part->done++;
        event_signal(&next->turn);
    }
}

static void a_time_out_and_a_signal_that_meet_leave_one_of_both(void **state)
{
    (void)state;
    on_all(CPUS, go_round_in_time, 5000, thread_create_parallel);
}

/* An event of this part's, which the next one signals once; then its memory is another's. */
static struct event *lent[CPUS];

static void lend(struct part *part)
{
    static struct event dead[CPUS][64];
    struct event **mine = &lent[part->cpu], **theirs = &lent[(part->cpu + 1) % CPUS], *event;
    uint8_t pattern[sizeof(struct event)];

    memset(pattern, 0x55, sizeof(pattern));
    memset(dead[part->cpu], 0x55, sizeof(dead[part->cpu]));
    while (part->done < part->rounds) {
        struct event *own = &dead[part->cpu][part->done % 64];

        part->wrong += memcmp(own, pattern, sizeof(pattern)) != 0;
        event_init(own);
        __atomic_store_n(mine, own, __ATOMIC_SEQ_CST);
        do {
            event = __atomic_exchange_n(theirs, NULL, __ATOMIC_SEQ_CST);
            if (event)
                event_signal(event);
        } while (event_wait(own, clock_monotonic_ns() + part->done % 8 * 1000));
        memset(own, 0x55, sizeof(*own));
        part->done++;
    }
    /* The next one may still want its signals. */
    while (load_once(&parts[(part->cpu + 1) % CPUS].done) < part->rounds) {
        event = __atomic_exchange_n(theirs, NULL, __ATOMIC_SEQ_CST);
        if (event)
            event_signal(event);
        thread_sleep_until(clock_monotonic_ns() + 10000);
    }
}

static void nobody_touches_an_event_whose_waiter_has_gone_on(void **state)
{
    (void)state;
    on_all(CPUS, lend, 5000, thread_create_parallel);
}

/* Nobody looks at an event that is not polled any more, while others come and go all the time. */
static void be_polled(struct part *part)
{
    static struct event events[CPUS][64];
    uint8_t pattern[sizeof(struct event)];

    memset(pattern, 0x55, sizeof(pattern));
    memset(events[part->cpu], 0x55, sizeof(events[part->cpu]));
    for (; part->done < part->rounds; part->done++) {
        struct event *own = &events[part->cpu][part->done % 64];

        part->wrong += memcmp(own, pattern, sizeof(pattern)) != 0;
        event_init(own);
        event_poll(own);
        part->wrong += event_wait(own, clock_monotonic_ns() + PATIENCE_NS) != 0;
        event_unpoll(own);
        memset(own, 0x55, sizeof(*own));
    }
}

static void events_are_polled_on_each_cpu_while_others_begin_and_end(void **state)
{
    (void)state;
    on_all(CPUS, be_polled, 5000, thread_create_parallel);
}

static volatile unsigned counted;
static volatile bool inside;

/* Nothing but the kernel lock keeps the others away. */
static void count_up(struct part *part)
{
    struct event never = EVENT_INIT(never);

    for (; part->done < part->rounds; part->done++) {
        part->wrong += inside;
        inside = true;
        counted++;
        for (volatile unsigned i = 0; i < 100; i++)
            ;
        inside = false;
        if (part->done % 16 == 3)
            thread_yield();
        else if (part->done % 16 == 9)
            event_wait(&never, clock_monotonic_ns() + 20000);
    }
}

static void one_thread_at_a_time_holds_the_kernel_lock_and_all_get_it(void **state)
{
    (void)state;
    counted = 0;
    on_all(CPUS * 3, count_up, 20000, thread_create_on);
    assert_int_equal(counted, CPUS * 3 * 20000);
}

static void sleep_often(struct part *part)
{
    for (; part->done < part->rounds; part->done++) {
        uint64_t until_ns = clock_monotonic_ns() + (part->cpu + part->done) % 4 * 200000;

        thread_sleep_until(until_ns);
        part->wrong += clock_monotonic_ns() < until_ns;
    }
}

static void threads_sleep_on_each_cpu_and_never_too_short(void **state)
{
    (void)state;
    on_all(CPUS * 3, sleep_often, 100, thread_create_on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_goes_round_all_cpus_and_is_never_lost),
        cmocka_unit_test(a_time_out_and_a_signal_that_meet_leave_one_of_both),
        cmocka_unit_test(nobody_touches_an_event_whose_waiter_has_gone_on),
        cmocka_unit_test(events_are_polled_on_each_cpu_while_others_begin_and_end),
        cmocka_unit_test(one_thread_at_a_time_holds_the_kernel_lock_and_all_get_it),
        cmocka_unit_test(threads_sleep_on_each_cpu_and_never_too_short),
    };
    pthread_condattr_t by_clock;
    pthread_t thread;

    pthread_condattr_init(&by_clock);
    pthread_condattr_setclock(&by_clock, CLOCK_MONOTONIC);
    host_halt_by(halt);
    for (unsigned i = 0; i < CPUS; i++) {
        pthread_mutex_init(&boards[i].mutex, NULL);
        pthread_cond_init(&boards[i].told, &by_clock);
        host_add_cpu(&boards[i].cpu, i);
    }
    begin_cpu(&boards[0]);
    thread_init();
    for (unsigned i = 1; i < CPUS; i++) {
        if (thread_prepare(&boards[i].cpu))
            return 1;
        pthread_create(&thread, NULL, run_cpu, &boards[i]);
    }
    pause_others();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
