# SPDX-License-Identifier: MIT
# An application on all CPUs: an ordinary one, of the public headers alone.
APP_SRCS := main.c floating.c
USES := net fs audit

$(BUILD)/apps/cputest/floating.o: cputest_FLAGS += $(WARNINGS)
# The rest also runs under a KVM that is interpreted, which knows no SSE in ring 0.
$(BUILD)/apps/cputest/main.o: cputest_FLAGS += $(WARNINGS) -mgeneral-regs-only
