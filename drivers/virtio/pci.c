/* SPDX-License-Identifier: MIT */
/*
 * Virtio over PCI, the modern register set (§4.1): transitional devices are
 * driven by it too, devices without it by drivers/virtio/pci_legacy.c. Where
 * registers are is told by vendor-specific capabilities; each is checked against
 * its BAR before it is believed, and the first good one of a type is used (§4.1.4.1).
 *
 * Concurrency: as drivers/virtio/transport.h.
 */
#include "drivers/pci/pci.h"
#include "drivers/virtio/device.h"
#include "drivers/virtio/pci_legacy.h"
#include "drivers/virtio/pci_registers.h"
#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/pci.h"
#include "drivers/virtio/transport.h"
#include "kernel/alloc.h"
#include "lib/base/errno.h"
#include "lib/base/io.h"

/* Before the fields that came with later features, and as far as this kernel uses those. */
#define COMMON_BYTES     offsetof(struct virtio_pci_common_cfg, queue_notif_config_data)
#define COMMON_MAX_BYTES offsetof(struct virtio_pci_common_cfg, admin_queue_index)
#define DOORBELL_BYTES   2          /* 4 with NOTIFICATION_DATA */
#define DOORBELLS_MAX    (64 * KIB) /* mapped at once; with a page for each queue there are MiBs */
#define CONFIG_MAX_BYTES 4096       /* mapped of it; no device type has more */

/* Where a structure lies. */
struct region {
    uint8_t capability; /* its offset in configuration space; 0: not found */
    uint8_t bar;
    uint32_t offset, length; /* bytes; inside the BAR */
};

struct virtio_pci {
    struct virtio_device device; /* first, as in drivers/virtio/pci_legacy.c */
    struct pci_device *pci;
    struct pci_registers common, config;
    struct pci_registers isr; /* not found: not needed so far */
    struct region notify;
    struct pci_registers doorbells; /* all of it, where it is mapped at once */
    uint32_t notify_multiplier;
    uint16_t notify_port;             /* the BAR's first port; 0: it is in memory */
    struct pci_access_window window;  /* for BARs that cannot be mapped */
    struct distant_doorbell *distant; /* those that are rung through it */
};

/* A doorbell that is more than a store. */
struct distant_doorbell {
    struct distant_doorbell *next;
    uint16_t queue;
    uint8_t bytes;
    struct pci_registers registers;
};

_Static_assert(offsetof(struct virtio_pci, device) == 0, "remove() frees the whole by it");

static struct virtio_pci *pci_of(const struct virtio_device *dev)
{
    return CONTAINER_OF(dev, struct virtio_pci, device);
}

/* ---- registers, each in its own width (§4.1.3.1); 64-bit ones in halves */

#define FIELD(field)                               \
    offsetof(struct virtio_pci_common_cfg, field), \
        sizeof(((struct virtio_pci_common_cfg *)0)->field)

static inline uint32_t common_read(const struct virtio_device *dev, size_t field, size_t bytes)
{
    return pci_registers_read(&pci_of(dev)->common, (uint32_t)field, (unsigned)bytes);
}

static inline void common_write(const struct virtio_device *dev, size_t field, size_t bytes,
                                uint32_t value)
{
    pci_registers_write(&pci_of(dev)->common, (uint32_t)field, (unsigned)bytes, value);
}

static void locate(const struct virtio_device *dev, struct text *text)
{
    char address[PCI_ADDRESS_TEXT];

    text_add(text, "%s", pci_address_text(pci_of(dev)->pci->at, address));
}

static uint8_t get_status(struct virtio_device *dev)
{
    return (uint8_t)common_read(dev, FIELD(device_status));
}

static void set_status(struct virtio_device *dev, uint8_t status)
{
    common_write(dev, FIELD(device_status), status);
}

static void cut_off(struct virtio_device *dev)
{
    pci_command(pci_of(dev)->pci, PCI_COMMAND_INTX_OFF, PCI_COMMAND_MASTER);
}

static uint32_t get_features(struct virtio_device *dev, unsigned word)
{
    common_write(dev, FIELD(device_feature_select), word);
    return common_read(dev, FIELD(device_feature));
}

static void set_features(struct virtio_device *dev, unsigned word, uint32_t features)
{
    common_write(dev, FIELD(driver_feature_select), word);
    common_write(dev, FIELD(driver_feature), features);
}

static uint32_t config_read(struct virtio_device *dev, uint32_t offset, unsigned bytes)
{
    return pci_registers_read(&pci_of(dev)->config, offset, bytes);
}

static void config_write(struct virtio_device *dev, uint32_t offset, unsigned bytes, uint32_t value)
{
    pci_registers_write(&pci_of(dev)->config, offset, bytes, value);
}

static uint32_t config_generation(struct virtio_device *dev)
{
    return common_read(dev, FIELD(config_generation));
}

/* ---- queues (§4.1.4.3, §4.1.4.4) */

static struct distant_doorbell *distant_doorbell(struct virtio_pci *vp, uint16_t queue)
{
    struct distant_doorbell *distant = vp->distant;

    while (distant && distant->queue != queue)
        distant = distant->next;
    if (distant)
        return distant;
    distant = kalloc(sizeof(*distant));
    if (distant) {
        distant->queue = queue;
        distant->next = vp->distant;
        vp->distant = distant;
    }
    return distant;
}

static void ring(void *argument, uint32_t value)
{
    const struct distant_doorbell *distant = argument;

    pci_registers_write(&distant->registers, 0, distant->bytes, value);
}

/* A queue then needs no look at BARs and page tables. false: each doorbell is reached by itself. */
static bool maps_all_doorbells(struct virtio_pci *vp)
{
    if (!pci_registers_found(&vp->doorbells) && vp->notify.length <= DOORBELLS_MAX &&
        pci_registers_reach(&vp->doorbells, &vp->window, vp->notify.bar, vp->notify.offset,
                            vp->notify.length))
        return false;
    return vp->doorbells.mapped;
}

/* One store where the BAR is mapped, else a write through configuration space. */
static int reach_doorbell(struct virtio_pci *vp, uint16_t index, uint32_t offset, uint8_t bytes,
                          struct virtq_doorbell *doorbell)
{
    struct distant_doorbell *distant;
    struct pci_registers registers;

    if (maps_all_doorbells(vp))
        registers.mapped = vp->doorbells.mapped + (offset - vp->notify.offset);
    else if (pci_registers_reach(&registers, &vp->window, vp->notify.bar, offset, bytes))
        return -EINVAL;
    if (registers.mapped) {
        doorbell->kind = bytes > DOORBELL_BYTES ? VIRTQ_DOORBELL_MMIO32 : VIRTQ_DOORBELL_MMIO16;
        doorbell->mmio = registers.mapped;
        return 0;
    }
    distant = distant_doorbell(vp, index);
    if (!distant)
        return -ENOMEM;
    distant->bytes = bytes;
    distant->registers = registers;
    doorbell->kind = VIRTQ_DOORBELL_HOOK;
    doorbell->hook = ring;
    doorbell->hook_argument = distant;
    return 0;
}

/* What a notification says (§4.1.5.2) and where it goes; the queue is selected. */
static int find_doorbell(struct virtio_device *dev, uint16_t index, struct virtq_doorbell *doorbell)
{
    struct virtio_pci *vp = pci_of(dev);
    uint64_t offset = (uint64_t)common_read(dev, FIELD(queue_notify_off)) * vp->notify_multiplier;
    bool wide = virtio_has(dev, VIRTIO_F_NOTIFICATION_DATA);
    uint8_t bytes = wide ? 2 * DOORBELL_BYTES : DOORBELL_BYTES;

    /* Else a lying device would have us write into a neighbour's registers. */
    if (offset + bytes > vp->notify.length || !IS_ALIGNED(vp->notify.offset + offset, bytes))
        return -EINVAL;
    doorbell->value = virtio_has(dev, VIRTIO_F_NOTIF_CONFIG_DATA)
                          ? (uint16_t)common_read(dev, FIELD(queue_notif_config_data))
                          : index;
    if (vp->notify_port) {
        doorbell->kind = wide ? VIRTQ_DOORBELL_PORT32 : VIRTQ_DOORBELL_PORT16;
        doorbell->port = (uint16_t)(vp->notify_port + vp->notify.offset + offset);
        return 0;
    }
    return reach_doorbell(vp, index, vp->notify.offset + (uint32_t)offset, bytes, doorbell);
}

static int queue_find(struct virtio_device *dev, uint16_t index, uint32_t *size_max,
                      struct virtq_doorbell *doorbell)
{
    common_write(dev, FIELD(queue_select), index);
    *size_max = common_read(dev, FIELD(queue_size));
    if (!*size_max)
        return -ENOENT;
    return find_doorbell(dev, index, doorbell);
}

/* The device says by the value it keeps whether it could take the vector (§4.1.5.1.2). */
static bool take_vector(struct virtio_device *dev, size_t field, size_t bytes, uint16_t vector)
{
    common_write(dev, field, bytes, vector);
    return vector == VIRTIO_MSI_NO_VECTOR || common_read(dev, field, bytes) == vector;
}

static void write_address(struct virtio_device *dev, size_t field, size_t bytes, dma_addr_t addr)
{
    common_write(dev, field, bytes / 2, (uint32_t)addr);
    common_write(dev, field + bytes / 2, bytes / 2, (uint32_t)(addr >> 32));
}

static int queue_start(struct virtio_device *dev, const struct virtio_queue_setup *setup)
{
    common_write(dev, FIELD(queue_select), setup->index);
    if (common_read(dev, FIELD(queue_enable)))
        return -EBUSY;
    common_write(dev, FIELD(queue_size), setup->size);
    if (!take_vector(dev, FIELD(queue_msix_vector), setup->vector))
        return -EAGAIN;
    write_address(dev, FIELD(queue_desc), setup->descriptor_addr);
    write_address(dev, FIELD(queue_driver), setup->driver_addr);
    write_address(dev, FIELD(queue_device), setup->device_addr);
    common_write(dev, FIELD(queue_enable), 1);
    return 0;
}

static void queue_reset(struct virtio_device *dev, uint16_t index)
{
    common_write(dev, FIELD(queue_select), index);
    common_write(dev, FIELD(queue_reset), 1);
}

static bool queue_is_reset(struct virtio_device *dev, uint16_t index)
{
    common_write(dev, FIELD(queue_select), index);
    return common_read(dev, FIELD(queue_reset)) == 0;
}

/* ---- interrupts (§4.1.5.1.2) */

static int vectors_start(struct virtio_device *dev)
{
    return pci_msix_start(pci_of(dev)->pci);
}

static void vector_set(struct virtio_device *dev, uint16_t vector, struct irq_message message)
{
    pci_msix_set(pci_of(dev)->pci, vector, message);
}

static int vector_config(struct virtio_device *dev, uint16_t vector)
{
    return take_vector(dev, FIELD(config_msix_vector), vector) ? 0 : -EAGAIN;
}

static void vector_silence(struct virtio_device *dev, uint16_t vector)
{
    pci_msix_mask(pci_of(dev)->pci, vector);
}

static void vectors_stop(struct virtio_device *dev)
{
    pci_msix_stop(pci_of(dev)->pci);
}

static int line_find(struct virtio_device *dev, struct irq_line *line);

/* Reading clears, and lowers the line (§4.1.4.5). */
static uint8_t line_take(struct virtio_device *dev)
{
    return (uint8_t)pci_registers_read(&pci_of(dev)->isr, 0, 1);
}

static const struct virtio_transport virtio_pci_transport = {
    .name = "pci",
    .locate = locate,
    .get_status = get_status,
    .set_status = set_status,
    .cut_off = cut_off,
    .get_features = get_features,
    .set_features = set_features,
    .config_read = config_read,
    .config_write = config_write,
    .config_generation = config_generation,
    .queue_find = queue_find,
    .queue_start = queue_start,
    .queue_reset = queue_reset,
    .queue_is_reset = queue_is_reset,
    .vectors_start = vectors_start,
    .vector_set = vector_set,
    .vector_config = vector_config,
    .vector_silence = vector_silence,
    .vectors_stop = vectors_stop,
    .line_find = line_find,
    .line_take = line_take,
};

/* ---- finding the registers (§4.1.4) */

#define CAP(field) offsetof(struct virtio_pci_cap, field)

/* The structures that are used, and what each needs at least: bytes, and alignment of its offset.
 */
enum structure {
    COMMON_CFG,
    NOTIFY_CFG,
    NOTIFY_PORT_CFG,
    DEVICE_CFG,
    N_STRUCTURES,
    ISR_CFG = N_STRUCTURES, /* looked for when it is needed */
};

static const struct {
    uint8_t type, capability_bytes, least, align;
    bool by_port;
} structures[] = {
    [COMMON_CFG] = { VIRTIO_PCI_CAP_COMMON_CFG, sizeof(struct virtio_pci_cap), COMMON_BYTES, 4,
                     false },
    [NOTIFY_CFG] = { VIRTIO_PCI_CAP_NOTIFY_CFG, sizeof(struct virtio_pci_notify_cap),
                     DOORBELL_BYTES, 2, false },
    [NOTIFY_PORT_CFG] = { VIRTIO_PCI_CAP_NOTIFY_CFG, sizeof(struct virtio_pci_notify_cap),
                          DOORBELL_BYTES, 2, true },
    [DEVICE_CFG] = { VIRTIO_PCI_CAP_DEVICE_CFG, sizeof(struct virtio_pci_cap), 1, 4, false },
    [ISR_CFG] = { VIRTIO_PCI_CAP_ISR_CFG, sizeof(struct virtio_pci_cap), 1, 1, false },
};

static bool is_usable(struct pci_device *pci, unsigned capability, enum structure structure,
                      struct region *region)
{
    struct pci_bar bar;

    region->capability = (uint8_t)capability;
    region->bar = pci_read8(pci, capability + CAP(bar));
    region->offset = pci_read32(pci, capability + CAP(offset));
    region->length = pci_read32(pci, capability + CAP(length));
    if (region->length < structures[structure].least || pci_bar(pci, region->bar, &bar))
        return false;
    return (bar.kind == PCI_BAR_IO) == structures[structure].by_port &&
           region->offset <= bar.bytes && region->length <= bar.bytes - region->offset;
}

/* Takes a capability for what it describes, unless an earlier one did. */
static void consider(struct virtio_pci *vp, unsigned capability, struct region *found)
{
    struct pci_device *pci = vp->pci;
    uint32_t head = pci_read32(pci, capability);
    uint8_t bytes = (uint8_t)(head >> 8 * CAP(cap_len)),
            type = (uint8_t)(head >> 8 * CAP(cfg_type));
    struct region region;

    for (unsigned i = 0; i < N_STRUCTURES; i++) {
        if (structures[i].type != type || found[i].capability ||
            bytes < structures[i].capability_bytes || capability + bytes > PCI_SPACE)
            continue;
        if (is_usable(pci, capability, (enum structure)i, &region) &&
            IS_ALIGNED(region.offset, structures[i].align))
            found[i] = region;
    }
    if (type == VIRTIO_PCI_CAP_PCI_CFG)
        pci_access_window_found(&vp->window, capability, bytes);
}

static int reach_region(struct virtio_pci *vp, const struct region *region, uint32_t bytes,
                        struct pci_registers *registers)
{
    return pci_registers_reach(registers, &vp->window, region->bar, region->offset, bytes);
}

/* Whether the common structure is long enough for the field that a feature brings. */
static void add_feature(struct virtio_pci *vp, unsigned bit, size_t field, uint32_t length)
{
    if (field + sizeof(le16) <= length)
        virtio_features_add(&vp->device.transport_features, bit);
}

static int reach_common(struct virtio_pci *vp, const struct region *common)
{
    virtio_features_add(&vp->device.transport_features, VIRTIO_F_NOTIFICATION_DATA);
    add_feature(vp, VIRTIO_F_NOTIF_CONFIG_DATA,
                offsetof(struct virtio_pci_common_cfg, queue_notif_config_data), common->length);
    add_feature(vp, VIRTIO_F_RING_RESET, offsetof(struct virtio_pci_common_cfg, queue_reset),
                common->length);
    return reach_region(vp, common, MIN(common->length, (uint32_t)COMMON_MAX_BYTES), &vp->common);
}

/* By port where the device offers both: a host can tell ports apart faster (§4.1.4.4). */
static void choose_notify(struct virtio_pci *vp, const struct region *found)
{
    const struct region *port = &found[NOTIFY_PORT_CFG];

    vp->notify = found[NOTIFY_CFG];
    if (port->capability && pci_ports(vp->pci, port->bar, &vp->notify_port) == 0)
        vp->notify = *port;
    else if (!vp->notify.capability) {
        vp->notify = *port;
        vp->window.unmapped |= (uint8_t)(1u << port->bar);
    }
    vp->notify_multiplier =
        pci_read32(vp->pci, vp->notify.capability +
                                offsetof(struct virtio_pci_notify_cap, notify_off_multiplier));
}

static int find_registers(struct virtio_pci *vp)
{
    struct region found[N_STRUCTURES] = { 0 };
    unsigned capability = 0;
    int error;

    while ((capability = pci_capability(vp->pci, PCI_CAP_VENDOR, capability)))
        consider(vp, capability, found);
    if (!found[COMMON_CFG].capability ||
        !(found[NOTIFY_CFG].capability || found[NOTIFY_PORT_CFG].capability))
        return -ENXIO;
    choose_notify(vp, found);
    error = reach_common(vp, &found[COMMON_CFG]);
    /* Some device types have no configuration of their own. */
    if (error || !found[DEVICE_CFG].capability)
        return error;
    vp->device.config_bytes = MIN(found[DEVICE_CFG].length, (uint32_t)CONFIG_MAX_BYTES);
    return reach_region(vp, &found[DEVICE_CFG], vp->device.config_bytes, &vp->config);
}

/* Only who interrupts by its line has to be asked why. */
static int reach_isr(struct virtio_pci *vp)
{
    unsigned capability = 0;
    struct region region;

    while (!pci_registers_found(&vp->isr) &&
           (capability = pci_capability(vp->pci, PCI_CAP_VENDOR, capability)))
        if (pci_read8(vp->pci, capability + CAP(cfg_type)) == VIRTIO_PCI_CAP_ISR_CFG &&
            is_usable(vp->pci, capability, ISR_CFG, &region))
            reach_region(vp, &region, 1, &vp->isr);
    return pci_registers_found(&vp->isr) ? 0 : -ENODEV;
}

static int line_find(struct virtio_device *dev, struct irq_line *line)
{
    struct virtio_pci *vp = pci_of(dev);
    int error = pci_line(vp->pci, line);

    if (!error)
        error = reach_isr(vp);
    if (!error)
        pci_command(vp->pci, 0, PCI_COMMAND_INTX_OFF);
    return error;
}

/* ---- the PCI driver (§4.1.2) */

/* 0: none that is known. */
static uint32_t type_of(const struct pci_device *pci)
{
    static const struct {
        uint16_t id, type;
    } transitional[] = {
        { VIRTIO_TRANS_ID_NET, VIRTIO_ID_NET },
        { VIRTIO_TRANS_ID_BLOCK, VIRTIO_ID_BLOCK },
        { VIRTIO_TRANS_ID_BALLOON, VIRTIO_ID_BALLOON },
        { VIRTIO_TRANS_ID_CONSOLE, VIRTIO_ID_CONSOLE },
        { VIRTIO_TRANS_ID_SCSI, VIRTIO_ID_SCSI },
        { VIRTIO_TRANS_ID_RNG, VIRTIO_ID_RNG },
        { VIRTIO_TRANS_ID_9P, VIRTIO_ID_9P },
    };

    if (pci->device >= VIRTIO_PCI_DEVICE_ID_BASE)
        return pci->device - VIRTIO_PCI_DEVICE_ID_BASE;
    for (unsigned i = 0; i < ARRAY_SIZE(transitional); i++)
        if (transitional[i].id == pci->device)
            return transitional[i].type;
    return 0;
}

static int probe(struct pci_device *pci)
{
    struct virtio_pci *vp;
    int error;

    if (!type_of(pci))
        return -ENODEV;
    vp = kalloc(sizeof(*vp));
    if (!vp)
        return -ENOMEM;
    vp->pci = vp->window.pci = pci;
    vp->device.transport = &virtio_pci_transport;
    vp->device.type = type_of(pci);
    error = find_registers(vp);
    if (error) {
        kfree(vp);
        return virtio_pci_legacy_probe(pci, type_of(pci));
    }
    pci->driver_state = &vp->device;
    /* Without a driver, or failed, it stays listed, but has no business in our memory. */
    if (virtio_add(&vp->device))
        pci_command(pci, 0, PCI_COMMAND_MASTER);
    return 0;
}

static void forget_doorbells(struct virtio_pci *vp)
{
    while (vp->distant) {
        struct distant_doorbell *distant = vp->distant;

        vp->distant = distant->next;
        kfree(distant);
    }
}

static void remove(struct pci_device *pci)
{
    struct virtio_device *dev = pci->driver_state; /* with what it is the first part of */

    dev->gone = pci->gone;
    virtio_remove(dev);
    if (dev->transport == &virtio_pci_transport)
        forget_doorbells(pci_of(dev));
    kfree(dev);
}

static const struct pci_match matches[] = {
    { VIRTIO_PCI_VENDOR_ID, VIRTIO_PCI_TRANSITIONAL_ID_MIN, VIRTIO_PCI_TRANSITIONAL_ID_MAX },
    { VIRTIO_PCI_VENDOR_ID, VIRTIO_PCI_DEVICE_ID_BASE, VIRTIO_PCI_DEVICE_ID_MAX },
};

static const struct pci_driver virtio_pci_driver LINKER_SET(pci_drivers) = {
    .name = "virtio-pci",
    .matches = matches,
    .n_matches = ARRAY_SIZE(matches),
    .probe = probe,
    .remove = remove,
};
