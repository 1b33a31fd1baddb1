/* SPDX-License-Identifier: MIT */
#include "arch/x86_64/tls.h"

#include "arch/x86_64/cpu.h"
#include "kernel/alloc.h"
#include "lib/base/string.h"

/* linker.ld: addresses, and sizes as addresses. */
extern const char __tdata_start[], __tdata_end[], __tls_size[], __tls_align[];

/* With what the control block's own alignment wants below them. */
static size_t variables_bytes(void)
{
    return ALIGN_UP((size_t)__tls_size, MAX((size_t)__tls_align, sizeof(uintptr_t)));
}

/*
 * FS points to the thread control block, whose first word is its own address;
 * the variables end right below it.
 */
uintptr_t tls_new(void)
{
    char *block = kalloc(variables_bytes() + sizeof(uintptr_t)); /* aligned to its size or a page */
    uintptr_t *control;

    if (!block)
        return 0;
    control = (uintptr_t *)(block + variables_bytes());
    memcpy((char *)control - (size_t)__tls_size, __tdata_start,
           (size_t)(__tdata_end - __tdata_start));
    *control = (uintptr_t)control;
    return (uintptr_t)control;
}

void tls_load(uintptr_t tls)
{
    msr_write(MSR_FS_BASE, tls);
}

void tls_free(uintptr_t tls)
{
    if (tls)
        kfree((char *)tls - variables_bytes());
}
