/* SPDX-License-Identifier: MIT */
/* The kernel word ip=, see config.h. Any context. */
#include "lib/net/config.h"

#include "lib/base/errno.h"
#include "lib/base/parse.h"
#include "lib/base/string.h"

/* A decimal number of at most max; no sign, no 0x, no leading zero, which some read as octal. */
static int parse_decimal(const char **at, uint64_t max, uint64_t *value)
{
    const char *text = *at;

    if (text[0] == '0' && ((text[1] >= '0' && text[1] <= '9') || text[1] == 'x' || text[1] == 'X'))
        return -EINVAL;
    return parse_number(at, max, value);
}

static int parse_address(const char **at, uint32_t *address)
{
    uint32_t parts = 0;

    for (int i = 0; i < 4; i++) {
        uint64_t part;

        if (i > 0 && *(*at)++ != '.')
            return -EINVAL;
        if (parse_decimal(at, 255, &part) < 0)
            return -EINVAL;
        parts = parts << 8 | (uint32_t)part;
    }
    *address = parts;
    return 0;
}

/* 0.x, loopback, multicast and above are nobody's address. */
static bool is_host_address(uint32_t address)
{
    uint8_t first = (uint8_t)(address >> 24);

    return first > 0 && first != 127 && first < 224;
}

/* The network's own address and its broadcast are no host's, but where there are only two. */
static bool is_host_in(uint32_t address, uint32_t netmask)
{
    uint32_t host = address & ~netmask;

    return ~netmask <= 1 || (host != 0 && host != ~netmask);
}

static int parse_static(const char *at, struct net_config *config)
{
    struct net_config found = { .mode = NET_STATIC };
    uint64_t length;

    if (parse_address(&at, &found.address) < 0 || *at++ != '/' ||
        parse_decimal(&at, 32, &length) < 0 || length == 0)
        return -EINVAL;
    found.netmask = ~UINT32_C(0) << (32 - length);
    if (*at == ',') {
        at++;
        if (parse_address(&at, &found.gateway) < 0 || !is_host_address(found.gateway) ||
            !is_host_in(found.gateway, found.netmask) || found.gateway == found.address ||
            ((found.gateway ^ found.address) & found.netmask))
            return -EINVAL;
    }
    if (*at || !is_host_address(found.address) || !is_host_in(found.address, found.netmask))
        return -EINVAL;
    *config = found;
    return 0;
}

int net_config_parse(const char *text, struct net_config *config)
{
    if (strcmp(text, "dhcp") == 0)
        *config = (struct net_config){ .mode = NET_DHCP };
    else if (strcmp(text, "off") == 0)
        *config = (struct net_config){ .mode = NET_OFF };
    else
        return parse_static(text, config);
    return 0;
}
