/* SPDX-License-Identifier: MIT */
/* The kernel word ip=dhcp|ADDR/LEN[,GW]|off, which comes from outside. */
#ifndef LIB_NET_CONFIG_H
#define LIB_NET_CONFIG_H

#include "lib/base/types.h"

enum net_mode { NET_DHCP, NET_STATIC, NET_OFF };

struct net_config {
    enum net_mode mode;
    uint32_t address, netmask, gateway; /* NET_STATIC: host order; gateway 0: none */
};

/*
 * Reads the word's value. -EINVAL: malformed, or not addresses that an
 * interface can have; *config then is what it was.
 */
int net_config_parse(const char *text, struct net_config *config);

/* 24 for 255.255.255.0; in host order. */
static inline unsigned net_prefix_length(uint32_t netmask)
{
    unsigned length = 0;

    for (; netmask & UINT32_C(0x80000000); netmask <<= 1)
        length++;
    return length;
}

#endif
