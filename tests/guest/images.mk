# SPDX-License-Identifier: MIT
# Images for guest tests alone. Unlike applications in apps/ they may include the kernel's headers; ringtest does.
$(eval $(call app_rules,ringtest,tests/guest/ringtest))
$(eval $(call app_rules,cell,tests/guest/cell))
$(eval $(call app_rules,smptest,tests/guest/smptest))
$(eval $(call app_rules,cputest,tests/guest/cputest))

# Applications as guest tests boot them: the same parts, and the audit, which runs when the guest ends.
define audited_image
$(BUILD)/audited/$(1).elf: $(BUILD)/$(1).elf $$(audit_OBJS)
	@mkdir -p $$(@D)/$(1)
	$$(call link,$$(@D)/$(1),$$($(1)_LINK),$$($(1)_PARTS) $$(audit_OBJS))
endef

AUDITED := hello selftest aerostat netprobe
$(foreach app,$(AUDITED),$(eval $(call audited_image,$(app))))

ifndef APP_DIR
all: $(BUILD)/ringtest.elf $(BUILD)/smptest.elf $(BUILD)/cputest.elf $(BUILD)/cell.elf $(BUILD)/cell.bzimage \
     $(AUDITED:%=$(BUILD)/audited/%.elf)
endif

# What else guest tests boot.
GUEST_IMAGES := $(BUILD)/hello.efi $(BUILD)/cell.efi $(SHARED)/linux/vmlinuz

$(SHARED)/linux/vmlinuz: tools/fetch-linux | $(SHARED)/.setup-test
	@tools/fetch-linux $(@D)
