/* SPDX-License-Identifier: MIT */
#include "arch/x86_64/apic.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/kvm.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/trap.h"
#include "kernel/clock.h"
#include "kernel/hypervisor.h"
#include "kernel/irq.h"
#include "kernel/mmio.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"
#include "lib/base/io.h"

/* Local APIC registers: offset in memory; the MSR is 0x800 + offset / 16. */
#define APIC_ID            0x020
#define APIC_TPR           0x080
#define APIC_PPR           0x0a0
#define APIC_EOI           0x0b0
#define APIC_SVR           0x0f0
#define APIC_IRR           0x200
#define APIC_ICR           0x300
#define APIC_ICR_HIGH      0x310
#define APIC_LVT_TIMER     0x320
#define APIC_LVT_LINT0     0x350
#define APIC_LVT_LINT1     0x360
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE  0x3e0

#define APIC_SVR_ENABLE        (1u << 8)
#define APIC_ICR_NMI           (4u << 8)
#define APIC_ICR_INIT          (5u << 8)
#define APIC_ICR_STARTUP       (6u << 8)
#define APIC_ICR_PENDING       (1u << 12)
#define APIC_ICR_ASSERT        (1u << 14)
#define APIC_ICR_OTHERS        (3u << 18) /* all but the sender, whatever the id says */
#define APIC_LVT_MASKED        (1u << 16)
#define APIC_LVT_NMI           (4u << 8)
#define APIC_LVT_TSC_DEADLINE  (2u << 17)
#define APIC_TIMER_DIVIDE_BY_1 0xbu

#define APIC_BASE_ENABLE  (UINT64_C(1) << 11)
#define APIC_BASE_X2APIC  (UINT64_C(1) << 10)
#define APIC_BASE_ADDRESS UINT64_C(0x000ffffffffff000)

#define CPUID_1_EDX_APIC (1u << 9)

#define PIC1_DATA 0x21
#define PIC2_DATA 0xa1

/*
 * The countdown's rate is learned from the clock at every expiry. Starting low
 * makes the first one come early, which costs one more interrupt and nothing
 * else.
 */
#define QEMU_RATE_KHZ      1000000 /* of the emulated one: nothing to learn, no early interrupts */
#define FIRST_RATE_KHZ     25000
#define LESSON_NS          NSEC_PER_MSEC
#define SHORTEST_LESSON_NS (NSEC_PER_MSEC / 10) /* to find that it is faster */
#define LONGEST_SLEEP_NS   (NSEC_PER_SEC * 60)

static bool x2apic;
static volatile uint8_t *registers;

static bool polling; /* as apic_init() was told */

/* What all CPUs' timers have in common. Any of them learns the rate, for all. */
static struct {
    unsigned vector;
    bool has_deadline; /* used as soon as the TSC's rate is known */
    uint64_t rate_khz;
} timer;

static uint32_t apic_read(uint32_t offset)
{
    return x2apic ? (uint32_t)msr_read(0x800 + offset / 16) : mmio_read32(registers + offset);
}

static void apic_write(uint32_t offset, uint32_t value)
{
    if (x2apic)
        msr_write(0x800 + offset / 16, value);
    else
        mmio_write32(registers + offset, value);
}

static void accept_interrupts(void)
{
    apic_write(APIC_TPR, 0);
    apic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
    apic_write(APIC_LVT_LINT1, APIC_LVT_NMI);
    apic_write(APIC_SVR, APIC_SVR_ENABLE | TRAP_SPURIOUS);
}

/*
 * Who ran before us may have left interrupts here, and switching it off and on does
 * not drop them. What is in service would hold back all below it. What is pending comes
 * as soon as we take any: now and then Linux's timer, when Linux starts us by kexec.
 * irq_entry() ends those that have no handler, but they need a gate.
 */
static void take_leftovers(void)
{
    for (unsigned i = 0; i < TRAP_VECTORS && apic_read(APIC_PPR); i++)
        apic_write(APIC_EOI, 0);
    for (unsigned first = TRAP_FIRST_INTERRUPT; first < TRAP_VECTORS; first += 32) {
        uint32_t pending = apic_read(APIC_IRR + first / 2); /* 32 vectors every 16 bytes */

        for (; pending; pending &= pending - 1)
            trap_open_interrupt(first + (unsigned)__builtin_ctz(pending));
    }
}

int apic_init(bool is_polling)
{
    struct cpuid_regs features = cpuid(1, 0);
    uint64_t base;

    if (!(features.d & CPUID_1_EDX_APIC))
        return -ENODEV;
    base = msr_read(MSR_APIC_BASE) | APIC_BASE_ENABLE;
    x2apic = features.c & CPUID_1_ECX_X2APIC;
    if (x2apic) {
        msr_write(MSR_APIC_BASE, base);
        base |= APIC_BASE_X2APIC;
    } else {
        registers = mmio_map(base & APIC_BASE_ADDRESS, 0x1000);
        if (!registers)
            return -ENODEV;
    }
    msr_write(MSR_APIC_BASE, base);
    port_write8(PIC1_DATA, 0xff);
    port_write8(PIC2_DATA, 0xff);
    accept_interrupts();
    take_leftovers();
    cpu_current()->apic_id = apic_id();
    cpu_add(cpu_current());
    polling = is_polling;
    kvm_pv_start(&cpu_current()->pv, polling);
    return 0;
}

void apic_init_further(void)
{
    uint64_t base = msr_read(MSR_APIC_BASE) | APIC_BASE_ENABLE;

    msr_write(MSR_APIC_BASE, base);
    if (x2apic)
        msr_write(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
    accept_interrupts();
    kvm_pv_start(&cpu_current()->pv, polling);
    kvm_clock_start_further();
    tsc_compare();
}

#define XAPIC_MAX_ID      254
#define KVM_IDS_IN_A_CALL 128
#define KVM_MAX_MSI_ID    0x7fff
#define MESSAGE_BASE      UINT64_C(0xfee00000)
#define PENDING_PATIENCE  1000 /* looks: hypervisors never leave one pending */

/* The command of an xAPIC is written in two parts: no handler's may come between. */
static int send(uint32_t id, uint32_t command)
{
    bool were_on;

    if (x2apic) {
        barrier_full(); /* the MSR's write does not wait for stores that the other CPU shall see */
        msr_write(0x800 + APIC_ICR / 16, (uint64_t)id << 32 | command);
        return 0;
    }
    if (id > XAPIC_MAX_ID)
        return -ERANGE;
    were_on = irq_save();
    for (unsigned i = 0; i < PENDING_PATIENCE && apic_read(APIC_ICR) & APIC_ICR_PENDING; i++)
        cpu_pause();
    apic_write(APIC_ICR_HIGH, id << 24);
    apic_write(APIC_ICR, command);
    irq_restore(were_on);
    return 0;
}

int apic_send_init(uint32_t id)
{
    return send(id, APIC_ICR_INIT | APIC_ICR_ASSERT);
}

int apic_send_startup(uint32_t id, phys_addr_t page)
{
    return send(id, APIC_ICR_STARTUP | APIC_ICR_ASSERT | (uint32_t)(page >> 12));
}

int apic_send_nmi(uint32_t id)
{
    return send(id, APIC_ICR_NMI | APIC_ICR_ASSERT);
}

int apic_send_interrupt(uint32_t id, unsigned vector)
{
    return send(id, APIC_ICR_ASSERT | vector);
}

/* One call for all whose ids lie within 128 of each other. */
static bool send_by_kvm(const struct cpu_set *set, unsigned vector)
{
    uint64_t bits[2] = { 0, 0 };
    uint32_t lowest = 0;

    for (unsigned i = 0; i < cpu_wanted(); i++) {
        uint32_t id = cpu_numbered(i)->apic_id;

        if (!cpu_set_has(set, i))
            continue;
        if ((bits[0] | bits[1]) && id - lowest >= KVM_IDS_IN_A_CALL) {
            if (kvm_pv_send_ipi(bits[0], bits[1], lowest, vector))
                return false;
            bits[0] = bits[1] = 0;
        }
        if (!(bits[0] | bits[1]))
            lowest = id;
        bits[(id - lowest) / 64] |= UINT64_C(1) << (id - lowest) % 64;
    }
    return kvm_pv_send_ipi(bits[0], bits[1], lowest, vector) == 0;
}

void apic_send_to_set(const struct cpu_set *set, unsigned n_others, unsigned vector)
{
    if (!set->n)
        return;
    if (set->n > 1 && kvm_pv_has(KVM_PV_IPI)) {
        barrier_full();
        if (send_by_kvm(set, vector))
            return;
    }
    if (set->n > 1 && set->n == n_others) {
        send(0, APIC_ICR_OTHERS | APIC_ICR_ASSERT | vector);
        return;
    }
    for (unsigned i = 0; i < cpu_wanted(); i++)
        if (cpu_set_has(set, i))
            apic_send_interrupt(cpu_numbered(i)->apic_id, vector);
}

bool apic_is_x2apic(void)
{
    return x2apic;
}

uint32_t apic_id(void)
{
    return x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_eoi(void)
{
    if (!kvm_pv_takes_eoi(&cpu_current()->pv.eoi))
        apic_write(APIC_EOI, 0);
}

uint64_t apic_stolen_ns(unsigned cpu)
{
    return kvm_pv_steal_ns(&cpu_numbered(cpu)->pv);
}

/*
 * 8 bits of id. KVM may take 7 more, in bits of the address that are else 0; the id of 8
 * ones is then no longer that of all CPUs.
 */
uint64_t apic_message_address(uint32_t id)
{
    if (id > XAPIC_MAX_ID && (!kvm_pv_has(KVM_PV_MSI_EXT_ID) || id > KVM_MAX_MSI_ID))
        return 0;
    return MESSAGE_BASE | (uint64_t)(id & 0xff) << 12 | (uint64_t)(id >> 8) << 5;
}

void apic_timer_init(unsigned vector)
{
    timer.vector = vector;
    if (!timer.rate_khz)
        timer.rate_khz = hypervisor_is_tcg() ? QEMU_RATE_KHZ : FIRST_RATE_KHZ;
    timer.has_deadline = cpuid(1, 0).c & CPUID_1_ECX_TSC_DEADLINE;
    apic_write(APIC_TIMER_DIVIDE, APIC_TIMER_DIVIDE_BY_1);
    apic_write(APIC_LVT_TIMER, vector);
}

/* The TSC's rate may become known only while we run. */
static bool use_deadline(struct apic_timer *mine)
{
    if (!mine->by_deadline && timer.has_deadline && clock_tsc_hz()) {
        mine->by_deadline = true;
        apic_write(APIC_TIMER_INITIAL, 0);
        apic_write(APIC_LVT_TIMER, APIC_LVT_TSC_DEADLINE | timer.vector);
        /* An xAPIC write to memory and the MSR write below are not ordered by themselves. */
        __asm__ volatile("mfence" ::: "memory");
    }
    return mine->by_deadline;
}

/*
 * Run down, the count has stood at zero for as long as we came late: it then says
 * that the rate is at least this, unless it came so late that the rate must be
 * wrong. A clock that missed a wrap makes the rate look many times too high, and
 * timers that come so late that the next wrap is missed as well: hence one
 * doubling at a time.
 */
static void learn_rate(const struct apic_timer *mine, uint64_t now_ns)
{
    uint64_t elapsed_ns = now_ns - mine->set_at_ns, known_khz = load_once(&timer.rate_khz),
             rate_khz;
    uint32_t counted;

    if (!mine->set_to || elapsed_ns < SHORTEST_LESSON_NS)
        return;
    counted = mine->set_to - apic_read(APIC_TIMER_CURRENT);
    rate_khz = counted * NSEC_PER_MSEC / elapsed_ns;
    if (counted == mine->set_to) {
        if (rate_khz < known_khz && (rate_khz > known_khz / 4 * 3 || elapsed_ns < LESSON_NS))
            return;
    } else if (elapsed_ns < LESSON_NS) {
        return;
    }
    rate_khz = MIN(MAX(rate_khz, known_khz / 2), known_khz * 2);
    store_once(&timer.rate_khz, MAX(rate_khz, UINT64_C(1)));
}

static void set_countdown(struct apic_timer *mine, uint64_t now_ns, uint64_t delay_ns)
{
    uint64_t ticks;

    learn_rate(mine, now_ns);
    ticks = delay_ns / 64 * load_once(&timer.rate_khz) / (NSEC_PER_MSEC / 64) + 1;
    mine->set_at_ns = now_ns;
    mine->set_to = (uint32_t)MIN(ticks, UINT32_MAX);
    apic_write(APIC_TIMER_INITIAL, mine->set_to);
}

void apic_timer_set(uint64_t deadline_ns)
{
    struct apic_timer *mine = &cpu_current()->timer;
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t delay_ns = deadline_ns > now_ns ? MIN(deadline_ns - now_ns, LONGEST_SLEEP_NS) : 0;

    if (use_deadline(mine))
        msr_write(MSR_TSC_DEADLINE,
                  tsc_read() + delay_ns / 1000 * (clock_tsc_hz() / 1000) / 1000 + 1);
    else
        set_countdown(mine, now_ns, delay_ns);
}

void apic_timer_stop(void)
{
    struct apic_timer *mine = &cpu_current()->timer;

    if (mine->by_deadline)
        msr_write(MSR_TSC_DEADLINE, 0);
    else
        apic_write(APIC_TIMER_INITIAL, 0);
    mine->set_to = 0;
}

const char *apic_timer_name(void)
{
    return cpu_current()->timer.by_deadline ? "TSC deadline" : "local APIC one-shot";
}
