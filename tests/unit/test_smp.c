/* SPDX-License-Identifier: MIT */
/*
 * Starting CPUs: kernel/smp.c among CPUs that come at once, at the second call, late
 * or never.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "arch/x86_64/percpu.h"

static struct cpu *fake_cpu_current(void);

#define cpu_current fake_cpu_current

#include "arch/x86_64/cpus.c"
#include "kernel/smp.c"

#include "tests/host/alloc.h"
#include "tests/host/clock.h"
#include "tests/host/log.h"

#define OWN_ID 7

enum habit { AT_ONCE, AT_THE_SECOND_CALL, LATE, NEVER, OUT_OF_REACH };

static enum habit habits[1024];
static unsigned inits[1024], startups[1024], nmis[1024];
static uint32_t late_id;
static void (*started)(void *);
static irq_handler on_news;
static unsigned woken[1024], turns, unprepared;
static struct cpu first_cpu, *asking = &first_cpu;
static unsigned unmapped;

const uint8_t ap_trampoline[] = { 0xfa, 0x90, 0x90, 0x90, 1, 2, 3, 4, 5, 6 };
__asm__(".globl ap_trampoline_gdt, ap_trampoline_end\n"
        ".set ap_trampoline_gdt, ap_trampoline + 4\n"
        ".set ap_trampoline_end, ap_trampoline + 10\n");
const uint8_t boot_gdt_pointer[10] = { 0x2f, 0, 0x11, 0x22, 0x33, 0 };

static struct cpu *fake_cpu_current(void)
{
    return asking;
}

static void come(uint32_t id)
{
    struct cpu *cpu = *slot_of(id);

    assert_non_null(cpu);
    assert_int_equal(cpu->apic_id, id);
    assert_false(cpu->up);
    cpu->up = true;
    n_up++;
}

uint32_t apic_id(void)
{
    return OWN_ID;
}

void apic_init_further(void)
{
}

void tsc_compare(void)
{
}

int tlb_start(void)
{
    return 0;
}

void tlb_arrive(void)
{
}

void tlb_part(void)
{
}

void cpu_take(struct cpu *cpu, struct trap_stacks *stacks)
{
    (void)cpu;
    (void)stacks;
}

int apic_send_init(uint32_t id)
{
    inits[id]++;
    return habits[id] == OUT_OF_REACH ? -34 : 0;
}

int apic_send_startup(uint32_t id, phys_addr_t page)
{
    assert_int_equal(page, start_page);
    if (habits[id] == OUT_OF_REACH)
        return -34;
    assert_int_equal(inits[id], 1);
    startups[id]++;
    if (habits[id] == AT_ONCE ? startups[id] == 1
                              : habits[id] == AT_THE_SECOND_CALL && startups[id] == 2)
        come(id);
    if (habits[id] == LATE)
        late_id = id;
    return 0;
}

int apic_send_nmi(uint32_t id)
{
    nmis[id]++;
    n_halted++;
    return 0;
}

#define VECTOR 40

int irq_alloc_everywhere(irq_handler handler, void *argument, const char *name)
{
    (void)argument;
    (void)name;
    on_news = handler;
    return VECTOR;
}

int apic_send_interrupt(uint32_t id, unsigned by_vector)
{
    assert_int_equal(by_vector, VECTOR);
    woken[id]++;
    return 0;
}

int timer_start_hardware(void)
{
    return 0;
}

int thread_prepare(struct cpu *cpu)
{
    assert_false(cpu_is_known(cpu->apic_id)); /* once it is, threads may be put there */
    return unprepared == cpu->apic_id ? -12 : 0;
}

void thread_run(void)
{
    abort();
}

void thread_take_arrivals(void)
{
    turns++;
}

int paging_unmap_4k(uintptr_t virtual)
{
    assert_true(IS_ALIGNED(virtual, PAGE_SIZE));
    unmapped++;
    return 0;
}

struct thread *thread_create(const char *name, void (*entry)(void *), void *argument)
{
    (void)name;
    (void)argument;
    started = entry;
    return (struct thread *)&started;
}

void thread_sleep_until(uint64_t deadline_ns)
{
    host_clock_ns = deadline_ns;
    if (late_id && host_clock_ns > 2 * NSEC_PER_SEC) {
        come(late_id);
        late_id = 0;
    }
}

/* What QEMU tells of the first MiB, and one GiB above. */
static struct boot_info board = {
    .n_ranges = 3,
    .ranges = { { 0, 0x9fc00, BOOT_RANGE_RAM },
                { 0x9fc00, 0x60400, BOOT_RANGE_RESERVED },
                { 0x100000, 0x3ff00000, BOOT_RANGE_RAM } },
};

static int begin(void **state)
{
    (void)state;
    memset(habits, 0, sizeof(habits));
    memset(inits, 0, sizeof(inits));
    memset(startups, 0, sizeof(startups));
    memset(nmis, 0, sizeof(nmis));
    memset(woken, 0, sizeof(woken));
    unprepared = 0xffff;
    turns = 0;
    late_id = n_cpus = n_up = n_halted = unmapped = 0;
    memset(cpu_slots, 0, sizeof(cpu_slots));
    first_cpu.apic_id = OWN_ID;
    assert_true(cpu_add(&first_cpu));
    started = NULL;
    asking = &first_cpu;
    host_clock_ns = NSEC_PER_SEC;
    host_log_clear();
    board.n_modules = 0;
    assert_int_equal(smp_find_start_page(&board), 0x9e000);
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (unsigned i = 1; i < cpu_wanted(); i++)
        page_free((uintptr_t)cpu_numbered(i), FURTHER_ORDER);
    return 0;
}

static void run(const uint32_t *ids, unsigned n)
{
    smp_start(ids, n);
    if (started)
        started(NULL);
}

#define RUN(...)                                   \
    do {                                           \
        static const uint32_t ids[] = __VA_ARGS__; \
        run(ids, sizeof(ids) / sizeof(ids[0]));    \
    } while (0)

static void all_are_started_at_once_but_the_one_that_asks(void **state)
{
    (void)state;
    RUN({ 7, 0, 1, 300 });
    assert_non_null(strstr(host_log_text(), "cpu: 4 of 4 up\n"));
    assert_int_equal(inits[7], 0);
    assert_int_equal(inits[300], 1);
    assert_int_equal(startups[300], 1);
    assert_int_equal(host_clock_ns, NSEC_PER_SEC);
    assert_int_equal(smp_count(), 4);
    assert_int_equal(unmapped, 3);
}

static void each_has_a_number_a_stack_and_a_guard_of_its_own(void **state)
{
    (void)state;
    RUN({ 7, 0, 1 });
    for (unsigned i = 1; i <= 2; i++) {
        struct further *further = (struct further *)(void *)cpu_numbered(i);

        assert_int_equal(further->cpu.number, i);
        assert_int_equal(further->cpu.apic_id, i - 1);
        assert_ptr_equal(further->stack, further->guard + PAGE_SIZE);
        assert_int_equal(further->cpu.stack_top,
                         (uintptr_t)further->stack + sizeof(further->stack));
    }
    assert_ptr_not_equal(cpu_numbered(1), cpu_numbered(2));
}

static void the_start_page_holds_the_trampoline_and_where_the_descriptors_are(void **state)
{
    const uint8_t expected[] = { 0xfa, 0x90, 0x90, 0x90, 0x2f, 0, 0x11, 0x22, 0x33, 0 };

    (void)state;
    RUN({ 7, 0 });
    assert_memory_equal((const void *)start_page, expected, sizeof(expected));
}

static void one_that_never_comes_is_named_and_waited_for_a_bounded_time(void **state)
{
    (void)state;
    habits[5] = NEVER;
    RUN({ 7, 5, 9 });
    assert_non_null(strstr(host_log_text(), "APIC id 5 did not come up\n"));
    assert_null(strstr(host_log_text(), "APIC id 9"));
    assert_non_null(strstr(host_log_text(), "cpu: 2 of 3 up\n"));
    assert_true(host_clock_ns < 12 * NSEC_PER_SEC);
}

static void one_that_missed_its_call_is_called_once_more_and_no_other(void **state)
{
    (void)state;
    habits[5] = AT_THE_SECOND_CALL;
    RUN({ 7, 5, 9 });
    assert_non_null(strstr(host_log_text(), "cpu: 3 of 3 up\n"));
    assert_int_equal(startups[5], 2);
    assert_int_equal(startups[9], 1);
    assert_true(host_clock_ns < 2 * NSEC_PER_SEC);
}

static void one_that_never_comes_is_called_twice_and_never_again(void **state)
{
    (void)state;
    habits[5] = NEVER;
    RUN({ 7, 5 });
    assert_int_equal(inits[5], 1);
    assert_int_equal(startups[5], 2);
}

static void a_slow_one_is_waited_for(void **state)
{
    (void)state;
    habits[5] = LATE;
    RUN({ 5, 7 });
    assert_non_null(strstr(host_log_text(), "cpu: 2 of 2 up\n"));
    assert_null(strstr(host_log_text(), "did not"));
}

static void one_beyond_an_xapic_costs_no_wait(void **state)
{
    (void)state;
    habits[300] = OUT_OF_REACH;
    RUN({ 7, 300, 1 });
    assert_non_null(strstr(host_log_text(), "APIC id 300 did not come up\n"));
    assert_non_null(strstr(host_log_text(), "cpu: 2 of 3 up\n"));
    assert_int_equal(host_clock_ns, NSEC_PER_SEC);
}

static void one_that_the_table_names_twice_is_started_once(void **state)
{
    (void)state;
    RUN({ 7, 3, 3, 7 });
    assert_int_equal(inits[3], 1);
    assert_int_equal(cpu_wanted(), 2);
    assert_non_null(strstr(host_log_text(), "cpu: 2 of 2 up\n"));
}

static void without_memory_those_that_have_theirs_come_up(void **state)
{
    (void)state;
    host_allocs_until_failure = 1;
    RUN({ 7, 1, 2, 3 });
    host_allocs_until_failure = -1;
    assert_non_null(strstr(host_log_text(), "cpu: no memory for more than 2\n"));
    assert_non_null(strstr(host_log_text(), "cpu: 2 of 4 up\n"));
    assert_int_equal(inits[2], 0);
    assert_int_equal(inits[3], 0);
}

static void all_are_known_before_any_is_started(void **state)
{
    static const uint32_t ids[] = { 7, 9, 300 };

    (void)state;
    smp_start(ids, 3);
    assert_int_equal(inits[9], 0);
    assert_int_equal(cpu_wanted(), 3);
    assert_ptr_equal(cpu_numbered(0), &first_cpu);
    assert_int_equal(cpu_numbered(2)->apic_id, 300);
    assert_null(cpu_numbered(3));
}

static void ids_that_share_a_slot_are_told_apart(void **state)
{
    (void)state;
    RUN({ 7, 7 + SLOTS, 8, 7 + SLOTS, 8 });
    assert_int_equal(inits[7 + SLOTS], 1);
    assert_int_equal(inits[8], 1);
    assert_true(cpu_is_known(7 + SLOTS));
    assert_false(cpu_is_known(8 + SLOTS));
    assert_non_null(strstr(host_log_text(), "cpu: 3 of 3 up\n"));
}

static void no_more_are_started_than_can_be_kept(void **state)
{
    static uint32_t ids[CPU_MAX + 10];

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
        ids[i] = 2 * i + 100;
    run(ids, ARRAY_SIZE(ids));
    assert_int_equal(cpu_wanted(), CPU_MAX);
    assert_int_equal(smp_count(), CPU_MAX);
    assert_false(cpu_is_known(ids[CPU_MAX]));
}

static void alone_nothing_is_done(void **state)
{
    (void)state;
    RUN({ 7 });
    assert_null(started);
    assert_string_equal(host_log_text(), "");
}

static void without_low_memory_no_other_is_started_and_that_is_said(void **state)
{
    struct boot_info high = { .n_ranges = 1, .ranges = { { 0x100000, 0x100000, BOOT_RANGE_RAM } } };

    (void)state;
    start_page = 0;
    assert_int_equal(smp_find_start_page(&high), 0);
    RUN({ 7, 1 });
    assert_null(started);
    assert_non_null(strstr(host_log_text(), "no memory below 1 MiB"));
}

static void the_start_page_is_neither_a_modules_nor_partly_reserved(void **state)
{
    (void)state;
    board.modules[0] = (struct boot_module){ 0x9d800, 0x900 };
    board.n_modules = 1;
    assert_int_equal(smp_find_start_page(&board), 0x9c000);
}

static void a_panic_stops_those_that_are_up_and_not_itself(void **state)
{
    (void)state;
    habits[5] = NEVER;
    RUN({ 7, 1, 5, 2 });
    asking = cpu_numbered(1);
    smp_stop_others();
    assert_int_equal(nmis[OWN_ID], 1);
    assert_int_equal(nmis[1], 0);
    assert_int_equal(nmis[2], 1);
    assert_int_equal(nmis[5], 0);
}

static void one_that_is_up_is_woken_and_lets_its_arrivals_line_up(void **state)
{
    (void)state;
    RUN({ 7, 0, 300 });
    smp_wake(cpu_numbered(2));
    assert_int_equal(woken[300], 1);
    assert_int_equal(woken[0], 0);
    smp_wake(cpu_numbered(0));
    assert_int_equal(woken[OWN_ID], 1);
    on_news(NULL);
    assert_int_equal(turns, 1);
}

static void one_that_is_not_up_yet_is_not_woken(void **state)
{
    (void)state;
    habits[5] = NEVER;
    RUN({ 7, 5 });
    smp_wake(cpu_numbered(1));
    assert_int_equal(woken[5], 0);
}

static void one_without_a_scheduler_is_not_started(void **state)
{
    (void)state;
    unprepared = 2;
    RUN({ 7, 1, 2 });
    assert_int_equal(cpu_wanted(), 2);
    assert_int_equal(inits[2], 0);
    assert_non_null(strstr(host_log_text(), "cpu: no memory for more than 2\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_are_started_at_once_but_the_one_that_asks, begin, end),
        cmocka_unit_test_setup_teardown(each_has_a_number_a_stack_and_a_guard_of_its_own, begin,
                                        end),
        cmocka_unit_test_setup_teardown(
            the_start_page_holds_the_trampoline_and_where_the_descriptors_are, begin, end),
        cmocka_unit_test_setup_teardown(one_that_never_comes_is_named_and_waited_for_a_bounded_time,
                                        begin, end),
        cmocka_unit_test_setup_teardown(one_that_missed_its_call_is_called_once_more_and_no_other,
                                        begin, end),
        cmocka_unit_test_setup_teardown(one_that_never_comes_is_called_twice_and_never_again, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_slow_one_is_waited_for, begin, end),
        cmocka_unit_test_setup_teardown(one_beyond_an_xapic_costs_no_wait, begin, end),
        cmocka_unit_test_setup_teardown(one_that_the_table_names_twice_is_started_once, begin, end),
        cmocka_unit_test_setup_teardown(without_memory_those_that_have_theirs_come_up, begin, end),
        cmocka_unit_test_setup_teardown(all_are_known_before_any_is_started, begin, end),
        cmocka_unit_test_setup_teardown(ids_that_share_a_slot_are_told_apart, begin, end),
        cmocka_unit_test_setup_teardown(no_more_are_started_than_can_be_kept, begin, end),
        cmocka_unit_test_setup_teardown(alone_nothing_is_done, begin, end),
        cmocka_unit_test_setup_teardown(without_low_memory_no_other_is_started_and_that_is_said,
                                        begin, end),
        cmocka_unit_test_setup_teardown(the_start_page_is_neither_a_modules_nor_partly_reserved,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_panic_stops_those_that_are_up_and_not_itself, begin, end),
        cmocka_unit_test_setup_teardown(one_that_is_up_is_woken_and_lets_its_arrivals_line_up,
                                        begin, end),
        cmocka_unit_test_setup_teardown(one_that_is_not_up_yet_is_not_woken, begin, end),
        cmocka_unit_test_setup_teardown(one_without_a_scheduler_is_not_started, begin, end),
    };

    if (mmap((void *)0x90000, 0x10000, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
