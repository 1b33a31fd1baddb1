/* SPDX-License-Identifier: MIT */
#include "kernel/spinlock.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/tlb.h"
#include "kernel/panic.h"
#include "lib/base/barrier.h"

bool spin_several;

void spin_become_several(void)
{
    spin_several = true;
}

void spin_pause(void)
{
    tlb_serve();
    cpu_pause();
}

static bool take_free(struct spinlock *lock, const void *self)
{
    const void *nobody = NULL;

    return __atomic_compare_exchange_n(&lock->holder, &nobody, self, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

void spin_wait_for(struct spinlock *lock)
{
    const void *self = spin_self();

    if (__atomic_load_n(&lock->holder, __ATOMIC_RELAXED) != self) {
        while (!take_free(lock, self))
            while (__atomic_load_n(&lock->holder, __ATOMIC_RELAXED))
                spin_pause();
    }
    lock->depth++;
}

void spin_leave(struct spinlock *lock)
{
    assert(__atomic_load_n(&lock->holder, __ATOMIC_RELAXED) == spin_self());
    if (--lock->depth == 0)
        store_release(&lock->holder, NULL); /* pairs with take_free() of the next */
}
