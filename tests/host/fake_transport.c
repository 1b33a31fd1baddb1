/* SPDX-License-Identifier: MIT */
#include "tests/host/fake_transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/spec/config.h"
#include "lib/base/errno.h"
#include "tests/host/irq.h"

#define LEGACY_TRAP 30 /* §6.3 */
#define CONFIGURED  (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)

static struct fake_transport *fake_of(const struct virtio_device *dev)
{
    return CONTAINER_OF(dev, struct fake_transport, device);
}

static void break_rule(struct fake_transport *fake, const char *rule)
{
    if (!fake->violation)
        fake->violation = rule;
}

static void expect(struct fake_transport *fake, bool condition, const char *rule)
{
    if (!condition)
        break_rule(fake, rule);
}

static void locate(const struct virtio_device *dev, struct text *text)
{
    (void)dev;
    text_add(text, "fake");
}

/* ---- status */

static void stop_queue(struct fake_transport_queue *queue)
{
    if (queue->live)
        fake_queue_stop(&queue->ring);
    queue->live = queue->enabled = queue->resetting = false;
    queue->vector = VIRTIO_NO_VECTOR;
}

static void end_reset(struct fake_transport *fake)
{
    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        stop_queue(&fake->queues[i]);
    fake->accepted = (struct virtio_features){ 0 };
    fake->config_vector = VIRTIO_NO_VECTOR;
    fake->status = 0;
    fake->needs_reset = false;
    fake->cause = 0;
    fake->resetting = false;
}

static uint8_t get_status(struct virtio_device *dev)
{
    struct fake_transport *fake = fake_of(dev);

    if (fake->resetting && !fake->reset_never_ends) {
        if (fake->reset_polls_left == 0)
            end_reset(fake);
        else
            fake->reset_polls_left--;
    }
    /* A reset that goes on shows in a status that is not 0 yet. */
    if (fake->resetting && !fake->status)
        return VIRTIO_CONFIG_S_ACKNOWLEDGE;
    return fake->status | (fake->needs_reset ? VIRTIO_CONFIG_S_NEEDS_RESET : 0);
}

/* §2.7.2, in the standard's own words: all a legacy device knows is a page and the queue's size. */
static void place_legacy_areas(struct fake_queue_config *config)
{
    uint64_t avail_bytes = 2 * (3 + (uint64_t)config->size);

    config->driver_addr = config->desc_addr + 16 * (uint64_t)config->size;
    config->device_addr = (config->driver_addr + avail_bytes + 4095) & ~UINT64_C(4095);
}

static void start_queue(struct fake_transport *fake, struct fake_transport_queue *queue)
{
    struct fake_queue_config config = {
        .packed = virtio_features_have(&fake->accepted, VIRTIO_F_RING_PACKED),
        .event_idx = virtio_features_have(&fake->accepted, VIRTIO_F_EVENT_IDX),
        .indirect = virtio_features_have(&fake->accepted, VIRTIO_F_INDIRECT_DESC),
        .in_order = virtio_features_have(&fake->accepted, VIRTIO_F_IN_ORDER),
        .notification_data = virtio_features_have(&fake->accepted, VIRTIO_F_NOTIFICATION_DATA),
        .size = queue->size,
        .desc_addr = queue->setup.descriptor_addr,
        .driver_addr = queue->setup.driver_addr,
        .device_addr = queue->setup.device_addr,
    };

    if (fake->device.legacy)
        place_legacy_areas(&config);
    fake_queue_start(&queue->ring, &config);
    queue->live = true;
}

static bool is_subset(const struct virtio_features *part, const struct virtio_features *whole)
{
    for (unsigned i = 0; i < VIRTIO_FEATURE_WORDS; i++)
        if (part->word[i] & ~whole->word[i])
            return false;
    return true;
}

/* A legacy device has no such status, and must cope with anything from the beginning (§3.1.2). */
static bool features_are_settled(const struct fake_transport *fake)
{
    return fake->device.legacy || fake->status & VIRTIO_CONFIG_S_FEATURES_OK;
}

static void come_alive(struct fake_transport *fake)
{
    expect(fake, features_are_settled(fake), "DRIVER_OK before FEATURES_OK");
    expect(fake, is_subset(&fake->accepted, &fake->offered), "a feature was not offered");
    expect(fake, !virtio_features_have(&fake->accepted, LEGACY_TRAP), "bit 30 was acknowledged");
    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        if (fake->queues[i].enabled && !fake->queues[i].live)
            start_queue(fake, &fake->queues[i]);
}

static void begin_reset(struct fake_transport *fake)
{
    fake->resets++;
    fake->resetting = true;
    fake->reset_polls_left = fake->reset_polls;
}

static void cut_off(struct virtio_device *dev)
{
    fake_of(dev)->cut_off = true;
}

static void set_status(struct virtio_device *dev, uint8_t status)
{
    struct fake_transport *fake = fake_of(dev);
    uint8_t added = status & (uint8_t)~fake->status;

    if (fake->n_statuses < FAKE_STATUSES)
        fake->statuses[fake->n_statuses++] = status;
    if (status == 0) {
        begin_reset(fake);
        return;
    }
    expect(fake, !fake->resetting || fake->reset_never_ends,
           "status written before the reset had ended");
    expect(fake, !(fake->status & ~status), "status bits taken away without a reset");
    expect(fake, !(added & VIRTIO_CONFIG_S_DRIVER) || fake->status & VIRTIO_CONFIG_S_ACKNOWLEDGE,
           "DRIVER before ACKNOWLEDGE");
    expect(fake, !(added & VIRTIO_CONFIG_S_NEEDS_RESET) || fake->needs_reset,
           "NEEDS_RESET set by the driver");
    if (added & VIRTIO_CONFIG_S_FEATURES_OK) {
        expect(fake, !fake->device.legacy, "FEATURES_OK set on a legacy device");
        expect(fake, (fake->status & CONFIGURED) == CONFIGURED, "FEATURES_OK before DRIVER");
        expect(fake, is_subset(&fake->accepted, &fake->offered), "a feature was not offered");
        if (fake->refuse_features_ok)
            status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
    }
    if (added & VIRTIO_CONFIG_S_DRIVER_OK && fake->started)
        fake->started(fake);
    fake->status = status & (uint8_t)~VIRTIO_CONFIG_S_NEEDS_RESET;
    if (added & VIRTIO_CONFIG_S_DRIVER_OK)
        come_alive(fake);
}

/* ---- features */

static uint32_t get_features(struct virtio_device *dev, unsigned word)
{
    struct fake_transport *fake = fake_of(dev);

    expect(fake, !dev->legacy || word == 0, "a legacy device has one word of features");
    return fake->offered.word[word];
}

static void set_features(struct virtio_device *dev, unsigned word, uint32_t features)
{
    struct fake_transport *fake = fake_of(dev);

    expect(fake, fake->status & VIRTIO_CONFIG_S_DRIVER, "features written before DRIVER");
    expect(fake, !(fake->status & VIRTIO_CONFIG_S_FEATURES_OK),
           "features changed after FEATURES_OK");
    expect(fake, !dev->legacy || word == 0, "a legacy device has one word of features");
    fake->accepted.word[word] = features;
}

/* ---- configuration */

static bool in_config(struct fake_transport *fake, uint32_t offset, unsigned bytes)
{
    bool ok = (bytes == 1 || bytes == 2 || bytes == 4) && offset % bytes == 0 &&
              offset < fake->device.config_bytes && bytes <= fake->device.config_bytes - offset;

    expect(fake, ok, "configuration accessed outside, unaligned or in a wrong width");
    return ok;
}

static uint32_t config_read(struct virtio_device *dev, uint32_t offset, unsigned bytes)
{
    struct fake_transport *fake = fake_of(dev);
    uint32_t value = 0;

    fake->config_reads++;
    if (in_config(fake, offset, bytes))
        memcpy(&value, fake->config + offset, bytes);
    if (dev->legacy && (fake->never_settles || fake->unsettled_reads)) {
        fake->unsettled_reads -= fake->unsettled_reads != 0;
        value ^= ++fake->generation;
    }
    return value;
}

static void config_write(struct virtio_device *dev, uint32_t offset, unsigned bytes, uint32_t value)
{
    struct fake_transport *fake = fake_of(dev);

    expect(fake, features_are_settled(fake), "configuration written before FEATURES_OK");
    if (!in_config(fake, offset, bytes))
        return;
    memcpy(fake->config + offset, &value, bytes);
    if (fake->config_written)
        fake->config_written(fake, offset, bytes);
}

static uint32_t config_generation(struct virtio_device *dev)
{
    struct fake_transport *fake = fake_of(dev);

    expect(fake, !dev->legacy, "a legacy device's configuration has no generation");
    if (fake->never_settles)
        fake->generation++;
    if (fake->unsettled_reads) {
        fake->unsettled_reads--;
        fake->generation++;
    }
    return fake->generation;
}

/* ---- queues */

static void ring_doorbell(void *argument, uint32_t value)
{
    struct fake_transport *fake = argument;
    unsigned queue = value & UINT16_MAX;

    if (virtio_features_have(&fake->accepted, VIRTIO_F_NOTIF_CONFIG_DATA))
        queue -= fake->notif_config_data;
    if (queue >= FAKE_QUEUES || !fake->queues[queue].live) {
        break_rule(fake, "a doorbell before DRIVER_OK, or of no queue");
        return;
    }
    fake_notified(&fake->queues[queue].ring, value);
    fake->queues[queue].kicks++;
    if (fake->kicked)
        fake->kicked(fake, queue);
}

static int queue_find(struct virtio_device *dev, uint16_t index, uint32_t *size_max,
                      struct virtq_doorbell *doorbell)
{
    struct fake_transport *fake = fake_of(dev);

    expect(fake, features_are_settled(fake), "queues looked at before FEATURES_OK");
    if (index >= FAKE_QUEUES || !fake->queues[index].size_max)
        return -ENOENT;
    *size_max = fake->queues[index].size_max;
    *doorbell = (struct virtq_doorbell){
        .kind = VIRTQ_DOORBELL_HOOK, .value = index, .hook_argument = fake, .hook = ring_doorbell
    };
    if (virtio_features_have(&fake->accepted, VIRTIO_F_NOTIF_CONFIG_DATA))
        doorbell->value += fake->notif_config_data;
    return 0;
}

static bool refuses_vector(const struct fake_transport *fake, uint16_t vector)
{
    if (vector == VIRTIO_NO_VECTOR)
        return false;
    return vector >= fake->n_vectors ||
           (fake->vectors_refused_from && vector >= fake->vectors_refused_from);
}

static bool is_power_of_two(uint32_t n)
{
    return n && !(n & (n - 1));
}

static int queue_start(struct virtio_device *dev, const struct virtio_queue_setup *setup)
{
    struct fake_transport *fake = fake_of(dev);
    struct fake_transport_queue *queue = &fake->queues[setup->index];

    expect(fake, features_are_settled(fake), "a queue set up before FEATURES_OK");
    expect(fake, !dev->legacy || setup->size == queue->size_max,
           "a legacy queue's size is the device's");
    expect(fake, !dev->legacy || (setup->descriptor_addr & 4095) == 0,
           "a legacy queue that does not begin on a page");
    expect(fake, !dev->legacy || setup->descriptor_addr >> 12 <= UINT32_MAX,
           "a legacy queue's page does not fit into 32 bits");
    expect(fake, !queue->resetting, "a queue set up before its reset had ended");
    expect(fake, !(fake->status & VIRTIO_CONFIG_S_DRIVER_OK) || queue->was_reset,
           "a queue set up after DRIVER_OK");
    expect(fake, setup->size && setup->size <= queue->size_max, "a queue larger than offered");
    expect(fake,
           virtio_features_have(&fake->accepted, VIRTIO_F_RING_PACKED) ||
               is_power_of_two(setup->size),
           "a split queue whose size is no power of two");
    if (queue->enabled)
        return -EBUSY;
    if (refuses_vector(fake, setup->vector))
        return -EAGAIN;
    queue->enabled = true;
    queue->size = setup->size;
    queue->vector = setup->vector;
    queue->setup = *setup;
    if (fake->status & VIRTIO_CONFIG_S_DRIVER_OK)
        start_queue(fake, queue);
    return 0;
}

static void queue_reset(struct virtio_device *dev, uint16_t index)
{
    struct fake_transport *fake = fake_of(dev);
    struct fake_transport_queue *queue = &fake->queues[index];

    expect(fake, virtio_features_have(&fake->accepted, VIRTIO_F_RING_RESET),
           "a queue reset without RING_RESET");
    expect(fake, queue->enabled, "a reset of a queue that is not enabled");
    queue->resetting = true;
    fake->reset_polls_left = fake->reset_polls;
}

static bool queue_is_reset(struct virtio_device *dev, uint16_t index)
{
    struct fake_transport *fake = fake_of(dev);
    struct fake_transport_queue *queue = &fake->queues[index];

    if (queue->resetting && (fake->queue_reset_never_ends || fake->reset_polls_left)) {
        if (fake->reset_polls_left)
            fake->reset_polls_left--;
        return false;
    }
    stop_queue(queue);
    queue->was_reset = true;
    return true;
}

/* ---- interrupts */

static int vectors_start(struct virtio_device *dev)
{
    struct fake_transport *fake = fake_of(dev);

    memset(fake->unmasked, 0, sizeof(fake->unmasked));
    return fake->n_vectors ? (int)fake->n_vectors : -ENODEV;
}

static void vector_set(struct virtio_device *dev, uint16_t vector, struct irq_message message)
{
    struct fake_transport *fake = fake_of(dev);

    if (vector >= fake->n_vectors) {
        break_rule(fake, "a vector that the device does not have");
        return;
    }
    fake->messages[vector] = message;
    fake->unmasked[vector] = true;
}

static int vector_config(struct virtio_device *dev, uint16_t vector)
{
    struct fake_transport *fake = fake_of(dev);

    if (refuses_vector(fake, vector))
        return -EAGAIN;
    fake->config_vector = vector;
    return 0;
}

static void vector_silence(struct virtio_device *dev, uint16_t vector)
{
    struct fake_transport *fake = fake_of(dev);

    expect(fake, vector < fake->n_vectors, "a vector that the device does not have");
    fake->unmasked[vector % FAKE_VECTORS] = false;
}

static void vectors_stop(struct virtio_device *dev)
{
    struct fake_transport *fake = fake_of(dev);

    memset(fake->unmasked, 0, sizeof(fake->unmasked));
}

static bool send(struct fake_transport *fake, uint16_t vector)
{
    if (vector >= fake->n_vectors || !fake->unmasked[vector])
        return false;
    fake->interrupts++;
    return host_irq_send(fake->messages[vector]);
}

static int line_find(struct virtio_device *dev, struct irq_line *line)
{
    struct fake_transport *fake = fake_of(dev);

    *line = fake->line;
    return fake->has_line ? 0 : -ENODEV;
}

static uint8_t line_take(struct virtio_device *dev)
{
    struct fake_transport *fake = fake_of(dev);
    uint8_t cause = fake->cause;

    expect(fake, fake->has_line, "asked why it raises a line that it does not have");
    fake->causes_taken++;
    if (!fake->line_stays_up)
        fake->cause = 0;
    return cause;
}

/* A level is seen as long as it is there, an edge once. */
static bool raise_line(struct fake_transport *fake, uint8_t cause)
{
    bool was_up = fake->cause, reached = false;

    fake->cause |= cause;
    if (fake->line_is_dead || (was_up && !fake->line.level_triggered))
        return false;
    for (unsigned i = 0; fake->cause && i < FAKE_LINE_ROUNDS; i++) {
        if (!host_line_raise(fake->line.gsi))
            return reached;
        reached = true;
        fake->interrupts++;
        if (!fake->line.level_triggered)
            break;
    }
    return reached;
}

static bool uses_line(const struct fake_transport *fake)
{
    return fake->device.interrupts == VIRTIO_INTERRUPTS_LINE;
}

static const struct virtio_transport transport = {
    .name = "fake",
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

/* ---- for tests */

void fake_transport_init(struct fake_transport *fake, uint32_t type)
{
    *fake = (struct fake_transport){
        .device = { .transport = &transport, .type = type, .config_bytes = FAKE_CONFIG_BYTES },
        .n_vectors = 4,
        .config_vector = VIRTIO_NO_VECTOR,
    };
    virtio_features_add(&fake->device.transport_features, VIRTIO_F_NOTIFICATION_DATA);
    virtio_features_add(&fake->device.transport_features, VIRTIO_F_NOTIF_CONFIG_DATA);
    virtio_features_add(&fake->device.transport_features, VIRTIO_F_RING_RESET);
    fake_offer(fake, VIRTIO_F_VERSION_1);
    fake_offer(fake, VIRTIO_F_EVENT_IDX);
    fake_offer(fake, VIRTIO_F_INDIRECT_DESC);
}

void fake_make_legacy(struct fake_transport *fake)
{
    fake->device.legacy = true;
    fake_withdraw(fake, VIRTIO_F_VERSION_1);
    fake_offer(fake, LEGACY_TRAP);
    fake_offer(fake, VIRTIO_F_ANY_LAYOUT);
}

void fake_offer(struct fake_transport *fake, unsigned bit)
{
    virtio_features_add(&fake->offered, bit);
}

void fake_withdraw(struct fake_transport *fake, unsigned bit)
{
    fake->offered.word[bit / 32] &= ~(UINT32_C(1) << (bit % 32));
}

bool fake_transport_interrupt(struct fake_transport *fake, unsigned queue)
{
    if (!fake_interrupt_wanted(&fake->queues[queue].ring))
        return false;
    if (uses_line(fake))
        return raise_line(fake, VIRTIO_LINE_QUEUE);
    return send(fake, fake->queues[queue].vector);
}

void fake_transport_interrupt_always(struct fake_transport *fake, unsigned queue)
{
    if (uses_line(fake))
        raise_line(fake, VIRTIO_LINE_QUEUE);
    else
        send(fake, fake->queues[queue].vector);
}

static void interrupt_for_config(struct fake_transport *fake)
{
    if (uses_line(fake))
        raise_line(fake, VIRTIO_LINE_CONFIG);
    else
        send(fake, fake->config_vector);
}

void fake_transport_config_changed(struct fake_transport *fake)
{
    fake->generation++;
    interrupt_for_config(fake);
}

void fake_transport_ask_for_reset(struct fake_transport *fake)
{
    fake->needs_reset = true;
    interrupt_for_config(fake);
}

void fake_transport_check(struct fake_transport *fake)
{
    if (fake->violation)
        fail_msg("the driver broke a rule: %s", fake->violation);
    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        if (fake->queues[i].live && fake->queues[i].ring.violation)
            fail_msg("the driver broke a rule of queue %u: %s", i, fake->queues[i].ring.violation);
}
