# SPDX-License-Identifier: MIT
#
# The only build file. `make help` lists what it makes; everything it makes lies under build/.

VERSION := 0.1.0

# BUILD holds objects and images. What all compilers and options share lies in one place: downloads, unpacked sources,
# newlib, the notes of what is installed.
BUILD  := build
SHARED := build
NEWLIB := $(SHARED)/newlib/lib/libc.a

CC      := gcc
LD      := ld
NASM    := nasm
HOST_CC := clang

# As many jobs as there are CPUs, unless the command line says how many.
ifeq ($(MAKELEVEL)$(filter -j% --jobserver%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif

.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

# ---- what the kernel is made of

BASE_SRCS := lib/base/blake2s.c lib/base/chacha20.c lib/base/format.c lib/base/parse.c lib/base/string.c

ARCH_SRCS := arch/x86_64/apic.c arch/x86_64/cpus.c arch/x86_64/cpu_random.c arch/x86_64/hypervisor.c arch/x86_64/ioapic.c arch/x86_64/kvm.c arch/x86_64/kvm_pv.c \
             arch/x86_64/paging.c arch/x86_64/percpu.c arch/x86_64/tlb.c arch/x86_64/tls.c arch/x86_64/trap.c arch/x86_64/tsc.c

KERNEL_SRCS := kernel/alloc.c kernel/chardev.c kernel/clock.c kernel/cmdline.c kernel/dma.c kernel/exit.c kernel/init.c \
               kernel/irq.c kernel/irq_line.c kernel/log.c kernel/page.c kernel/panic.c kernel/power.c kernel/pressure.c kernel/footprint.c kernel/random.c \
               kernel/report.c kernel/smp.c kernel/spinlock.c kernel/symbol.c kernel/system.c kernel/thread.c kernel/timer.c kernel/vmem.c

DRIVER_SRCS := drivers/serial.c \
               drivers/acpi/aml.c drivers/acpi/dmar.c drivers/acpi/fadt.c drivers/acpi/generation.c drivers/acpi/madt.c \
               drivers/acpi/pci_window.c \
               drivers/acpi/power.c drivers/acpi/tables.c \
               drivers/clock/hpet.c drivers/clock/pit.c drivers/clock/pm_timer.c drivers/clock/rtc.c drivers/pvpanic.c \
               drivers/smbios.c \
               drivers/pci/bar.c drivers/pci/claim.c drivers/pci/ecam.c drivers/pci/hotplug.c drivers/pci/line.c drivers/pci/msi.c drivers/pci/msix.c \
               drivers/pci/pci.c drivers/pci/place.c drivers/pci/ports.c drivers/pci/report.c drivers/pci/start.c \
               drivers/virtio/balloon.c drivers/virtio/balloon_blocks.c drivers/virtio/balloon_hint.c \
               drivers/virtio/balloon_report.c drivers/virtio/console.c drivers/virtio/device.c drivers/virtio/mmio.c \
               drivers/virtio/mmio_find.c drivers/virtio/names.c drivers/virtio/pci.c drivers/virtio/pci_legacy.c drivers/virtio/pci_registers.c \
               drivers/virtio/report.c drivers/virtio/rng.c drivers/virtio/virtq.c

BOOT_SRCS := boot/entry64.c boot/handover.c boot/linux.c boot/multiboot2.c boot/pvh.c
ASM_SRCS  := boot/start.asm boot/entry64.asm boot/linux.asm boot/multiboot2.asm boot/pvh.asm arch/x86_64/entry.asm \
             arch/x86_64/hypercall.asm arch/x86_64/ap.asm

include lib/libc/libc.mk
include lib/net/net.mk
include lib/fs/fs.mk

# ---- flags

WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Werror

COMMON_FLAGS := -std=gnu11 -g -I. -MD -MP -ffile-prefix-map=$(CURDIR)=. -fno-pic -fno-pie -mcmodel=small \
                -mno-red-zone -fno-omit-frame-pointer -ffunction-sections -fdata-sections -fcf-protection=none \
                -fno-asynchronous-unwind-tables -fstack-protector-strong -mstack-protector-guard=global

# Small where it runs once, fast where it runs for each packet or block; but what is jumped to need not be at the beginning
# of a line of the cache: that is a tenth of the ring's code.
HOT_SRCS := lib/base/chacha20.c lib/base/string.c kernel/blkdev.c kernel/netdev.c arch/x86_64/kvm.c arch/x86_64/tsc.c \
            drivers/virtio/blk.c drivers/virtio/net.c drivers/virtio/virtq.c lib/net/checksum.c lib/net/netif.c \
            $(LWIP_SRCS)
OPTIMIZE     := -Oz
HOT_OPTIMIZE := -O2 $(if $(findstring clang,$(CC)),,-fno-align-jumps -fno-align-labels)

# Loops of memcpy() must not become calls of memcpy(); the two compilers say it differently.
NO_LOOP_IDIOMS := $(if $(findstring clang,$(CC)),-fno-builtin,-fno-tree-loop-distribute-patterns)

# Ring 0 holds no floating point: interrupts save none, and not every KVM can interpret it there.
KERNEL_FLAGS = $(COMMON_FLAGS) $(OPTIMIZE) $(WARNINGS) -ffreestanding $(NO_LOOP_IDIOMS) -mgeneral-regs-only \
                -DAEROSTAT_VERSION='"$(VERSION)"'

# Applications are ordinary C on newlib, floating point included.
APP_FLAGS := $(COMMON_FLAGS) -O2 -Wall -Wextra -fno-tree-vectorize -D__DYNAMIC_REENT__ -D__aerostat__ \
             -U__linux__ -U__linux -Ulinux -U__gnu_linux__ -U__unix__ -U__unix -Uunix \
             $(LIBC_DEFINES)

# Asked when it is used: the compiler may have been installed a moment before.
APP_INCLUDES = -nostdinc -isystem $(dir $(NEWLIB))../include -isystem $(shell $(CC) -print-file-name=include) -isystem include

LINK_FLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --gc-sections --build-id=none \
              --no-warn-rwx-segments

# ---- tools and sources from outside: Debian packages, pinned source packages

$(SHARED)/.setup-%: tools/setup
	@mkdir -p $(SHARED)
	@tools/setup $*
	@touch $@

$(SHARED)/sources/.%: tools/sources.lock | $(SHARED)/.setup-build
	@tools/fetch $*
	@touch $@

$(SHARED)/%-src/.unpacked: $(SHARED)/sources/.% | $(SHARED)/.setup-build
	@tools/unpack $*
	@touch $@

$(SHARED)/lwip-src/.unpacked: $(wildcard lib/net/patches/*.patch)

$(NEWLIB): $(SHARED)/newlib-src/.unpacked tools/build-newlib
	@tools/build-newlib $(SHARED)/newlib-src $(SHARED)/newlib
	@touch $@

# ---- objects

OBJ   := $(BUILD)/obj
FLAGS := $(BUILD)/.made-of/flags

KERNEL_OBJS := $(patsubst %,$(OBJ)/%.o,$(BASE_SRCS) $(ARCH_SRCS) $(KERNEL_SRCS) $(DRIVER_SRCS) $(BOOT_SRCS) $(ASM_SRCS))
LIBC_OBJS   := $(patsubst %,$(OBJ)/%.o,$(LIBC_SRCS))

$(HOT_SRCS:%=$(OBJ)/%.o): OPTIMIZE := $(HOT_OPTIMIZE)

# $(call remember,FILE,TEXT): the file is as old as its text, so what depends on it is made anew when the text changes.
differ   = $(subst x$(1),,x$(2))$(subst x$(2),,x$(1))
remember = $(if $(call differ,$(strip $(2)),$(strip $(file <$(1)))),$(file >$(1),$(strip $(2))))

$(shell mkdir -p $(BUILD)/.made-of)
$(call remember,$(FLAGS),$(CC) $(KERNEL_FLAGS) $(LWIP_FLAGS) $(APP_FLAGS) $(LINK_FLAGS) hot: $(HOT_OPTIMIZE) $(HOT_SRCS) libc: $(OPTIMIZE))

$(OBJ)/%.c.o: %.c $(FLAGS) | $(SHARED)/.setup-build
	@mkdir -p $(@D)
	$(Q)$(CC) $(KERNEL_FLAGS) -c -o $@ $<

$(OBJ)/%.asm.o: %.asm | $(SHARED)/.setup-build
	@mkdir -p $(@D)
	$(Q)$(NASM) -f elf64 -Werror -MD $(@:.o=.d) -MP -o $@ $<

# lib/libc sees both worlds: the kernel's headers and newlib's.
$(LIBC_OBJS): KERNEL_FLAGS = $(filter-out -O2,$(APP_FLAGS)) $(OPTIMIZE) $(APP_INCLUDES) $(WARNINGS) -mgeneral-regs-only -D_GNU_SOURCE
$(LIBC_OBJS): | $(NEWLIB)

include lib/libc/malloc.mk
include kernel/audit.mk

# ---- one image per application

# $(call link,FOLDER,OPTIONS,PARTS): linked twice, the first link tells where the functions are, the second carries their names.
define link
$(Q)$(LD) $(LINK_FLAGS) $(2) -T linker.ld -o $(1)/first.elf $(3) $(ARCHIVES)
$(Q)tools/symbols $(1)/first.elf >$(1)/symbols.asm
$(Q)$(NASM) -f elf64 -o $(1)/symbols.o $(1)/symbols.asm
$(Q)$(LD) $(LINK_FLAGS) $(2) -T linker.ld -o $@ $(3) $(ARCHIVES) $(1)/symbols.o
@echo "$@"
endef

# $(1): name of the image, $(2): folder. app.mk says APP_SRCS (relative to its folder), USES (net, fs) and WITHOUT (float).
define app_rules
APP_SRCS :=
USES :=
WITHOUT :=
include $(2)/app.mk
$$(foreach word,$$(filter-out float,$$(WITHOUT)),$$(error $(2)/app.mk: WITHOUT := $$(word): only float can be left out))
$(1)_LINK := $$(foreach word,$$(WITHOUT),$$($$(word)_LEFT_OUT_LINK))
$(1)_OBJS := $$(patsubst %.c,$(BUILD)/apps/$(1)/%.o,$$(APP_SRCS))
$(1)_PARTS := $(KERNEL_OBJS) $$(foreach use,$$(USES),$$($$(use)_OBJS)) $$($(1)_OBJS) $(BUILD)/apps/$(1)/image.o \
              $(LIBC_OBJS) $(MALLOC_OBJS)
$(1)_FLAGS := $$(foreach use,$$(USES),$$($$(use)_APP_FLAGS)) $$(foreach word,$$(WITHOUT),$$($$(word)_LEFT_OUT_FLAGS)) $(if $(filter apps/%,$(2)),$(WARNINGS))
$$(call remember,$(BUILD)/.made-of/image-$(1),$(2) $$($(1)_FLAGS) $$($(1)_LINK) $$($(1)_PARTS))

$$($(1)_OBJS): $(BUILD)/apps/$(1)/%.o: $(2)/%.c $(FLAGS) $(BUILD)/.made-of/image-$(1) | $(NEWLIB)
	@mkdir -p $$(@D)
	$$(Q)$(CC) $(APP_FLAGS) $$(APP_INCLUDES) $$($(1)_FLAGS) -c -o $$@ $$<

$(BUILD)/apps/$(1)/image.o: kernel/image.c $(FLAGS) | $(SHARED)/.setup-build
	@mkdir -p $$(@D)
	$$(Q)$(CC) $(KERNEL_FLAGS) -DAEROSTAT_IMAGE='"$(1)"' -c -o $$@ $$<

$(BUILD)/$(1).elf: $$($(1)_PARTS) $(NEWLIB) $(FLAGS) $(BUILD)/.made-of/image-$(1) linker.ld tools/symbols
	$$(call link,$(BUILD)/apps/$(1),$$($(1)_LINK),$$($(1)_PARTS))

-include $$($(1)_OBJS:.o=.d) $(BUILD)/apps/$(1)/image.d
endef

ARCHIVES = --start-group $(NEWLIB) $(dir $(NEWLIB))libm.a \
           $(shell $(CC) -print-libgcc-file-name) --end-group

# The image of apps/appliance is the default one and bears the project's name.
APPS        := $(patsubst apps/%/app.mk,%,$(wildcard apps/*/app.mk))
image_name   = $(patsubst appliance,aerostat,$(1))
IMAGES      := $(foreach app,$(APPS),$(BUILD)/$(call image_name,$(app)).elf)

ifdef APP_DIR
ifneq ($(words $(APP_DIR)),1)
$(error APP_DIR=$(APP_DIR): make cannot work with spaces in a path)
endif
ifeq ($(wildcard $(APP_DIR)/app.mk),)
$(error APP_DIR=$(APP_DIR): there is no app.mk; apps/hello shows what an application needs)
endif
OUTSIDE := $(notdir $(abspath $(APP_DIR)))
IMAGES  := $(BUILD)/$(OUTSIDE).elf
$(eval $(call app_rules,$(OUTSIDE),$(abspath $(APP_DIR))))
endif

$(foreach app,$(APPS),$(if $(filter $(OUTSIDE),$(call image_name,$(app))),,\
	$(eval $(call app_rules,$(call image_name,$(app)),apps/$(app)))))

all: $(IMAGES)
	@:

include boot/bzimage.mk
include boot/efi/efi.mk
include tests/guest/images.mk

# ---- run it

APP       := $(or $(OUTSIDE),aerostat)
ACCEL     := auto
MACHINE   := q35
ARGS      :=
QEMU_ARGS :=

IMAGE = $(BUILD)/$(call image_name,$(APP)).elf

$(BUILD)/demo.img: tools/mkdisk | $(SHARED)/.setup-run
	@tools/mkdisk $@

run: $(IMAGE) $(BUILD)/demo.img | $(SHARED)/.setup-run
	@tools/run --app $(IMAGE) --accel $(ACCEL) --machine $(MACHINE) --disk $(BUILD)/demo.img \
		--args '$(subst ','\'',$(ARGS))' --qemu-args '$(subst ','\'',$(QEMU_ARGS))'

# Stopped at its first instruction.
debug: $(IMAGE) $(BUILD)/demo.img | $(SHARED)/.setup-run $(SHARED)/.setup-debug
	@echo "in another terminal:  gdb $(IMAGE) -ex 'target remote :1234' -ex 'hbreak kernel_main' -ex continue"
	@tools/run --app $(IMAGE) --accel tcg --machine $(MACHINE) --disk $(BUILD)/demo.img \
		--args '$(subst ','\'',$(ARGS))' --qemu-args '-S -gdb tcp:127.0.0.1:1234 $(subst ','\'',$(QEMU_ARGS))'

# ---- media that boot it

images: $(IMAGE) $(IMAGE:.elf=.efi) | $(SHARED)/.setup-images
	@tools/mkimages --app $(call image_name,$(APP)) --args '$(subst ','\'',$(ARGS))' --iso $(IMAGE:.elf=.iso) --raw $(IMAGE:.elf=.raw) \
		--qcow2 $(IMAGE:.elf=.qcow2)
	@echo $(IMAGE:.elf=.iso) $(IMAGE:.elf=.raw) $(IMAGE:.elf=.qcow2)

# ---- hosted tests: the same sources on Linux, under sanitizers

HOST_FLAGS := -std=gnu11 -O1 -g -I. -MMD -MP -Wall -Wextra -Wshadow -Werror -fsanitize=address,undefined \
              -fno-sanitize-recover=all -fno-omit-frame-pointer

include tests/unit/tests.mk
include tests/unit/vhost.mk
include tests/conformance/conformance.mk

$(call remember,$(BUILD)/.made-of/tests,$(HOST_CC) $(HOST_FLAGS) $(foreach test,$(UNIT_TESTS),$($(test)_CFLAGS)))

# Tests share their objects but where one has flags of its own.
test_objects = $(patsubst %.c,$(BUILD)/tests/obj/$(if $($(1)_CFLAGS),$(1),shared)/%.o,tests/unit/test_$(1).c $($(1)_SRCS))

define unit_test
$(1)_TEST_OBJS := $(call test_objects,$(1))
$$(call remember,$(BUILD)/.made-of/test-$(1),$$($(1)_TEST_OBJS))

$(if $($(1)_CFLAGS),
$$($(1)_TEST_OBJS): $(BUILD)/tests/obj/$(1)/%.o: %.c $(BUILD)/.made-of/tests | $(SHARED)/.setup-test
	@mkdir -p $$(@D)
	$$(Q)$(HOST_CC) $(HOST_FLAGS) $$($(1)_CFLAGS) -c -o $$@ $$<
)
$(BUILD)/tests/$(1): $$($(1)_TEST_OBJS) $(BUILD)/.made-of/test-$(1)
	$$(Q)$(HOST_CC) $(HOST_FLAGS) -o $$@ $$($(1)_TEST_OBJS) $$($(1)_LDFLAGS) -lcmocka
endef

$(foreach test,$(UNIT_TESTS),$(eval $(call unit_test,$(test))))

TEST_OBJS        := $(sort $(foreach test,$(UNIT_TESTS),$($(test)_TEST_OBJS)))
SHARED_TEST_OBJS := $(filter $(BUILD)/tests/obj/shared/%,$(TEST_OBJS))

$(SHARED_TEST_OBJS): $(BUILD)/tests/obj/shared/%.o: %.c $(BUILD)/.made-of/tests | $(SHARED)/.setup-test
	@mkdir -p $(@D)
	$(Q)$(HOST_CC) $(HOST_FLAGS) -c -o $@ $<

$(netif_TEST_OBJS): | $(SHARED)/lwip-src/.unpacked

-include $(TEST_OBJS:.o=.d)

unit: $(UNIT_TESTS:%=$(BUILD)/tests/%)
	@:

include tests/fuzz/fuzz.mk

# The same by another compiler. newlib is not: it is built by gcc alone.
clang: | $(SHARED)/.setup-check
	@$(MAKE) --no-print-directory CC=clang BUILD=$(BUILD)/clang all

test: all unit fuzz-targets $(GUEST_IMAGES) | $(SHARED)/.setup-run $(SHARED)/.setup-test
	@tests/run-suites $(UNIT_TESTS:%=$(BUILD)/tests/%) tests/fuzz/run tests/tools tests/guest

check: all clang | $(SHARED)/.setup-check
	@tools/check

bench-boot: $(BUILD)/hello.elf $(BUILD)/aerostat.elf | $(SHARED)/.setup-run
	@tests/bench/boot.py

include tools/overcommit.mk
include tests/guest/matrix.mk
include tests/bench/balloon.mk
include tests/bench/ring_guest.mk
include tests/bench/ring.mk

vendor: | $(SHARED)/.setup-build
	@tools/fetch --bundle $(SHARED)/vendor.tar

clean:
	rm -rf $(BUILD)/obj $(BUILD)/apps $(BUILD)/audited $(BUILD)/malloc $(BUILD)/tests $(BUILD)/bench $(BUILD)/clang $(BUILD)/*.elf $(BUILD)/*.bzimage $(BUILD)/*.efi $(BUILD)/BOOTX64.EFI $(BUILD)/efi $(BUILD)/*.iso $(BUILD)/*.raw $(BUILD)/*.qcow2 $(BUILD)/setup.bin $(BUILD)/demo.img $(BUILD)/overcommit.svg

help:
	@echo "make                  build/aerostat.elf, the default appliance, and build/NAME.elf for every other application"
	@echo "make APP_DIR=/path    an application that lives outside the tree: build/<its folder's name>.elf"
	@echo "make run              boots it: APP=$(APP) ACCEL=auto|kvm|tcg MACHINE=q35|pc|microvm QEMU_ARGS=.. ARGS=\"kernel words -- arguments\""
	@echo "make images           build/aerostat.iso, .raw and .qcow2, which boot by BIOS and by UEFI: APP=.. ARGS=.."
	@echo "make debug            the same, stopped for gdb"
	@echo "make test             hosted tests under sanitizers, then the guest in QEMU"
	@echo "make unit             builds the hosted tests: build/tests/NAME runs one"
	@echo "make test-matrix      every machine, boot path, transport, ring and interrupt mode: CELLS=\"q35 UEFI ..\" picks some"
	@echo "make conformance      which of the standard's requirements are shown, and by which test"
	@echo "make fuzz             each fuzz target for SECONDS=$(SECONDS), with a table at the end"
	@echo "make check            a second build, by clang; layers, headers, objects, layout, lint"
	@echo "make clang            the same images by clang, under build/clang/"
	@echo "make bench-boot       instructions, time and memory from the first instruction to main()"
	@echo "make bench-balloon    how memory moves, beside a Linux guest; BALLOON=\"--quick --only rates\" does a part"
	@echo "make demo-overcommit  six guests of 2 GiB in 8 GiB of the host, with a picture: BY=reporting|budget OVERCOMMIT=\"--guests 4 ..\""
	@echo "make bench-ring-guest instructions a buffer costs the driver in the guest, by ring and batch"
	@echo "make bench-ring       what the virtqueue costs, and its rates beside DPDK's driver and fio; about ten minutes, alone"
	@echo "make vendor           bundles the pinned sources into build/vendor.tar, for building without a network"
	@echo "make clean            removes what was built, but not libraries and downloads; \"rm -r build\" removes all"

.PHONY: all run images debug unit clang test check bench-boot vendor clean help

ifndef V
Q := @
endif

-include $(KERNEL_OBJS:.o=.d) $(LIBC_OBJS:.o=.d) $(MALLOC_OBJS:.o=.d) $(net_OBJS:.o=.d) $(fs_OBJS:.o=.d)
