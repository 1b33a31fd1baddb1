/* SPDX-License-Identifier: MIT */
/* The console device, §5.3. */
#ifndef DRIVERS_VIRTIO_SPEC_CONSOLE_H
#define DRIVERS_VIRTIO_SPEC_CONSOLE_H

#include "lib/base/types.h"

/* Feature bits, §5.3.3. */
#define VIRTIO_CONSOLE_F_SIZE        0 /* cols and rows are there */
#define VIRTIO_CONSOLE_F_MULTIPORT   1 /* several ports, and control queues */
#define VIRTIO_CONSOLE_F_EMERG_WRITE 2 /* emerg_wr puts out a character without any set-up */

/* Configuration space, §5.3.4. */
struct virtio_console_config {
    le16 cols;
    le16 rows;
    le32 max_nr_ports;
    le32 emerg_wr; /* wo: its low byte is put out */
};

/* A message on the control queues, §5.3.6.2; a name or a size may follow it. */
struct virtio_console_control {
    le32 id;    /* port */
    le16 event; /* VIRTIO_CONSOLE_... */
    le16 value;
};

#define VIRTIO_CONSOLE_DEVICE_READY  0 /* to the device: value 1 ready, 0 failed */
#define VIRTIO_CONSOLE_DEVICE_ADD    1 /* to the driver: there is a new port */
#define VIRTIO_CONSOLE_DEVICE_REMOVE 2 /* to the driver: the port is gone */
#define VIRTIO_CONSOLE_PORT_READY    3 /* to the device: value 1 ready, 0 failed */
#define VIRTIO_CONSOLE_CONSOLE_PORT  4 /* to the driver: the port is a console */
#define VIRTIO_CONSOLE_RESIZE        5 /* to the driver: virtio_console_resize follows */
#define VIRTIO_CONSOLE_PORT_OPEN     6 /* both ways: value 1 open, 0 closed */
#define VIRTIO_CONSOLE_PORT_NAME     7 /* to the driver: a name follows, without a NUL */

struct virtio_console_resize {
    le16 cols;
    le16 rows;
};

#endif
