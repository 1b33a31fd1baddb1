/* SPDX-License-Identifier: MIT */
/*
 * kernel/event.h, timer.h, clock.h and the sleeping part of thread.h for hosted
 * tests against real devices: time is the machine's, and who waits for an event
 * waits for file descriptors, whose handlers play the interrupts. There is one
 * thread; handlers run only while it waits. Link it instead of tests/host/event.c
 * and clock.c.
 */
#ifndef TESTS_HOST_LIVE_EVENT_H
#define TESTS_HOST_LIVE_EVENT_H

/* Calls handler(argument) while the descriptor is readable, or its other side is gone. */
void host_watch(int fd, void (*handler)(void *argument), void *argument);
void host_unwatch(int fd);

/* A wait without a deadline that lasts longer ends the program: nothing will ever come. */
#define HOST_PATIENCE_MS 10000

#endif
