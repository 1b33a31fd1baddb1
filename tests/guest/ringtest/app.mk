# SPDX-License-Identifier: MIT
# The ring itself under test in a guest: an application that includes what no application may, the kernel's headers.
APP_SRCS := main.c cost.c race.c
USES := audit

# It also runs under a KVM that is interpreted, which knows no SSE in ring 0.
$(patsubst %.c,$(BUILD)/apps/ringtest/%.o,$(APP_SRCS)): ringtest_FLAGS += $(WARNINGS) -mgeneral-regs-only
