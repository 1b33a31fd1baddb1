# SPDX-License-Identifier: MIT
# The ledger of the standard's requirements: docs/conformance.md.

# The hosted tests that name requirements.
PROVING_TESTS := $(filter $(patsubst tests/unit/test_%.c,%,$(shell grep -lw PROVES tests/unit/test_*.c)),$(UNIT_TESTS))

conformance: all $(PROVING_TESTS:%=$(BUILD)/tests/%) | $(SHARED)/.setup-run $(SHARED)/.setup-test
	@tests/conformance/ledger --out $(BUILD)/conformance.csv $(PROVING_TESTS:%=$(BUILD)/tests/%) tests/guest

.PHONY: conformance
