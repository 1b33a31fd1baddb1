/* SPDX-License-Identifier: MIT */
/* What the boot report and the status page tell about virtio devices. */
#include "kernel/report.h"
#include "drivers/virtio/device.h"
#include "drivers/virtio/transport.h"

static void tell_features(struct report *report, const char *key, uint32_t type,
                          const struct virtio_features *set)
{
    report_open_words(report, key);
    for (unsigned bit = 0; bit < VIRTIO_FEATURE_BITS; bit++) {
        const char *name = virtio_feature_text(type, bit);
        char number[8];

        if (!virtio_features_have(set, bit))
            continue;
        if (!name)
            format(number, sizeof(number), "bit%u", bit);
        report_word(report, name ? name : number);
    }
    report_close_words(report);
}

static const char *interrupts_text(const struct virtio_device *dev)
{
    if (dev->interrupts == VIRTIO_INTERRUPTS_MSIX)
        return "msix";
    if (dev->interrupts == VIRTIO_INTERRUPTS_LINE)
        return "line";
    return dev->ticking ? "none, a timer" : "poll";
}

static unsigned vectors_in_use(const struct virtio_device *dev)
{
    unsigned n = 0;

    for (unsigned i = 0; i < dev->n_vectors; i++)
        n += dev->vectors[i].cpu_vector != 0;
    return n;
}

/* How the first queue is notified; the others are alike. */
static const char *doorbell_text(const struct virtio_device *dev)
{
    const struct virtio_queue *queue = CONTAINER_OF(dev->queues.next, struct virtio_queue, link);

    switch (queue->ring.doorbell.kind) {
    case VIRTQ_DOORBELL_PORT16:
    case VIRTQ_DOORBELL_PORT32:
        return "port";
    case VIRTQ_DOORBELL_HOOK:
        return "call";
    default:
        return "mmio";
    }
}

static void tell_queues(struct report *report, const struct virtio_device *dev)
{
    struct list *link;

    report_open_list(report, "queue");
    LIST_FOR_EACH (link, &dev->queues) {
        const struct virtio_queue *queue = CONTAINER_OF(link, struct virtio_queue, link);

        report_open_item(report, "%u", queue->index);
        report_number(report, "size", queue->size);
        report_number(report, "in_flight", virtq_in_flight(&queue->ring));
        report_close(report);
    }
    report_close(report);
}

static void tell_device(struct report *report, const struct virtio_device *dev)
{
    struct virtio_features refused = virtio_refused(dev);
    const char *type = virtio_type_text(dev->type);
    char place[32];
    struct text text;

    text_init(&text, place, sizeof(place));
    dev->transport->locate(dev, &text);
    report_open_item(report, "virtio%u", dev->number);
    report_text(report, "type", "%s", type ? type : "unknown");
    report_number(report, "type_id", dev->type);
    report_text(report, "transport", "%s", dev->transport->name);
    report_text(report, "address", "%s", place);
    report_text(report, "driver", "%s", dev->driver ? dev->driver->name : "none");
    if (dev->failure)
        report_text(report, "failure", "%s", dev->failure);
    report_number(report, "recoveries", dev->recoveries);
    if (dev->last_trouble)
        report_text(report, "last_trouble", "%s", dev->last_trouble);
    tell_features(report, "offered", dev->type, &dev->offered);
    tell_features(report, "accepted", dev->type, &dev->accepted);
    tell_features(report, "refused", dev->type, &refused);
    if (dev->started) {
        report_text(report, "ring", "%s", virtio_ring_text(dev));
        report_text(report, "interrupts", "%s", interrupts_text(dev));
        if (dev->interrupts == VIRTIO_INTERRUPTS_LINE)
            report_text(report, "line_heard", "%s", dev->line_heard ? "yes" : "not yet");
        report_number(report, "vectors", vectors_in_use(dev));
        if (!list_empty(&dev->queues))
            report_text(report, "doorbell", "%s", doorbell_text(dev));
        tell_queues(report, dev);
    }
    report_close(report);
}

static void tell(struct report *report)
{
    report_open_list(report, "device");
    for (const struct virtio_device *dev = virtio_next(NULL); dev; dev = virtio_next(dev))
        tell_device(report, dev);
    report_close(report);
}

REPORTER(virtio_reporter) = { "virtio", 50, tell };
