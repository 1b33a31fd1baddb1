/* SPDX-License-Identifier: MIT */
/*
 * Virtio over PCI by the legacy register set (§4.1.4.10), for devices that have
 * no modern one that can be used.
 *
 * Concurrency: as drivers/virtio/transport.h.
 */
#ifndef DRIVERS_VIRTIO_PCI_LEGACY_H
#define DRIVERS_VIRTIO_PCI_LEGACY_H

#include "drivers/pci/pci.h"

/*
 * Takes a device of virtio's, as the probe of a PCI driver does. Its state is
 * then something that begins with the struct virtio_device. -ENXIO: there is
 * no legacy register set either, which is reported; -ENOMEM.
 */
int virtio_pci_legacy_probe(struct pci_device *pci, uint32_t type);

#endif
