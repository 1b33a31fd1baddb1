# SPDX-License-Identifier: MIT
# The audit of memory at a guest's end, for images of tests: `USES := audit`. See kernel/page_audit.h.
audit_OBJS := $(OBJ)/kernel/page_audit.c.o

# Where a million instructions take a second it is to take little time.
$(audit_OBJS): OPTIMIZE := -O2

-include $(audit_OBJS:.o=.d)
