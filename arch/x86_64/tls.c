/* SPDX-License-Identifier: MIT */
#include "arch/x86_64/tls.h"

#include "arch/x86_64/cpu.h"
#include "kernel/alloc.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

/* linker.ld: addresses, and sizes as addresses. */
extern const char __tdata_start[], __tdata_end[], __tls_size[], __tls_align[];

/*
 * FS points to the thread control block, whose first word is its own address;
 * the variables end right below it.
 */
int tls_init(void)
{
    size_t bytes = ALIGN_UP((size_t)__tls_size, (size_t)__tls_align);
    char *block = kalloc(bytes + sizeof(uintptr_t)); /* aligned to its size or a page */
    uintptr_t *control;

    if (!block)
        return -ENOMEM;
    control = (uintptr_t *)(block + bytes);
    memcpy((char *)control - (size_t)__tls_size, __tdata_start,
           (size_t)(__tdata_end - __tdata_start));
    *control = (uintptr_t)control;
    msr_write(MSR_FS_BASE, (uintptr_t)control);
    return 0;
}
