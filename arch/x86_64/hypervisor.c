/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's CPUID leaves: blocks from 0x40000000 on, every 0x100, each
 * with a signature of 12 bytes and its last leaf. CPUID leaves the guest every
 * time, so the scan is made once and ends at the first that settles it.
 */
#include "arch/x86_64/hypervisor.h"

#include "arch/x86_64/cpu.h"
#include "lib/base/string.h"

#define LEAF_FIRST  0x40000000u
#define LEAF_END    0x40010000u
#define LEAF_STEP   0x100u
#define LEAF_TIMING 0x10u /* EAX: the TSC's rate in kHz */

static const struct {
    char signature[13];
    const char *name;
} known[] = {
    { "KVMKVMKVM\0\0\0", "KVM" }, { "TCGTCGTCGTCG", "TCG" },    { "Microsoft Hv", "Microsoft Hv" },
    { "XenVMMXenVMM", "Xen" },    { "VMwareVMware", "VMware" },
};

enum { KVM, TCG, N_DECISIVE };

static struct {
    bool scanned;
    const char *name;
    uint32_t leaf, last_leaf; /* of the block that gave the name */
} found;

static unsigned identify(struct cpuid_regs r)
{
    uint32_t signature[3] = { r.b, r.c, r.d };
    unsigned i = 0;

    while (i < ARRAY_SIZE(known) && memcmp(known[i].signature, signature, sizeof(signature)) != 0)
        i++;
    return i;
}

static void scan(void)
{
    found.scanned = true;
    found.name = "none";
    if (!(cpuid(1, 0).c & CPUID_1_ECX_HYPERVISOR))
        return;
    found.name = "unknown";
    for (uint32_t leaf = LEAF_FIRST; leaf < LEAF_END; leaf += LEAF_STEP) {
        struct cpuid_regs r = cpuid(leaf, 0);
        unsigned i = identify(r);

        if (i == ARRAY_SIZE(known) || (found.leaf && i >= N_DECISIVE))
            continue;
        found.name = known[i].name;
        found.leaf = leaf;
        found.last_leaf = r.a;
        if (i < N_DECISIVE)
            return;
    }
}

const char *hypervisor_name(void)
{
    if (!found.scanned)
        scan();
    return found.name;
}

bool hypervisor_is_tcg(void)
{
    return hypervisor_name() == known[TCG].name;
}

uint32_t hypervisor_kvm_leaf(void)
{
    return hypervisor_name() == known[KVM].name ? found.leaf : 0;
}

uint64_t hypervisor_tsc_hz(void)
{
    hypervisor_name();
    if (!found.leaf || found.last_leaf < found.leaf + LEAF_TIMING)
        return 0;
    return cpuid(found.leaf + LEAF_TIMING, 0).a * UINT64_C(1000);
}
