/* SPDX-License-Identifier: MIT */
/* kernel/cmdline.h for hosted tests. */
#include "tests/host/cmdline.h"

#include <string.h>

#include "kernel/cmdline.h"
#include "lib/base/errno.h"

const char *host_cmdline_key, *host_cmdline_value;

const char *cmdline_value(const char *key)
{
    return host_cmdline_key && !strcmp(key, host_cmdline_key) ? host_cmdline_value : NULL;
}

int cmdline_choice(const char *key, const char *const *names, unsigned n_names)
{
    const char *value = cmdline_value(key);

    if (!value)
        return -ENOENT;
    for (unsigned i = 0; i < n_names; i++)
        if (!strcmp(names[i], value))
            return (int)i;
    return -EINVAL;
}
