# SPDX-License-Identifier: MIT
# One cell of the matrix: what every combination of machine, boot, transport, ring and interrupts must do.
APP_SRCS := main.c
USES := net fs audit

# It also runs under a KVM that is interpreted, which knows no SSE in ring 0.
$(BUILD)/apps/cell/main.o: cell_FLAGS += $(WARNINGS) -mgeneral-regs-only
