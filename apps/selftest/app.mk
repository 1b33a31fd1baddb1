# SPDX-License-Identifier: MIT
# The guest's side of the tests: one image, and its first argument picks the case.
APP_SRCS := main.c churn.c disk.c endure.c fault.c holes.c libc.c memory.c port.c preempt.c pressure.c random.c sha256.c thread.c time.c
USES := fs

# All but the floating-point cases also run under a KVM that is interpreted, which knows no SSE in ring 0.
$(patsubst %.c,$(BUILD)/apps/selftest/%.o,$(filter-out libc.c,$(APP_SRCS))): selftest_FLAGS += -mgeneral-regs-only
