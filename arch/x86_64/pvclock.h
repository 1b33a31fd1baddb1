/* SPDX-License-Identifier: MIT */
/*
 * The page that KVM writes for a virtual CPU's clock, and how it is read: the
 * time at a TSC value, and the rate from there on. KVM writes it only while the
 * CPU is out of the guest and marks that by an odd version. Pure functions.
 */
#ifndef ARCH_X86_64_PVCLOCK_H
#define ARCH_X86_64_PVCLOCK_H

#include "lib/base/barrier.h"
#include "lib/base/types.h"

#define PVCLOCK_TSC_STABLE    (1u << 0) /* the CPUs agree; of meaning only with its feature bit */
#define PVCLOCK_GUEST_STOPPED (1u << 1) /* we were paused; the guest clears it */

/* Written by KVM. */
struct pvclock_vcpu_time_info {
    uint32_t version;
    uint32_t pad0;
    uint64_t tsc_timestamp;
    uint64_t system_time;       /* ns at tsc_timestamp */
    uint32_t tsc_to_system_mul; /* ns per shifted tick, in 2^-32 */
    int8_t tsc_shift;           /* of the ticks, before: to the left, or right if negative */
    uint8_t flags;
    uint8_t pad[2];
} __attribute__((aligned(32))); /* never across a page */

struct pvclock_wall_clock {
    uint32_t version;
    uint32_t sec, nsec; /* since 1970, when system_time was 0 */
} __attribute__((aligned(16)));

_Static_assert(sizeof(struct pvclock_vcpu_time_info) == 32, "as KVM has it");

/* A version that stays odd would hold us for ever; no host needs more than one retry. */
#define PVCLOCK_MAX_TRIES 1000

static inline uint64_t pvclock_scale(uint64_t ticks, uint32_t mul, int8_t shift)
{
    /* & 63: a shift of 64 and more, which only a broken host gives, has no meaning in C. */
    ticks = shift < 0 ? ticks >> (-shift & 63) : ticks << (shift & 63);
    return (uint64_t)((unsigned __int128)ticks * mul >> 32);
}

/*
 * The time in ns, flags in *flags. `tsc` reads the counter: between the two looks
 * at the version, so that time and rate belong to it.
 */
static inline uint64_t pvclock_read(const struct pvclock_vcpu_time_info *clock,
                                    uint64_t (*tsc)(void), uint8_t *flags)
{
    uint32_t version;
    uint64_t ns;
    unsigned tries = 0;

    do {
        uint64_t ticks, timestamp;

        version = load_acquire(&clock->version);
        timestamp = load_once(&clock->tsc_timestamp);
        ticks = tsc();
        ticks = ticks > timestamp ? ticks - timestamp : 0;
        ns = load_once(&clock->system_time) + pvclock_scale(ticks,
                                                            load_once(&clock->tsc_to_system_mul),
                                                            load_once(&clock->tsc_shift));
        *flags = load_once(&clock->flags);
        barrier_compiler();
    } while (UNLIKELY((version & 1 || load_once(&clock->version) != version) &&
                      ++tries < PVCLOCK_MAX_TRIES));
    return ns;
}

/* The rate behind mul and shift in Hz; 0: they make none. */
static inline uint64_t pvclock_tsc_hz(uint32_t mul, int8_t shift)
{
    uint64_t hz = mul ? (NSEC_PER_SEC << 32) / mul : 0;

    return shift < 0 ? hz << (-shift & 31) : hz >> (shift & 63);
}

/* Since 1970 when the clock said 0; 0: KVM did not fill it. */
static inline uint64_t pvclock_wall_ns(const struct pvclock_wall_clock *wall)
{
    uint32_t version = load_acquire(&wall->version);
    uint64_t ns = load_once(&wall->sec) * NSEC_PER_SEC + load_once(&wall->nsec);

    return version && !(version & 1) && load_acquire(&wall->version) == version ? ns : 0;
}

#endif
