/* SPDX-License-Identifier: MIT */
/*
 * What a hosted test proves of the standard's requirements on drivers, named as
 * in tests/conformance/requirements.csv:
 *
 *     static void a_reset_is_waited_for(void **state)
 *     {
 *         PROVES("CORE-RST-01", "PCI-CC-05");
 *
 * The ids stand in the test's output, in a comment before its result; `make
 * conformance` counts them where the test passed.
 */
#ifndef TESTS_HOST_PROVES_H
#define TESTS_HOST_PROVES_H

#include <stdio.h>

#define PROVES(...) print_proven((const char *const[]){ __VA_ARGS__, NULL })

static inline void print_proven(const char *const *id)
{
    printf("# proves");
    for (; *id; id++)
        printf(" %s", *id);
    printf("\n");
    fflush(stdout);
}

#endif
