/* SPDX-License-Identifier: MIT */
/* <arpa/inet.h>: Internet addresses as text. */
#ifndef _ARPA_INET_H
#define _ARPA_INET_H

#include <netinet/in.h>

#ifdef __cplusplus
extern "C" {
#endif

int inet_pton(int family, const char *text, void *to);
const char *inet_ntop(int family, const void *from, char *to, socklen_t bytes);
in_addr_t inet_addr(const char *text);
char *inet_ntoa(struct in_addr address); /* in a buffer that the next call overwrites */

#ifdef __cplusplus
}
#endif

#endif
