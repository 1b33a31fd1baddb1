# SPDX-License-Identifier: MIT
# What moves memory and computes beside the balloon: the same program is a Linux guest's, see ../balloon.mk.
APP_SRCS := main.c
USES :=
$(patsubst %.c,$(BUILD)/apps/balloonload/%.o,$(APP_SRCS)): balloonload_FLAGS += $(WARNINGS)
