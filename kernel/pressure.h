/* SPDX-License-Identifier: MIT */
/*
 * Memory is short: what is lent comes back before anything fails. Drivers lend
 * memory to the host; whoever can wait and finds none asks here first.
 */
#ifndef KERNEL_PRESSURE_H
#define KERNEL_PRESSURE_H

#include "lib/base/types.h"

/*
 * Who has lent memory, the balloon driver. give(pages) sets about getting so many pages
 * back and returns at once: false, if not so many are lent; 0 pages: that will do. It is
 * asked again after each pressure_given(), and at times without one.
 */
void pressure_ask(bool (*give)(uint64_t pages));
void pressure_given(void);

/*
 * Waits until so many pages can be promised, for a few seconds at most. false: they will not
 * come, and what is lent stays so. Thread context, without locks.
 */
bool pressure_relieve(uint64_t pages);

/* How often somebody had to wait. */
uint64_t pressure_stalls(void);

#endif
