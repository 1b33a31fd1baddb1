# SPDX-License-Identifier: MIT
# More guests than the memory for them; `tools/overcommit --help` says what can be asked for besides.
BY         := reporting
OVERCOMMIT :=

demo-overcommit: $(BUILD)/tenant.elf | $(SHARED)/.setup-run
	@tools/overcommit --accel $(ACCEL) --by $(BY) --app $< --picture $(BUILD)/overcommit.svg $(OVERCOMMIT)

.PHONY: demo-overcommit
