# SPDX-License-Identifier: MIT
# Images for guest tests alone. Unlike applications in apps/ they may include the kernel's headers; ringtest does.
$(eval $(call app_rules,ringtest,tests/guest/ringtest))
$(eval $(call app_rules,cell,tests/guest/cell))
$(eval $(call app_rules,smptest,tests/guest/smptest))
$(eval $(call app_rules,cputest,tests/guest/cputest))

ifndef APP_DIR
all: $(BUILD)/ringtest.elf $(BUILD)/smptest.elf $(BUILD)/cputest.elf $(BUILD)/cell.elf $(BUILD)/cell.bzimage
endif

# What else guest tests boot.
GUEST_IMAGES := $(BUILD)/hello.efi $(BUILD)/cell.efi $(SHARED)/linux/vmlinuz

$(SHARED)/linux/vmlinuz: tools/fetch-linux | $(SHARED)/.setup-test
	@tools/fetch-linux $(@D)
