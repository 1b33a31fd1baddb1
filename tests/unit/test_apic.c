/* SPDX-License-Identifier: MIT */
/*
 * What the local APIC is told to send, and how messages name CPUs: arch/x86_64/apic.c on
 * registers that the test keeps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/percpu.h"
#include "lib/base/io.h"

static struct cpuid_regs fake_cpuid(uint32_t leaf, uint32_t subleaf);
static uint64_t fake_msr_read(uint32_t msr);
static void fake_msr_write(uint32_t msr, uint64_t value);
static uint32_t fake_mmio_read(const volatile void *at);
static void fake_mmio_write(volatile void *at, uint32_t value);
static void fake_port_write(uint16_t port, uint8_t value);
static struct cpu *fake_cpu_current(void);

#define cpuid        fake_cpuid
#define msr_read     fake_msr_read
#define msr_write    fake_msr_write
#define mmio_read32  fake_mmio_read
#define mmio_write32 fake_mmio_write
#define port_write8  fake_port_write
#define cpu_current  fake_cpu_current

#include "arch/x86_64/apic.c"
#include "arch/x86_64/cpus.c"

#define MAX_SENT 300
#define VECTOR   250

static struct cpu machine[300];
static bool has_x2apic, is_interrupts_off;
static uint8_t memory[0x1000];
static uint64_t base_msr;
static uint32_t icr_high;
static bool high_was_written;

/* Interrupts that were sent, the whole command. */
static uint64_t sent[MAX_SENT];
static unsigned n_sent;

static struct cpuid_regs fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
    (void)leaf;
    (void)subleaf;
    return (struct cpuid_regs){ .c = has_x2apic ? CPUID_1_ECX_X2APIC : 0, .d = CPUID_1_EDX_APIC };
}

static uint64_t fake_msr_read(uint32_t msr)
{
    return msr == MSR_APIC_BASE ? base_msr : 0;
}

static void fake_msr_write(uint32_t msr, uint64_t value)
{
    if (msr == MSR_APIC_BASE) {
        base_msr = value;
    } else if (msr == 0x830) {
        assert_true(base_msr & APIC_BASE_X2APIC);
        sent[n_sent++] = value;
    }
}

static uint32_t fake_mmio_read(const volatile void *at)
{
    (void)at;
    return 0;
}

/* The low half of the command sends what the high half says: nobody may come between. */
static void fake_mmio_write(volatile void *at, uint32_t value)
{
    size_t offset = (size_t)((volatile uint8_t *)at - memory);

    if (offset == APIC_ICR_HIGH) {
        assert_true(is_interrupts_off);
        icr_high = value;
        high_was_written = true;
    } else if (offset == APIC_ICR) {
        assert_true(is_interrupts_off && high_was_written);
        sent[n_sent++] = (uint64_t)icr_high << 32 | value;
        high_was_written = false;
    }
}

static void fake_port_write(uint16_t port, uint8_t value)
{
    (void)port;
    (void)value;
}

static struct cpu *fake_cpu_current(void)
{
    return &machine[0];
}

bool irq_save(void)
{
    bool were_on = !is_interrupts_off;

    is_interrupts_off = true;
    return were_on;
}

void irq_restore(bool were_on)
{
    is_interrupts_off = !were_on;
}

volatile void *mmio_map(phys_addr_t start, uint64_t bytes)
{
    assert_int_equal(start, 0xfee00000);
    assert_int_equal(bytes, sizeof(memory));
    return memory;
}

void trap_open_interrupt(unsigned vector)
{
    (void)vector;
}

void tsc_compare(void)
{
}

bool hypervisor_is_tcg(void)
{
    return false;
}

uint64_t clock_monotonic_ns(void)
{
    return 0;
}

uint64_t clock_tsc_hz(void)
{
    return 0;
}

void kvm_clock_start_further(void)
{
}

static uint32_t kvm_offers; /* bit n: feature n */

bool kvm_pv_has(enum kvm_pv_feature feature)
{
    return kvm_offers >> feature & 1;
}

void kvm_pv_start(struct kvm_pv_area *area, bool is_polling)
{
    (void)area;
    (void)is_polling;
}

uint64_t kvm_pv_steal_ns(const struct kvm_pv_area *area)
{
    (void)area;
    return 0;
}

static unsigned n_calls, calls_that_work;
static uint32_t called[2048]; /* how often, by id */

int kvm_pv_send_ipi(uint64_t bits_0_to_63, uint64_t bits_64_to_127, uint32_t lowest, uint32_t icr)
{
    uint64_t bits[] = { bits_0_to_63, bits_64_to_127 };

    n_calls++;
    assert_int_equal(icr, VECTOR);
    assert_true(bits_0_to_63 || bits_64_to_127);
    if (n_calls > calls_that_work)
        return -EIO;
    for (unsigned i = 0; i < 128; i++)
        called[lowest + i] += bits[i / 64] >> i % 64 & 1;
    return 0;
}

static int begin(void **state)
{
    (void)state;
    memset(cpu_slots, 0, sizeof(cpu_slots));
    memset(machine, 0, sizeof(machine));
    memset(called, 0, sizeof(called));
    n_cpus = n_sent = n_calls = kvm_offers = 0;
    calls_that_work = UINT32_MAX;
    has_x2apic = is_interrupts_off = high_was_written = false;
    base_msr = 0xfee00000;
    return 0;
}

/* CPUs of these ids, after the first one, whose id is 0. */
static void with_ids(const uint32_t *ids, unsigned n)
{
    assert_int_equal(apic_init(false), 0);
    for (unsigned i = 0; i < n; i++) {
        machine[i + 1].apic_id = ids[i];
        assert_true(cpu_add(&machine[i + 1]));
    }
}

static void an_x2apic_takes_ids_of_32_bits_in_one_command(void **state)
{
    (void)state;
    has_x2apic = true;
    with_ids(NULL, 0);
    assert_int_equal(apic_send_interrupt(0x12345678, VECTOR), 0);
    assert_int_equal(apic_send_init(256), 0);
    assert_int_equal(apic_send_startup(256, 0x9e000), 0);
    assert_int_equal(apic_send_nmi(255), 0);
    assert_int_equal(n_sent, 4);
    assert_int_equal(sent[0], UINT64_C(0x12345678) << 32 | 0x4000 | VECTOR);
    assert_int_equal(sent[1], UINT64_C(256) << 32 | 0x4500);
    assert_int_equal(sent[2], UINT64_C(256) << 32 | 0x4600 | 0x9e);
    assert_int_equal(sent[3], UINT64_C(255) << 32 | 0x4400);
}

static void an_xapic_takes_8_bits_and_longer_ids_are_refused(void **state)
{
    (void)state;
    with_ids(NULL, 0);
    assert_int_equal(apic_send_interrupt(254, VECTOR), 0);
    assert_int_equal(sent[0], UINT64_C(0xfe000000) << 32 | 0x4000 | VECTOR);
    assert_int_equal(apic_send_init(255), -ERANGE);
    assert_int_equal(apic_send_startup(256, 0x9e000), -ERANGE);
    assert_int_equal(apic_send_interrupt(300, VECTOR), -ERANGE);
    assert_int_equal(n_sent, 1);
    assert_false(is_interrupts_off);
}

static void a_message_names_8_bits_of_an_id(void **state)
{
    (void)state;
    assert_int_equal(apic_message_address(0), 0xfee00000);
    assert_int_equal(apic_message_address(5), 0xfee05000);
    assert_int_equal(apic_message_address(254), 0xfeefe000);
    assert_int_equal(apic_message_address(255), 0); /* that of all CPUs */
    assert_int_equal(apic_message_address(256), 0);
}

static void a_message_names_15_bits_where_kvm_takes_them(void **state)
{
    (void)state;
    kvm_offers = 1u << KVM_PV_MSI_EXT_ID;
    assert_int_equal(apic_message_address(5), 0xfee05000);
    assert_int_equal(apic_message_address(255), 0xfeeff000);
    assert_int_equal(apic_message_address(256), 0xfee00020);
    assert_int_equal(apic_message_address(0x7fff), 0xfeefffe0);
    assert_int_equal(apic_message_address(0x8000), 0);
}

static struct cpu_set set_of(const unsigned *numbers, unsigned n)
{
    struct cpu_set set = { 0 };

    for (unsigned i = 0; i < n; i++)
        cpu_set_add(&set, numbers[i]);
    return set;
}

#define SET(...)                              \
    set_of((const unsigned[]){ __VA_ARGS__ }, \
           sizeof((const unsigned[]){ __VA_ARGS__ }) / sizeof(unsigned))

static const uint32_t few[] = { 1, 2, 3 };

static void one_is_sent_to_by_its_id(void **state)
{
    struct cpu_set set = SET(2);

    (void)state;
    has_x2apic = true;
    with_ids(few, 3);
    kvm_offers = 1u << KVM_PV_IPI;
    apic_send_to_set(&set, 3, VECTOR);
    assert_int_equal(n_calls, 0);
    assert_int_equal(n_sent, 1);
    assert_int_equal(sent[0], UINT64_C(2) << 32 | 0x4000 | VECTOR);
}

static void all_others_are_sent_to_at_once(void **state)
{
    struct cpu_set set = SET(1, 2, 3);

    (void)state;
    for (unsigned modern = 0; modern < 2; modern++) {
        begin(state);
        has_x2apic = modern;
        with_ids(few, 3);
        apic_send_to_set(&set, 3, VECTOR);
        assert_int_equal(n_sent, 1);
        assert_int_equal((uint32_t)sent[0], 0xc4000 | VECTOR);
    }
}

static void some_of_them_are_sent_to_one_by_one(void **state)
{
    struct cpu_set set = SET(1, 3);

    (void)state;
    with_ids(few, 3);
    apic_send_to_set(&set, 3, VECTOR);
    assert_int_equal(n_sent, 2);
    assert_int_equal(sent[0], UINT64_C(0x01000000) << 32 | 0x4000 | VECTOR);
    assert_int_equal(sent[1], UINT64_C(0x03000000) << 32 | 0x4000 | VECTOR);
}

static void nobody_is_sent_nothing(void **state)
{
    struct cpu_set set = { 0 };

    (void)state;
    with_ids(few, 3);
    kvm_offers = 1u << KVM_PV_IPI;
    apic_send_to_set(&set, 0, VECTOR);
    assert_int_equal(n_sent + n_calls, 0);
}

static void kvm_takes_128_ids_in_a_call(void **state)
{
    static const uint32_t ids[] = { 10, 137, 138, 5, 1000, 1127, 1128 };
    struct cpu_set set = SET(1, 2, 3, 4, 5, 6, 7);

    (void)state;
    has_x2apic = true;
    with_ids(ids, ARRAY_SIZE(ids));
    kvm_offers = 1u << KVM_PV_IPI;
    apic_send_to_set(&set, 7, VECTOR);
    for (unsigned id = 0; id < ARRAY_SIZE(called); id++) {
        bool is_one = false;

        for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
            is_one |= ids[i] == id;
        assert_int_equal(called[id], is_one);
    }
    assert_int_equal(n_sent, 0);
    assert_int_equal(n_calls, 5); /* 10 and 137; 138; 5; 1000 and 1127; 1128 */
}

static void where_kvm_fails_the_apic_is_used(void **state)
{
    static const uint32_t ids[] = { 1, 200 };
    struct cpu_set set = SET(1, 2);

    (void)state;
    has_x2apic = true;
    with_ids(ids, 2);
    kvm_offers = 1u << KVM_PV_IPI;
    calls_that_work = 1; /* the second one does not */
    apic_send_to_set(&set, 5, VECTOR);
    assert_int_equal(n_calls, 2);
    assert_int_equal(n_sent, 2);
    assert_int_equal(sent[1] >> 32, 200);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_x2apic_takes_ids_of_32_bits_in_one_command),
        TEST(an_xapic_takes_8_bits_and_longer_ids_are_refused),
        TEST(a_message_names_8_bits_of_an_id),
        TEST(a_message_names_15_bits_where_kvm_takes_them),
        TEST(one_is_sent_to_by_its_id),
        TEST(all_others_are_sent_to_at_once),
        TEST(some_of_them_are_sent_to_one_by_one),
        TEST(nobody_is_sent_nothing),
        TEST(kvm_takes_128_ids_in_a_call),
        TEST(where_kvm_fails_the_apic_is_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
