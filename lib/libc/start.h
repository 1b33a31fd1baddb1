/* SPDX-License-Identifier: MIT */
/* Where an application begins. */
#ifndef LIB_LIBC_START_H
#define LIB_LIBC_START_H

/*
 * Runs the application in the calling thread, outside the kernel's brackets:
 * constructors, main(), then exit() with what main() returned.
 */
_Noreturn void app_start(int argc, char **argv);

/* What the C library keeps for a thread goes, and its streams' last bytes out; outside the
 * brackets. */
void app_thread_end(void);

/*
 * For atexit(), once threads run on several CPUs: exit() by one of them writes what that one
 * has in its streams, and does not wait for a stream that another one is waiting at.
 */
void app_exit_begins(void);

#endif
