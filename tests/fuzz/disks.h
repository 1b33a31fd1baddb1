/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FUZZ_DISKS_H
#define TESTS_FUZZ_DISKS_H

/* Disks that went are kept by their driver for clients that may still come: there are none any
 * more. */
void fuzz_forget_disks(void);

#endif
