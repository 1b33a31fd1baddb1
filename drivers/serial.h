/* SPDX-License-Identifier: MIT */
/* The first serial line (16550 at 0x3f8): the console until something better registers. */
#ifndef DRIVERS_SERIAL_H
#define DRIVERS_SERIAL_H

/* Registers the console where a UART answers. */
void serial_start(void);

#endif
