/* SPDX-License-Identifier: MIT */
/* Facts of the start that reports repeat later. */
#ifndef KERNEL_SYSTEM_H
#define KERNEL_SYSTEM_H

struct boot_info;

/* Kept, not copied. cpus: as the firmware counts them; one of them runs. */
void system_set_facts(const struct boot_info *boot, unsigned cpus);

#endif
