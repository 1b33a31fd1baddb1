# SPDX-License-Identifier: MIT
# Disks, for applications that say USES = fs: the class of device, its driver, partitions, the application's way to them.
FS_SRCS := kernel/blkdev.c drivers/virtio/blk.c lib/fs/partition.c lib/fs/partition_text.c lib/fs/report.c

# It sees the C library's headers, as lib/libc does.
FS_LIBC_SRCS := lib/fs/disk.c

fs_object = $(patsubst %,$(BUILD)/obj/%.o,$(1))
fs_OBJS   := $(call fs_object,$(FS_SRCS) $(FS_LIBC_SRCS))

$(call fs_object,$(FS_LIBC_SRCS)): KERNEL_FLAGS = $(APP_FLAGS) $(APP_INCLUDES) $(WARNINGS) -mgeneral-regs-only
$(call fs_object,$(FS_LIBC_SRCS)): | $(NEWLIB)
