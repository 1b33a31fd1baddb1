# SPDX-License-Identifier: MIT
# One of several on a host: holds as much memory as it is ordered to, for `make demo-overcommit`.
APP_SRCS := main.c working_set.c
USES :=
WITHOUT := float
