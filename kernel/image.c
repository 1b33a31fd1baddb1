/* SPDX-License-Identifier: MIT */
/* What the build tells each image about itself; compiled once per application. */
#include "kernel/cmdline.h"

char image_name[] = AEROSTAT_IMAGE;
