/* SPDX-License-Identifier: MIT */
/* The command line, and what is read out of it: words, numbers, addresses, the application's
 * arguments. */
#include "kernel/cmdline.h"

#include "lib/base/errno.h"
#include "lib/net/config.h"
#include "tests/fuzz/input.h"
#include "tests/host/log.h"

#define BYTES_MAX 8192

char image_name[] = "fuzz";

static void check_addresses(void)
{
    struct net_config config;
    const char *word;

    for (unsigned i = 0; (word = cmdline_value_nth("ip", i)); i++) {
        expect(i < BYTES_MAX, "there are no more words than letters");
        if (net_config_parse(word, &config) == 0 && config.mode == NET_STATIC)
            expect((~config.netmask & (~config.netmask + 1)) == 0, "a netmask is one");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = { "auto", "split", "packed" };
    char *text;
    int choice;

    if (size > BYTES_MAX)
        return -1;
    host_log_clear();
    text = malloc(size + 1);
    memcpy(text, bytes, size);
    text[size] = '\0';
    cmdline_parse(text);
    free(text); /* it may be gone now */
    choice = cmdline_choice("ring", names, 3);
    expect(choice < 3 && (choice >= 0 || choice == -ENOENT || choice == -EINVAL),
           "a choice is one of those there are");
    check_addresses();
    expect(cmdline_argc() >= 1, "there is a name at least");
    for (int i = 0; i < cmdline_argc(); i++)
        expect(strlen(cmdline_argv()[i]) <= size + sizeof(image_name), "no argument is too long");
    expect(!cmdline_argv()[cmdline_argc()], "the arguments end");
    return 0;
}
