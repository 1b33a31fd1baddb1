/* SPDX-License-Identifier: MIT */
/*
 * Names of device types and feature bits, as the standard has them without
 * their prefixes. Linked only into images that render reports.
 */
#include "drivers/virtio/device.h"
#include "drivers/virtio/spec/balloon.h"
#include "drivers/virtio/spec/blk.h"
#include "drivers/virtio/spec/config.h"
#include "drivers/virtio/spec/console.h"
#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/net.h"

struct name {
    uint8_t bit;
    const char *text;
};

static const struct name ring_names[] = {
    { VIRTIO_F_NOTIFY_ON_EMPTY, "NOTIFY_ON_EMPTY" },
    { VIRTIO_F_ANY_LAYOUT, "ANY_LAYOUT" },
    { VIRTIO_F_INDIRECT_DESC, "INDIRECT_DESC" },
    { VIRTIO_F_EVENT_IDX, "EVENT_IDX" },
    { VIRTIO_F_VERSION_1, "VERSION_1" },
    { VIRTIO_F_ACCESS_PLATFORM, "ACCESS_PLATFORM" },
    { VIRTIO_F_RING_PACKED, "RING_PACKED" },
    { VIRTIO_F_IN_ORDER, "IN_ORDER" },
    { VIRTIO_F_ORDER_PLATFORM, "ORDER_PLATFORM" },
    { VIRTIO_F_SR_IOV, "SR_IOV" },
    { VIRTIO_F_NOTIFICATION_DATA, "NOTIFICATION_DATA" },
    { VIRTIO_F_NOTIF_CONFIG_DATA, "NOTIF_CONFIG_DATA" },
    { VIRTIO_F_RING_RESET, "RING_RESET" },
    { VIRTIO_F_ADMIN_VQ, "ADMIN_VQ" },
    { VIRTIO_F_SUSPEND, "SUSPEND" },
};

static const struct name net_names[] = {
    { VIRTIO_NET_F_CSUM, "CSUM" },
    { VIRTIO_NET_F_GUEST_CSUM, "GUEST_CSUM" },
    { VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, "CTRL_GUEST_OFFLOADS" },
    { VIRTIO_NET_F_MTU, "MTU" },
    { VIRTIO_NET_F_MAC, "MAC" },
    { VIRTIO_NET_F_GSO, "GSO" },
    { VIRTIO_NET_F_GUEST_TSO4, "GUEST_TSO4" },
    { VIRTIO_NET_F_GUEST_TSO6, "GUEST_TSO6" },
    { VIRTIO_NET_F_GUEST_ECN, "GUEST_ECN" },
    { VIRTIO_NET_F_GUEST_UFO, "GUEST_UFO" },
    { VIRTIO_NET_F_HOST_TSO4, "HOST_TSO4" },
    { VIRTIO_NET_F_HOST_TSO6, "HOST_TSO6" },
    { VIRTIO_NET_F_HOST_ECN, "HOST_ECN" },
    { VIRTIO_NET_F_HOST_UFO, "HOST_UFO" },
    { VIRTIO_NET_F_MRG_RXBUF, "MRG_RXBUF" },
    { VIRTIO_NET_F_STATUS, "STATUS" },
    { VIRTIO_NET_F_CTRL_VQ, "CTRL_VQ" },
    { VIRTIO_NET_F_CTRL_RX, "CTRL_RX" },
    { VIRTIO_NET_F_CTRL_VLAN, "CTRL_VLAN" },
    { VIRTIO_NET_F_CTRL_RX_EXTRA, "CTRL_RX_EXTRA" },
    { VIRTIO_NET_F_GUEST_ANNOUNCE, "GUEST_ANNOUNCE" },
    { VIRTIO_NET_F_MQ, "MQ" },
    { VIRTIO_NET_F_CTRL_MAC_ADDR, "CTRL_MAC_ADDR" },
    { VIRTIO_NET_F_GUEST_RSC4, "GUEST_RSC4" },
    { VIRTIO_NET_F_GUEST_RSC6, "GUEST_RSC6" },
    { VIRTIO_NET_F_DEVICE_STATS, "DEVICE_STATS" },
    { VIRTIO_NET_F_HASH_TUNNEL, "HASH_TUNNEL" },
    { VIRTIO_NET_F_VQ_NOTF_COAL, "VQ_NOTF_COAL" },
    { VIRTIO_NET_F_NOTF_COAL, "NOTF_COAL" },
    { VIRTIO_NET_F_GUEST_USO4, "GUEST_USO4" },
    { VIRTIO_NET_F_GUEST_USO6, "GUEST_USO6" },
    { VIRTIO_NET_F_HOST_USO, "HOST_USO" },
    { VIRTIO_NET_F_HASH_REPORT, "HASH_REPORT" },
    { VIRTIO_NET_F_GUEST_HDRLEN, "GUEST_HDRLEN" },
    { VIRTIO_NET_F_RSS, "RSS" },
    { VIRTIO_NET_F_RSC_EXT, "RSC_EXT" },
    { VIRTIO_NET_F_STANDBY, "STANDBY" },
    { VIRTIO_NET_F_SPEED_DUPLEX, "SPEED_DUPLEX" },
    { VIRTIO_NET_F_RSS_CONTEXT, "RSS_CONTEXT" },
    { VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO, "GUEST_UDP_TUNNEL_GSO" },
    { VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM, "GUEST_UDP_TUNNEL_GSO_CSUM" },
    { VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO, "HOST_UDP_TUNNEL_GSO" },
    { VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM, "HOST_UDP_TUNNEL_GSO_CSUM" },
    { VIRTIO_NET_F_OUT_NET_HEADER, "OUT_NET_HEADER" },
    { VIRTIO_NET_F_IPSEC, "IPSEC" },
};

static const struct name blk_names[] = {
    { VIRTIO_BLK_F_BARRIER, "BARRIER" },
    { VIRTIO_BLK_F_SIZE_MAX, "SIZE_MAX" },
    { VIRTIO_BLK_F_SEG_MAX, "SEG_MAX" },
    { VIRTIO_BLK_F_GEOMETRY, "GEOMETRY" },
    { VIRTIO_BLK_F_RO, "RO" },
    { VIRTIO_BLK_F_BLK_SIZE, "BLK_SIZE" },
    { VIRTIO_BLK_F_SCSI, "SCSI" },
    { VIRTIO_BLK_F_FLUSH, "FLUSH" },
    { VIRTIO_BLK_F_TOPOLOGY, "TOPOLOGY" },
    { VIRTIO_BLK_F_CONFIG_WCE, "CONFIG_WCE" },
    { VIRTIO_BLK_F_MQ, "MQ" },
    { VIRTIO_BLK_F_DISCARD, "DISCARD" },
    { VIRTIO_BLK_F_WRITE_ZEROES, "WRITE_ZEROES" },
    { VIRTIO_BLK_F_LIFETIME, "LIFETIME" },
    { VIRTIO_BLK_F_SECURE_ERASE, "SECURE_ERASE" },
    { VIRTIO_BLK_F_ZONED, "ZONED" },
};

static const struct name balloon_names[] = {
    { VIRTIO_BALLOON_F_MUST_TELL_HOST, "MUST_TELL_HOST" },
    { VIRTIO_BALLOON_F_STATS_VQ, "STATS_VQ" },
    { VIRTIO_BALLOON_F_DEFLATE_ON_OOM, "DEFLATE_ON_OOM" },
    { VIRTIO_BALLOON_F_FREE_PAGE_HINT, "FREE_PAGE_HINT" },
    { VIRTIO_BALLOON_F_PAGE_POISON, "PAGE_POISON" },
    { VIRTIO_BALLOON_F_PAGE_REPORTING, "PAGE_REPORTING" },
};

static const struct name console_names[] = {
    { VIRTIO_CONSOLE_F_SIZE, "SIZE" },
    { VIRTIO_CONSOLE_F_MULTIPORT, "MULTIPORT" },
    { VIRTIO_CONSOLE_F_EMERG_WRITE, "EMERG_WRITE" },
};

static const struct {
    uint32_t type;
    const char *text;
} types[] = {
    { VIRTIO_ID_NET, "network card" },
    { VIRTIO_ID_BLOCK, "block device" },
    { VIRTIO_ID_CONSOLE, "console" },
    { VIRTIO_ID_RNG, "entropy source" },
    { VIRTIO_ID_BALLOON, "memory balloon" },
    { VIRTIO_ID_SCSI, "SCSI host" },
    { VIRTIO_ID_9P, "9P transport" },
    { VIRTIO_ID_GPU, "GPU" },
    { VIRTIO_ID_CLOCK, "real-time clock" },
    { VIRTIO_ID_INPUT, "input device" },
    { VIRTIO_ID_VSOCK, "socket device" },
    { VIRTIO_ID_CRYPTO, "crypto device" },
    { VIRTIO_ID_IOMMU, "IOMMU" },
    { VIRTIO_ID_MEM, "memory device" },
    { VIRTIO_ID_SOUND, "sound device" },
    { VIRTIO_ID_FS, "file system" },
    { VIRTIO_ID_PMEM, "persistent memory" },
    { VIRTIO_ID_RPMB, "RPMB device" },
    { VIRTIO_ID_SCMI, "SCMI device" },
    { VIRTIO_ID_I2C_ADAPTER, "I2C adapter" },
    { VIRTIO_ID_CAN, "CAN device" },
    { VIRTIO_ID_GPIO, "GPIO" },
    { VIRTIO_ID_SPI, "SPI controller" },
};

static const struct {
    uint32_t type;
    const struct name *names;
    unsigned n;
} tables[] = {
    { VIRTIO_ID_NET, net_names, ARRAY_SIZE(net_names) },
    { VIRTIO_ID_BLOCK, blk_names, ARRAY_SIZE(blk_names) },
    { VIRTIO_ID_CONSOLE, console_names, ARRAY_SIZE(console_names) },
    { VIRTIO_ID_BALLOON, balloon_names, ARRAY_SIZE(balloon_names) },
};

const char *virtio_type_text(uint32_t type)
{
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
        if (types[i].type == type)
            return types[i].text;
    return NULL;
}

static const char *find(const struct name *names, unsigned n, unsigned bit)
{
    for (unsigned i = 0; i < n; i++)
        if (names[i].bit == bit)
            return names[i].text;
    return NULL;
}

/* A type's own names come first: old network cards gave bit 41 another meaning. */
const char *virtio_feature_text(uint32_t type, unsigned bit)
{
    const char *text = NULL;

    for (unsigned i = 0; i < ARRAY_SIZE(tables); i++)
        if (tables[i].type == type)
            text = find(tables[i].names, tables[i].n, bit);
    return text ? text : find(ring_names, ARRAY_SIZE(ring_names), bit);
}
