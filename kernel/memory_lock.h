/* SPDX-License-Identifier: MIT */
/*
 * The one lock of all that hands out memory: pages, small objects, the window,
 * page tables. They call each other, and a promise that one has lent (page_lend_promised)
 * must not be taken by another CPU in between: so it is one, and every function of
 * theirs that may be called from outside takes it.
 */
#ifndef KERNEL_MEMORY_LOCK_H
#define KERNEL_MEMORY_LOCK_H

#include "kernel/spinlock.h"

extern struct spinlock memory_lock;

#endif
