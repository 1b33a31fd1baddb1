/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tests/host/low_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static jmp_buf reached_kernel;

void kernel_main(const struct boot_info *boot)
{
    assert_ptr_equal(boot, &boot_info);
    longjmp(reached_kernel, 1);
}

static int map(uintptr_t at, size_t bytes)
{
    void *got = mmap((void *)at, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (got != (void *)at) {
        perror("mmap");
        return -1;
    }
    return 0;
}

int host_map_low_memory(void **state)
{
    (void)state;
    return map(AREA, AREA_BYTES) || map(TOP, TOP_BYTES);
}

void host_clear_low_memory(void)
{
    memset((void *)AREA, 0, AREA_BYTES);
    memset((void *)TOP, 0, TOP_BYTES);
    memset(&boot_info, 0, sizeof(boot_info));
}

void host_boot(void (*main)(const void *handed_over), const void *handed_over)
{
    memset(&boot_info, 0, sizeof(boot_info));
    if (!setjmp(reached_kernel))
        main(handed_over);
    assert_non_null(boot_info.path);
    assert_non_null(boot_info.cmdline);
}
