# SPDX-License-Identifier: MIT
# Fuzz targets: programs of libFuzzer under ASan and UBSan. NAME_FUZZ_SRCS are the files linked with tests/fuzz/NAME.c.
# The seeds of a target lie in tests/fuzz/corpus/NAME; tests/fuzz/run runs the targets.

FUZZ_TARGETS += virtq
virtq_FUZZ_SRCS := drivers/virtio/virtq.c tests/host/fake_device.c

FUZZ_TARGETS += pci
pci_FUZZ_SRCS := drivers/pci/bar.c drivers/pci/claim.c drivers/pci/line.c drivers/pci/msix.c drivers/pci/pci.c drivers/pci/place.c $(VIRTIO_CORE) \
                 drivers/virtio/pci.c drivers/virtio/pci_legacy.c drivers/virtio/pci_registers.c lib/base/format.c \
                 tests/fuzz/memory.c $(addprefix tests/host/,clock.c cmdline.c event.c fake_pci.c irq.c log.c panic.c ports.c registers.c)

FUZZ_TARGETS += config
config_FUZZ_SRCS := $(addprefix drivers/virtio/,balloon.c balloon_blocks.c balloon_hint.c balloon_report.c) $(VIRTIO_CORE) drivers/virtio/net.c \
                    kernel/blkdev.c kernel/pressure.c tests/host/smp.c lib/base/format.c tests/fuzz/disks.c tests/fuzz/memory.c \
                    $(addprefix tests/host/,clock.c cmdline.c driver_thread.c event.c fake_device.c fake_transport.c irq.c log.c \
                    panic.c random.c report.c)

FUZZ_TARGETS += net_rx
net_rx_FUZZ_SRCS := $(VIRTIO_CORE) drivers/virtio/net.c \
                    lib/base/format.c tests/fuzz/memory.c $(addprefix tests/host/,clock.c cmdline.c event.c \
                    fake_device.c fake_transport.c irq.c log.c panic.c random.c)

# As the hosted test netif, but with a heap of its own.
FUZZ_TARGETS += net_stack
net_stack_FUZZ_SRCS := $(filter-out lib/net/heap.c tests/host/random.c,$(netif_SRCS))
net_stack_FUZZ_CFLAGS := $(LWIP_FLAGS) -DTCPIP_THREAD_TEST

FUZZ_TARGETS += console
console_FUZZ_SRCS := drivers/virtio/console.c kernel/chardev.c kernel/log.c kernel/spinlock.c drivers/virtio/device.c kernel/irq_line.c drivers/virtio/virtq.c \
                     lib/base/format.c tests/fuzz/memory.c $(addprefix tests/host/,clock.c cmdline.c driver_thread.c event.c fake_device.c \
                     fake_transport.c irq.c page.c panic.c report.c spinlock.c)

FUZZ_TARGETS += acpi
acpi_FUZZ_SRCS := $(acpi_SRCS)

FUZZ_TARGETS += partition
partition_FUZZ_SRCS := $(partition_SRCS:tests/host/alloc.c=tests/fuzz/memory.c)

FUZZ_TARGETS += cmdline
cmdline_FUZZ_SRCS := $(cmdline_SRCS) lib/base/parse.c lib/net/config.c

FUZZ_TARGETS += boot
boot_FUZZ_SRCS := $(addprefix boot/,entry64.c handover.c linux.c multiboot2.c pvh.c) $(efi_SRCS)
boot_FUZZ_CFLAGS := $(filter-out -DKERNEL_FILE=%,$(efi_CFLAGS))

FUZZ_FLAGS := $(HOST_FLAGS) -fsanitize=fuzzer-no-link

$(call remember,$(BUILD)/.made-of/fuzz,$(HOST_CC) $(FUZZ_FLAGS) $(foreach target,$(FUZZ_TARGETS),$($(target)_FUZZ_CFLAGS)))

fuzz_objects = $(patsubst %.c,$(BUILD)/tests/obj/$(if $($(1)_FUZZ_CFLAGS),fuzz-$(1),fuzz)/%.o,tests/fuzz/$(1).c $($(1)_FUZZ_SRCS))

define fuzz_target
$(1)_FUZZ_OBJS := $(call fuzz_objects,$(1))
$$(call remember,$(BUILD)/.made-of/fuzz-$(1),$$($(1)_FUZZ_OBJS))

$(if $($(1)_FUZZ_CFLAGS),
$$($(1)_FUZZ_OBJS): $(BUILD)/tests/obj/fuzz-$(1)/%.o: %.c $(BUILD)/.made-of/fuzz | $(SHARED)/.setup-test
	@mkdir -p $$(@D)
	$$(Q)$(HOST_CC) $(FUZZ_FLAGS) $$($(1)_FUZZ_CFLAGS) -c -o $$@ $$<
)
$(BUILD)/tests/fuzz/$(1): $$($(1)_FUZZ_OBJS) $(BUILD)/.made-of/fuzz-$(1)
	@mkdir -p $$(@D)
	$$(Q)$(HOST_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $$@ $$($(1)_FUZZ_OBJS) -lcmocka
endef

$(foreach target,$(FUZZ_TARGETS),$(eval $(call fuzz_target,$(target))))

FUZZ_OBJS := $(sort $(foreach target,$(FUZZ_TARGETS),$($(target)_FUZZ_OBJS)))

$(filter $(BUILD)/tests/obj/fuzz/%,$(FUZZ_OBJS)): $(BUILD)/tests/obj/fuzz/%.o: %.c $(BUILD)/.made-of/fuzz | $(SHARED)/.setup-test
	@mkdir -p $(@D)
	$(Q)$(HOST_CC) $(FUZZ_FLAGS) -c -o $@ $<

-include $(FUZZ_OBJS:.o=.d)

$(net_stack_FUZZ_OBJS): | $(SHARED)/lwip-src/.unpacked

fuzz-targets: $(FUZZ_TARGETS:%=$(BUILD)/tests/fuzz/%)
	@:

# As long for each target; what it finds stays in build/fuzz/.
SECONDS := 60

fuzz: fuzz-targets
	@tests/fuzz/run $(SECONDS)

.PHONY: fuzz fuzz-targets
