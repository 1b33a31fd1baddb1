/* SPDX-License-Identifier: MIT */
/* ICMP echo requests (RFC 792), see ping.h. */
#include "lib/net/ping.h"

#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/random.h"
#include "lib/base/errno.h"
#include "lwip/icmp.h"
#include "lwip/inet_chksum.h"
#include "lwip/ip.h"
#include "lwip/prot/ip4.h"
#include "lwip/raw.h"
#include "lwip/tcpip.h"

struct ping {
    ip_addr_t target;
    uint16_t id, bytes;   /* of the payload */
    uint64_t answered_ns; /* 0: not yet */
    struct event answered;
};

static uint8_t payload_byte(unsigned i)
{
    return (uint8_t)('a' + i % 26);
}

/* Whether the packet, from its IP header on, is the answer. */
static bool is_answer(const struct ping *ping, const struct pbuf *packet, const ip_addr_t *from)
{
    struct icmp_echo_hdr echo;
    u16_t header = IPH_HL_BYTES((const struct ip_hdr *)packet->payload);

    if (!ip_addr_cmp(from, &ping->target) ||
        packet->tot_len != header + sizeof(echo) + ping->bytes ||
        pbuf_copy_partial(packet, &echo, sizeof(echo), header) != sizeof(echo) ||
        ICMPH_TYPE(&echo) != ICMP_ER || echo.id != ping->id || echo.seqno != ping->id)
        return false;
    for (unsigned i = 0; i < ping->bytes; i++) {
        if (pbuf_get_at(packet, (u16_t)(header + sizeof(echo) + i)) != payload_byte(i))
            return false;
    }
    return true;
}

/* lwIP shows every ICMP packet; 1: it is ours and freed. */
static u8_t receive(void *argument, struct raw_pcb *pcb, struct pbuf *packet, const ip_addr_t *from)
{
    struct ping *ping = argument;

    (void)pcb;
    if (ping->answered_ns || !is_answer(ping, packet, from))
        return 0;
    ping->answered_ns = clock_monotonic_ns();
    event_signal(&ping->answered);
    pbuf_free(packet);
    return 1;
}

static err_t send_request(struct ping *ping, struct raw_pcb *pcb)
{
    struct pbuf *packet =
        pbuf_alloc(PBUF_IP, (u16_t)(sizeof(struct icmp_echo_hdr) + ping->bytes), PBUF_RAM);
    struct icmp_echo_hdr *echo;
    err_t error;

    if (!packet)
        return ERR_MEM;
    echo = packet->payload;
    *echo = (struct icmp_echo_hdr){ .type = ICMP_ECHO, .id = ping->id, .seqno = ping->id };
    for (unsigned i = 0; i < ping->bytes; i++)
        ((uint8_t *)(echo + 1))[i] = payload_byte(i);
    echo->chksum = inet_chksum(packet->payload, packet->len);
    error = raw_sendto(pcb, packet, &ping->target);
    pbuf_free(packet);
    return error;
}

int net_ping(uint32_t address, size_t bytes, uint64_t deadline_ns, uint64_t *round_trip_ns)
{
    struct ping ping = { .id = (uint16_t)random_u32(), .bytes = (uint16_t)bytes };
    uint64_t sent_ns = clock_monotonic_ns();
    struct raw_pcb *pcb;
    err_t error = ERR_MEM;

    if (bytes > NET_PING_BYTES_MAX || !address)
        return -EINVAL;
    ip_addr_set_ip4_u32(&ping.target, address);
    event_init(&ping.answered);
    LOCK_TCPIP_CORE();
    pcb = raw_new(IP_PROTO_ICMP);
    if (pcb) {
        raw_recv(pcb, receive, &ping);
        error = send_request(&ping, pcb);
    }
    UNLOCK_TCPIP_CORE();
    while (error == ERR_OK && !ping.answered_ns &&
           event_wait(&ping.answered, deadline_ns) != -ETIMEDOUT)
        ;
    if (pcb) {
        LOCK_TCPIP_CORE();
        raw_remove(pcb);
        UNLOCK_TCPIP_CORE();
    }
    if (error != ERR_OK)
        return error == ERR_MEM ? -ENOMEM : -EHOSTUNREACH;
    if (!ping.answered_ns)
        return -ETIMEDOUT;
    *round_trip_ns = ping.answered_ns - sent_ns;
    return 0;
}
