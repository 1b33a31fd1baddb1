/* SPDX-License-Identifier: MIT */
/* Where an application begins. */
#ifndef LIB_LIBC_START_H
#define LIB_LIBC_START_H

/*
 * Runs the application in the calling thread, outside the kernel's brackets and
 * with FS base set: constructors, main(), then exit() with what main()
 * returned.
 */
_Noreturn void app_start(int argc, char **argv);

#endif
