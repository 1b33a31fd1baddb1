# SPDX-License-Identifier: MIT
# Other CPUs at work: an application that includes what no application may, the kernel's headers.
APP_SRCS := main.c
USES := audit

# It also runs under a KVM that is interpreted, which knows no SSE in ring 0.
$(patsubst %.c,$(BUILD)/apps/smptest/%.o,$(APP_SRCS)): smptest_FLAGS += $(WARNINGS) -mgeneral-regs-only
