/* SPDX-License-Identifier: MIT */
/* <netdb.h>: names of hosts, by DNS. */
#ifndef _NETDB_H
#define _NETDB_H

#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hostent {
    char *h_name;
    char **h_aliases;
    int h_addrtype;
    int h_length; /* bytes */
    char **h_addr_list;
#define h_addr h_addr_list[0]
};

struct addrinfo {
    int ai_flags;
    int ai_family;
    int ai_socktype;
    int ai_protocol;
    socklen_t ai_addrlen;
    struct sockaddr *ai_addr;
    char *ai_canonname;
    struct addrinfo *ai_next;
};

#define AI_PASSIVE     0x01
#define AI_CANONNAME   0x02
#define AI_NUMERICHOST 0x04
#define AI_NUMERICSERV 0x08

#define EAI_NONAME  200
#define EAI_SERVICE 201
#define EAI_FAIL    202
#define EAI_MEMORY  203
#define EAI_FAMILY  204

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found);
void freeaddrinfo(struct addrinfo *first);
const char *gai_strerror(int error);
struct hostent *gethostbyname(const char *name); /* in a buffer that the next call overwrites */

#ifdef __cplusplus
}
#endif

#endif
