/* SPDX-License-Identifier: MIT */
/* Random numbers: the host compares what several guests draw. */
#include <stdio.h>
#include <unistd.h>

#include "cases.h"

/* One number after the other, until the end of time. */
int run_random(int argc, char **argv)
{
    useconds_t pause_us = (useconds_t)number(argc, argv, 1, 100) * 1000;

    for (;;) {
        unsigned long drawn;

        if (getentropy(&drawn, sizeof(drawn)))
            return 1;
        printf("number %016lx\n", drawn);
        usleep(pause_us);
    }
}
