/* SPDX-License-Identifier: MIT */
/* What the code under test has logged since host_log_clear(), for tests. */
#ifndef TESTS_HOST_LOG_H
#define TESTS_HOST_LOG_H

/* All lines, each with its line feed; the oldest 64 KiB of them. */
const char *host_log_text(void);
void host_log_clear(void);

#endif
