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

/* What the host wishes to be lent, in pages; the second tells of it. */
uint64_t pressure_wish(void);
void pressure_tell_wish(uint64_t pages);

/* Waits for the next pressure_tell_wish(), or the deadline. One waiter. */
void pressure_wait_for_wish(uint64_t deadline_ns);

/* Bytes that the application's caches could give back; NULL: it has said nothing of any. */
extern uint64_t (*pressure_count_caches)(void);

#endif
