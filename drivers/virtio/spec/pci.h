/* SPDX-License-Identifier: MIT */
/*
 * Virtio over PCI, §4.1: how devices are found, the vendor-specific
 * capabilities that say where their registers are, and those registers.
 *
 * Registers are accessed with exactly their width; 64-bit ones as two halves,
 * low half first (§4.1.3.1).
 */
#ifndef DRIVERS_VIRTIO_SPEC_PCI_H
#define DRIVERS_VIRTIO_SPEC_PCI_H

#include "lib/base/types.h"

/* Discovery, §4.1.2. */
#define VIRTIO_PCI_VENDOR_ID           0x1af4
#define VIRTIO_PCI_DEVICE_ID_BASE      0x1040 /* + the device type (spec/ids.h), to 0x107f */
#define VIRTIO_PCI_DEVICE_ID_MAX       0x107f
#define VIRTIO_PCI_TRANSITIONAL_ID_MIN 0x1000
#define VIRTIO_PCI_TRANSITIONAL_ID_MAX 0x103f

/* Transitional device ids, §4.1.2.1. */
#define VIRTIO_TRANS_ID_NET     0x1000
#define VIRTIO_TRANS_ID_BLOCK   0x1001
#define VIRTIO_TRANS_ID_BALLOON 0x1002
#define VIRTIO_TRANS_ID_CONSOLE 0x1003
#define VIRTIO_TRANS_ID_SCSI    0x1004
#define VIRTIO_TRANS_ID_RNG     0x1005
#define VIRTIO_TRANS_ID_9P      0x1009

/* virtio_pci_cap.cfg_type, §4.1.4. */
#define VIRTIO_PCI_CAP_COMMON_CFG        1
#define VIRTIO_PCI_CAP_NOTIFY_CFG        2
#define VIRTIO_PCI_CAP_ISR_CFG           3
#define VIRTIO_PCI_CAP_DEVICE_CFG        4
#define VIRTIO_PCI_CAP_PCI_CFG           5
#define VIRTIO_PCI_CAP_SHARED_MEMORY_CFG 8
#define VIRTIO_PCI_CAP_VENDOR_CFG        9

/* A capability in configuration space: where a structure lies, §4.1.4. */
struct virtio_pci_cap {
    uint8_t cap_vndr; /* PCI capability id 9, vendor-specific */
    uint8_t cap_next; /* offset of the next capability */
    uint8_t cap_len;  /* bytes of this one, extra fields included */
    uint8_t cfg_type; /* VIRTIO_PCI_CAP_...; others are ignored */
    uint8_t bar;      /* 0 to 5; others are ignored */
    uint8_t id;       /* tells several of one type apart */
    uint8_t padding[2];
    le32 offset; /* bytes from the BAR's start */
    le32 length; /* bytes */
};

/* For shared memory regions, §4.1.4 and §4.1.4.7. */
struct virtio_pci_cap64 {
    struct virtio_pci_cap cap;
    le32 offset_hi;
    le32 length_hi;
};

/* VIRTIO_PCI_CAP_NOTIFY_CFG, §4.1.4.4: a queue's doorbell is at offset + queue_notify_off * this.
 */
struct virtio_pci_notify_cap {
    struct virtio_pci_cap cap;
    le32 notify_off_multiplier;
};

/* VIRTIO_PCI_CAP_PCI_CFG, §4.1.4.9: access to a BAR through configuration space. */
struct virtio_pci_cfg_cap {
    struct virtio_pci_cap cap;
    uint8_t pci_cfg_data[4];
};

/* VIRTIO_PCI_CAP_COMMON_CFG, §4.1.4.3. rw or ro: as the driver may access it. */
struct virtio_pci_common_cfg {
    /* the whole device */
    le32 device_feature_select; /* rw: which word of 32 features device_feature shows */
    le32 device_feature;        /* ro */
    le32 driver_feature_select; /* rw */
    le32 driver_feature;        /* rw */
    le16 config_msix_vector;    /* rw: for configuration changes */
    le16 num_queues;            /* ro: without administration queues */
    uint8_t device_status;      /* rw: VIRTIO_CONFIG_S_... */
    uint8_t config_generation;  /* ro: differs when the configuration changed meanwhile */

    /* the queue chosen by queue_select */
    le16 queue_select;            /* rw */
    le16 queue_size;              /* rw: at most what it read at first; 0: no such queue */
    le16 queue_msix_vector;       /* rw */
    le16 queue_enable;            /* rw: the driver writes only 1 */
    le16 queue_notify_off;        /* ro */
    le64 queue_desc;              /* rw: device address of the descriptor area */
    le64 queue_driver;            /* rw: of the driver area */
    le64 queue_device;            /* rw: of the device area */
    le16 queue_notif_config_data; /* ro: with NOTIF_CONFIG_DATA: what notifications carry */
    le16 queue_reset;             /* rw: with RING_RESET: write 1, poll until 0 */

    /* administration queues, with ADMIN_VQ */
    le16 admin_queue_index; /* ro: the first one's index */
    le16 admin_queue_num;   /* ro: how many */
};

/* A MSI-X vector that is none; read back, it means the device refused one, §4.1.5.1.2. */
#define VIRTIO_MSI_NO_VECTOR 0xffff

/*
 * The legacy register set in the ports of BAR 0, §4.1.4.10: offsets. The
 * device's configuration follows them, behind the vectors where there are any.
 */
#define VIRTIO_PCI_HOST_FEATURES     0  /* ro, 32 bits: what the device offers */
#define VIRTIO_PCI_GUEST_FEATURES    4  /* rw, 32 bits: what the driver accepts */
#define VIRTIO_PCI_QUEUE_PFN         8  /* rw, 32 bits: the selected queue's page; 0: not in use */
#define VIRTIO_PCI_QUEUE_NUM         12 /* ro, 16 bits: its size; 0: no such queue */
#define VIRTIO_PCI_QUEUE_SEL         14 /* rw, 16 bits */
#define VIRTIO_PCI_QUEUE_NOTIFY      16 /* rw, 16 bits: the doorbell of all queues */
#define VIRTIO_PCI_STATUS            18 /* rw, 8 bits: VIRTIO_CONFIG_S_... */
#define VIRTIO_PCI_ISR               19 /* ro, 8 bits: VIRTIO_PCI_ISR_... */
#define VIRTIO_PCI_MSI_CONFIG_VECTOR 20 /* rw, 16 bits; these two while MSI-X is enabled */
#define VIRTIO_PCI_MSI_QUEUE_VECTOR  22 /* rw, 16 bits: the selected queue's */

#define VIRTIO_PCI_LEGACY_BYTES      20 /* of those registers, without the vectors */
#define VIRTIO_PCI_LEGACY_MSIX_BYTES 24 /* and with them */

#define VIRTIO_PCI_QUEUE_ADDR_SHIFT 12 /* from a queue's address to its page */

/* VIRTIO_PCI_CAP_ISR_CFG, §4.1.4.5: one byte; reading it clears it and lowers INTx. */
#define VIRTIO_PCI_ISR_QUEUE  0x1
#define VIRTIO_PCI_ISR_CONFIG 0x2

#endif
