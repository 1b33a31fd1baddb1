# SPDX-License-Identifier: MIT
# The UEFI program: GNU-EFI, and the stripped kernel inside. BOOTX64.EFI carries the default appliance.
EFI_SRCS  := boot/efi/cmdline.c boot/efi/kernel.c boot/efi/leave.c boot/efi/main.c
EFI_FLAGS := -std=gnu11 -Os -I. -isystem /usr/include/efi -isystem /usr/include/efi/x86_64 -MMD -MP -ffile-prefix-map=$(CURDIR)=. \
             $(WARNINGS) -ffreestanding -fpic -fshort-wchar -fno-stack-protector -fcf-protection=none -mno-red-zone \
             -maccumulate-outgoing-args -mgeneral-regs-only -fno-asynchronous-unwind-tables -DGNU_EFI_USE_MS_ABI
EFI_OBJS  := $(patsubst %,$(BUILD)/efi/%.o,$(EFI_SRCS))
EFI_KEPT  := .text .sdata .data .rodata .dynamic .dynsym .rel .rela .rel.* .rela.* .reloc

$(call remember,$(BUILD)/.made-of/efi,$(EFI_FLAGS) $(EFI_KEPT))

$(EFI_OBJS): $(BUILD)/efi/%.o: % $(BUILD)/.made-of/efi | $(SHARED)/.setup-build
	@mkdir -p $(@D)
	$(Q)gcc $(EFI_FLAGS) -c -o $@ $<

$(BUILD)/%.efi: $(BUILD)/%.elf $(EFI_OBJS) boot/efi/image.asm
	@mkdir -p $(BUILD)/efi/$*
	$(Q)objcopy --strip-all $< $(BUILD)/efi/$*/kernel
	$(Q)$(NASM) -f elf64 -Werror -DKERNEL="'$(BUILD)/efi/$*/kernel'" -o $(BUILD)/efi/$*/image.o boot/efi/image.asm
	$(Q)$(LD) -nostdlib -shared -Bsymbolic -znocombreloc -z noexecstack --no-warn-rwx-segments -T /usr/lib/elf_x86_64_efi.lds \
		-o $(BUILD)/efi/$*/loader.so /usr/lib/crt0-efi-x86_64.o $(EFI_OBJS) $(BUILD)/efi/$*/image.o \
		/usr/lib/libefi.a /usr/lib/libgnuefi.a
	$(Q)objcopy $(EFI_KEPT:%=-j %) --target efi-app-x86_64 $(BUILD)/efi/$*/loader.so $@
	@echo "$@"

$(BUILD)/BOOTX64.EFI: $(BUILD)/aerostat.efi
	$(Q)cp $< $@

ifndef APP_DIR
all: $(BUILD)/BOOTX64.EFI
endif

-include $(EFI_OBJS:.o=.d)
