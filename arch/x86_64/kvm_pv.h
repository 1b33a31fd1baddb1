/* SPDX-License-Identifier: MIT */
/*
 * What KVM offers a guest besides its clock (Linux,
 * Documentation/virt/kvm/x86/{cpuid,msr,hypercalls}.rst): an end of interrupt
 * that does not leave the guest, the time that the host gave to others, one call
 * for interrupts to many CPUs, a say in whether the host polls when a CPU halts, and
 * devices' messages to CPUs of long APIC ids. Each is used where its feature bit is set and
 * `kvm-off=` does not name it: eoi, steal-time, ipi, poll-control, msi-ext-id.
 */
#ifndef ARCH_X86_64_KVM_PV_H
#define ARCH_X86_64_KVM_PV_H

#include "arch/x86_64/pvclock.h"
#include "lib/base/types.h"

/* Written by KVM; `preempted` may be read to see whether the CPU runs. */
struct kvm_steal_time {
    uint64_t steal;   /* ns that the CPU was ready and did not run */
    uint32_t version; /* odd while it is written */
    uint32_t flags;
    uint8_t preempted;
    uint8_t pad[47];
} __attribute__((aligned(64)));

/* What KVM and one CPU share. Zeroed, in memory whose address is its physical one. */
struct kvm_pv_area {
    struct kvm_steal_time steal_time;
    struct pvclock_vcpu_time_info clock; /* kvm.c's */
    uint32_t eoi; /* bit 0, set by KVM: the next end of interrupt need not be told */
};

enum kvm_pv_feature {
    KVM_PV_EOI,
    KVM_PV_STEAL_TIME,
    KVM_PV_IPI,
    KVM_PV_POLL_CONTROL,
    KVM_PV_MSI_EXT_ID,
    KVM_PV_N
};

/* The comma-separated names are not used: before the first start. Unknown ones are logged. */
void kvm_pv_turn_off(const char *names);

/*
 * Called on each CPU, before its first interrupt: tells KVM where the area is. On the
 * first call it is found out what is offered. polling: we poll, so the host need not.
 */
void kvm_pv_start(struct kvm_pv_area *area, bool polling);

/* On the CPU itself, before the area is given back: KVM writes to it no more. */
void kvm_pv_stop(void);

bool kvm_pv_has(enum kvm_pv_feature feature);

/* "steal-time" */
const char *kvm_pv_name(enum kvm_pv_feature feature);

/* Whether the interrupt that was just served needs no end; at most once for each. */
static inline bool kvm_pv_takes_eoi(uint32_t *eoi)
{
    bool was_set;

    __asm__ volatile("btrl $0, %0" : "+m"(*eoi), "=@ccc"(was_set));
    return was_set;
}

/* Of that CPU, so far; from any CPU. */
uint64_t kvm_pv_steal_ns(const struct kvm_pv_area *area);

/*
 * The interrupt that the low word of the APIC's command register describes, to the
 * CPUs lowest + n for each bit n. 0, or a negative errno: nothing was sent.
 */
int kvm_pv_send_ipi(uint64_t bits_0_to_63, uint64_t bits_64_to_127, uint32_t lowest, uint32_t icr);

#endif
