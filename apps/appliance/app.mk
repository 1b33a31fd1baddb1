# SPDX-License-Identifier: MIT
APP_SRCS := main.c echo.c
USES := net fs
