/* SPDX-License-Identifier: MIT */
/*
 * lwIP's timers, in place of its own: the network thread sleeps until the next
 * one that is of use, and looks after the devices whenever it is awake. There
 * is no tick: a protocol's timer runs only while it has something to do.
 *
 * Concurrency: kernel context, core lock held.
 */
#include "lwip/timeouts.h"

#include "kernel/clock.h"
#include "kernel/netdev.h"
#include "lib/net/stack.h"
#include "lwip/dhcp.h"
#include "lwip/priv/tcp_priv.h"

#define TIMERS_MAX 8

/*
 * Busy for so long without a pause, then the application has its turn: until the
 * CPU has nothing else to do, as long again at the most. A flood of frames so
 * takes half of the CPU from it; what comes meanwhile fills the device's buffers,
 * and what they do not hold is lost before it costs anything.
 */
#define BUSY_NS NSEC_PER_MSEC
#define TURN_MS 1

static uint64_t due_ns[TIMERS_MAX]; /* of lwip_cyclic_timers; CLOCK_NEVER: it does not run */
static uint64_t sleeping_until_ns;  /* 0: the network thread is awake */
static uint64_t busy_since_ns;      /* 0: it sleeps, or has just slept */
static bool turn_polled;            /* netdev_event is marked when the CPU is idle, for the turn */

/* DHCP's fine timer waits for answers: there must be a question. */
static bool dhcp_waits(void)
{
    struct netif *netif;

    NETIF_FOREACH(netif)
    {
        struct dhcp *dhcp = netif_dhcp_data(netif);

        if (dhcp && dhcp->request_timeout > 0)
            return true;
    }
    return false;
}

static bool is_needed(lwip_cyclic_timer_handler handler)
{
    if (handler == tcp_tmr)
        return tcp_active_pcbs || tcp_tw_pcbs;
    if (handler == dhcp_fine_tmr)
        return dhcp_waits();
    return true;
}

static uint64_t interval_ns(int i)
{
    return lwip_cyclic_timers[i].interval_ms * NSEC_PER_MSEC;
}

void sys_timeouts_init(void)
{
    LWIP_ASSERT("more timers than places", lwip_num_cyclic_timers <= TIMERS_MAX);
    for (int i = 0; i < TIMERS_MAX; i++)
        due_ns[i] = CLOCK_NEVER;
}

/* Starts and stops the timers as they are needed; when the next one is due. */
static uint64_t next_due(uint64_t now)
{
    uint64_t due = CLOCK_NEVER;

    for (int i = 0; i < lwip_num_cyclic_timers; i++) {
        if (!is_needed(lwip_cyclic_timers[i].handler))
            due_ns[i] = CLOCK_NEVER;
        else if (due_ns[i] == CLOCK_NEVER)
            due_ns[i] = now + interval_ns(i);
        due = MIN(due, due_ns[i]);
    }
    return due;
}

static void run_due(uint64_t now)
{
    for (int i = 0; i < lwip_num_cyclic_timers; i++) {
        if (due_ns[i] > now)
            continue;
        /* Missed ones are not made up for: the next one is in the future. */
        due_ns[i] = MAX(due_ns[i] + interval_ns(i), now + 1);
        lwip_cyclic_timers[i].handler();
    }
}

/*
 * The mark goes: it stands for frames that are looked for after the turn anyway,
 * and would end the turn before it began.
 */
static u32_t give_turn(void)
{
    busy_since_ns = 0;
    turn_polled = list_empty(&netdev_event.polled);
    if (turn_polled)
        event_poll(&netdev_event);
    netdev_event.marked = false;
    return TURN_MS;
}

static void end_turn(void)
{
    if (turn_polled)
        event_unpoll(&netdev_event);
    turn_polled = false;
}

/* Called by the network thread whenever it was woken or found something due. */
void sys_check_timeouts(void)
{
    sleeping_until_ns = 0;
    end_turn();
    if (!busy_since_ns)
        busy_since_ns = clock_monotonic_ns();
    net_follow_devices();
    net_poll();
    run_due(clock_monotonic_ns());
    net_flush();
}

/* Called before it sleeps: for how many ms, 0: not at all. */
u32_t sys_timeouts_sleeptime(void)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t due = next_due(now);

    sleeping_until_ns = 0;
    if (due <= now)
        return 0;
    if (busy_since_ns && now - busy_since_ns >= BUSY_NS)
        return give_turn();
    if (net_arm())
        return 0;
    busy_since_ns = 0;
    sleeping_until_ns = due;
    return (u32_t)((due - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
}

void net_timeouts_changed(void)
{
    if (sleeping_until_ns && next_due(clock_monotonic_ns()) < sleeping_until_ns)
        event_signal(&netdev_event);
}
