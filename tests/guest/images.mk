# SPDX-License-Identifier: MIT
# Images for guest tests alone. Unlike applications in apps/ they may include the kernel's headers.
$(eval $(call app_rules,ringtest,tests/guest/ringtest))

ifndef APP_DIR
all: $(BUILD)/ringtest.elf
endif
