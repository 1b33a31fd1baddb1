/* SPDX-License-Identifier: MIT */
#include "kernel/irq_line.h"

#include "kernel/irq.h"
#include "kernel/log.h"
#include "lib/base/errno.h"

#define MAX_LINES     32
#define MAX_ROUNDS    256 /* through those who listen to an edge-triggered line */
#define MAX_UNCLAIMED 256 /* in a row; a few come when a device lowers its line late */

static struct irq_shared_line {
    struct irq_line line;
    int vector; /* 0: free */
    struct list listeners;
    unsigned unclaimed;
    bool off;
} lines[MAX_LINES];

static struct spinlock lock; /* of all of them; their devices' come after it */

static struct irq_listener *listener_of(struct list *link)
{
    return CONTAINER_OF(link, struct irq_listener, link);
}

static bool ask(struct irq_shared_line *shared)
{
    struct list *link;
    bool claimed = false;

    LIST_FOR_EACH (link, &shared->listeners)
        claimed |= listener_of(link)->handler(listener_of(link)->argument);
    return claimed;
}

static void switch_off(struct irq_shared_line *shared)
{
    struct list *link;

    irq_unroute(shared->line.gsi);
    shared->off = true;
    log_error("irq: line %u goes on though nobody claims it, switched off", shared->line.gsi);
    LIST_FOR_EACH (link, &shared->listeners)
        listener_of(link)->lost(listener_of(link)->argument);
}

static void on_interrupt(void *argument)
{
    struct irq_shared_line *shared = argument;
    bool claimed;
    SPIN_SCOPE(&lock);

    claimed = ask(shared);
    for (unsigned i = 0; claimed && !shared->line.level_triggered && i < MAX_ROUNDS; i++)
        if (!ask(shared))
            break;
    if (claimed)
        shared->unclaimed = 0;
    else if (++shared->unclaimed >= MAX_UNCLAIMED && !shared->off)
        switch_off(shared);
}

static int route(const struct irq_shared_line *shared)
{
    return irq_route(shared->line.gsi, shared->vector, shared->line.level_triggered,
                     shared->line.active_low);
}

static void switch_on(struct irq_shared_line *shared)
{
    bool were_on = irq_lock(&lock);

    if (shared->off) {
        shared->off = false;
        shared->unclaimed = 0;
        route(shared);
    }
    irq_unlock(&lock, were_on);
}

/* The one in use for this pin, or a free one; NULL: there is none. */
static struct irq_shared_line *find(uint32_t gsi)
{
    struct irq_shared_line *spare = NULL;

    for (unsigned i = 0; i < MAX_LINES; i++) {
        if (!lines[i].vector)
            spare = spare ? spare : &lines[i];
        else if (lines[i].line.gsi == gsi)
            return &lines[i];
    }
    return spare;
}

static int open_line(struct irq_shared_line *shared, const struct irq_line *line, const char *name)
{
    shared->vector = irq_alloc(on_interrupt, shared, name);
    if (shared->vector < 0) {
        shared->vector = 0;
        return -ENOSPC;
    }
    shared->line = *line;
    shared->unclaimed = 0;
    shared->off = false;
    list_init(&shared->listeners);
    return 0;
}

/* Nobody listens any more, and the pin leads nowhere. */
static void close_line(struct irq_shared_line *shared)
{
    irq_free(shared->vector);
    shared->vector = 0;
}

static bool is_same(const struct irq_line *one, const struct irq_line *other)
{
    return one->level_triggered == other->level_triggered && one->active_low == other->active_low;
}

static void add(struct irq_shared_line *shared, struct irq_listener *listener)
{
    bool were_on = irq_lock(&lock);

    listener->shared = shared;
    list_append(&shared->listeners, &listener->link);
    irq_unlock(&lock, were_on);
}

/* true: it was the last one. */
static bool drop(struct irq_shared_line *shared, struct irq_listener *listener)
{
    bool were_on = irq_lock(&lock), was_last;

    listener->shared = NULL;
    list_remove(&listener->link);
    was_last = list_empty(&shared->listeners);
    if (was_last)
        irq_unroute(shared->line.gsi);
    else
        switch_on(shared); /* it may have been the one that made it useless */
    irq_unlock(&lock, were_on);
    return was_last;
}

int irq_line_attach(const struct irq_line *line, struct irq_listener *listener)
{
    struct irq_shared_line *shared = find(line->gsi);
    int error;

    if (!shared)
        return -ENOSPC;
    if (shared->vector) {
        if (!is_same(&shared->line, line))
            return -EINVAL;
        add(shared, listener);
        return 0;
    }
    error = open_line(shared, line, listener->name);
    if (error)
        return error;
    add(shared, listener);
    error = route(shared);
    if (error) {
        listener->shared = NULL;
        list_remove(&listener->link);
        close_line(shared);
    }
    return error;
}

void irq_line_detach(struct irq_listener *listener)
{
    struct irq_shared_line *shared = listener->shared;

    if (shared && drop(shared, listener))
        close_line(shared);
}

void irq_line_retry(struct irq_listener *listener)
{
    if (listener->shared)
        switch_on(listener->shared);
}
