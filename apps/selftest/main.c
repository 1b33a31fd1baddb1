/* SPDX-License-Identifier: MIT */
/*
 * The guest's side of the tests, after the model of kvm-unit-tests: one image
 * serves all cases, and the host reads what it reports on the console.
 *
 *     -append "log=error -- memory 64"
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"

struct test_case {
    const char *name;
    const char *arguments;
    int (*run)(int argc, char **argv);
};

static const struct test_case cases[] = {
    { "args", "[WORD...]", run_args },
    { "exit", "N", run_exit },
    { "echo", "", run_echo },
    { "spin", "", run_spin },
    { "fault", "null|wild|write-text|run-data|stack|divide|opcode|assert|abort|signal [WHEN-TYPED]",
      run_fault },
    { "libc", "", run_libc },
    { "float", "", run_float },
    { "memory", "MIB [ROUNDS [PAUSE_MS]]", run_memory },
    { "pressure", "[cached MiB [wanted MiB]]", run_pressure },
    { "churn", "[seed [MiB held at most]]", run_churn },
    { "holes", "[MIB [ROUNDS [typed]]]", run_holes },
    { "registers", "[MS]", run_registers },
    { "stack", "", run_stack },
    { "threads", "", run_threads },
    { "thread-overflow", "", run_thread_overflow },
    { "clock", "[N [INTERVAL_MS]]", run_clock },
    { "monotonic", "[MS]", run_monotonic },
    { "sleep", "[MS]", run_sleep },
    { "random", "[PAUSE_MS]", run_random },
    { "port-list", "", run_port_list },
    { "port-echo", "NAME...", run_port_echo },
    { "port-source", "NAME BYTES", run_port_source },
    { "port-late", "NAME MS", run_port_late },
    { "chatter", "LINES", run_chatter },
    { "disk-list", "", run_disk_list },
    { "disk-hash", "[DISK ...]", run_disk_hash },
    { "disk-pattern", "[DISK [SEED]]", run_disk_pattern },
    { "disk-errors", "[DISK]", run_disk_errors },
    { "endure", "[DISK]", run_endure },
    { "disk-come", "[TIMES]", run_disk_come },
    { "disk-crowd", "[TIMES] [DISKS]", run_disk_crowd },
    { "disk-leave", "[DISK]", run_disk_leave },
};

static bool failed;

void report(bool passed, const char *what, ...)
{
    va_list arguments;

    va_start(arguments, what);
    printf(passed ? "PASS: " : "FAIL: ");
    vprintf(what, arguments);
    printf("\n");
    va_end(arguments);
    failed |= !passed;
}

int reported(void)
{
    return failed ? 1 : 0;
}

unsigned long number(int argc, char **argv, int index, unsigned long otherwise)
{
    return index < argc ? strtoul(argv[index], NULL, 0) : otherwise;
}

int run_args(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        printf("argv[%d]=%s\n", i, argv[i]);
    report(!argv[argc], "argv ends with a null pointer");
    return reported();
}

void wait_for_a_line(void)
{
    char line[80];

    fgets(line, sizeof(line), stdin);
}

int run_exit(int argc, char **argv)
{
    return argc > 1 ? atoi(argv[1]) : 0;
}

/* What is typed comes back line by line, until "end" or the end of the input. */
int run_echo(int argc, char **argv)
{
    char line[256];

    (void)argc;
    (void)argv;
    while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n"))
        printf("echo: %s", line);
    return 0;
}

/* Lines whose numbers tell whether one is missing. */
int run_chatter(int argc, char **argv)
{
    unsigned long lines = number(argc, argv, 1, 1000);

    for (unsigned long i = 0; i < lines; i++)
        printf("chatter %07lu %s\n", i, "abcdefghijklmnopqrstuvwxyz");
    return 0;
}

/* What else the machine does must go on meanwhile. */
int run_spin(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("spinning\n");
    for (;;)
        ;
}

static int usage(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        printf("usage: %s %s\n", cases[i].name, cases[i].arguments);
    return 2;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (!strcmp(argv[1], cases[i].name))
            return cases[i].run(argc - 1, argv + 1);
    }
    return usage();
}
