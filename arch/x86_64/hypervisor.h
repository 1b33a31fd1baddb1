/* SPDX-License-Identifier: MIT */
/* Hypervisor CPUID leaves, for the files of this folder; others ask kernel/hypervisor.h. */
#ifndef ARCH_X86_64_HYPERVISOR_H
#define ARCH_X86_64_HYPERVISOR_H

#include "kernel/hypervisor.h"

/*
 * The first leaf of KVM's block, 0: this is not KVM. It need not be 0x40000000: a
 * VMM that also poses as Hyper-V puts that there and KVM behind.
 */
uint32_t hypervisor_kvm_leaf(void);

/* The TSC's rate by leaf 0x40000010, which hypervisors share; 0: it does not say. */
uint64_t hypervisor_tsc_hz(void);

#endif
