# SPDX-License-Identifier: MIT
bench-ring-guest: $(BUILD)/ringtest.elf | $(SHARED)/.setup-run
	@tests/bench/ring_guest.py

.PHONY: bench-ring-guest
