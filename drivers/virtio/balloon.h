/* SPDX-License-Identifier: MIT */
/* The traditional memory balloon (§5.5): memory that the guest can do without goes to the host. */
#ifndef DRIVERS_VIRTIO_BALLOON_H
#define DRIVERS_VIRTIO_BALLOON_H

/*
 * With `balloon=manual`: takes up what the host wishes now; later wishes wait
 * for the next call. Kernel context.
 */
void virtio_balloon_follow(void);

#endif
