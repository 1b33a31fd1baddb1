/* SPDX-License-Identifier: MIT */
/* One word on the kernel's command line, for code under test that asks for it. */
#ifndef TESTS_HOST_CMDLINE_H
#define TESTS_HOST_CMDLINE_H

/* NULL: the command line is empty. */
extern const char *host_cmdline_key, *host_cmdline_value;

#endif
