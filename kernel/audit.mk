# SPDX-License-Identifier: MIT
# The audit of memory at a guest's end, for images of tests: `USES := audit`. See kernel/page_audit.h.
audit_OBJS := $(OBJ)/kernel/page_audit.c.o

-include $(audit_OBJS:.o=.d)
