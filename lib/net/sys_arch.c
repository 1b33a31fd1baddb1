/* SPDX-License-Identifier: MIT */
/*
 * lwIP's threads, semaphores, mutexes and mailboxes on kernel threads and
 * events. Kernel threads are cooperative and application threads are not
 * preempted within the kernel, so between two waits nothing else runs: the
 * counters below need no protection.
 *
 * Concurrency: kernel context; not from interrupt handlers.
 */
#include "kernel/alloc.h"
#include "kernel/clock.h"
#include "kernel/netdev.h"
#include "kernel/thread.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"
#include "lib/net/isn.h"
#include "lib/net/port/hooks.h"
#include "lib/net/stack.h"
#include "lwip/sys.h"
#include "lwip/tcpip.h"

void sys_init(void)
{
}

u32_t sys_now(void)
{
    return (u32_t)(clock_monotonic_ns() / NSEC_PER_MSEC);
}

/* lwIP's waits are in ms, 0: for ever. */
static uint64_t deadline_of(u32_t timeout_ms)
{
    return timeout_ms ? clock_monotonic_ns() + timeout_ms * NSEC_PER_MSEC : CLOCK_NEVER;
}

/* ---- semaphores */

err_t sys_sem_new(sys_sem_t *sem, u8_t count)
{
    sem->valid = true;
    sem->count = count;
    event_init(&sem->raised);
    return ERR_OK;
}

void sys_sem_free(sys_sem_t *sem)
{
    sem->valid = false;
}

int sys_sem_valid(sys_sem_t *sem)
{
    return sem->valid;
}

void sys_sem_set_invalid(sys_sem_t *sem)
{
    sem->valid = false;
}

void sys_sem_signal(sys_sem_t *sem)
{
    sem->count++;
    event_signal(&sem->raised);
}

u32_t sys_arch_sem_wait(sys_sem_t *sem, u32_t timeout)
{
    uint64_t deadline = deadline_of(timeout);

    while (sem->count == 0) {
        if (event_wait(&sem->raised, deadline) == -ETIMEDOUT && sem->count == 0)
            return SYS_ARCH_TIMEOUT;
    }
    /* One mark stands for any number of signals: pass it on. */
    if (--sem->count > 0)
        event_signal(&sem->raised);
    return 0;
}

/* ---- mutexes */

err_t sys_mutex_new(sys_mutex_t *mutex)
{
    mutex->valid = true;
    mutex->held = false;
    event_init(&mutex->released);
    return ERR_OK;
}

void sys_mutex_free(sys_mutex_t *mutex)
{
    mutex->valid = false;
}

int sys_mutex_valid(sys_mutex_t *mutex)
{
    return mutex->valid;
}

void sys_mutex_set_invalid(sys_mutex_t *mutex)
{
    mutex->valid = false;
}

void sys_mutex_lock(sys_mutex_t *mutex)
{
    while (mutex->held)
        event_wait(&mutex->released, CLOCK_NEVER);
    mutex->held = true;
}

void sys_mutex_unlock(sys_mutex_t *mutex)
{
    mutex->held = false;
    if (!list_empty(&mutex->released.waiters))
        event_signal(&mutex->released);
}

/* ---- mailboxes */

static struct event *next_mailbox_event;

void net_next_mailbox_uses(struct event *event)
{
    next_mailbox_event = event;
}

err_t sys_mbox_new(sys_mbox_t *mbox, int size)
{
    memset(mbox, 0, sizeof(*mbox));
    mbox->size = (unsigned)size;
    mbox->message = kalloc(mbox->size * sizeof(void *));
    event_init(&mbox->own_filled);
    event_init(&mbox->drained);
    mbox->filled = next_mailbox_event ? next_mailbox_event : &mbox->own_filled;
    next_mailbox_event = NULL;
    return mbox->message ? ERR_OK : ERR_MEM;
}

void sys_mbox_free(sys_mbox_t *mbox)
{
    kfree(mbox->message);
    mbox->message = NULL;
}

int sys_mbox_valid(sys_mbox_t *mbox)
{
    return mbox->message != NULL;
}

void sys_mbox_set_invalid(sys_mbox_t *mbox)
{
    mbox->message = NULL;
}

err_t sys_mbox_trypost(sys_mbox_t *mbox, void *msg)
{
    if (mbox->count == mbox->size)
        return ERR_MEM;
    mbox->message[(mbox->first + mbox->count++) % mbox->size] = msg;
    event_signal(mbox->filled);
    return ERR_OK;
}

err_t sys_mbox_trypost_fromisr(sys_mbox_t *mbox, void *msg)
{
    return sys_mbox_trypost(mbox, msg);
}

void sys_mbox_post(sys_mbox_t *mbox, void *msg)
{
    while (sys_mbox_trypost(mbox, msg) != ERR_OK)
        event_wait(&mbox->drained, CLOCK_NEVER);
}

u32_t sys_arch_mbox_tryfetch(sys_mbox_t *mbox, void **msg)
{
    if (mbox->count == 0)
        return SYS_MBOX_EMPTY;
    if (msg)
        *msg = mbox->message[mbox->first];
    mbox->first = (mbox->first + 1) % mbox->size;
    mbox->count--;
    if (!list_empty(&mbox->drained.waiters))
        event_signal(&mbox->drained);
    if (mbox->count > 0 && !list_empty(&mbox->filled->waiters))
        event_signal(mbox->filled);
    return 0;
}

u32_t sys_arch_mbox_fetch(sys_mbox_t *mbox, void **msg, u32_t timeout)
{
    uint64_t deadline = deadline_of(timeout);

    while (sys_arch_mbox_tryfetch(mbox, msg) == SYS_MBOX_EMPTY) {
        int waited = event_wait(mbox->filled, deadline);

        /* The network thread's event stands for more than messages: it looks after the devices. */
        if ((waited == -ETIMEDOUT || mbox->filled != &mbox->own_filled) && mbox->count == 0)
            return SYS_ARCH_TIMEOUT;
    }
    return 0;
}

/* ---- threads and the core lock */

sys_thread_t sys_thread_new(const char *name, lwip_thread_fn thread, void *arg, int stacksize,
                            int prio)
{
    (void)stacksize;
    (void)prio;
    return thread_create(name, thread, arg);
}

void net_lock(void)
{
    sys_mutex_lock(&lock_tcpip_core);
}

void net_unlock(void)
{
    net_flush();
    net_timeouts_changed();
    sys_mutex_unlock(&lock_tcpip_core);
}

/* ---- what else lwIP asks for */

u32_t net_tcp_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip,
                  u16_t remote_port)
{
    return net_isn(ip4_addr_get_u32(local_ip), local_port, ip4_addr_get_u32(remote_ip),
                   remote_port);
}
