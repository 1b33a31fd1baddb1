/* SPDX-License-Identifier: MIT */
/* Includes drivers/virtio/blk.c, to start each input without retired devices. */
#include "drivers/virtio/blk.c"

#include "tests/fuzz/disks.h"

void fuzz_forget_disks(void)
{
    list_init(&retired);
}
