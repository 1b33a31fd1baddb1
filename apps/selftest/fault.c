/* SPDX-License-Identifier: MIT */
/* Cases that end badly on purpose: each must end in a report, never in a hang. */
#include <assert.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"

/* The compiler shall not know that these lead nowhere. */
static volatile uintptr_t null_address = 8, wild_address = 0xdead000000000000;
static volatile unsigned depth = UINT32_MAX;

static void touch_null(void)
{
    *(volatile int *)null_address = 1;
}

/* Not canonical: a general protection fault, not a page fault. */
static void touch_wild(void)
{
    *(volatile int *)wild_address = 1;
}

static void write_text(void)
{
    *(volatile char *)(uintptr_t)write_text = 1;
}

static void run_data(void)
{
    static char code[] = { '\xc3' }; /* ret */

    ((void (*)(void))(uintptr_t)code)();
}

/* Into the guard page below the stack. */
__attribute__((noinline)) static int overflow_stack(unsigned levels, volatile char *above)
{
    volatile char frame[512];

    frame[0] = above[0];
    return levels ? overflow_stack(levels - 1, frame) + frame[0] : 0;
}

static void overflow(void)
{
    volatile char start = 1;

    printf("%d\n", overflow_stack(depth, &start));
}

static void divide(void)
{
    volatile int seven = 7, zero = 0;

    printf("%d\n", seven / zero);
}

static void bad_opcode(void)
{
    __asm__ volatile("ud2");
}

static void fail_assertion(void)
{
    volatile int one = 1;

    assert(one == 2);
}

static void raise_signal(void)
{
    raise(SIGTERM);
}

int run_fault(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } faults[] = {
        { "null", touch_null },     { "wild", touch_wild },       { "write-text", write_text },
        { "run-data", run_data },   { "stack", overflow },        { "divide", divide },
        { "opcode", bad_opcode },   { "assert", fail_assertion }, { "abort", abort },
        { "signal", raise_signal },
    };
    char line[80];

    if (argc > 2 && !fgets(line, sizeof(line), stdin)) /* after a line was typed */
        return 1;
    for (size_t i = 0; argc > 1 && i < sizeof(faults) / sizeof(faults[0]); i++) {
        if (!strcmp(argv[1], faults[i].name))
            faults[i].run();
    }
    report(false, "still running");
    return reported();
}
