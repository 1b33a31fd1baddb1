/* SPDX-License-Identifier: MIT */
/* What lwIP takes for semaphores, mutexes, mailboxes and threads. */
#ifndef LIB_NET_PORT_ARCH_SYS_ARCH_H
#define LIB_NET_PORT_ARCH_SYS_ARCH_H

#include "kernel/event.h"
#include "lib/base/types.h"

struct thread;

struct net_semaphore {
    bool valid;
    unsigned count;
    struct event raised; /* marked when count grew */
};

struct net_mutex {
    bool valid, held;
    struct event released;
};

/* A ring of messages; the waiters of a full one and of an empty one have an event each. */
struct net_mailbox {
    void **message; /* NULL: not valid */
    unsigned size, first, count;
    struct event *filled; /* own_filled, or the network thread's event */
    struct event own_filled, drained;
};

typedef struct net_semaphore sys_sem_t;
typedef struct net_mutex sys_mutex_t;
typedef struct net_mailbox sys_mbox_t;
typedef struct thread *sys_thread_t;

#endif
