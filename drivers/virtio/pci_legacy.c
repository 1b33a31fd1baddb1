/* SPDX-License-Identifier: MIT */
/*
 * The legacy register set (§4.1.4.10): ports in BAR 0, and behind them the
 * device's configuration, which moves by four bytes when MSI-X is turned on or off.
 */
#include "drivers/virtio/pci_legacy.h"

#include "drivers/virtio/device.h"
#include "drivers/virtio/spec/pci.h"
#include "drivers/virtio/transport.h"
#include "kernel/alloc.h"
#include "kernel/log.h"
#include "lib/base/errno.h"
#include "lib/base/io.h"

#define CONFIG_MAX_BYTES 4096 /* no device type has more */

struct virtio_pci_legacy {
    struct virtio_device device; /* first: drivers/virtio/pci.c lets both kinds go */
    struct pci_device *pci;
    uint16_t ports;
    bool msix_on; /* the vectors' registers are there */
};

_Static_assert(offsetof(struct virtio_pci_legacy, device) == 0, "its state begins with it");

static struct virtio_pci_legacy *legacy_of(const struct virtio_device *dev)
{
    return CONTAINER_OF(dev, struct virtio_pci_legacy, device);
}

static uint16_t port_of(const struct virtio_device *dev, unsigned offset)
{
    return (uint16_t)(legacy_of(dev)->ports + offset);
}

/* ---- registers */

static void locate(const struct virtio_device *dev, struct text *text)
{
    char address[PCI_ADDRESS_TEXT];

    text_add(text, "%s", pci_address_text(legacy_of(dev)->pci->at, address));
}

static uint8_t get_status(struct virtio_device *dev)
{
    return port_read8(port_of(dev, VIRTIO_PCI_STATUS));
}

static void set_status(struct virtio_device *dev, uint8_t status)
{
    port_write8(port_of(dev, VIRTIO_PCI_STATUS), status);
}

static void cut_off(struct virtio_device *dev)
{
    pci_command(legacy_of(dev)->pci, 0, PCI_COMMAND_MASTER);
}

static uint32_t get_features(struct virtio_device *dev, unsigned word)
{
    return word ? 0 : port_read32(port_of(dev, VIRTIO_PCI_HOST_FEATURES));
}

static void set_features(struct virtio_device *dev, unsigned word, uint32_t features)
{
    if (word == 0)
        port_write32(port_of(dev, VIRTIO_PCI_GUEST_FEATURES), features);
}

static uint16_t config_port(const struct virtio_device *dev, uint32_t offset)
{
    bool moved = legacy_of(dev)->msix_on;

    return port_of(dev, offset + (moved ? VIRTIO_PCI_LEGACY_MSIX_BYTES : VIRTIO_PCI_LEGACY_BYTES));
}

static uint32_t config_read(struct virtio_device *dev, uint32_t offset, unsigned bytes)
{
    uint16_t port = config_port(dev, offset);

    if (bytes == 1)
        return port_read8(port);
    return bytes == 2 ? port_read16(port) : port_read32(port);
}

static void config_write(struct virtio_device *dev, uint32_t offset, unsigned bytes, uint32_t value)
{
    uint16_t port = config_port(dev, offset);

    if (bytes == 1)
        port_write8(port, (uint8_t)value);
    else if (bytes == 2)
        port_write16(port, (uint16_t)value);
    else
        port_write32(port, value);
}

/* ---- queues */

static int queue_find(struct virtio_device *dev, uint16_t index, uint32_t *size_max,
                      struct virtq_doorbell *doorbell)
{
    port_write16(port_of(dev, VIRTIO_PCI_QUEUE_SEL), index);
    *size_max = port_read16(port_of(dev, VIRTIO_PCI_QUEUE_NUM));
    *doorbell = (struct virtq_doorbell){ .kind = VIRTQ_DOORBELL_PORT16,
                                         .value = index,
                                         .port = port_of(dev, VIRTIO_PCI_QUEUE_NOTIFY) };
    return *size_max ? 0 : -ENOENT;
}

/* What the device keeps says whether it took the vector. Without MSI-X its configuration is there.
 */
static bool take_vector(struct virtio_device *dev, unsigned offset, uint16_t vector)
{
    uint16_t port = port_of(dev, offset);

    if (!legacy_of(dev)->msix_on)
        return vector == VIRTIO_MSI_NO_VECTOR;
    port_write16(port, vector);
    return vector == VIRTIO_MSI_NO_VECTOR || port_read16(port) == vector;
}

static int queue_start(struct virtio_device *dev, const struct virtio_queue_setup *setup)
{
    uint16_t pfn_port = port_of(dev, VIRTIO_PCI_QUEUE_PFN);

    port_write16(port_of(dev, VIRTIO_PCI_QUEUE_SEL), setup->index);
    if (port_read32(pfn_port))
        return -EBUSY;
    if (!take_vector(dev, VIRTIO_PCI_MSI_QUEUE_VECTOR, setup->vector))
        return -EAGAIN;
    port_write32(pfn_port, (uint32_t)(setup->descriptor_addr >> VIRTIO_PCI_QUEUE_ADDR_SHIFT));
    return 0;
}

/* ---- interrupts */

static int vectors_start(struct virtio_device *dev)
{
    int n = pci_msix_start(legacy_of(dev)->pci);

    legacy_of(dev)->msix_on = n > 0;
    return n;
}

static void vector_set(struct virtio_device *dev, uint16_t vector, struct irq_message message)
{
    pci_msix_set(legacy_of(dev)->pci, vector, message);
}

static int vector_config(struct virtio_device *dev, uint16_t vector)
{
    return take_vector(dev, VIRTIO_PCI_MSI_CONFIG_VECTOR, vector) ? 0 : -EAGAIN;
}

static void vector_silence(struct virtio_device *dev, uint16_t vector)
{
    pci_msix_mask(legacy_of(dev)->pci, vector);
}

static void vectors_stop(struct virtio_device *dev)
{
    pci_msix_stop(legacy_of(dev)->pci);
    legacy_of(dev)->msix_on = false;
}

static int line_find(struct virtio_device *dev, struct irq_line *line)
{
    int error = pci_line(legacy_of(dev)->pci, line);

    if (!error)
        pci_command(legacy_of(dev)->pci, 0, PCI_COMMAND_INTX_OFF);
    return error;
}

/* Reading clears, and lowers the line. */
static uint8_t line_take(struct virtio_device *dev)
{
    return port_read8(port_of(dev, VIRTIO_PCI_ISR));
}

static const struct virtio_transport virtio_pci_legacy_transport = {
    .name = "pci-legacy",
    .locate = locate,
    .get_status = get_status,
    .set_status = set_status,
    .cut_off = cut_off,
    .get_features = get_features,
    .set_features = set_features,
    .config_read = config_read,
    .config_write = config_write,
    .queue_find = queue_find,
    .queue_start = queue_start,
    .vectors_start = vectors_start,
    .vector_set = vector_set,
    .vector_config = vector_config,
    .vector_silence = vector_silence,
    .vectors_stop = vectors_stop,
    .line_find = line_find,
    .line_take = line_take,
};

/* ---- finding the registers (§4.1.2.3) */

/* Only these ids have ever meant this register set, at revision 0. */
static bool may_be_legacy(struct pci_device *pci)
{
    return pci->device <= VIRTIO_PCI_TRANSITIONAL_ID_MAX && pci_read8(pci, PCI_REVISION) == 0;
}

/*
 * Whoever ran before us may have left MSI-X on, and the configuration where it
 * is then. How many bytes there are with it turned off, before the configuration
 * as well as with it; 0: the range is none.
 */
static uint32_t header_bytes(struct pci_device *pci)
{
    unsigned msix = pci_capability(pci, PCI_CAP_MSIX, 0);
    uint16_t control;

    if (!msix || msix + PCI_MSIX_BYTES > PCI_SPACE)
        return VIRTIO_PCI_LEGACY_BYTES;
    control = pci_read16(pci, msix + PCI_MSIX_CONTROL);
    if (control & PCI_MSIX_ENABLE)
        pci_write16(pci, msix + PCI_MSIX_CONTROL, control & (uint16_t)~PCI_MSIX_ENABLE);
    return VIRTIO_PCI_LEGACY_MSIX_BYTES;
}

static int find_registers(struct virtio_pci_legacy *legacy)
{
    struct pci_bar bar;
    uint32_t header;

    if (pci_bar(legacy->pci, 0, &bar) || bar.kind != PCI_BAR_IO)
        return -ENXIO;
    header = header_bytes(legacy->pci);
    if (bar.bytes < header || pci_ports(legacy->pci, 0, &legacy->ports))
        return -ENXIO;
    legacy->device.config_bytes = MIN((uint32_t)bar.bytes - header, (uint32_t)CONFIG_MAX_BYTES);
    pci_command(legacy->pci, PCI_COMMAND_IO, 0);
    return 0;
}

/* The subsystem's id is the device's type; devices that leave it out have it in their own. */
static uint32_t type_of(struct pci_device *pci, uint32_t by_id)
{
    uint32_t subsystem = pci_read32(pci, PCI_SUBSYSTEM) >> 16;

    return subsystem ? subsystem : by_id;
}

int virtio_pci_legacy_probe(struct pci_device *pci, uint32_t type)
{
    struct virtio_pci_legacy *legacy;
    char text[PCI_ADDRESS_TEXT];

    pci_address_text(pci->at, text);
    if (!may_be_legacy(pci)) {
        log_error("pci %s: no usable modern virtio registers", text);
        return -ENXIO;
    }
    legacy = kalloc(sizeof(*legacy));
    if (!legacy)
        return -ENOMEM;
    legacy->pci = pci;
    legacy->device.transport = &virtio_pci_legacy_transport;
    legacy->device.legacy = true;
    legacy->device.type = type_of(pci, type);
    if (find_registers(legacy)) {
        log_error("pci %s: no usable virtio registers, modern or legacy", text);
        kfree(legacy);
        return -ENXIO;
    }
    if (pci_capability(pci, PCI_CAP_VENDOR, 0))
        log_info("pci %s: no usable modern virtio registers, using the legacy ones", text);
    pci->driver_state = &legacy->device;
    if (virtio_add(&legacy->device))
        pci_command(pci, 0, PCI_COMMAND_MASTER);
    return 0;
}
