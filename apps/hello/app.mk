# SPDX-License-Identifier: MIT
APP_SRCS := main.c
USES :=
WITHOUT := float
