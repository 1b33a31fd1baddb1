/* SPDX-License-Identifier: MIT */
/*
 * Who runs this machine, and what KVM offers it: hypervisor.c, kvm.c and tsc.c
 * on a CPU whose leaves and registers the test invents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/percpu.h"

static struct cpuid_regs fake_cpuid(uint32_t leaf, uint32_t subleaf);
static void fake_msr_write(uint32_t msr, uint64_t value);
static uint64_t fake_tsc(void);
static struct cpu *fake_cpu_current(void);

#define cpuid            fake_cpuid
#define msr_write        fake_msr_write
#define tsc_read         fake_tsc
#define tsc_read_ordered fake_tsc
#define cpu_current      fake_cpu_current

#include "arch/x86_64/hypervisor.c"
#include "arch/x86_64/kvm.c"
#include "arch/x86_64/tsc.c"

#include "tests/host/log.h"

/* ---- The CPU */

static struct cpu machine[2] = { { .number = 0 }, { .number = 1 } }, *running = &machine[0];

static struct cpu *fake_cpu_current(void)
{
    return running;
}

static struct {
    uint32_t leaf;
    struct cpuid_regs regs;
} leaves[16];
static unsigned n_leaves, asked;

static struct cpuid_regs fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
    (void)subleaf;
    asked++;
    for (unsigned i = 0; i < n_leaves; i++)
        if (leaves[i].leaf == leaf)
            return leaves[i].regs;
    return (struct cpuid_regs){ 0, 0, 0, 0 };
}

static void set_leaf(uint32_t leaf, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    leaves[n_leaves].leaf = leaf;
    leaves[n_leaves++].regs = (struct cpuid_regs){ a, b, c, d };
}

static void set_signature(uint32_t leaf, uint32_t last, const char signature[12])
{
    uint32_t parts[3];

    memcpy(parts, signature, sizeof(parts));
    set_leaf(leaf, last, parts[0], parts[1], parts[2]);
}

static void under_a_hypervisor(void)
{
    set_leaf(1, 0, 0, CPUID_1_ECX_HYPERVISOR, 0);
}

static uint64_t now_tsc;

static uint64_t fake_tsc(void)
{
    return now_tsc;
}

/* KVM fills what it is told the address of; the test says with what. */
static uint32_t time_msr, wall_msr;
static struct pvclock_vcpu_time_info offered_time;
static struct pvclock_wall_clock offered_wall;

static void fake_msr_write(uint32_t msr, uint64_t value)
{
    if (msr == MSR_KVM_SYSTEM_TIME || msr == MSR_KVM_SYSTEM_TIME_NEW) {
        time_msr = msr;
        assert_int_equal(value & 1, 1);
        assert_int_equal(value & 30, 0);
        memcpy((void *)(uintptr_t)(value & ~UINT64_C(1)), &offered_time, sizeof(offered_time));
    } else {
        wall_msr = msr;
        assert_int_equal(value & 3, 0);
        memcpy((void *)(uintptr_t)value, &offered_wall, sizeof(offered_wall));
    }
}

/* ---- What was registered */

static const struct clock_source *registered[4];
static const struct clock_wall *registered_wall;
static unsigned n_registered;
static uint64_t told_tsc_hz;

void clock_register(const struct clock_source *source)
{
    registered[n_registered++] = source;
}

void clock_register_wall(const struct clock_wall *wall)
{
    registered_wall = wall;
}

static unsigned told_to_differ;

void clock_cpus_differ(void)
{
    told_to_differ++;
}

void clock_set_tsc_hz(uint64_t hz)
{
    told_tsc_hz = hz;
}

static int start_from_nothing(void **state)
{
    (void)state;
    memset(&found, 0, sizeof(found));
    for (unsigned i = 0; i < 2; i++)
        memset(&machine[i].pv, 0, sizeof(machine[i].pv));
    running = &machine[0];
    meaningful_flags = 0;
    last_ns = told_tsc_hz = 0;
    n_leaves = asked = n_registered = 0;
    time_msr = wall_msr = system_time_msr = wall_clock_msr = 0;
    registered_wall = NULL;
    now_tsc = 5000;
    offered_time = (struct pvclock_vcpu_time_info){ .version = 2,
                                                    .tsc_timestamp = 5000,
                                                    .system_time = 70000,
                                                    .tsc_to_system_mul = 0x80000000,
                                                    .tsc_shift = 0, /* 2 GHz */
                                                    .flags = PVCLOCK_TSC_STABLE };
    offered_wall = (struct pvclock_wall_clock){ 2, 1000, 5 };
    host_log_clear();
    return 0;
}

#define KVM_SIGNATURE "KVMKVMKVM\0\0\0"
#define ALL_FEATURES \
    (KVM_FEATURE_CLOCKSOURCE | KVM_FEATURE_CLOCKSOURCE2 | KVM_FEATURE_CLOCKSOURCE_STABLE_BIT)

static void under_kvm(uint32_t leaf, uint32_t features)
{
    under_a_hypervisor();
    set_signature(leaf, leaf + 1, KVM_SIGNATURE);
    set_leaf(leaf + 1, features, 0, 0, 0);
}

/* ---- Who */

static void without_the_hypervisor_bit_no_leaf_is_believed(void **state)
{
    (void)state;
    set_signature(LEAF_FIRST, LEAF_FIRST + 1, KVM_SIGNATURE);
    assert_string_equal(hypervisor_name(), "none");
    assert_int_equal(hypervisor_kvm_leaf(), 0);
    assert_false(hypervisor_is_tcg());
    assert_int_equal(hypervisor_tsc_hz(), 0);
    assert_int_equal(asked, 1);
}

static void kvm_and_tcg_are_known_by_the_first_leaf_and_asked_once(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, 0);
    assert_string_equal(hypervisor_name(), "KVM");
    assert_int_equal(hypervisor_kvm_leaf(), LEAF_FIRST);
    assert_false(hypervisor_is_tcg());
    assert_int_equal(asked, 2);
    start_from_nothing(state);
    under_a_hypervisor();
    set_signature(LEAF_FIRST, LEAF_FIRST, "TCGTCGTCGTCG");
    assert_true(hypervisor_is_tcg());
    assert_int_equal(hypervisor_kvm_leaf(), 0);
}

static void kvm_is_found_behind_its_hyper_v_leaves(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST + LEAF_STEP, ALL_FEATURES);
    set_signature(LEAF_FIRST, LEAF_FIRST + 5, "Microsoft Hv");
    assert_string_equal(hypervisor_name(), "KVM");
    assert_int_equal(hypervisor_kvm_leaf(), LEAF_FIRST + LEAF_STEP);
}

static void kvm_is_found_in_the_last_block_but_not_beyond(void **state)
{
    (void)state;
    under_kvm(LEAF_END - LEAF_STEP, ALL_FEATURES);
    assert_int_equal(hypervisor_kvm_leaf(), LEAF_END - LEAF_STEP);
    start_from_nothing(state);
    under_kvm(LEAF_END, ALL_FEATURES);
    assert_string_equal(hypervisor_name(), "unknown");
}

static void hyper_v_alone_and_strangers_are_named(void **state)
{
    (void)state;
    under_a_hypervisor();
    set_signature(LEAF_FIRST, LEAF_FIRST + 5, "Microsoft Hv");
    assert_string_equal(hypervisor_name(), "Microsoft Hv");
    assert_int_equal(hypervisor_kvm_leaf(), 0);
    start_from_nothing(state);
    under_a_hypervisor();
    set_signature(LEAF_FIRST, LEAF_FIRST + 5, "SomebodyElse");
    assert_string_equal(hypervisor_name(), "unknown");
}

/* ---- kvm_clock */

static void the_new_registers_are_preferred(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, ALL_FEATURES);
    assert_int_equal(kvm_clock_start(), 0);
    assert_int_equal(time_msr, 0x4b564d01);
    assert_non_null(strstr(host_log_text(), "kvm-clock: Using msrs 4b564d01 and 4b564d00"));
    assert_int_equal(registered_wall->read_ns(), 1000 * NSEC_PER_SEC + 5 + 70000);
    assert_int_equal(wall_msr, 0x4b564d00);
}

static void the_old_registers_serve_where_there_are_no_new_ones(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, KVM_FEATURE_CLOCKSOURCE);
    assert_int_equal(kvm_clock_start(), 0);
    assert_int_equal(time_msr, 0x12);
    registered_wall->read_ns();
    assert_int_equal(wall_msr, 0x11);
}

static void without_the_feature_no_register_is_touched(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, KVM_FEATURE_CLOCKSOURCE_STABLE_BIT);
    assert_int_equal(kvm_clock_start(), -ENODEV);
    assert_int_equal(time_msr, 0);
    assert_int_equal(n_registered, 0);
}

static void a_page_that_is_not_filled_is_no_clock(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, ALL_FEATURES);
    offered_time.version = 0;
    assert_int_equal(kvm_clock_start(), -ENODEV);
    assert_int_equal(n_registered, 0);
    assert_non_null(strstr(host_log_text(), "does not fill"));
}

static void a_stable_clock_is_read_as_it_is(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, ALL_FEATURES);
    kvm_clock_start();
    now_tsc = 5000 + 2000;
    assert_int_equal(registered[0]->read(), 71000);
    now_tsc = 5000 + 1000; /* what the host vouches for is not second-guessed */
    assert_int_equal(registered[0]->read(), 70500);
    assert_true(kvm_tsc_is_stable());
}

static void an_unstable_clock_never_goes_back(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, KVM_FEATURE_CLOCKSOURCE2); /* the flag is set, but means nothing */
    kvm_clock_start();
    assert_false(kvm_tsc_is_stable());
    now_tsc = 5000 + 2000;
    assert_int_equal(registered[0]->read(), 71000);
    now_tsc = 5000 + 1000;
    assert_int_equal(registered[0]->read(), 71000);
    now_tsc = 5000 + 2002;
    assert_int_equal(registered[0]->read(), 71001);
}

static void that_we_were_stopped_is_noted_and_cleared(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, ALL_FEATURES);
    offered_time.flags |= PVCLOCK_GUEST_STOPPED;
    kvm_clock_start();
    registered[0]->read();
    assert_int_equal(machine[0].pv.clock.flags, PVCLOCK_TSC_STABLE);
}

/* On the second CPU: what KVM tells it differs by so much. */
static void start_second(int64_t ahead_ns, uint8_t flags)
{
    running = &machine[1];
    offered_time.system_time += (uint64_t)ahead_ns;
    offered_time.flags = flags;
    kvm_clock_start_further();
}

static uint64_t read_on(unsigned cpu)
{
    running = &machine[cpu];
    return registered[0]->read();
}

static void each_cpu_reads_the_page_that_it_has_told_kvm_of(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, ALL_FEATURES);
    kvm_clock_start();
    start_second(300, PVCLOCK_TSC_STABLE);
    assert_int_equal(time_msr, 0x4b564d01);
    assert_int_equal(read_on(1), 70300);
    assert_int_equal(read_on(0), 70000);
}

static void cpus_that_disagree_never_see_time_go_back(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, ALL_FEATURES);
    offered_time.flags = 0;
    kvm_clock_start();
    start_second(300, 0);
    assert_int_equal(read_on(1), 70300);
    assert_int_equal(read_on(0), 70300);
    now_tsc += 1000;
    assert_int_equal(read_on(0), 70500);
    assert_int_equal(read_on(1), 70800);
    assert_int_equal(read_on(0), 70800);
}

static void a_stop_is_cleared_where_it_was_told_and_nowhere_else(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, ALL_FEATURES);
    offered_time.flags |= PVCLOCK_GUEST_STOPPED;
    kvm_clock_start();
    start_second(0, PVCLOCK_TSC_STABLE | PVCLOCK_GUEST_STOPPED);
    read_on(1);
    assert_int_equal(machine[1].pv.clock.flags, PVCLOCK_TSC_STABLE);
    assert_int_equal(machine[0].pv.clock.flags, PVCLOCK_TSC_STABLE | PVCLOCK_GUEST_STOPPED);
    read_on(0);
    assert_int_equal(machine[0].pv.clock.flags, PVCLOCK_TSC_STABLE);
}

static void a_further_cpus_page_that_is_not_filled_is_told_and_takes_no_time_back(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, 0x1000008); /* with its flags */
    offered_time.flags = 0;
    kvm_clock_start();
    offered_time = (struct pvclock_vcpu_time_info){ .version = 0 };
    read_on(0);
    start_second(0, 0);
    assert_non_null(strstr(host_log_text(), "does not fill CPU 1's"));
    assert_int_equal(read_on(1), 70000);
}

static void without_kvm_clock_further_cpus_touch_no_register(void **state)
{
    (void)state;
    kvm_clock_start();
    start_second(0, 0);
    assert_int_equal(time_msr, 0);
    under_kvm(LEAF_FIRST, ALL_FEATURES);
    offered_time.version = 0;
    running = &machine[0];
    memset(&found, 0, sizeof(found));
    assert_int_equal(kvm_clock_start(), -ENODEV);
    time_msr = 0;
    start_second(0, 0);
    assert_int_equal(time_msr, 0);
}

static void a_wall_clock_that_is_not_filled_tells_nothing(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, ALL_FEATURES);
    offered_wall.version = 0;
    kvm_clock_start();
    assert_int_equal(registered_wall->read_ns(), 0);
}

/* ---- The TSC */

static const struct clock_source *started_tsc(void)
{
    assert_int_equal(start_tsc(), 0);
    return registered[n_registered - 1];
}

static void the_rate_comes_from_kvm_clock(void **state)
{
    (void)state;
    under_kvm(LEAF_FIRST, ALL_FEATURES);
    assert_int_equal(started_tsc()->hz, 2000000000);
    assert_int_equal(told_tsc_hz, 2000000000);
    assert_false(registered[1]->rate_unknown);
    assert_int_equal(registered[1]->rating, CLOCK_RATING_TSC);
}

static void the_rate_comes_from_the_hypervisors_leaf(void **state)
{
    (void)state;
    under_a_hypervisor();
    set_signature(LEAF_FIRST, LEAF_FIRST + 0x10, KVM_SIGNATURE);
    set_leaf(LEAF_FIRST + 0x10, 2596138, 1000000, 0, 0);
    assert_int_equal(started_tsc()->hz, 2596138000);
    assert_int_equal(n_registered, 1); /* no kvm_clock */
}

static void the_rate_comes_from_crystal_and_ratio(void **state)
{
    (void)state;
    set_leaf(0, 0x16, 0, 0, 0);
    set_leaf(0x15, 2, 200, 24000000, 0);
    set_leaf(0x80000000, 0x80000008, 0, 0, 0);
    set_leaf(0x80000007, 0, 0, 0, POWER_INVARIANT);
    assert_int_equal(started_tsc()->hz, 2400000000);
    assert_int_equal(registered[0]->rating, CLOCK_RATING_TSC);
}

static void rates_that_can_not_be_are_not_believed(void **state)
{
    static const struct cpuid_regs ratios[] = {
        { 0, 200, 24000000, 0 },          { 2, 0, 24000000, 0 }, { 2, 200, 0, 0 }, { 1, 1, 1, 0 },
        { 1, UINT32_MAX, UINT32_MAX, 0 },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(ratios); i++) {
        start_from_nothing(state);
        set_leaf(0, 0x16, 0, 0, 0);
        set_leaf(0x15, ratios[i].a, ratios[i].b, ratios[i].c, 0);
        assert_int_equal(started_tsc()->hz, 0);
        assert_true(registered[0]->rate_unknown);
        assert_int_equal(told_tsc_hz, 0);
        assert_int_equal(registered[0]->rating, 0); /* not invariant either */
    }
}

static void the_tsc_of_tcg_is_constant_though_cpuid_does_not_say_so(void **state)
{
    (void)state;
    under_a_hypervisor();
    set_signature(LEAF_FIRST, LEAF_FIRST, "TCGTCGTCGTCG");
    assert_true(started_tsc()->rate_unknown);
    assert_int_equal(registered[0]->rating, CLOCK_RATING_TSC);
}

static void tsc_at(unsigned cpu, uint64_t count)
{
    running = &machine[cpu];
    now_tsc = count;
    tsc_compare();
}

static void a_cpu_whose_tsc_is_behind_is_told_of(void **state)
{
    (void)state;
    told_to_differ = 0;
    tsc_at(0, 1000);
    tsc_at(1, 1001);
    tsc_at(0, 1001);
    assert_int_equal(told_to_differ, 0);
    tsc_at(1, 1000);
    assert_int_equal(told_to_differ, 1);
    assert_non_null(strstr(host_log_text(), "tsc: CPU 1's is behind"));
    tsc_at(1, 5000); /* it is ahead: */
    tsc_at(0, 1100);
    assert_int_equal(told_to_differ, 2);
}

#define TEST(name) cmocka_unit_test_setup(name, start_from_nothing)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_the_hypervisor_bit_no_leaf_is_believed),
        TEST(kvm_and_tcg_are_known_by_the_first_leaf_and_asked_once),
        TEST(kvm_is_found_behind_its_hyper_v_leaves),
        TEST(kvm_is_found_in_the_last_block_but_not_beyond),
        TEST(hyper_v_alone_and_strangers_are_named),
        TEST(the_new_registers_are_preferred),
        TEST(the_old_registers_serve_where_there_are_no_new_ones),
        TEST(without_the_feature_no_register_is_touched),
        TEST(a_page_that_is_not_filled_is_no_clock),
        TEST(a_stable_clock_is_read_as_it_is),
        TEST(an_unstable_clock_never_goes_back),
        TEST(that_we_were_stopped_is_noted_and_cleared),
        TEST(each_cpu_reads_the_page_that_it_has_told_kvm_of),
        TEST(cpus_that_disagree_never_see_time_go_back),
        TEST(a_stop_is_cleared_where_it_was_told_and_nowhere_else),
        TEST(a_further_cpus_page_that_is_not_filled_is_told_and_takes_no_time_back),
        TEST(without_kvm_clock_further_cpus_touch_no_register),
        TEST(a_wall_clock_that_is_not_filled_tells_nothing),
        TEST(the_rate_comes_from_kvm_clock),
        TEST(the_rate_comes_from_the_hypervisors_leaf),
        TEST(the_rate_comes_from_crystal_and_ratio),
        TEST(rates_that_can_not_be_are_not_believed),
        TEST(a_cpu_whose_tsc_is_behind_is_told_of),
        TEST(the_tsc_of_tcg_is_constant_though_cpuid_does_not_say_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
