# SPDX-License-Identifier: MIT
# Every image also as loaders of Linux want it.
$(BUILD)/setup.bin: boot/setup.asm $(FLAGS) | $(SHARED)/.setup-build
	$(Q)$(NASM) -f bin -Werror -DVERSION="'$(VERSION)'" -o $@ $<

$(BUILD)/%.bzimage: $(BUILD)/%.elf $(BUILD)/setup.bin tools/mkbzimage
	$(Q)tools/mkbzimage $(BUILD)/setup.bin $< $@
	@echo "$@"

all: $(IMAGES:.elf=.bzimage)
