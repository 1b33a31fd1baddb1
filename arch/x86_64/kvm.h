/* SPDX-License-Identifier: MIT */
/* What KVM offers a guest besides the hardware it shows. */
#ifndef ARCH_X86_64_KVM_H
#define ARCH_X86_64_KVM_H

#include "lib/base/types.h"

/* Registers kvm-clock and its wall clock with kernel/clock.h. -ENODEV: this is not KVM, or has
 * none. */
int kvm_clock_start(void);

/* On each further CPU, before it reads the clock: it has a page of its own, where the first has. */
void kvm_clock_start_further(void);

/* What kvm_clock's page says about the TSC: its rate, 0 without kvm_clock; and whether it is
 * constant. */
uint64_t kvm_tsc_hz(void);
bool kvm_tsc_is_stable(void);

#endif
