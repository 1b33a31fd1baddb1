/* SPDX-License-Identifier: MIT */
/* See ring_device.h; split §2.7, packed §2.8, in order §2.7.9 and §2.8.9. */
#include "tests/bench/ring_device.h"

#include "drivers/virtio/spec/ring.h"
#include "lib/base/barrier.h"

#define PACKED_WRAP_FLAGS (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)

void ring_device_start(struct ring_device *device, const struct virtq_config *config)
{
    *device = (struct ring_device){
        .areas = config->areas,
        .packed = config->format == VIRTQ_PACKED,
        .event_idx = config->event_idx,
        .in_order = config->in_order,
        .size = config->size,
        .wrap = true,
    };
}

static unsigned split_run(struct ring_device *device, unsigned max, uint32_t len)
{
    const struct virtq_avail *avail = device->areas.driver;
    struct virtq_used *used = device->areas.device;
    const uint16_t mask = device->size - 1;
    /* Pairs with the driver's release of idx: the entries before it are complete. */
    const unsigned available = (uint16_t)(load_acquire(&avail->idx) - device->next);
    const unsigned n = MIN(available, max);
    uint16_t at = device->next;

    if (n == 0)
        return 0;
    if (device->in_order) {
        uint16_t last = (uint16_t)(at + n - 1) & mask;

        used->ring[at & mask] = (struct virtq_used_elem){ avail->ring[last], len };
        at += n;
    } else {
        for (unsigned i = 0; i < n; i++, at++)
            used->ring[at & mask] = (struct virtq_used_elem){ avail->ring[at & mask], len };
    }
    device->next = at;
    store_release(&used->idx, at); /* pairs with the driver's acquire of idx */
    return n;
}

static bool packed_is_available(const struct ring_device *device, uint16_t at, bool wrap)
{
    const struct pvirtq_desc *ring = device->areas.descriptor;
    uint16_t flags = load_acquire(&ring[at].flags); /* pairs with the driver's release of flags */

    return (flags & PACKED_WRAP_FLAGS) == (wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED);
}

static void packed_use(struct ring_device *device, uint16_t at, bool wrap, uint16_t id,
                       uint32_t len)
{
    struct pvirtq_desc *desc = (struct pvirtq_desc *)device->areas.descriptor + at;
    uint16_t flags = (wrap ? PACKED_WRAP_FLAGS : 0) | (len ? VIRTQ_DESC_F_WRITE : 0);

    desc->id = id;
    desc->len = len;
    store_release(&desc->flags, flags); /* pairs with the driver's acquire of the whole word */
}

static unsigned packed_run(struct ring_device *device, unsigned max, uint32_t len)
{
    const struct pvirtq_desc *ring = device->areas.descriptor;
    const uint16_t first = device->next;
    const bool first_wrap = device->wrap;
    uint16_t id = 0;
    unsigned n = 0;

    for (; n < max && packed_is_available(device, device->next, device->wrap); n++) {
        id = ring[device->next].id;
        if (!device->in_order)
            packed_use(device, device->next, device->wrap, id, len);
        if (++device->next == device->size) {
            device->next = 0;
            device->wrap = !device->wrap;
        }
    }
    if (device->in_order && n)
        packed_use(device, first, first_wrap, id, len);
    return n;
}

unsigned ring_device_run(struct ring_device *device, unsigned max, uint32_t len)
{
    return device->packed ? packed_run(device, max, len) : split_run(device, max, len);
}

void ring_device_refuse_notification(struct ring_device *device)
{
    struct virtq_used *used = device->areas.device;
    struct pvirtq_event_suppress *event = device->areas.device;
    le16 *avail_event = (void *)&used->ring[device->size];
    uint16_t behind = (uint16_t)(device->next - 1);

    if (device->packed && device->event_idx)
        *event =
            (struct pvirtq_event_suppress){ (uint16_t)((device->next ? behind : device->size - 1) |
                                                       (device->next ? device->wrap : !device->wrap)
                                                           << PVIRTQ_EVENT_WRAP_SHIFT),
                                            RING_EVENT_FLAGS_DESC };
    else if (device->packed)
        event->flags = RING_EVENT_FLAGS_DISABLE;
    else if (device->event_idx)
        *avail_event = behind;
    else
        used->flags = VIRTQ_USED_F_NO_NOTIFY;
}
