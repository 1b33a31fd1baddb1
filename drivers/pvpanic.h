/* SPDX-License-Identifier: MIT */
/* pvpanic: tells the VMM that the guest has panicked (QEMU, docs/specs/pvpanic.rst). */
#ifndef DRIVERS_PVPANIC_H
#define DRIVERS_PVPANIC_H

/* Does nothing where there is no such device. Any context. */
void pvpanic_signal(void);

#endif
