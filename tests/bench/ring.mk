# SPDX-License-Identifier: MIT
# `make bench-ring`: what the ring costs, and how fast it is beside others. The programs link the very object of the
# image, and once the same source by other options of the compiler.

RING_BENCH := $(BUILD)/bench
RING_FLAGS = -std=gnu11 -O2 -march=native -g -I. -MMD -MP -fno-pie -Wall -Wextra -Wshadow -Werror

RING_VIRTQ := $(OBJ)/drivers/virtio/virtq.c.o
RING_COST  := tests/bench/ring_cost.c tests/bench/ring_device.c tests/bench/ring_measure.c
RING_VHOST := tests/host/vhost_user.c tests/host/shared_memory.c tests/bench/ring_measure.c

ring_cost-image_SRCS     := $(RING_COST)
ring_cost-O2_SRCS        := $(RING_COST)
ring_cost-O3-native_SRCS := $(RING_COST)
ring_pair_SRCS := tests/bench/ring_pair.c tests/bench/ring_device.c tests/host/fake_device.c tests/bench/ring_measure.c
ring_net_SRCS  := tests/bench/ring_net.c tests/bench/ring_traffic.c $(RING_VHOST)
ring_blk_SRCS  := tests/bench/ring_blk.c $(RING_VHOST)
ring_dpdk_SRCS := tests/bench/ring_dpdk.c tests/bench/ring_traffic.c tests/bench/ring_measure.c

ring_cost-image_VIRTQ     := $(RING_VIRTQ)
ring_cost-O2_VIRTQ        := $(RING_BENCH)/virtq-O2.o
ring_cost-O3-native_VIRTQ := $(RING_BENCH)/virtq-O3-native.o
ring_pair_VIRTQ           := $(RING_VIRTQ)
ring_net_VIRTQ            := $(RING_VIRTQ)
ring_blk_VIRTQ            := $(RING_VIRTQ)

RING_PROGRAMS := ring_cost-image ring_cost-O2 ring_cost-O3-native ring_pair ring_net ring_blk ring_dpdk
RING_OBJS     := $(patsubst %.c,$(RING_BENCH)/%.o,$(sort $(foreach program,$(RING_PROGRAMS),$($(program)_SRCS))))

# DPDK is asked when it is used: it may have been installed a moment before. Its own -march is for any machine.
$(RING_BENCH)/tests/bench/ring_dpdk.o: RING_INCLUDES = $(shell pkg-config --cflags libdpdk)
$(RING_BENCH)/ring_dpdk: RING_LIBS = $(shell pkg-config --libs libdpdk)

$(RING_OBJS): $(RING_BENCH)/%.o: %.c $(FLAGS) tests/bench/ring.mk | $(SHARED)/.setup-build $(SHARED)/.setup-bench
	@mkdir -p $(@D)
	$(Q)$(CC) $(RING_INCLUDES) $(RING_FLAGS) -c -o $@ $<

$(RING_BENCH)/virtq-O2.o: RING_VIRTQ_FLAGS := -O2
$(RING_BENCH)/virtq-O3-native.o: RING_VIRTQ_FLAGS := -O3 -march=native
$(RING_BENCH)/virtq-O2.o $(RING_BENCH)/virtq-O3-native.o: drivers/virtio/virtq.c $(FLAGS) tests/bench/ring.mk | $(SHARED)/.setup-build
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -g -I. -MMD -MP -fno-pie $(RING_VIRTQ_FLAGS) $(WARNINGS) -c -o $@ $<

define ring_program
$(RING_BENCH)/$(1): $(patsubst %.c,$(RING_BENCH)/%.o,$($(1)_SRCS)) $($(1)_VIRTQ)
	$$(Q)$(CC) -no-pie -o $$@ $$^ $$(RING_LIBS) -pthread
endef

$(foreach program,$(RING_PROGRAMS),$(eval $(call ring_program,$(program))))

-include $(RING_OBJS:.o=.d) $(RING_BENCH)/virtq-O2.d $(RING_BENCH)/virtq-O3-native.d

bench-ring: $(RING_PROGRAMS:%=$(RING_BENCH)/%) $(if $(wildcard tests/bench/ring_guest.py),$(BUILD)/ringtest.elf) \
            | $(SHARED)/.setup-bench $(SHARED)/.setup-run
	@tests/bench/ring.py --output $(BUILD)/bench-ring.md

.PHONY: bench-ring
