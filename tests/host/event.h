/* SPDX-License-Identifier: MIT */
/* What happens while the code under test waits for an event. */
#ifndef TESTS_HOST_EVENT_H
#define TESTS_HOST_EVENT_H

#include <stdbool.h>
#include <stdint.h>

struct event;

/* Called again and again by event_wait() until the event is marked; NULL: nothing happens. */
extern void (*host_idle)(void);

/* Lets time pass until the earliest timer and runs it; false: none is due before the limit. */
bool host_next_timer(uint64_t limit_ns);

bool host_event_is_polled(const struct event *event);

#endif
