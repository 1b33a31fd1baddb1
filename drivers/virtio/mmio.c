/* SPDX-License-Identifier: MIT */
/*
 * Virtio over MMIO (§4.2), version 2 and the legacy version 1: one page of
 * registers and one line a device, and nothing to discover.
 *
 * Concurrency: as drivers/virtio/transport.h.
 */
#include "drivers/virtio/mmio.h"

#include "drivers/virtio/device.h"
#include "drivers/virtio/spec/mmio.h"
#include "drivers/virtio/transport.h"
#include "kernel/alloc.h"
#include "kernel/log.h"
#include "kernel/mmio.h"
#include "lib/base/errno.h"
#include "lib/base/io.h"

#define CONFIG_MAX_BYTES 4096 /* mapped of it; no device type has more */
#define LEGACY_PAGE      4096

struct virtio_mmio {
    struct virtio_device device;
    struct list link;
    phys_addr_t base;
    uint64_t bytes;
    volatile uint8_t *registers;
    bool has_line;
    struct irq_line line;
};

static struct list slots = LIST_INIT(slots);

static struct virtio_mmio *mmio_of(const struct virtio_device *dev)
{
    return CONTAINER_OF(dev, struct virtio_mmio, device);
}

static uint32_t read_register(const struct virtio_device *dev, unsigned offset)
{
    return mmio_read32(mmio_of(dev)->registers + offset);
}

static void write_register(const struct virtio_device *dev, unsigned offset, uint32_t value)
{
    mmio_write32(mmio_of(dev)->registers + offset, value);
}

/* ---- the device */

static void locate(const struct virtio_device *dev, struct text *text)
{
    text_add(text, "%#lx", mmio_of(dev)->base);
}

static uint8_t get_status(struct virtio_device *dev)
{
    return (uint8_t)read_register(dev, VIRTIO_MMIO_STATUS);
}

static void set_status(struct virtio_device *dev, uint8_t status)
{
    write_register(dev, VIRTIO_MMIO_STATUS, status);
}

/* There is no bus that would keep it from memory. */
static void cut_off(struct virtio_device *dev)
{
    (void)dev;
}

static uint32_t get_word(struct virtio_device *dev, unsigned word)
{
    write_register(dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, word);
    return read_register(dev, VIRTIO_MMIO_DEVICE_FEATURES);
}

/*
 * Older devices know of two words and show the second for any other, as QEMU does:
 * bit 96 would be VERSION_1 again. One that is the same is not believed.
 */
static uint32_t get_features(struct virtio_device *dev, unsigned word)
{
    uint32_t features = get_word(dev, word);

    return word > 1 && features == get_word(dev, 1) ? 0 : features;
}

static void set_features(struct virtio_device *dev, unsigned word, uint32_t features)
{
    write_register(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, word);
    write_register(dev, VIRTIO_MMIO_DRIVER_FEATURES, features);
}

static uint32_t config_read(struct virtio_device *dev, uint32_t offset, unsigned bytes)
{
    volatile uint8_t *at = mmio_of(dev)->registers + VIRTIO_MMIO_CONFIG + offset;

    if (bytes == 1)
        return mmio_read8(at);
    return bytes == 2 ? mmio_read16(at) : mmio_read32(at);
}

static void config_write(struct virtio_device *dev, uint32_t offset, unsigned bytes, uint32_t value)
{
    volatile uint8_t *at = mmio_of(dev)->registers + VIRTIO_MMIO_CONFIG + offset;

    if (bytes == 1)
        mmio_write8(at, (uint8_t)value);
    else if (bytes == 2)
        mmio_write16(at, (uint16_t)value);
    else
        mmio_write32(at, value);
}

static uint32_t config_generation(struct virtio_device *dev)
{
    return read_register(dev, VIRTIO_MMIO_CONFIG_GENERATION);
}

/* ---- queues (§4.2.3.2, §4.2.4) */

static int queue_find(struct virtio_device *dev, uint16_t index, uint32_t *size_max,
                      struct virtq_doorbell *doorbell)
{
    write_register(dev, VIRTIO_MMIO_QUEUE_SEL, index);
    *size_max = read_register(dev, VIRTIO_MMIO_QUEUE_NUM_MAX);
    if (!*size_max)
        return -ENOENT;
    *doorbell = (struct virtq_doorbell){
        .kind = VIRTQ_DOORBELL_MMIO32,
        .value = index,
        .mmio = mmio_of(dev)->registers + VIRTIO_MMIO_QUEUE_NOTIFY,
    };
    return 0;
}

static void write_address(struct virtio_device *dev, unsigned low, dma_addr_t addr)
{
    write_register(dev, low, (uint32_t)addr);
    write_register(dev, low + 4, (uint32_t)(addr >> 32));
}

static int start_legacy_queue(struct virtio_device *dev, const struct virtio_queue_setup *setup)
{
    if (read_register(dev, VIRTIO_MMIO_QUEUE_PFN))
        return -EBUSY;
    write_register(dev, VIRTIO_MMIO_GUEST_PAGE_SIZE, LEGACY_PAGE);
    write_register(dev, VIRTIO_MMIO_QUEUE_NUM, setup->size);
    write_register(dev, VIRTIO_MMIO_QUEUE_ALIGN, LEGACY_PAGE);
    write_register(dev, VIRTIO_MMIO_QUEUE_PFN, (uint32_t)(setup->descriptor_addr / LEGACY_PAGE));
    return 0;
}

static int queue_start(struct virtio_device *dev, const struct virtio_queue_setup *setup)
{
    write_register(dev, VIRTIO_MMIO_QUEUE_SEL, setup->index);
    if (dev->legacy)
        return start_legacy_queue(dev, setup);
    if (read_register(dev, VIRTIO_MMIO_QUEUE_READY))
        return -EBUSY;
    write_register(dev, VIRTIO_MMIO_QUEUE_NUM, setup->size);
    write_address(dev, VIRTIO_MMIO_QUEUE_DESC_LOW, setup->descriptor_addr);
    write_address(dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, setup->driver_addr);
    write_address(dev, VIRTIO_MMIO_QUEUE_USED_LOW, setup->device_addr);
    write_register(dev, VIRTIO_MMIO_QUEUE_READY, 1);
    return 0;
}

static void queue_reset(struct virtio_device *dev, uint16_t index)
{
    write_register(dev, VIRTIO_MMIO_QUEUE_SEL, index);
    write_register(dev, VIRTIO_MMIO_QUEUE_RESET, 1);
}

static bool queue_is_reset(struct virtio_device *dev, uint16_t index)
{
    write_register(dev, VIRTIO_MMIO_QUEUE_SEL, index);
    return read_register(dev, VIRTIO_MMIO_QUEUE_RESET) == 0;
}

/* ---- interrupts (§4.2.3.4) */

static int vectors_start(struct virtio_device *dev)
{
    (void)dev;
    return -ENODEV;
}

static int line_find(struct virtio_device *dev, struct irq_line *line)
{
    *line = mmio_of(dev)->line;
    return mmio_of(dev)->has_line ? 0 : -ENODEV;
}

/* Undefined bits are ignored, and left as they are. */
static uint8_t line_take(struct virtio_device *dev)
{
    uint32_t cause = read_register(dev, VIRTIO_MMIO_INTERRUPT_STATUS) &
                     (VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);

    if (cause)
        write_register(dev, VIRTIO_MMIO_INTERRUPT_ACK, cause);
    return (uint8_t)cause;
}

static const struct virtio_transport virtio_mmio_transport = {
    .name = "mmio",
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
    .line_find = line_find,
    .line_take = line_take,
};

/* ---- what is there (§4.2.3.1.1) */

static int refuse(phys_addr_t base, const char *why, int error)
{
    log_error("virtio-mmio at %#lx: %s", base, why);
    return error;
}

/* Why registers cannot be there; NULL: they can. Nothing is touched. */
static const char *impossible(phys_addr_t base, uint64_t bytes)
{
    struct list *link;

    if (bytes < VIRTIO_MMIO_CONFIG)
        return "too small for a device";
    if (!IS_ALIGNED(base, sizeof(uint32_t)) || base + bytes < base)
        return "no address for a device";
    LIST_FOR_EACH (link, &slots) {
        const struct virtio_mmio *other = CONTAINER_OF(link, struct virtio_mmio, link);

        if (base < other->base + other->bytes && other->base < base + bytes)
            return "another device is there";
    }
    return NULL;
}

static void take(struct virtio_mmio *vm, uint32_t version, uint32_t type)
{
    vm->device.transport = &virtio_mmio_transport;
    vm->device.type = type;
    vm->device.legacy = version == VIRTIO_MMIO_VERSION_LEGACY;
    vm->device.config_bytes = (uint32_t)(vm->bytes - VIRTIO_MMIO_CONFIG);
    if (!vm->device.legacy) {
        virtio_features_add(&vm->device.transport_features, VIRTIO_F_NOTIFICATION_DATA);
        virtio_features_add(&vm->device.transport_features, VIRTIO_F_RING_RESET);
    }
    list_append(&slots, &vm->link);
    virtio_add(&vm->device); /* without a driver, or failed, it stays listed */
}

int virtio_mmio_add(phys_addr_t base, uint64_t bytes, const struct irq_line *line)
{
    const char *why = impossible(base, bytes);
    uint32_t version, type;
    struct virtio_mmio *vm;
    volatile uint8_t *at;

    if (why)
        return refuse(base, why, -EINVAL);
    bytes = MIN(bytes, (uint64_t)VIRTIO_MMIO_CONFIG + CONFIG_MAX_BYTES);
    at = mmio_map(base, bytes);
    if (!at)
        return refuse(base, "not an address of devices", -ENXIO);
    if (mmio_read32(at + VIRTIO_MMIO_MAGIC_VALUE) != VIRTIO_MMIO_MAGIC)
        return refuse(base, "no virtio device there", -ENODEV);
    version = mmio_read32(at + VIRTIO_MMIO_VERSION);
    if (version != VIRTIO_MMIO_VERSION_LEGACY && version != VIRTIO_MMIO_VERSION_MODERN)
        return refuse(base, "a version that is not known", -ENODEV);
    type = mmio_read32(at + VIRTIO_MMIO_DEVICE_ID);
    if (!type)
        return 0;
    vm = kalloc(sizeof(*vm));
    if (!vm)
        return -ENOMEM;
    vm->base = base;
    vm->bytes = bytes;
    vm->registers = at;
    vm->has_line = line != NULL;
    if (line)
        vm->line = *line;
    take(vm, version, type);
    return 0;
}

void virtio_mmio_forget(void)
{
    struct list *link;

    while ((link = list_pop(&slots))) {
        struct virtio_mmio *vm = CONTAINER_OF(link, struct virtio_mmio, link);

        virtio_remove(&vm->device);
        kfree(vm);
    }
}
