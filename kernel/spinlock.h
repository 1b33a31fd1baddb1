/* SPDX-License-Identifier: MIT */
/*
 * Locks between CPUs. Held for short: nobody waits on an event, or lets another
 * thread run, while holding one. A CPU may take a lock again that it holds.
 *
 *     SPIN_SCOPE(&memory_lock);      held from here to the end of the block
 *
 * Under which lock another may be taken, the outermost first. The kernel lock of thread.c, which
 * is none of these, comes before all; of those in one line never two are held.
 *
 *     random.c's
 *     memory_lock
 *     irq_line.c's                   from here on with interrupts off: handlers take them
 *     virtio_device.lock
 *     timers.lock of a CPU
 *     console_lock, polled_lock
 *     event.lock
 *     those around a few accesses to registers, and irq.c's around its table
 *
 * So nothing is allocated or freed, and no random number drawn, under a lock that handlers
 * take: its holder would wait for a CPU whose handler waits for it.
 *
 * As long as one CPU alone runs kernel code a lock costs one look at spin_several.
 * Interrupts stay as they are: what their handlers reach as well is locked with
 * interrupts off.
 */
#ifndef KERNEL_SPINLOCK_H
#define KERNEL_SPINLOCK_H

#include "lib/base/types.h"

struct spinlock {
    const void *holder; /* the CPU; NULL: free */
    unsigned depth;     /* how often the holder has taken it; the holder's */
};

/* A second CPU runs kernel code from now on. While the caller, who is alone, holds no lock. */
extern bool spin_several;
void spin_become_several(void);

/* What stands for the CPU that asks. Architecture, or the test. */
const void *spin_self(void);

/*
 * In every loop that waits for another CPU, if interrupts may be off there: that one may wait
 * in turn for this one to forget a mapping.
 */
void spin_pause(void);

void spin_wait_for(struct spinlock *lock);
void spin_leave(struct spinlock *lock);

static inline __attribute__((always_inline)) struct spinlock *spin_take(struct spinlock *lock)
{
    if (UNLIKELY(spin_several))
        spin_wait_for(lock);
    return lock;
}

static inline __attribute__((always_inline)) void spin_give(struct spinlock *lock)
{
    if (UNLIKELY(spin_several))
        spin_leave(lock);
}

static inline __attribute__((always_inline)) void spin_end_scope(struct spinlock **lock)
{
    spin_give(*lock);
}

#define SPIN_SCOPE(lock) \
    struct spinlock *scope_lock __attribute__((cleanup(spin_end_scope), unused)) = spin_take(lock)

#endif
