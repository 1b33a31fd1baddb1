/* SPDX-License-Identifier: MIT */
/*
 * kvm_clock: the host's monotonic time through a page that KVM keeps up to date
 * for each virtual CPU (Linux, Documentation/virt/kvm/x86/msr.rst). A reading
 * costs a TSC read and two multiplications, and never leaves the guest.
 */
#include "arch/x86_64/kvm.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hypervisor.h"
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

static struct pvclock_vcpu_time_info vcpu_time; /* of the one CPU there is */
static uint8_t meaningful_flags;                /* 0 where the host does not vouch for them */
static uint64_t
    last_ns; /* without the stable flag CPUs may disagree: the latest reading, made anywhere */
static uint32_t wall_clock_msr;

static uint64_t read_ns(void)
{
    uint8_t flags;
    uint64_t ns = pvclock_read(&vcpu_time, tsc_read, &flags);

    flags &= meaningful_flags;
    if (UNLIKELY(flags & PVCLOCK_GUEST_STOPPED))
        vcpu_time.flags = (uint8_t)(vcpu_time.flags & ~PVCLOCK_GUEST_STOPPED);
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
    uint32_t leaf = hypervisor_kvm_leaf(), features, system_time_msr;

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
    msr_write(system_time_msr, (uintptr_t)&vcpu_time | KVM_SYSTEM_TIME_ENABLE);
    if (!load_acquire(&vcpu_time.version)) {
        log_error("kvm-clock: announced, but KVM does not fill it");
        return -ENODEV;
    }
    log_info("kvm-clock: Using msrs %x and %x", system_time_msr, wall_clock_msr);
    clock_register(&source);
    clock_register_wall(&wall);
    return 0;
}

uint64_t kvm_tsc_hz(void)
{
    return pvclock_tsc_hz(vcpu_time.tsc_to_system_mul, vcpu_time.tsc_shift);
}

bool kvm_tsc_is_stable(void)
{
    return vcpu_time.flags & meaningful_flags & PVCLOCK_TSC_STABLE;
}
