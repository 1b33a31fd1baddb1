/* SPDX-License-Identifier: MIT */
/*
 * What KVM offers besides its clock: kvm_pv.c on a CPU whose leaves, registers
 * and hypercalls the test invents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/cpu.h"

static struct cpuid_regs fake_cpuid(uint32_t leaf, uint32_t subleaf);
static void fake_msr_write(uint32_t msr, uint64_t value);

#define cpuid     fake_cpuid
#define msr_write fake_msr_write

#include "arch/x86_64/kvm_pv.c"

#include "tests/host/log.h"

#define LEAF 0x40000100u
#define ALL  (1u << 5 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 15)

static uint32_t kvm_leaf, offered;
static const char *maker;
static uint64_t eoi_msr, steal_msr, poll_msr;
static struct kvm_pv_area area;

uint32_t hypervisor_kvm_leaf(void)
{
    return kvm_leaf;
}

static struct cpuid_regs fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_regs regs = { 0 };

    (void)subleaf;
    if (leaf == 0) {
        memcpy(&regs.b, maker, 4);
        memcpy(&regs.d, maker + 4, 4);
        memcpy(&regs.c, maker + 8, 4);
    } else {
        assert_int_equal(leaf, kvm_leaf + 1);
        regs.a = offered;
    }
    return regs;
}

static void fake_msr_write(uint32_t msr, uint64_t value)
{
    uint64_t *kept = msr == 0x4b564d03 ? &steal_msr : msr == 0x4b564d04 ? &eoi_msr : &poll_msr;

    assert_true(kept != &poll_msr || msr == 0x4b564d05);
    *kept = value;
}

static struct {
    unsigned n;
    bool by_vmmcall;
    uint64_t number, a, b, c, d;
    int64_t answer;
} call;

int64_t kvm_hypercall(bool vmmcall, uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    call.n++;
    call.by_vmmcall = vmmcall;
    call.number = number;
    call.a = a;
    call.b = b;
    call.c = c;
    call.d = d;
    return call.answer;
}

#define UNTOUCHED UINT64_C(0xdead)

static int start_from_nothing(void **state)
{
    (void)state;
    known = by_vmmcall = false;
    usable = unwanted = 0;
    kvm_leaf = LEAF;
    offered = ALL;
    maker = "GenuineIntel";
    eoi_msr = steal_msr = poll_msr = UNTOUCHED;
    memset(&area, 0, sizeof(area));
    memset(&call, 0, sizeof(call));
    host_log_clear();
    return 0;
}

static void what_is_offered_is_told_where_the_area_is(void **state)
{
    (void)state;
    kvm_pv_start(&area, false);
    assert_int_equal(steal_msr, (uintptr_t)&area.steal_time | 1);
    assert_int_equal((uintptr_t)&area.steal_time % 64, 0);
    assert_int_equal(eoi_msr, (uintptr_t)&area.eoi | 1);
    assert_int_equal(poll_msr, UNTOUCHED);
    kvm_pv_stop();
    assert_int_equal(steal_msr, 0);
    assert_int_equal(eoi_msr, 0);
}

static void who_polls_tells_the_host_not_to(void **state)
{
    (void)state;
    kvm_pv_start(&area, true);
    assert_int_equal(poll_msr, 0);
}

static void what_is_not_offered_is_not_touched(void **state)
{
    static const struct {
        uint32_t bit;
        uint64_t *msr;
    } each[] = { { 5, &steal_msr }, { 6, &eoi_msr }, { 12, &poll_msr } };

    for (unsigned i = 0; i < ARRAY_SIZE(each); i++) {
        start_from_nothing(state);
        offered = ~(1u << each[i].bit);
        kvm_pv_start(&area, true);
        kvm_pv_stop();
        assert_int_equal(*each[i].msr, UNTOUCHED);
    }
    start_from_nothing(state);
    offered = ~(1u << 11);
    kvm_pv_start(&area, true);
    assert_int_equal(kvm_pv_send_ipi(1, 0, 0, 0xf0), -EOPNOTSUPP);
    assert_int_equal(call.n, 0);
}

static void without_kvm_nothing_is_asked_or_touched(void **state)
{
    (void)state;
    kvm_leaf = 0;
    kvm_pv_start(&area, true);
    kvm_pv_stop();
    for (unsigned i = 0; i < KVM_PV_N; i++)
        assert_false(kvm_pv_has((enum kvm_pv_feature)i));
    assert_int_equal(eoi_msr, UNTOUCHED);
    assert_int_equal(steal_msr, UNTOUCHED);
}

static void each_is_turned_off_by_its_name(void **state)
{
    static const char *const names[] = { "eoi", "steal-time", "ipi", "poll-control", "msi-ext-id" };

    for (unsigned i = 0; i < KVM_PV_N; i++) {
        start_from_nothing(state);
        kvm_pv_turn_off(names[i]);
        kvm_pv_start(&area, true);
        for (unsigned other = 0; other < KVM_PV_N; other++)
            assert_int_equal(kvm_pv_has((enum kvm_pv_feature)other), other != i);
    }
    start_from_nothing(state);
    kvm_pv_turn_off("eoi,,ipi,steal-time,poll-control,msi-ext-id,");
    kvm_pv_start(&area, true);
    assert_int_equal(usable, 0);
    assert_int_equal(poll_msr, UNTOUCHED);
}

static void a_name_that_is_none_is_told(void **state)
{
    (void)state;
    kvm_pv_turn_off("eoi,eo,steal-times");
    kvm_pv_start(&area, false);
    assert_false(kvm_pv_has(KVM_PV_EOI));
    assert_true(kvm_pv_has(KVM_PV_STEAL_TIME));
    assert_non_null(strstr(host_log_text(), "not \"eo,"));
    assert_non_null(strstr(host_log_text(), "not \"steal-times\""));
}

static void an_end_of_interrupt_is_spared_once_each_time_kvm_says_so(void **state)
{
    uint32_t eoi = 0;

    (void)state;
    assert_false(kvm_pv_takes_eoi(&eoi));
    eoi = 3; /* only the lowest bit is ours */
    assert_true(kvm_pv_takes_eoi(&eoi));
    assert_int_equal(eoi, 2);
    assert_false(kvm_pv_takes_eoi(&eoi));
}

static void
stolen_time_is_read_whole_and_a_host_that_never_ends_its_update_does_not_hang_us(void **state)
{
    (void)state;
    area.steal_time.version = 4;
    area.steal_time.steal = 123456789;
    assert_int_equal(kvm_pv_steal_ns(&area), 123456789);
    area.steal_time.version = 5;
    assert_int_equal(kvm_pv_steal_ns(&area), 123456789);
}

static void interrupts_go_by_the_instruction_of_the_cpus_maker(void **state)
{
    (void)state;
    kvm_pv_start(&area, false);
    assert_int_equal(kvm_pv_send_ipi(5, 6, 64, 0x40f0), 0);
    assert_false(call.by_vmmcall);
    assert_int_equal(call.number, 10);
    assert_int_equal(call.a, 5);
    assert_int_equal(call.b, 6);
    assert_int_equal(call.c, 64);
    assert_int_equal(call.d, 0x40f0);
    start_from_nothing(state);
    maker = "AuthenticAMD";
    kvm_pv_start(&area, false);
    kvm_pv_send_ipi(1, 0, 0, 0);
    assert_true(call.by_vmmcall);
    start_from_nothing(state);
    maker = "HygonGenuine";
    kvm_pv_start(&area, false);
    kvm_pv_send_ipi(1, 0, 0, 0);
    assert_true(call.by_vmmcall);
}

static void a_host_that_does_not_send_is_asked_once(void **state)
{
    (void)state;
    call.answer = -1000;
    kvm_pv_start(&area, false);
    assert_int_equal(kvm_pv_send_ipi(1, 0, 0, 0), -EIO);
    assert_int_equal(kvm_pv_send_ipi(1, 0, 0, 0), -EOPNOTSUPP);
    assert_int_equal(call.n, 1);
    assert_non_null(strstr(host_log_text(), "does not send"));
}

#define TEST(name) cmocka_unit_test_setup(name, start_from_nothing)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_offered_is_told_where_the_area_is),
        TEST(who_polls_tells_the_host_not_to),
        TEST(what_is_not_offered_is_not_touched),
        TEST(without_kvm_nothing_is_asked_or_touched),
        TEST(each_is_turned_off_by_its_name),
        TEST(a_name_that_is_none_is_told),
        TEST(an_end_of_interrupt_is_spared_once_each_time_kvm_says_so),
        TEST(stolen_time_is_read_whole_and_a_host_that_never_ends_its_update_does_not_hang_us),
        TEST(interrupts_go_by_the_instruction_of_the_cpus_maker),
        TEST(a_host_that_does_not_send_is_asked_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
