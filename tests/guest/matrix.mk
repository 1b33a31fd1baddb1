# SPDX-License-Identifier: MIT
# All combinations, and the table of them; `make test` runs a few in which every two values meet.
test-matrix: $(BUILD)/cell.elf $(BUILD)/cell.bzimage $(BUILD)/cell.efi | $(SHARED)/.setup-run $(SHARED)/.setup-test
	@tests/guest/matrix.py --accel $(if $(filter kvm,$(ACCEL)),kvm,tcg) --only $(CELLS)

.PHONY: test-matrix
