/* SPDX-License-Identifier: MIT */
/* What arch/ calls when an exception came. Interrupts are off. */
#ifndef KERNEL_TRAP_ENTRY_H
#define KERNEL_TRAP_ENTRY_H

#include "lib/base/types.h"

struct trap_frame;

/* true: the page is there now and the access is made again. */
bool trap_page_fault(struct trap_frame *frame, uintptr_t address);

/* Ends in a panic report. address: cr2, of meaning for page faults. */
_Noreturn void trap_unhandled(const struct trap_frame *frame, uintptr_t address);

#endif
