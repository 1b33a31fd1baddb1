/* SPDX-License-Identifier: MIT */
/* lwIP's HTTP server finds no file in the image: all pages come from fs_open_custom(). */
#ifndef LIB_NET_PORT_FSDATA_H
#define LIB_NET_PORT_FSDATA_H

#include "lwip/apps/fs.h"

#define FS_ROOT     ((const struct fsdata_file *)NULL)
#define FS_NUMFILES 0

#endif
