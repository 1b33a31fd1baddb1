/* SPDX-License-Identifier: MIT */
/* Who runs this machine, as its CPUID leaves say. Any context. */
#ifndef KERNEL_HYPERVISOR_H
#define KERNEL_HYPERVISOR_H

#include "lib/base/types.h"

/* "KVM", "TCG", "Microsoft Hv", "Xen", "VMware"; "none" on bare metal, "unknown" for others. */
const char *hypervisor_name(void);

/* QEMU's emulator, whose fences do not order stores against later loads; see virtq_publish(). */
bool hypervisor_is_tcg(void);

#endif
