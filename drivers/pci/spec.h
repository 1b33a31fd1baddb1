/* SPDX-License-Identifier: MIT */
/*
 * Configuration space of a PCI function, as far as this kernel reads it: PCI
 * Local Bus 3.0, chapter 6; PCI-to-PCI Bridge 1.2, chapter 3; PCI Express Base
 * 4.0, chapter 7.
 */
#ifndef DRIVERS_PCI_SPEC_H
#define DRIVERS_PCI_SPEC_H

/* Offsets, and the bytes there. */
#define PCI_VENDOR_ID          0x00 /* 16 bits; all ones: nobody is there */
#define PCI_DEVICE_ID          0x02
#define PCI_COMMAND            0x04
#define PCI_STATUS             0x06
#define PCI_REVISION           0x08 /* 8 bits, then 24 bits of class */
#define PCI_HEADER             0x0e
#define PCI_BAR0               0x10 /* six registers of 32 bits; two in a bridge */
#define PCI_BUSES              0x18 /* bridge: primary, secondary, subordinate bus, latency */
#define PCI_BRIDGE_PORTS       0x1c /* bridge: base and limit, 8 bits each, of 4 KiB units; status */
#define PCI_BRIDGE_MEMORY      0x20 /* bridge: base and limit, 16 bits each, of 1 MiB units */
#define PCI_BRIDGE_PREFETCH    0x24 /* the same, of what may be prefetched; then upper halves */
#define PCI_BRIDGE_BASE_UPPER  0x28
#define PCI_BRIDGE_LIMIT_UPPER 0x2c
#define PCI_BRIDGE_WIDE        0x1  /* in base and limit: there are upper halves */
#define PCI_SUBSYSTEM          0x2c /* vendor, device */
#define PCI_CAP_FIRST          0x34 /* 8 bits */
#define PCI_INTERRUPT          0x3c /* line, pin */
#define PCI_CAP_MIN            0x40 /* capabilities lie from here to 0xff */
#define PCI_SPACE_EXTENDED     4096
#define PCI_SPACE              256

#define PCI_COMMAND_IO       0x0001 /* decodes its port BARs */
#define PCI_COMMAND_MEMORY   0x0002 /* decodes its memory BARs */
#define PCI_COMMAND_MASTER   0x0004 /* may read and write memory */
#define PCI_COMMAND_INTX_OFF 0x0400 /* may not raise INTx */
#define PCI_STATUS_CAP_LIST  0x0010

#define PCI_HEADER_TYPE    0x7f
#define PCI_HEADER_MULTI   0x80 /* more functions than function 0 */
#define PCI_HEADER_NORMAL  0
#define PCI_HEADER_BRIDGE  1
#define PCI_HEADER_CARDBUS 2

#define PCI_BAR_IS_IO        0x1
#define PCI_BAR_TYPE         0x6
#define PCI_BAR_TYPE_32      0x0
#define PCI_BAR_TYPE_64      0x4
#define PCI_BAR_PREFETCH     0x8
#define PCI_BAR_IO_FLAGS     0x3
#define PCI_BAR_MEMORY_FLAGS 0xf

/* A capability: id, offset of the next one, then its own. */
#define PCI_CAP_POINTER   0xfc /* the low bits of a pointer are reserved */
#define PCI_CAP_NEXT      1
#define PCI_CAP_PM        0x01
#define PCI_CAP_AGP       0x02
#define PCI_CAP_MSI       0x05
#define PCI_CAP_VENDOR    0x09
#define PCI_CAP_HOTPLUG   0x0c
#define PCI_CAP_SUBSYSTEM 0x0d
#define PCI_CAP_EXPRESS   0x10
#define PCI_CAP_MSIX      0x11
#define PCI_CAP_SATA      0x12
#define PCI_CAP_AF        0x13

/* PCI Express, §7.5.3.2: capabilities register at +2. */
#define PCI_EXPRESS_FLAGS       2
#define PCI_EXPRESS_PORT(flags) ((flags) >> 4 & 0xf)
#define PCI_EXPRESS_ROOT_PORT   4
#define PCI_EXPRESS_DOWNSTREAM  6

/* Link and slot, §7.5.3.6 to §7.5.3.11: offsets from the capability. */
#define PCI_EXPRESS_SLOT        0x0100 /* of the capabilities register: the port has a slot */
#define PCI_EXPRESS_LINK_CAP    0x0c
#define PCI_EXPRESS_LINK_STATUS 0x12
#define PCI_EXPRESS_SLOT_CAP    0x14
#define PCI_EXPRESS_SLOT_CTRL   0x18
#define PCI_EXPRESS_SLOT_STATUS 0x1a

#define PCI_LINK_CAP_REPORTS   0x00100000 /* says whether the link is active */
#define PCI_LINK_STATUS_ACTIVE 0x2000

#define PCI_SLOT_CAP_BUTTON    0x00000001
#define PCI_SLOT_CAP_POWER     0x00000002 /* power is in our hand */
#define PCI_SLOT_CAP_ATTENTION 0x00000008 /* indicators */
#define PCI_SLOT_CAP_LAMP      0x00000010
#define PCI_SLOT_CAP_HOTPLUG   0x00000040
#define PCI_SLOT_CAP_SILENT    0x00040000 /* does not tell that a command has completed */
#define PCI_SLOT_NUMBER(cap)   ((cap) >> 19)

#define PCI_SLOT_BUTTON_ON    0x0001 /* interrupt by ... */
#define PCI_SLOT_FAULT_ON     0x0002
#define PCI_SLOT_PRESENCE_ON  0x0008
#define PCI_SLOT_INTERRUPT_ON 0x0020
#define PCI_SLOT_LINK_ON      0x1000
#define PCI_SLOT_ATTENTION    0x00c0
#define PCI_SLOT_ATTENTION_ON 0x0040
#define PCI_SLOT_ATTENTION_NO 0x00c0
#define PCI_SLOT_LAMP         0x0300
#define PCI_SLOT_LAMP_ON      0x0100
#define PCI_SLOT_LAMP_BLINKS  0x0200
#define PCI_SLOT_LAMP_OFF     0x0300
#define PCI_SLOT_POWER_OFF    0x0400

#define PCI_SLOT_PRESSED   0x0001 /* cleared by writing it, as the next ones */
#define PCI_SLOT_FAULT     0x0002
#define PCI_SLOT_PRESENCE  0x0008 /* presence has changed */
#define PCI_SLOT_COMPLETED 0x0010
#define PCI_SLOT_LINK      0x0100 /* the link's state has changed */
#define PCI_SLOT_EVENTS    0x011f
#define PCI_SLOT_PRESENT   0x0040

/* MSI, PCI Local Bus 3.0, §6.8.1. */
#define PCI_MSI_CONTROL 2
#define PCI_MSI_ADDRESS 4
#define PCI_MSI_ENABLE  0x0001
#define PCI_MSI_COUNT   0x0070 /* how many messages are enabled, as a power of two */
#define PCI_MSI_WIDE    0x0080 /* the address has 64 bits, the message comes behind it */
#define PCI_MSI_MASKS   0x0100 /* a mask for each message follows */

/* MSI-X, PCI Local Bus 3.0, §6.8.2. */
#define PCI_MSIX_CONTROL       2
#define PCI_MSIX_TABLE         4 /* offset, and the BAR in the low 3 bits */
#define PCI_MSIX_PENDING       8
#define PCI_MSIX_SIZE          0x07ff /* vectors - 1 */
#define PCI_MSIX_FUNCTION_MASK 0x4000
#define PCI_MSIX_ENABLE        0x8000
#define PCI_MSIX_BAR           0x7
#define PCI_MSIX_BYTES         12

#define PCI_MSIX_ENTRY_BYTES   16
#define PCI_MSIX_ENTRY_ADDRESS 0
#define PCI_MSIX_ENTRY_UPPER   4
#define PCI_MSIX_ENTRY_MESSAGE 8
#define PCI_MSIX_ENTRY_CONTROL 12
#define PCI_MSIX_ENTRY_MASKED  1

#endif
