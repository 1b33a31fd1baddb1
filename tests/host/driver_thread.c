/* SPDX-License-Identifier: MIT */
#include "tests/host/driver_thread.h"

#include <setjmp.h>
#include <stddef.h>

#include "kernel/thread.h"
#include "tests/host/event.h"

static void (*thread_entry)(void *argument);
static void *thread_argument;
static jmp_buf out;

struct thread *thread_create(const char *name, void (*entry)(void *argument), void *argument)
{
    (void)name;
    thread_entry = entry;
    thread_argument = argument;
    return (struct thread *)&thread_entry; /* nobody looks into it */
}

void host_thread_run(void (*idle)(void))
{
    if (!thread_entry)
        return;
    host_idle = idle;
    if (!setjmp(out))
        thread_entry(thread_argument);
    host_idle = NULL;
}

noreturn void host_thread_leave(void)
{
    longjmp(out, 1);
}
