/* SPDX-License-Identifier: MIT */
/*
 * The time stamp counter as a clock: whether it counts at a constant rate, and
 * the rate where somebody tells it. Where nobody does, kernel/clock.c measures
 * it.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hypervisor.h"
#include "arch/x86_64/kvm.h"
#include "arch/x86_64/percpu.h"
#include "kernel/clock.h"
#include "kernel/driver.h"
#include "kernel/log.h"
#include "lib/base/latest.h"

#define LEAF_TSC_RATIO  0x15u
#define LEAF_EXTENDED   0x80000000u
#define LEAF_POWER      0x80000007u
#define POWER_INVARIANT (1u << 8) /* EDX: the rate is constant in every power state */
#define LOWEST_SANE_HZ  (100 * UINT64_C(1000000))
#define HIGHEST_SANE_HZ (20 * UINT64_C(1000000000))

static bool is_invariant(void)
{
    return cpuid(LEAF_EXTENDED, 0).a >= LEAF_POWER && cpuid(LEAF_POWER, 0).d & POWER_INVARIANT;
}

/* The crystal's rate times a ratio. Without the crystal's the leaf says nothing exact. */
static uint64_t hz_by_crystal(void)
{
    struct cpuid_regs r;

    if (cpuid(0, 0).a < LEAF_TSC_RATIO)
        return 0;
    r = cpuid(LEAF_TSC_RATIO, 0); /* a: denominator, b: numerator, c: Hz */
    return r.a ? (uint64_t)r.c * r.b / r.a : 0;
}

static const char *told_by;

static uint64_t told_hz(bool is_kvm)
{
    uint64_t hz;

    if ((hz = hypervisor_tsc_hz()) != 0)
        told_by = "the hypervisor's leaf";
    else if (is_kvm && (hz = kvm_tsc_hz()) != 0)
        told_by = "kvm-clock";
    else if ((hz = hz_by_crystal()) != 0)
        told_by = "CPUID";
    return hz >= LOWEST_SANE_HZ && hz <= HIGHEST_SANE_HZ ? hz : 0;
}

static int start_tsc(void)
{
    static struct clock_source tsc = { .name = "tsc",
                                       .read = tsc_read_ordered,
                                       .mask = UINT64_MAX };
    bool has_kvm_clock = kvm_clock_start() == 0;
    bool invariant = is_invariant();
    bool constant = invariant || hypervisor_is_tcg() || kvm_tsc_is_stable();

    tsc.hz = told_hz(has_kvm_clock);
    tsc.rate_unknown = !tsc.hz;
    tsc.rating = constant ? CLOCK_RATING_TSC : 0;
    clock_register(&tsc);
    if (tsc.hz) {
        /* Good for deadlines even where kvm-clock has to correct it now and then. */
        clock_set_tsc_hz(tsc.hz);
        log_info("tsc: %llu.%03u MHz by %s%s", (unsigned long long)(tsc.hz / 1000000),
                 (unsigned)(tsc.hz / 1000 % 1000), told_by, invariant ? ", invariant" : "");
    } else {
        log_info("tsc: %s, its rate is not told", constant ? "constant" : "not constant");
    }
    return 0;
}

/*
 * Whoever comes reads later than who was here before. One that reads less is behind by more
 * than it took to come: then no two can be trusted to agree.
 */
void tsc_compare(void)
{
    static uint64_t latest_seen;
    uint64_t count = tsc_read();

    if (latest(&latest_seen, count) == count)
        return;
    log_error("tsc: CPU %u's is behind", cpu_current()->number);
    clock_cpus_differ();
}

DRIVER(tsc_clock) = { "tsc", DRIVER_PLATFORM, start_tsc };
