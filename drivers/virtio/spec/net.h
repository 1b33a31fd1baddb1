/* SPDX-License-Identifier: MIT */
/*
 * The network device, §5.1: feature bits, configuration, the header of every
 * frame, and the commands of the control queue.
 */
#ifndef DRIVERS_VIRTIO_SPEC_NET_H
#define DRIVERS_VIRTIO_SPEC_NET_H

#include "lib/base/types.h"

/* Feature bits, §5.1.3. HOST: what the device takes from us; GUEST: what we take from it. */
#define VIRTIO_NET_F_CSUM                      0  /* device finishes checksums */
#define VIRTIO_NET_F_GUEST_CSUM                1  /* driver takes unfinished checksums */
#define VIRTIO_NET_F_CTRL_GUEST_OFFLOADS       2  /* GUEST offloads can be switched at run time */
#define VIRTIO_NET_F_MTU                       3  /* largest MTU in mtu */
#define VIRTIO_NET_F_MAC                       5  /* address in mac */
#define VIRTIO_NET_F_GUEST_TSO4                7  /* driver takes large TCP over IPv4 */
#define VIRTIO_NET_F_GUEST_TSO6                8  /* driver takes large TCP over IPv6 */
#define VIRTIO_NET_F_GUEST_ECN                 9  /* those may carry ECN */
#define VIRTIO_NET_F_GUEST_UFO                 10 /* driver takes large UDP, to be fragmented */
#define VIRTIO_NET_F_HOST_TSO4                 11 /* device segments TCP over IPv4 */
#define VIRTIO_NET_F_HOST_TSO6                 12 /* device segments TCP over IPv6 */
#define VIRTIO_NET_F_HOST_ECN                  13 /* those may carry ECN */
#define VIRTIO_NET_F_HOST_UFO                  14 /* device fragments UDP */
#define VIRTIO_NET_F_MRG_RXBUF                 15 /* a frame may span several receive buffers */
#define VIRTIO_NET_F_STATUS                    16 /* link state in status */
#define VIRTIO_NET_F_CTRL_VQ                   17 /* there is a control queue */
#define VIRTIO_NET_F_CTRL_RX                   18 /* it filters frames */
#define VIRTIO_NET_F_CTRL_VLAN                 19 /* it filters VLANs */
#define VIRTIO_NET_F_CTRL_RX_EXTRA             20 /* more filter commands */
#define VIRTIO_NET_F_GUEST_ANNOUNCE            21 /* driver announces itself on demand */
#define VIRTIO_NET_F_MQ                        22 /* several queue pairs */
#define VIRTIO_NET_F_CTRL_MAC_ADDR             23 /* it sets the address */
#define VIRTIO_NET_F_DEVICE_STATS              50 /* counters per queue */
#define VIRTIO_NET_F_HASH_TUNNEL               51 /* hash of the inner header of tunnels */
#define VIRTIO_NET_F_VQ_NOTF_COAL              52 /* interrupts moderated per queue */
#define VIRTIO_NET_F_NOTF_COAL                 53 /* interrupts moderated per direction */
#define VIRTIO_NET_F_GUEST_USO4                54 /* driver takes large UDP over IPv4 */
#define VIRTIO_NET_F_GUEST_USO6                55 /* driver takes large UDP over IPv6 */
#define VIRTIO_NET_F_HOST_USO                  56 /* device segments UDP */
#define VIRTIO_NET_F_HASH_REPORT               57 /* a flow hash in the header */
#define VIRTIO_NET_F_GUEST_HDRLEN              59 /* driver gives exact hdr_len */
#define VIRTIO_NET_F_RSS                       60 /* receive-side scaling */
#define VIRTIO_NET_F_RSC_EXT                   61 /* counts of coalesced segments and ACKs */
#define VIRTIO_NET_F_STANDBY                   62 /* stands by for another device of this address */
#define VIRTIO_NET_F_SPEED_DUPLEX              63 /* speed and duplex are there */
#define VIRTIO_NET_F_RSS_CONTEXT               64 /* several contexts of receive-side scaling */
#define VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO      65 /* driver takes large frames in UDP tunnels */
#define VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM 66 /* with an unfinished outer checksum */
#define VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO       67 /* device segments frames in UDP tunnels */
#define VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM  68 /* and finishes the outer checksum */
#define VIRTIO_NET_F_OUT_NET_HEADER            69 /* driver gives the start of the outer header */
#define VIRTIO_NET_F_IPSEC                     70 /* device does IPsec */

/* Legacy feature bits, §5.1.3.2. */
#define VIRTIO_NET_F_GSO        6
#define VIRTIO_NET_F_GUEST_RSC4 41
#define VIRTIO_NET_F_GUEST_RSC6 42

/* virtio_net_config.status, §5.1.4. */
#define VIRTIO_NET_S_LINK_UP  1
#define VIRTIO_NET_S_ANNOUNCE 2 /* the device asks for an announcement */

#define VIRTIO_NET_SPEED_UNKNOWN UINT32_C(0xffffffff)
#define VIRTIO_NET_DUPLEX_HALF   0
#define VIRTIO_NET_DUPLEX_FULL   1

/* Configuration space, §5.1.4; read-only; which fields exist is told by the feature bits. */
struct virtio_net_config {
    uint8_t mac[6];
    le16 status;              /* VIRTIO_NET_S_... */
    le16 max_virtqueue_pairs; /* 1 to 0x8000 */
    le16 mtu;                 /* bytes */
    le32 speed;               /* Mbit/s, to 0x7fffffff */
    uint8_t duplex;
    uint8_t rss_max_key_size; /* bytes */
    le16 rss_max_indirection_table_length;
    le32 supported_hash_types;
    le32 supported_tunnel_types;
};

/* virtio_net_hdr.flags, §5.1.9. */
#define VIRTIO_NET_HDR_F_NEEDS_CSUM      1 /* checksum from csum_start on, to csum_offset */
#define VIRTIO_NET_HDR_F_DATA_VALID      2 /* received: the device has checked it */
#define VIRTIO_NET_HDR_F_RSC_INFO        4 /* received: csum fields count segments and ACKs */
#define VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM 8 /* the outer checksum too */

/* virtio_net_hdr.gso_type, §5.1.9. */
#define VIRTIO_NET_HDR_GSO_NONE            0
#define VIRTIO_NET_HDR_GSO_TCPV4           1
#define VIRTIO_NET_HDR_GSO_UDP             3
#define VIRTIO_NET_HDR_GSO_TCPV6           4
#define VIRTIO_NET_HDR_GSO_UDP_L4          5
#define VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4 0x20
#define VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV6 0x40
#define VIRTIO_NET_HDR_GSO_ECN             0x80 /* added: the segment carries ECN */

/*
 * Before every frame, §5.1.9. The 12 bytes that are always there; further ones
 * follow only with features that add them (HASH_REPORT and the tunnels').
 */
struct virtio_net_hdr {
    uint8_t flags;
    uint8_t gso_type;
    le16 hdr_len;     /* bytes of headers: a hint but with GUEST_HDRLEN */
    le16 gso_size;    /* bytes of payload in a segment */
    le16 csum_start;  /* bytes from the frame's start */
    le16 csum_offset; /* bytes from csum_start */
    le16 num_buffers; /* received with MRG_RXBUF: buffers the frame spans; sent: 0 */
};

/*
 * A command of the control queue, §5.1.9.5: this header and its argument
 * (device-readable), then one byte of acknowledgement and a result (writable).
 */
struct virtio_net_ctrl {
    uint8_t class;
    uint8_t command;
};

#define VIRTIO_NET_OK  0
#define VIRTIO_NET_ERR 1

/* Filtering, §5.1.9.5.1: the argument is one byte, 0 off, 1 on. */
#define VIRTIO_NET_CTRL_RX          0
#define VIRTIO_NET_CTRL_RX_PROMISC  0
#define VIRTIO_NET_CTRL_RX_ALLMULTI 1
#define VIRTIO_NET_CTRL_RX_ALLUNI   2
#define VIRTIO_NET_CTRL_RX_NOMULTI  3
#define VIRTIO_NET_CTRL_RX_NOUNI    4
#define VIRTIO_NET_CTRL_RX_NOBCAST  5

/* Addresses, §5.1.9.5.2: two virtio_net_ctrl_mac (unicast, multicast), or one address. */
#define VIRTIO_NET_CTRL_MAC           1
#define VIRTIO_NET_CTRL_MAC_TABLE_SET 0
#define VIRTIO_NET_CTRL_MAC_ADDR_SET  1

struct virtio_net_ctrl_mac {
    le32 entries;
    uint8_t macs[][6];
};

/* VLANs, §5.1.9.5.3: the argument is a le16 VLAN id. */
#define VIRTIO_NET_CTRL_VLAN     2
#define VIRTIO_NET_CTRL_VLAN_ADD 0
#define VIRTIO_NET_CTRL_VLAN_DEL 1

/* Announcements, §5.1.9.5.4: no argument. */
#define VIRTIO_NET_CTRL_ANNOUNCE     3
#define VIRTIO_NET_CTRL_ANNOUNCE_ACK 0

/* Queue pairs, §5.1.9.5.5 and following. */
#define VIRTIO_NET_CTRL_MQ              4
#define VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET 0
#define VIRTIO_NET_CTRL_MQ_RSS_CONFIG   1
#define VIRTIO_NET_CTRL_MQ_HASH_CONFIG  2
#define VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN 1
#define VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX 0x8000

struct virtio_net_ctrl_mq_pairs_set {
    le16 virtqueue_pairs;
};

/* Offloads at run time: the argument is a le64 of GUEST feature bits. */
#define VIRTIO_NET_CTRL_GUEST_OFFLOADS     5
#define VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET 0

/* Moderation of interrupts. */
#define VIRTIO_NET_CTRL_NOTF_COAL        6
#define VIRTIO_NET_CTRL_NOTF_COAL_TX_SET 0
#define VIRTIO_NET_CTRL_NOTF_COAL_RX_SET 1
#define VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET 2
#define VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET 3

struct virtio_net_ctrl_coal {
    le32 max_packets;
    le32 max_usecs;
};

struct virtio_net_ctrl_coal_vq {
    le16 vq_index;
    le16 reserved;
    struct virtio_net_ctrl_coal coal;
};

#endif
