/* SPDX-License-Identifier: MIT */
/*
 * The locks inside newlib (stdio, environment, atexit, ...), and malloc's. Taking a free
 * one is a single exchange, without entering the kernel; who finds it taken looks for a
 * moment whether another CPU lets it go, then waits for an event. All are recursive,
 * which serves the plain ones as well.
 *
 * Who has released a lock still looks whether anybody waits, when another CPU may
 * have taken, released and closed it: so the memory of a lock stays one for good.
 */
#include "lib/libc/lock.h"

#include <sys/lock.h>

#include "kernel/alloc.h"
#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/thread.h"

#define LOOKS 100 /* some tens of us */

struct __lock {
    struct thread *owner; /* NULL: free */
    unsigned depth;       /* the owner's business */
    unsigned waiting;     /* threads that look for it to become free */
    struct event released;
    struct __lock *next_closed;
};

#define STATIC_LOCK(name) struct __lock name = { .released = EVENT_INIT(name.released) }

STATIC_LOCK(__lock___sinit_recursive_mutex);
STATIC_LOCK(__lock___sfp_recursive_mutex);
STATIC_LOCK(__lock___atexit_recursive_mutex);
STATIC_LOCK(__lock___at_quick_exit_mutex);
STATIC_LOCK(__lock___malloc_recursive_mutex);
STATIC_LOCK(__lock___env_recursive_mutex);
STATIC_LOCK(__lock___tz_mutex);
STATIC_LOCK(__lock___dd_hash_mutex);
STATIC_LOCK(__lock___arc4random_mutex);
static STATIC_LOCK(of_malloc);

static struct __lock *closed; /* under the kernel lock */

static struct __lock *open_lock(void)
{
    struct __lock *lock = closed;

    if (lock) {
        closed = lock->next_closed;
        return lock;
    }
    lock = kalloc(sizeof(*lock));
    if (lock)
        event_init(&lock->released);
    return lock;
}

/* Without memory there is no lock: NULL, which every other function here lets pass. */
void __retarget_lock_init_recursive(_LOCK_T *lock)
{
    kernel_enter();
    *lock = open_lock();
    kernel_leave();
}

void __retarget_lock_close_recursive(_LOCK_T lock)
{
    if (!lock)
        return;
    kernel_enter();
    lock->next_closed = closed;
    closed = lock;
    kernel_leave();
}

static bool take(struct __lock *lock)
{
    struct thread *self = thread_current(), *nobody = NULL;

    /* Only we ourselves could have put us there. */
    if (__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) != self &&
        !__atomic_compare_exchange_n(&lock->owner, &nobody, self, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return false;
    lock->depth++;
    return true;
}

static void wait_and_take(struct __lock *lock)
{
    for (unsigned i = 0; UNLIKELY(spin_several) && i < LOOKS; i++) {
        if (!__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) && take(lock))
            return;
        __builtin_ia32_pause();
    }
    kernel_enter();
    __atomic_add_fetch(&lock->waiting, 1, __ATOMIC_SEQ_CST);
    while (!take(lock))
        event_wait(&lock->released, CLOCK_NEVER);
    __atomic_sub_fetch(&lock->waiting, 1, __ATOMIC_RELAXED);
    kernel_leave();
}

void __retarget_lock_acquire_recursive(_LOCK_T lock)
{
    if (lock && !take(lock))
        wait_and_take(lock);
}

int __retarget_lock_try_acquire_recursive(_LOCK_T lock)
{
    return !lock || take(lock);
}

void __retarget_lock_release_recursive(_LOCK_T lock)
{
    if (!lock || --lock->depth)
        return;
    /* Pairs with wait_and_take(): either it sees the lock free, or we see it waiting. */
    __atomic_store_n(&lock->owner, NULL, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&lock->waiting, __ATOMIC_SEQ_CST))
        return;
    kernel_enter();
    event_signal(&lock->released);
    kernel_leave();
}

void __retarget_lock_init(_LOCK_T *lock)
{
    __retarget_lock_init_recursive(lock);
}

void __retarget_lock_close(_LOCK_T lock)
{
    __retarget_lock_close_recursive(lock);
}

void __retarget_lock_acquire(_LOCK_T lock)
{
    __retarget_lock_acquire_recursive(lock);
}

int __retarget_lock_try_acquire(_LOCK_T lock)
{
    return __retarget_lock_try_acquire_recursive(lock);
}

void __retarget_lock_release(_LOCK_T lock)
{
    __retarget_lock_release_recursive(lock);
}

void malloc_lock(void)
{
    __retarget_lock_acquire_recursive(&of_malloc);
}

bool malloc_try_lock(void)
{
    return __retarget_lock_try_acquire_recursive(&of_malloc);
}

void malloc_unlock(void)
{
    __retarget_lock_release_recursive(&of_malloc);
}
