# SPDX-License-Identifier: MIT
# Hosted tests of the rings, the device core and the drivers against devices
# that somebody else wrote, over vhost-user.

VHOST_SRCS := tests/host/vhost_user.c tests/host/shared_memory.c drivers/virtio/virtq.c

UNIT_TESTS += vhost_user
vhost_user_SRCS := $(VHOST_SRCS)

FOREIGN_SRCS := $(VHOST_SRCS) drivers/virtio/device.c kernel/irq_line.c lib/base/format.c kernel/page.c kernel/page_audit.c kernel/alloc.c kernel/spinlock.c \
                $(addprefix tests/host/,spinlock.c vhost_transport.c shared_dma.c live_event.c program.c irq.c cmdline.c log.c panic.c)

UNIT_TESTS += vhost_blk
vhost_blk_SRCS := $(FOREIGN_SRCS) drivers/virtio/blk.c kernel/blkdev.c tests/host/smp.c

UNIT_TESTS += vhost_net
vhost_net_SRCS := $(FOREIGN_SRCS) drivers/virtio/net.c kernel/netdev.c tests/host/random.c
