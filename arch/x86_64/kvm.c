/* SPDX-License-Identifier: MIT */
/*
 * kvm_clock: the host's monotonic time through a page that KVM keeps up to date
 * for each virtual CPU (Linux, Documentation/virt/kvm/x86/msr.rst). A reading
 * costs a TSC read and two multiplications, and never leaves the guest.
 */
#include "arch/x86_64/kvm.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hypervisor.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/pvclock.h"
#include "kernel/clock.h"
#include "kernel/log.h"
#include "lib/base/errno.h"
#include "lib/base/latest.h"

#define KVM_LEAF_FEATURES 1 /* from the block's first leaf; EAX */

#define KVM_FEATURE_CLOCKSOURCE            (1u << 0)
#define KVM_FEATURE_CLOCKSOURCE2           (1u << 3)
#define KVM_FEATURE_CLOCKSOURCE_STABLE_BIT (1u << 24)

#define MSR_KVM_WALL_CLOCK      0x11u
#define MSR_KVM_SYSTEM_TIME     0x12u
#define MSR_KVM_WALL_CLOCK_NEW  0x4b564d00u
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01u
#define KVM_SYSTEM_TIME_ENABLE  1u

static uint8_t meaningful_flags; /* 0 where the host does not vouch for them */
static uint32_t system_time_msr, wall_clock_msr;
static uint64_t
    last_ns; /* without the stable flag CPUs may disagree: the latest reading, made anywhere */

/* Each CPU has its page, and is told of each stop in it: by one instruction, as KVM writes it too.
 */
static uint64_t read_ns(void)
{
    struct pvclock_vcpu_time_info *page = &cpu_current()->pv.clock;
    uint8_t flags;
    uint64_t ns = pvclock_read(page, tsc_read_ordered, &flags);

    flags &= meaningful_flags;
    if (UNLIKELY(flags & PVCLOCK_GUEST_STOPPED))
        __atomic_and_fetch(&page->flags, (uint8_t)~PVCLOCK_GUEST_STOPPED, __ATOMIC_RELAXED);
    return LIKELY(flags & PVCLOCK_TSC_STABLE) ? ns : latest(&last_ns, ns);
}

/* KVM fills it when its address is written, and never again by itself. */
static uint64_t read_wall_ns(void)
{
    static struct pvclock_wall_clock wall;
    uint64_t boot_ns;

    msr_write(wall_clock_msr, (uintptr_t)&wall);
    boot_ns = pvclock_wall_ns(&wall);
    return boot_ns ? boot_ns + read_ns() : 0;
}

static bool share_page(void)
{
    struct pvclock_vcpu_time_info *page = &cpu_current()->pv.clock;

    msr_write(system_time_msr, (uintptr_t)page | KVM_SYSTEM_TIME_ENABLE);
    return load_acquire(&page->version);
}

void kvm_clock_start_further(void)
{
    if (system_time_msr && !share_page())
        log_error("kvm-clock: KVM does not fill CPU %u's", cpu_current()->number);
}

int kvm_clock_start(void)
{
    static const struct clock_source source = {
        .name = "kvm-clock",
        .rating = CLOCK_RATING_KVM,
        .read = read_ns,
        .mask = UINT64_MAX,
        .hz = NSEC_PER_SEC,
    };
    static const struct clock_wall wall = { "kvm-clock", CLOCK_RATING_KVM, read_wall_ns };
    uint32_t leaf = hypervisor_kvm_leaf(), features;

    if (!leaf)
        return -ENODEV;
    features = cpuid(leaf + KVM_LEAF_FEATURES, 0).a;
    if (!(features & (KVM_FEATURE_CLOCKSOURCE2 | KVM_FEATURE_CLOCKSOURCE)))
        return -ENODEV;
    wall_clock_msr =
        (features & KVM_FEATURE_CLOCKSOURCE2) ? MSR_KVM_WALL_CLOCK_NEW : MSR_KVM_WALL_CLOCK;
    system_time_msr =
        (features & KVM_FEATURE_CLOCKSOURCE2) ? MSR_KVM_SYSTEM_TIME_NEW : MSR_KVM_SYSTEM_TIME;
    if (features & KVM_FEATURE_CLOCKSOURCE_STABLE_BIT)
        meaningful_flags = PVCLOCK_TSC_STABLE | PVCLOCK_GUEST_STOPPED;
    if (!share_page()) {
        log_error("kvm-clock: announced, but KVM does not fill it");
        system_time_msr = 0;
        return -ENODEV;
    }
    log_info("kvm-clock: Using msrs %x and %x", system_time_msr, wall_clock_msr);
    clock_register(&source);
    clock_register_wall(&wall);
    return 0;
}

uint64_t kvm_tsc_hz(void)
{
    const struct pvclock_vcpu_time_info *page = &cpu_current()->pv.clock;

    return pvclock_tsc_hz(page->tsc_to_system_mul, page->tsc_shift);
}

bool kvm_tsc_is_stable(void)
{
    return cpu_current()->pv.clock.flags & meaningful_flags & PVCLOCK_TSC_STABLE;
}
