/* SPDX-License-Identifier: MIT */
/*
 * The kernel's words of the command line, and the application's arguments
 * behind `--`. The command line comes from outside: a word that is malformed is
 * named in the log and its default stays; one that asks for the impossible
 * ends the start with status 102.
 */
#ifndef KERNEL_CMDLINE_H
#define KERNEL_CMDLINE_H

#include "lib/base/types.h"

/* The image's name, made by the build from the application's folder; writable, as argv[0] is. */
extern char image_name[];

/* Splits the text; keeps a copy. Never fails: what is wrong is logged. */
void cmdline_parse(const char *text);

/* The value of `key=value`, the last one given; NULL: not given. */
const char *cmdline_value(const char *key);

/*
 * Words given several times, such as virtio_mmio.device=: the index-th value
 * of key, NULL beyond the last.
 */
const char *cmdline_value_nth(const char *key, unsigned index);

/*
 * Which of `names` the value of key is: its index; -ENOENT: key was not given;
 * -EINVAL: it is none of them, which is logged with the names allowed.
 */
int cmdline_choice(const char *key, const char *const *names, unsigned n_names);

/* argv for main(): argv[0] is the image's name; argv[argc] is NULL. */
int cmdline_argc(void);
char **cmdline_argv(void);

#endif
