/* SPDX-License-Identifier: MIT */
/*
 * The ring under test in a guest, below every class of device:
 *
 *     -append "log=error -- race 10000000"
 */
#include <stdio.h>
#include <string.h>

#include "tests/guest/ringtest/ringtest.h"

static const struct {
    const char *name, *arguments;
    int (*run)(int argc, char **argv);
} cases[] = {
    { "race", "BUFFERS [sleep] [reset]", run_race },
    { "cost", "", run_cost },
};

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (argc > 1 && !strcmp(argv[1], cases[i].name))
            return cases[i].run(argc - 1, argv + 1);
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        printf("usage: %s %s\n", cases[i].name, cases[i].arguments);
    return EXIT_USAGE;
}
