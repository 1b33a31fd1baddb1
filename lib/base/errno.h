/* SPDX-License-Identifier: MIT */
/*
 * Error numbers. Functions return them negated. The values equal newlib's, so
 * that the C library passes them on untranslated; a build-time check in
 * lib/libc compares them.
 */
#ifndef LIB_BASE_ERRNO_H
#define LIB_BASE_ERRNO_H

#define EPERM           1
#define ENOENT          2
#define EINTR           4
#define EIO             5
#define ENXIO           6
#define E2BIG           7
#define EBADF           9
#define ECHILD          10
#define EAGAIN          11
#define ENOMEM          12
#define EACCES          13
#define EFAULT          14
#define EBUSY           16
#define EEXIST          17
#define ENODEV          19
#define EINVAL          22
#define ENFILE          23
#define EMFILE          24
#define ENOTTY          25
#define EFBIG           27
#define ENOSPC          28
#define ESPIPE          29
#define EROFS           30
#define EPIPE           32
#define ERANGE          34
#define EDEADLK         45
#define EPROTO          71
#define ENOSYS          88
#define ENAMETOOLONG    91
#define EOPNOTSUPP      95
#define ECONNRESET      104
#define ENOBUFS         105
#define EAFNOSUPPORT    106
#define EPROTOTYPE      107
#define ENOTSOCK        108
#define ENOPROTOOPT     109
#define ECONNREFUSED    111
#define EADDRINUSE      112
#define ECONNABORTED    113
#define ENETUNREACH     114
#define ENETDOWN        115
#define ETIMEDOUT       116
#define EHOSTUNREACH    118
#define EINPROGRESS     119
#define EALREADY        120
#define EDESTADDRREQ    121
#define EMSGSIZE        122
#define EPROTONOSUPPORT 123
#define EADDRNOTAVAIL   125
#define EISCONN         127
#define ENOTCONN        128
#define EOVERFLOW       139

#endif
