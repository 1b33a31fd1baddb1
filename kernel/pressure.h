/* SPDX-License-Identifier: MIT */
/*
 * Memory is short: what is lent comes back before anything fails. Drivers lend
 * memory to the host; whoever can wait and finds none asks here first. Those who
 * wait at the same time, on whichever CPUs, are asked for together and served in the
 * order in which they came; who is one too many for what is lent is told so at once.
 *
 * Who cannot wait lives on the kernel's reserve. When half of that is gone it is
 * filled up again in the same way, in the background.
 *
 * Concurrency: kernel context, not parallel threads.
 */
#ifndef KERNEL_PRESSURE_H
#define KERNEL_PRESSURE_H

#include "lib/base/types.h"

struct event;

/*
 * Who has lent memory, the balloon driver. give(pages) sets about getting so many pages
 * back and returns at once: true. Or false: not so many are lent, and nothing has changed.
 * 0 pages: that will do, which is false too. It is asked again after each
 * pressure_given(), and at times without one.
 */
void pressure_ask(bool (*give)(uint64_t pages));
void pressure_given(void);

/*
 * Whoever gives calls this whenever its thread is awake: so that the reserve is filled up. The
 * event wakes that thread.
 */
void pressure_keep_reserve(struct event *event);

/*
 * Waits until so many pages can be promised, for a few seconds at most. false: they will not
 * come, and what is lent stays so. Thread context, without locks; never the thread that gives.
 */
bool pressure_relieve(uint64_t pages);

/* How often somebody had to wait. */
uint64_t pressure_stalls(void);

/* What the host wishes to be lent, in pages; the second tells of it. */
uint64_t pressure_wish(void);
void pressure_tell_wish(uint64_t pages);

/* Waits for the next pressure_tell_wish(), or the deadline. Any number of threads. */
void pressure_wait_for_wish(uint64_t deadline_ns);

/* Bytes that the application's caches could give back; NULL: it has said nothing of any. */
extern uint64_t (*pressure_count_caches)(void);

#endif
