# SPDX-License-Identifier: MIT
# `make bench-balloon`: how fast memory moves, beside Linux. Both guests run the same program.

$(eval $(call app_rules,balloonload,tests/bench/balloonload))

$(BUILD)/bench/balloonload: tests/bench/balloonload/main.c | $(SHARED)/.setup-build
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -static $(WARNINGS) -o $@ $<

bench-balloon: $(BUILD)/balloonload.elf $(BUILD)/bench/balloonload $(SHARED)/linux/vmlinuz | $(SHARED)/.setup-run $(SHARED)/.setup-test
	@tests/bench/balloon.py $(BALLOON)

.PHONY: bench-balloon
