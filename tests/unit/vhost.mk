# SPDX-License-Identifier: MIT
# Hosted tests of the rings, the device core and the drivers against devices
# that somebody else wrote, over vhost-user.

VHOST_SRCS := tests/host/vhost_user.c tests/host/shared_memory.c drivers/virtio/virtq.c

UNIT_TESTS += vhost_user
vhost_user_SRCS := $(VHOST_SRCS)
