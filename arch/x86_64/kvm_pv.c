/* SPDX-License-Identifier: MIT */
#include "arch/x86_64/kvm_pv.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hypervisor.h"
#include "kernel/log.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

#define KVM_LEAF_FEATURES 1 /* from the block's first leaf; EAX */

#define MSR_KVM_STEAL_TIME   0x4b564d03u
#define MSR_KVM_PV_EOI_EN    0x4b564d04u
#define MSR_KVM_POLL_CONTROL 0x4b564d05u
#define KVM_MSR_ENABLED      1u

#define KVM_HC_SEND_IPI 10

#define STEAL_TRIES 1000 /* the number is for people: better a torn one than none */

static const struct {
    const char *name;
    uint8_t bit; /* of the feature leaf */
} features[KVM_PV_N] = {
    [KVM_PV_EOI] = { "eoi", 6 },
    [KVM_PV_STEAL_TIME] = { "steal-time", 5 },
    [KVM_PV_IPI] = { "ipi", 11 },
    [KVM_PV_POLL_CONTROL] = { "poll-control", 12 },
    [KVM_PV_MSI_EXT_ID] = { "msi-ext-id", 15 },
};

/* arch/x86_64/hypercall.asm */
extern int64_t kvm_hypercall(bool by_vmmcall, uint64_t number, uint64_t a, uint64_t b, uint64_t c,
                             uint64_t d);

static bool known;
static uint32_t usable, unwanted; /* bit n: feature n */
static bool by_vmmcall;

bool kvm_pv_has(enum kvm_pv_feature feature)
{
    return usable >> feature & 1;
}

const char *kvm_pv_name(enum kvm_pv_feature feature)
{
    return features[feature].name;
}

/* The feature whose name is [name, name + length), or KVM_PV_N. */
static unsigned find_feature(const char *name, size_t length)
{
    unsigned i = 0;

    while (i < KVM_PV_N &&
           (strlen(features[i].name) != length || memcmp(features[i].name, name, length) != 0))
        i++;
    return i;
}

void kvm_pv_turn_off(const char *names)
{
    while (*names) {
        size_t length = 0;
        unsigned i;

        while (names[length] && names[length] != ',')
            length++;
        i = find_feature(names, length);
        if (i < KVM_PV_N)
            unwanted |= 1u << i;
        else if (length)
            log_error("kvm-off=: eoi, steal-time, ipi, poll-control or msi-ext-id, not \"%s\"",
                      names);
        names += length + (names[length] == ',');
    }
}

/* KVM would write the other maker's instruction over ours, which lies in pages that nobody writes.
 */
static bool is_amd(void)
{
    struct cpuid_regs maker = cpuid(0, 0);

    return maker.c == 0x444d4163 /* AuthenticAMD */ || maker.c == 0x656e6975 /* HygonGenuine */;
}

static void learn(void)
{
    uint32_t leaf = hypervisor_kvm_leaf(), offered;

    known = true;
    if (!leaf)
        return;
    offered = cpuid(leaf + KVM_LEAF_FEATURES, 0).a;
    for (unsigned i = 0; i < KVM_PV_N; i++)
        usable |= (offered >> features[i].bit & 1) << i;
    usable &= ~unwanted;
    by_vmmcall = kvm_pv_has(KVM_PV_IPI) && is_amd();
}

void kvm_pv_start(struct kvm_pv_area *area, bool polling)
{
    if (!known)
        learn();
    if (kvm_pv_has(KVM_PV_STEAL_TIME))
        msr_write(MSR_KVM_STEAL_TIME, (uintptr_t)&area->steal_time | KVM_MSR_ENABLED);
    if (kvm_pv_has(KVM_PV_EOI))
        msr_write(MSR_KVM_PV_EOI_EN, (uintptr_t)&area->eoi | KVM_MSR_ENABLED);
    if (kvm_pv_has(KVM_PV_POLL_CONTROL) && polling)
        msr_write(MSR_KVM_POLL_CONTROL, 0);
}

void kvm_pv_stop(void)
{
    if (kvm_pv_has(KVM_PV_STEAL_TIME))
        msr_write(MSR_KVM_STEAL_TIME, 0);
    if (kvm_pv_has(KVM_PV_EOI))
        msr_write(MSR_KVM_PV_EOI_EN, 0);
}

uint64_t kvm_pv_steal_ns(const struct kvm_pv_area *area)
{
    uint64_t steal_ns = 0;

    /* Pairs with KVM, which makes the version odd, writes, and makes it even again. */
    for (unsigned i = 0; i < STEAL_TRIES; i++) {
        uint32_t version = load_acquire(&area->steal_time.version);

        steal_ns = load_acquire(&area->steal_time.steal);
        if (!(version & 1) && load_once(&area->steal_time.version) == version)
            break;
    }
    return steal_ns;
}

int kvm_pv_send_ipi(uint64_t bits_0_to_63, uint64_t bits_64_to_127, uint32_t lowest, uint32_t icr)
{
    if (!kvm_pv_has(KVM_PV_IPI))
        return -EOPNOTSUPP;
    if (kvm_hypercall(by_vmmcall, KVM_HC_SEND_IPI, bits_0_to_63, bits_64_to_127, lowest, icr) >= 0)
        return 0;
    usable &= ~(1u << KVM_PV_IPI);
    log_info("kvm: offers interrupts to many CPUs in one call, but does not send them");
    return -EIO;
}
